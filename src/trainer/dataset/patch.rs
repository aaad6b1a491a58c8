//! One patch: where it lies in a case, at which voxel size, and what augmentation makes of it (method.md 5).

use rand::RngExt;
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};
use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::grid::model_index;

use super::case::{Case, PADDING, Whitening};

/// How patches are varied. All draws are uniform unless said otherwise.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// The voxel size along each axis is the model's times 1 ± this: below 1. The preset: 0.2.
    pub voxel_size: f64,
    /// The probability of exchanging left and right. The preset: 0.5.
    pub flip_left_right: f64,
    /// The probability of exchanging front and back. The preset: 0.5.
    pub flip_front_back: f64,
    /// Standard deviation of the normal white noise, whitened units. The preset: 0.05.
    pub noise: f64,
    /// The probability that a patch is centered on a voxel of the foreground, of a class drawn among those that the case
    /// holds. The preset: 0, every place is as likely as any other.
    pub foreground_share: f64,
    /// Hounsfield units are shifted by up to this, up or down, one number per patch. The preset: 0.
    pub intensity_shift_hu: f64,
    /// Hounsfield units are multiplied by 1 ± this, one number per patch: below 1. The preset: 0.
    pub intensity_scale: f64,
    /// The probability that the planes along D are averaged in groups of 2 to 4, as thick slices look. The preset: 0.
    pub thick_slices: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Augmentation { voxel_size: 0.2, flip_left_right: 0.5, flip_front_back: 0.5, noise: 0.05, ..Augmentation::NONE }
    }
}

impl Augmentation {
    /// Patches as they are; the place alone is drawn.
    pub const NONE: Augmentation = Augmentation {
        voxel_size: 0.0,
        flip_left_right: 0.0,
        flip_front_back: 0.0,
        noise: 0.0,
        foreground_share: 0.0,
        intensity_shift_hu: 0.0,
        intensity_scale: 0.0,
        thick_slices: 0.0,
    };

    /// Checks that every number is one that can be drawn with.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`], naming the number.
    pub fn check(&self) -> Result<()> {
        let probabilities = [
            ("flip_left_right", self.flip_left_right),
            ("flip_front_back", self.flip_front_back),
            ("foreground_share", self.foreground_share),
            ("thick_slices", self.thick_slices),
        ];
        let fail = |name: &str, value: f64, range: &str| {
            Err(Error::new(ErrorKind::InvalidArgument, format!("augmentation {name} is {value}; accepted is {range}")))
        };
        if let Some((name, value)) = probabilities.into_iter().find(|(_, value)| !(0.0..=1.0).contains(value)) {
            return fail(name, value, "a probability, 0 to 1");
        }
        let factors = [("voxel_size", self.voxel_size), ("intensity_scale", self.intensity_scale)];
        if let Some((name, value)) = factors.into_iter().find(|(_, value)| !(0.0..=0.9).contains(value)) {
            return fail(name, value, "0 to 0.9");
        }
        let amounts = [("noise", self.noise, 100.0), ("intensity_shift_hu", self.intensity_shift_hu, 10_000.0)];
        if let Some((name, value, most)) = amounts.into_iter().find(|(_, value, most)| !(0.0..=*most).contains(value)) {
            return fail(name, value, &format!("0 to {most}"));
        }
        Ok(())
    }
}

/// What [`draw`] needs beside the case: checked once, used for every patch.
#[derive(Clone, Debug)]
pub(super) struct Recipe {
    /// Voxels along D, H, W.
    pub window: [usize; 3],
    /// Spacing of the model grid along D, H, W, mm.
    pub spacing_mm: [f64; 3],
    pub whitening: Whitening,
    pub augmentation: Augmentation,
}

/// A number between ±`most`.
fn between(random: &mut ChaCha8Rng, most: f64) -> f64 {
    random.random_range(-most..=most)
}

/// The index of no voxel, in a table of sources.
const BEYOND: u32 = u32::MAX;

/// Fills a patch, D, H, W: whitened voxels and their classes, [`PADDING`] where the case ends (the image holds the lower clip
/// there). Both slices have the window's length.
pub(super) fn draw(case: &Case, recipe: &Recipe, random: &mut ChaCha8Rng, voxels: &mut [f32], classes: &mut [u8]) {
    let Recipe { window, whitening, augmentation, .. } = recipe;
    let mut tables = place(case, recipe, random);
    if random.random_bool(augmentation.flip_left_right) {
        tables[2].reverse();
    }
    if random.random_bool(augmentation.flip_front_back) {
        tables[1].reverse();
    }
    let scale = 1.0 + between(random, augmentation.intensity_scale) as f32;
    let shift = between(random, augmentation.intensity_shift_hu) as f32;
    let [depths, rows, columns] = &tables;
    let places = depths.iter().flat_map(|&d| rows.iter().map(move |&h| (d, h)));
    let target = voxels.chunks_exact_mut(window[2]).zip(classes.chunks_exact_mut(window[2]));
    for ((d, h), (voxels, classes)) in places.zip(target) {
        let (hounsfield, found) = case.row(d, h);
        for ((voxel, class), &w) in voxels.iter_mut().zip(classes).zip(columns) {
            // Beyond the case's end, the row has no such voxel or is empty.
            match (hounsfield.get(w as usize), found.get(w as usize)) {
                (Some(&hu), Some(&of_voxel)) => (*voxel, *class) = (whitening.clip(f32::from(hu) * scale + shift), of_voxel),
                _ => (*voxel, *class) = (whitening.low, PADDING),
            }
        }
    }
    if random.random_bool(augmentation.thick_slices) {
        let thickness = random.random_range(2..=4);
        thicken(voxels, window[1] * window[2], depths, thickness, random.random_range(0..thickness));
    }
    voxels.iter_mut().for_each(|voxel| *voxel = whitening.whiten(*voxel));
    if augmentation.noise > 0.0 {
        let sigma = augmentation.noise as f32;
        for voxel in voxels {
            let noise: f32 = StandardNormal.sample(random);
            *voxel += sigma * noise;
        }
    }
}

/// Draws the voxel size and the place, and says which index of the case each index of the patch takes along D, H, W, or
/// [`BEYOND`].
fn place(case: &Case, recipe: &Recipe, random: &mut ChaCha8Rng) -> [Vec<u32>; 3] {
    let Recipe { window, augmentation, .. } = recipe;
    let spacing_mm = recipe.spacing_mm.map(|spacing| spacing * (1.0 + between(random, augmentation.voxel_size)));
    let dims = case.resampled_dims(spacing_mm);
    let center = if random.random_bool(augmentation.foreground_share) { foreground_voxel(case, random) } else { None };
    std::array::from_fn(|axis| {
        let last = dims[axis].saturating_sub(window[axis]);
        let start = match center {
            Some(center) => {
                let center = model_index(center[axis], dims[axis], case.spacing_mm()[axis], spacing_mm[axis]);
                center.saturating_sub(window[axis] / 2).min(last)
            }
            None => random.random_range(0..=last),
        };
        let end = dims[axis].min(start + window[axis]);
        let mut table: Vec<u32> = case.sources(axis, spacing_mm[axis], start..end).collect();
        table.resize(window[axis], BEYOND);
        table
    })
}

/// A voxel of the foreground: its class drawn among those that the case holds, then one of its voxels. `None` if there is no
/// foreground.
fn foreground_voxel(case: &Case, random: &mut ChaCha8Rng) -> Option<[usize; 3]> {
    let classes = case.foreground_classes().len();
    let class = (classes > 0).then(|| random.random_range(0..classes)).and_then(|nth| case.foreground_classes().nth(nth))?;
    case.foreground_voxel(class, random.random_range(0..case.foreground_count(class).max(1)))
}

/// Replaces each group of planes by their mean; planes beyond the case's end stay as they are. The first group is cut short
/// by `phase` planes.
fn thicken(voxels: &mut [f32], plane: usize, depths: &[u32], thickness: usize, phase: usize) {
    let inside = depths.iter().take_while(|&&d| d != BEYOND).count();
    let (mut first, mut length) = (0, thickness - phase);
    while first < inside {
        let group = &mut voxels[first * plane..inside.min(first + length) * plane];
        let planes = group.len() / plane;
        for at in 0..plane {
            let mean = (0..planes).map(|d| group[d * plane + at]).sum::<f32>() / planes as f32;
            (0..planes).for_each(|d| group[d * plane + at] = mean);
        }
        (first, length) = (first + length, thickness);
    }
}

#[cfg(test)]
mod tests {
    use super::super::random::{Purpose, generator};
    use super::*;
    use crate::model::Config;

    fn recipe(window: [usize; 3], augmentation: Augmentation) -> Recipe {
        let mut preprocess = Config::spinect(&[2]).preprocess;
        // Whitened voxels are Hounsfield units.
        (preprocess.mean, preprocess.std) = (0.0, 1.0);
        Recipe { window, spacing_mm: [1.0; 3], whitening: Whitening::new(&preprocess).unwrap(), augmentation }
    }

    fn drawn(case: &Case, recipe: &Recipe, number: u64) -> (Vec<f32>, Vec<u8>) {
        let count = recipe.window.iter().product();
        let (mut voxels, mut classes) = (vec![f32::NAN; count], vec![77; count]);
        draw(case, recipe, &mut generator(1, Purpose::Patch { iteration: number, patch: 0 }), &mut voxels, &mut classes);
        (voxels, classes)
    }

    /// A case whose voxels hold their own place, 100·D + 10·H + W, and a class that follows from it.
    fn places(dims: [usize; 3]) -> Case {
        let place = |at: usize| (100 * (at / dims[1] / dims[2]) + 10 * (at / dims[2] % dims[1]) + at % dims[2]) as i16;
        let voxels: Vec<i16> = (0..dims.iter().product()).map(place).collect();
        let classes = voxels.iter().map(|&place| class_at(f32::from(place))).collect();
        Case::new(dims, [1.0; 3], voxels, classes).unwrap()
    }

    fn class_at(place: f32) -> u8 {
        (place as u32 * 7 % 3) as u8
    }

    /// Whether a count among `draws` is what a probability lets expect, within 5 standard deviations.
    fn is_likely(count: usize, draws: usize, probability: f64) -> bool {
        let expected = draws as f64 * probability;
        (count as f64 - expected).abs() < 5.0 * (expected * (1.0 - probability)).sqrt()
    }

    #[test]
    fn without_augmentation_a_patch_is_a_box_of_the_case_and_every_box_as_likely() {
        let (case, recipe) = (places([4, 3, 6]), recipe([3, 2, 4], Augmentation::NONE));
        const DRAWS: usize = 6000;
        let mut starts = [[[0; 3]; 2]; 2];
        for number in 0..DRAWS {
            let (voxels, classes) = drawn(&case, &recipe, number as u64);
            let first = voxels[0] as usize;
            let box_at = |at: usize| (first + 100 * (at / 8) + 10 * (at / 4 % 2) + at % 4) as f32;
            assert!(voxels.iter().enumerate().all(|(at, &voxel)| voxel == box_at(at)), "{voxels:?}");
            assert!(voxels.iter().zip(&classes).all(|(&voxel, &class)| class == class_at(voxel)));
            starts[first / 100][first / 10 % 10][first % 10] += 1;
        }
        assert!(starts.iter().flatten().flatten().all(|&count| is_likely(count, DRAWS, 1.0 / 12.0)), "{starts:?}");
    }

    #[test]
    fn flips_exchange_left_and_right_front_and_back_of_image_and_classes_together_and_never_up_and_down() {
        let augmentation = Augmentation { flip_left_right: 0.5, flip_front_back: 0.25, ..Augmentation::NONE };
        let (case, recipe) = (places([3, 4, 5]), recipe([2, 4, 5], augmentation));
        const DRAWS: usize = 2000;
        let (mut left_right, mut front_back) = (0, 0);
        for number in 0..DRAWS {
            let (voxels, classes) = drawn(&case, &recipe, number as u64);
            assert!(voxels.iter().zip(&classes).all(|(&voxel, &class)| class == class_at(voxel)));
            let steps = [20, 5, 1].map(|step| voxels[step] - voxels[0]);
            assert!(steps[0] == 100.0 && steps[1].abs() == 10.0 && steps[2].abs() == 1.0, "{steps:?}");
            left_right += usize::from(steps[2] < 0.0);
            front_back += usize::from(steps[1] < 0.0);
        }
        assert!(is_likely(left_right, DRAWS, 0.5) && is_likely(front_back, DRAWS, 0.25), "{left_right} {front_back}");
    }

    #[test]
    fn voxel_sizes_are_spread_evenly_and_axis_by_axis_around_the_models() {
        // Voxels hold their index along one axis: its rise over 40 voxels of a patch tells the voxel size.
        const LENGTH: usize = 60;
        for axis in 0..3 {
            let dims = std::array::from_fn(|other| if other == axis { LENGTH } else { 1 });
            let case = Case::new(dims, [1.0; 3], (0..LENGTH as i16).collect(), vec![0; LENGTH]).unwrap();
            let window = dims.map(|n| if n == 1 { 1 } else { 41 });
            let recipe = recipe(window, Augmentation { voxel_size: 0.2, ..Augmentation::NONE });
            let sizes: Vec<f32> = (0..1000).map(|number| drawn(&case, &recipe, number).0).map(|v| (v[40] - v[0]) / 40.0).collect();
            let count = |low: f32, high: f32| sizes.iter().filter(|size| (low..high).contains(*size)).count();
            assert_eq!(count(0.77, 1.23), 1000, "axis {axis}");
            assert!(is_likely(count(0.77, 0.9), 1000, 0.25) && is_likely(count(1.1, 1.23), 1000, 0.25), "axis {axis}");
        }
    }

    #[test]
    fn a_resampled_patch_takes_the_voxels_that_the_model_grid_takes() {
        let dims = [9, 8, 10];
        let voxels: Vec<i16> = (0..720).collect();
        let classes = voxels.iter().map(|&v| (v % 3) as u8).collect();
        let case = Case::new(dims, [2.5, 0.6, 0.9], voxels, classes).unwrap();
        let mut preprocess = Config::spinect(&[2]).preprocess;
        (preprocess.mean, preprocess.std) = (0.0, 1.0);
        let (grid, classes) = case.to_model_grid(&preprocess).unwrap();
        let whole = recipe(grid.dims, Augmentation::NONE);
        assert_eq!(drawn(&case, &whole, 0), (grid.voxels, classes));
    }

    #[test]
    fn beyond_the_end_of_a_short_case_lies_air_that_does_not_count() {
        let flips = Augmentation { flip_left_right: 1.0, flip_front_back: 0.0, ..Augmentation::NONE };
        for (augmentation, flipped) in [(Augmentation::NONE, false), (flips, true)] {
            let (voxels, classes) = drawn(&places([2, 3, 2]), &recipe([3, 2, 4], augmentation), 5);
            let inside = |at: usize| at / 8 < 2 && if flipped { at % 4 >= 2 } else { at % 4 < 2 };
            for at in 0..24 {
                let expected = if inside(at) { class_at(voxels[at]) } else { PADDING };
                assert!(classes[at] == expected && (inside(at) || voxels[at] == -1024.0), "{at} {flipped}: {} {}", voxels[at], classes[at]);
            }
        }
    }

    #[test]
    fn patches_on_the_foreground_are_centered_on_classes_drawn_alike_though_one_is_rare() {
        let dims = [20, 20, 20];
        let mut classes = vec![0; 8000];
        classes[..2000].fill(1);
        classes[(10 * 20 + 10) * 20 + 10] = 2;
        let case = Case::new(dims, [1.0; 3], vec![0; 8000], classes).unwrap();
        let recipe = recipe([4, 4, 4], Augmentation { foreground_share: 0.5, ..Augmentation::NONE });
        const DRAWS: usize = 4000;
        let centers: Vec<u8> = (0..DRAWS).map(|number| drawn(&case, &recipe, number as u64).1[(2 * 4 + 2) * 4 + 2]).collect();
        // A quarter by intention, and by chance one place in 17³.
        let rare = centers.iter().filter(|&&class| class == 2).count();
        assert!(is_likely(rare, DRAWS, 0.25 + 0.5 / 4913.0), "{rare}");
        let none = Case::new([4; 3], [1.0; 3], vec![0; 64], vec![0; 64]).unwrap();
        assert!(drawn(&none, &recipe, 0).1.iter().all(|&class| class == 0));
    }

    #[test]
    fn noise_is_normal_of_its_deviation_and_everywhere() {
        let case = Case::new([30; 3], [1.0; 3], vec![5; 27_000], vec![0; 27_000]).unwrap();
        let (voxels, _) = drawn(&case, &recipe([30; 3], Augmentation { noise: 0.05, ..Augmentation::NONE }), 0);
        let noise: Vec<f64> = voxels.iter().map(|&voxel| f64::from(voxel) - 5.0).collect();
        let mean = noise.iter().sum::<f64>() / 27_000.0;
        let variance = noise.iter().map(|n| (n - mean).powi(2)).sum::<f64>() / 27_000.0;
        assert!(mean.abs() < 0.0015 && (variance.sqrt() / 0.05 - 1.0).abs() < 0.03, "{mean} {variance}");
        let within = noise.iter().filter(|n| n.abs() < 0.05).count();
        assert!(is_likely(within, 27_000, 0.6827), "{within}");
    }

    #[test]
    fn shifted_and_scaled_intensities_stay_within_the_clip_and_classes_stay() {
        let case = Case::new([1, 1, 3], [1.0; 3], vec![-1024, 100, 3071], vec![0, 1, 2]).unwrap();
        let recipe = recipe([1, 1, 3], Augmentation { intensity_shift_hu: 50.0, intensity_scale: 0.1, ..Augmentation::NONE });
        let patches: Vec<_> = (0..500).map(|number| drawn(&case, &recipe, number)).collect();
        assert!(patches.iter().all(|(voxels, classes)| voxels[0] >= -1024.0 && voxels[2] <= 3071.0 && *classes == [0, 1, 2]));
        let middle = patches.iter().map(|(voxels, _)| voxels[1]);
        let (low, high) = middle.fold((f32::MAX, f32::MIN), |(low, high), v| (low.min(v), high.max(v)));
        assert!(low > 39.9 && low < 50.0 && high > 150.0 && high < 160.1, "{low} {high}");
    }

    #[test]
    fn thick_slices_are_means_of_groups_of_planes_within_the_case() {
        let plane = 2;
        let mut voxels: Vec<f32> = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, -9.0].iter().flat_map(|&v| [v, 10.0 * v]).collect();
        thicken(&mut voxels, plane, &[0, 1, 2, 3, 4, 5, BEYOND], 3, 1);
        let first: Vec<f32> = voxels.iter().copied().step_by(2).collect();
        assert_eq!(first, [1.5, 1.5, 4.0, 4.0, 4.0, 6.0, -9.0]);
        assert!(voxels.chunks(2).all(|pair| pair[1] == 10.0 * pair[0]));
        let always = recipe([6, 1, 1], Augmentation { thick_slices: 1.0, ..Augmentation::NONE });
        let case = Case::new([6, 1, 1], [1.0; 3], vec![0, 10, 20, 30, 40, 50], vec![0, 1, 2, 0, 1, 2]).unwrap();
        for number in 0..50 {
            let (voxels, classes) = drawn(&case, &always, number);
            assert!((voxels.iter().sum::<f32>() - 150.0).abs() < 1e-3 && classes == [0, 1, 2, 0, 1, 2]);
            assert!(voxels.windows(2).any(|pair| pair[0] == pair[1]), "{voxels:?}");
        }
    }

    #[test]
    fn numbers_that_cannot_be_drawn_with_are_named() {
        assert!(Augmentation::default().check().is_ok() && Augmentation::NONE.check().is_ok());
        let refused = |augmentation: Augmentation, name: &str| {
            let error = augmentation.check().unwrap_err();
            assert!(error.message().contains(name), "{error}");
        };
        refused(Augmentation { voxel_size: 1.0, ..Augmentation::NONE }, "voxel_size");
        refused(Augmentation { flip_left_right: 1.1, ..Augmentation::NONE }, "flip_left_right");
        refused(Augmentation { noise: f64::NAN, ..Augmentation::NONE }, "noise");
        refused(Augmentation { intensity_shift_hu: -1.0, ..Augmentation::NONE }, "intensity_shift_hu");
        refused(Augmentation { foreground_share: f64::INFINITY, ..Augmentation::NONE }, "foreground_share");
    }
}
