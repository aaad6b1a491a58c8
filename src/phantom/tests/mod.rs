//! What holds for whole cases.

use std::collections::VecDeque;

use super::*;
use crate::error::ErrorKind;

mod anatomy;

fn voxels(image: &Image) -> Vec<i16> {
    image.bytes().chunks_exact(2).map(|pair| i16::from_ne_bytes([pair[0], pair[1]])).collect()
}

/// L4 to S2, small and quick.
fn detailed(seed: u64) -> Options {
    Options { labels: LabelScheme::Detailed, ..Options::demo(seed) }
}

/// The whole body in coarse voxels.
fn coarse(seed: u64) -> Options {
    let field_of_view = Some(FieldOfView { size_mm: [400.0, 320.0], z_mm: [-80.0, 160.0], center_mm: [0.0, -20.0], round: false });
    Options { seed, spacing_mm: Some([2.5, 2.5, 3.0]), field_of_view, metal: Some(Metal::None), ..Options::default() }
}

#[test]
fn a_seed_gives_the_same_bits_on_any_number_of_threads_and_another_seed_others() {
    let first = generate(&Options::demo(7)).unwrap();
    let alone = rayon::ThreadPoolBuilder::new().num_threads(1).build().unwrap();
    let again = alone.install(|| generate(&Options::demo(7)).unwrap());
    assert_eq!((first.image.bytes(), first.labels.bytes()), (again.image.bytes(), again.labels.bytes()));
    let other = generate(&Options::demo(8)).unwrap();
    assert_ne!(first.labels.bytes(), other.labels.bytes());
    assert_ne!(first.image.bytes(), other.image.bytes());
}

#[test]
fn spacing_and_view_are_as_asked() {
    let view = FieldOfView { size_mm: [60.0, 48.0], z_mm: [-20.0, 10.0], center_mm: [5.0, 10.0], round: false };
    let options = Options { spacing_mm: Some([1.5, 1.2, 2.0]), field_of_view: Some(view), ..Options::new(3) };
    let case = generate(&options).unwrap();
    let geometry = *case.image.view().geometry();
    assert_eq!((geometry.dims, geometry.ijk_to_world.spacing()), ([40, 40, 15], [1.5, 1.2, 2.0]));
    assert_eq!(*case.labels.view().geometry(), geometry);
    // The picture's center in RAS: 5 mm left, 10 mm behind, 5 mm below S1's endplate.
    let center = geometry.ijk_to_world.between(geometry.world, World::Ras).apply([19.5, 19.5, 7.0]);
    assert!(center.iter().zip([-5.0, -10.0, -5.0]).all(|(found, expected)| (found - expected).abs() < 1e-9), "{center:?}");
    assert_eq!((case.parameters.spacing_mm, case.parameters.field_of_view), ([1.5, 1.2, 2.0], view));
}

#[test]
fn what_is_drawn_differs_and_stays_within_its_limits() {
    let drawn: Vec<_> = (0..300).map(|seed| options::draw_view(seed, None, false)).collect();
    for (view, spacing) in &drawn {
        let options = Options { spacing_mm: Some(*spacing), field_of_view: Some(*view), ..Options::new(0) };
        options.check().unwrap();
        // From S3 (80 mm below S1's endplate) to L2 (150 mm above), some of it is in view.
        assert!(view.z_mm[0] < 61.0 && view.z_mm[1] > 0.0, "{view:?}");
    }
    let share = |count: usize| count as f64 / drawn.len() as f64;
    assert!((0.35..0.55).contains(&share(drawn.iter().filter(|(view, _)| view.size_mm[0] >= 310.0).count())));
    let scanners = |spacing: &[f64; 3]| (0.35..=1.0).contains(&spacing[0]) && (0.5..=3.0).contains(&spacing[2]);
    assert!(drawn.iter().all(|(_, spacing)| scanners(spacing)));
    let coarse = |seed| options::draw_view(seed, None, true).1;
    assert!((0..300).all(|seed| coarse(seed).iter().all(|spacing| (1.5..=3.0).contains(spacing))));
    let only_spine = (0..50).all(|seed| options::draw_view(seed, Some(Region::Spine), false).0.size_mm[0] <= 220.0);
    assert!(only_spine);
}

#[test]
fn options_outside_their_limits_are_refused_with_a_word_on_what_is_allowed() {
    let view = FieldOfView { size_mm: [60.0; 2], z_mm: [-20.0, 10.0], center_mm: [0.0; 2], round: false };
    let of = |field_of_view| Options { field_of_view: Some(field_of_view), ..Options::new(0) };
    let wrong = [
        Options { spacing_mm: Some([0.0, 1.0, 1.0]), ..Options::new(0) },
        Options { spacing_mm: Some([1.0, f64::NAN, 1.0]), ..Options::new(0) },
        Options { noise_hu: Some(-1.0), ..Options::new(0) },
        Options { noise_hu: Some(f32::NAN), ..Options::new(0) },
        of(FieldOfView { size_mm: [60.0, 1000.0], ..view }),
        of(FieldOfView { z_mm: [10.0, -20.0], ..view }),
        of(FieldOfView { z_mm: [0.0, 300.0], ..view }),
        of(FieldOfView { center_mm: [f64::INFINITY, 0.0], ..view }),
    ];
    for options in wrong {
        let error = generate(&options).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument, "{options:?}");
        assert!(error.message().contains("a phantom's"), "{error}");
    }
}

#[test]
fn the_detailed_scheme_collapses_onto_the_simple_one() {
    let [simple, detailed] = [LabelScheme::Simple, LabelScheme::Detailed].map(|labels| {
        let case = generate(&Options { labels, ..Options::demo(4) }).unwrap();
        (case.labels.bytes().to_vec(), case.image.bytes().to_vec())
    });
    assert!(simple.1 == detailed.1, "the labels' scheme changed the image");
    let collapsed: Vec<u8> = detailed.0.iter().map(|value| LabelScheme::Simple.value(*value)).collect();
    assert!(collapsed == simple.0);
    let known = LabelScheme::Detailed.names();
    assert!(detailed.0.iter().all(|value| *value == 0 || known.iter().any(|(known, _)| known == value)));
}

#[test]
fn noise_has_the_deviation_asked_for_and_none_is_none() {
    let make = |noise| voxels(&generate(&Options { noise_hu: Some(noise), ..Options::demo(5) }).unwrap().image);
    let (clean, noisy) = (make(0.0), make(20.0));
    // Not where the scale ends.
    let differences: Vec<f64> =
        clean.iter().zip(&noisy).filter(|(clean, _)| (-800..2900).contains(*clean)).map(|(a, b)| f64::from(b - a)).collect();
    let mean = differences.iter().sum::<f64>() / differences.len() as f64;
    let deviation = (differences.iter().map(|d| (d - mean).powi(2)).sum::<f64>() / differences.len() as f64).sqrt();
    assert!(mean.abs() < 0.5 && (deviation - 20.0).abs() < 1.0, "{mean} ± {deviation}");
}

#[test]
fn corners_outside_a_round_view_are_empty() {
    let view = FieldOfView { size_mm: [300.0, 300.0], z_mm: [0.0, 12.0], center_mm: [0.0, -30.0], round: true };
    let case = generate(&Options { spacing_mm: Some([3.0; 3]), field_of_view: Some(view), ..Options::new(2) }).unwrap();
    let (values, [columns, rows, _]) = (voxels(&case.image), case.image.view().geometry().dims);
    for corner in [0, columns - 1, columns * (rows - 1), columns * rows - 1] {
        assert_eq!((values[corner], case.labels.bytes()[corner]), (-1024, 0));
    }
    assert!(values[columns * (rows / 2) + columns / 2] > -200);
}

#[test]
fn a_threshold_does_not_find_the_bone() {
    let (mut best, mut all) = (vec![[0.0f64; 2]; 20], 0);
    for seed in 0..4 {
        let case = generate(&coarse(seed)).unwrap();
        for (value, label) in voxels(&case.image).iter().zip(case.labels.bytes()) {
            all += usize::from(*label == 1);
            for (step, sums) in best.iter_mut().enumerate() {
                if *value > 60 + 20 * step as i16 {
                    sums[usize::from(*label == 1)] += 1.0;
                }
            }
        }
    }
    let dice = best.iter().map(|[wrong, right]| 2.0 * right / (right + wrong + all as f64)).fold(0.0, f64::max);
    assert!((0.4..0.88).contains(&dice), "the best threshold reaches {dice}");
}

/// The values met on a walk over neighbors (26 of them) of the voxels that `inside` accepts, from the first that carries
/// `start`.
fn reached(labels: &[u8], dims: [usize; 3], start: u8, inside: impl Fn(u8) -> bool) -> Vec<u8> {
    let [columns, rows, slices] = dims;
    let mut seen = vec![false; labels.len()];
    let mut met = [false; 256];
    let mut queue: VecDeque<usize> = labels.iter().position(|value| *value == start).into_iter().collect();
    while let Some(at) = queue.pop_front() {
        met[usize::from(labels[at])] = true;
        let place = [at % columns, at / columns % rows, at / columns / rows];
        for n in 0..27 {
            let next: [usize; 3] = std::array::from_fn(|axis| (place[axis] + n / 3usize.pow(axis as u32) % 3).wrapping_sub(1));
            if next[0] >= columns || next[1] >= rows || next[2] >= slices {
                continue;
            }
            let to = (next[2] * rows + next[1]) * columns + next[0];
            if !seen[to] && inside(labels[to]) {
                seen[to] = true;
                queue.push_back(to);
            }
        }
    }
    (0..=255).filter(|value| met[usize::from(*value)]).collect()
}
