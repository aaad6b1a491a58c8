//! Labels lie where anatomy says.

use super::super::labels::{FEMUR, FIRST_ROOT, GANGLION, L5, SACRUM, THECAL_SAC};
use super::*;

/// The mean position in RAS (mm) of the voxels with this value, and their volume (mm³).
fn place(case: &Case, value: u8) -> Option<([f64; 3], f64)> {
    let geometry = *case.labels.view().geometry();
    let [columns, rows, _] = geometry.dims;
    let affine = geometry.ijk_to_world.between(geometry.world, World::Ras);
    let (mut sum, mut count) = ([0.0f64; 3], 0.0);
    for (at, _) in case.labels.bytes().iter().enumerate().filter(|(_, found)| **found == value) {
        let p = affine.apply([(at % columns) as f64, (at / columns % rows) as f64, (at / columns / rows) as f64]);
        sum.iter_mut().zip(p).for_each(|(sum, p)| *sum += p);
        count += 1.0;
    }
    (count > 0.0).then(|| (sum.map(|sum| sum / count), count * geometry.voxel_volume()))
}

/// Values of a root: L5 is 0, L4 is 1, S1 is 7; left is 0.
fn root(level: u8, side: u8) -> u8 {
    FIRST_ROOT + 2 * level + side
}

#[test]
fn every_nerve_is_one_piece_from_the_sac_through_its_foramen() {
    for seed in 0..4 {
        let view = FieldOfView { size_mm: [110.0, 110.0], z_mm: [-65.0, 75.0], center_mm: [0.0, 12.0], round: false };
        let case = generate(&Options { field_of_view: Some(view), spacing_mm: Some([0.8, 0.8, 1.2]), ..detailed(seed) }).unwrap();
        let dims = case.labels.view().geometry().dims;
        let met = reached(case.labels.bytes(), dims, THECAL_SAC, |value| value >= THECAL_SAC);
        for (name, level) in [("L5", 0), ("L4", 1), ("S1", 7)] {
            for side in [0, 1] {
                for value in [root(level, side), root(level, side) + GANGLION] {
                    assert!(met.contains(&value), "seed {seed}: {name}, side {side}, value {value} is cut off");
                }
            }
        }
        // Nothing is an island.
        let mut present: Vec<u8> = case.labels.bytes().iter().copied().filter(|value| (root(0, 0)..root(2, 0)).contains(value)).collect();
        present.sort_unstable();
        present.dedup();
        assert!(present.iter().all(|value| met.contains(value)), "seed {seed}");
    }
}

#[test]
fn left_is_the_patients_left_and_levels_follow_each_other() {
    let case = generate(&detailed(1)).unwrap();
    let at = |value| place(&case, value).unwrap().0;
    let sac = at(THECAL_SAC);
    for level in [0, 1, 7] {
        let (left, right) = (at(root(level, 0)), at(root(level, 1)));
        assert!(left[0] < sac[0] && sac[0] < right[0], "level {level}: {left:?} {sac:?} {right:?}");
        assert!(left[0] - right[0] < -20.0);
    }
    let [sacrum, l5, l4] = [SACRUM, L5, L5 + 1].map(at);
    assert!(sacrum[2] < l5[2] && l5[2] < l4[2]);
    // The ganglion of L5 lies below its pedicle and behind the body's middle.
    assert!(at(root(0, 0) + GANGLION)[2] < at(root(1, 0) + GANGLION)[2]);
    assert!(sac[1] < l4[1] + 30.0 && at(root(0, 0) + GANGLION)[1] > sac[1] - 15.0);
}

#[test]
fn bones_have_the_volumes_of_bones() {
    for seed in [0, 1, 2] {
        let case = generate(&Options { labels: LabelScheme::Detailed, spacing_mm: Some([1.5, 1.5, 2.0]), ..coarse(seed) }).unwrap();
        // L2 to L5 with their processes: 40 to 100 mL by CT, more in large people; the sacrum 130 to 320 mL.
        for (name, value) in [("L5", 1), ("L4", 2), ("L3", 3)] {
            let volume = place(&case, value).unwrap().1 / 1000.0;
            assert!((35.0..125.0).contains(&volume), "seed {seed}: {name} has {volume} mL");
        }
        let sacrum = place(&case, SACRUM).unwrap().1 / 1000.0;
        assert!((110.0..380.0).contains(&sacrum), "seed {seed}: sacrum {sacrum} mL");
    }
}

#[test]
fn ganglia_have_the_size_of_ganglia() {
    let case = generate(&Options { spacing_mm: Some([0.5, 0.5, 0.5]), ..detailed(3) }).unwrap();
    for (name, level) in [("L4", 1), ("L5", 0), ("S1", 7)] {
        for side in [0, 1] {
            let volume = place(&case, root(level, side) + GANGLION).unwrap().1;
            // 5 to 7.5 mm wide and 8 to 18 mm long, as an ellipsoid.
            assert!((100.0..700.0).contains(&volume), "{name}: {volume} mm³");
        }
    }
}

#[test]
fn nerves_are_darker_than_muscle_and_brighter_than_fat_by_what_plain_ct_shows() {
    for seed in 0..5 {
        let case = generate(&Options { noise_hu: Some(0.0), ..Options::demo(seed) }).unwrap();
        let values = voxels(&case.image);
        let [columns, rows, slices] = case.image.view().geometry().dims;
        // Voxels whose neighbors are nerve too, so that no edge takes part.
        let labels = case.labels.bytes();
        let (mut sum, mut count) = (0.0, 0.0);
        for k in 1..slices - 1 {
            for j in 2..rows - 2 {
                for i in 2..columns - 2 {
                    let at = (k * rows + j) * columns + i;
                    let near = [at, at - 2, at + 2, at - 2 * columns, at + 2 * columns, at - columns * rows, at + columns * rows];
                    if near.iter().all(|near| labels[*near] == 2) {
                        sum += f64::from(values[at]);
                        count += 1.0;
                    }
                }
            }
        }
        let (mean, tissue) = (sum / count, &case.parameters.tissue);
        assert!(count > 500.0 && (0.0..55.0).contains(&mean), "seed {seed}: {mean} HU in {count} voxels");
        assert!(mean - f64::from(tissue.fat) > 70.0, "seed {seed}: {mean} against fat {}", tissue.fat);
        assert!((-20.0..60.0).contains(&(f64::from(tissue.muscle) - mean)), "seed {seed}: {mean} against muscle {}", tissue.muscle);
    }
}

#[test]
fn metal_within_bone_keeps_its_label_and_outside_it_has_none() {
    let view = FieldOfView { size_mm: [380.0, 240.0], z_mm: [-200.0, -70.0], center_mm: [0.0, 0.0], round: false };
    let options = Options {
        field_of_view: Some(view),
        spacing_mm: Some([2.0; 3]),
        metal: Some(Metal::Hip),
        labels: LabelScheme::Detailed,
        ..Options::new(11)
    };
    let (case, whole) = (generate(&options).unwrap(), generate(&Options { metal: Some(Metal::None), ..options }).unwrap());
    let metal: Vec<u8> =
        voxels(&case.image).iter().zip(case.labels.bytes()).filter(|(value, _)| **value >= 3000).map(|(_, label)| *label).collect();
    let count = |values: &[u8]| metal.iter().filter(|label| values.contains(label)).count();
    assert!(count(&FEMUR) > 100 && count(&[0]) > 100, "{} in femora, {} outside bone", count(&FEMUR), count(&[0]));
    assert!(voxels(&whole.image).iter().filter(|value| **value >= 3000).count() < 10);
    // One femur lost its head, the other is whole.
    let lost: Vec<bool> = FEMUR.iter().map(|value| place(&case, *value).unwrap().1 < 0.9 * place(&whole, *value).unwrap().1).collect();
    assert_eq!(lost.iter().filter(|lost| **lost).count(), 1);
}

#[test]
fn screws_bring_metal_and_streaks_and_leave_the_labels_alone() {
    let make = |metal| generate(&Options { metal: Some(metal), noise_hu: Some(0.0), ..Options::demo(6) }).unwrap();
    let (with, without) = (make(Metal::Screws), make(Metal::None));
    assert!(with.labels.bytes() == without.labels.bytes());
    let (a, b) = (voxels(&with.image), voxels(&without.image));
    assert!(a.iter().filter(|value| **value >= 3000).count() > 50);
    let streaked = a.iter().zip(&b).filter(|(a, b)| (10..800).contains(&(*a - *b).abs())).count();
    assert!(streaked > 1000, "{streaked} voxels");
}
