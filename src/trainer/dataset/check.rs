//! One image and its label map: read, and checked for what would spoil the training.

use crate::error::{Error, Result};
use crate::io::{ReadOptions, read_image};
use crate::volume::{Image, Volume, Voxel, with_voxel_type};

use super::case::Case;
use super::classes::ValueMap;
use super::manifest::Pair;

/// A CT of a body holds voxels below this, air or fat, Hounsfield units.
const AIR_OR_FAT_HU: f64 = -100.0;
/// A CT of a spine holds voxels above this, bone, Hounsfield units.
const BONE_HU: f64 = 200.0;
/// The numbers of 16 bits, with sign: no scanner writes others, padding and metal among them.
const POSSIBLE_HU: [f64; 2] = [-32768.0, 32767.0];
/// Label values that a message lists.
const IN_A_MESSAGE: usize = 8;

/// The case of a pair, or everything that is wrong with it.
///
/// Checked: both files can be read, lie on one grid, and have a spacing that a session accepts; the image holds Hounsfield
/// units of a body with bones; the label map holds whole numbers that all have a class.
pub(super) fn read_pair(pair: &Pair, options: &ReadOptions) -> std::result::Result<Case, Vec<String>> {
    let mut found = Vec::new();
    let mut keep = |result: Result<Image>| result.map_err(|error| found.push(error.to_string())).ok();
    let (image, label) = (keep(read_image(&pair.image, options)), keep(read_image(&pair.label, options)));
    if let (Some(image), Some(label)) = (&image, &label)
        && let Err(error) = image.view().geometry().check_same_grid(label.view().geometry())
    {
        found.push(format!("{} and {}: {error}", pair.image.display(), pair.label.display()));
    }
    if let Some(problem) = image.as_ref().and_then(|image| implausible(&image.view())) {
        found.push(format!("{}: {problem}", pair.image.display()));
    }
    let labels = label.and_then(|label| match known_labels(&label.view(), &pair.values) {
        Ok(labels) => Some(labels),
        Err(problem) => {
            found.push(format!("{}: {problem}", pair.label.display()));
            None
        }
    });
    match (image, labels, found.is_empty()) {
        (Some(image), Some(labels), true) => {
            Case::from_volume(&image.view(), &labels, &pair.values).map_err(|error| vec![error.to_string()])
        }
        _ => Err(found),
    }
}

/// Why an image is no CT in Hounsfield units, if it is none.
fn implausible(image: &Volume<'_>) -> Option<String> {
    let (low, high) = extremes(image);
    let advice = "give a CT in Hounsfield units";
    match () {
        () if low > high => Some(format!("it holds no number at all: {advice}")),
        () if low == high => Some(format!("every voxel holds {low}: {advice}")),
        () if low < POSSIBLE_HU[0] || high > POSSIBLE_HU[1] => Some(format!("its values reach from {low} to {high}: {advice}")),
        () if low > AIR_OR_FAT_HU => {
            Some(format!("its values reach from {low} to {high}, none is as low as air or fat ({AIR_OR_FAT_HU}): {advice}"))
        }
        () if high < BONE_HU => Some(format!("its values reach from {low} to {high}, none is as high as bone ({BONE_HU}): {advice}")),
        () => None,
    }
}

/// The smallest and the largest value, Hounsfield units; NaN does not count.
fn extremes(image: &Volume<'_>) -> (f64, f64) {
    let [_, rows, slices] = image.geometry().dims;
    let rescale = image.rescale();
    let (mut low, mut high) = (f64::INFINITY, f64::NEG_INFINITY);
    for (j, k) in (0..slices).flat_map(|k| (0..rows).map(move |j| (j, k))) {
        with_voxel_type!(image.voxel_type(), T => for stored in image.row::<T>(j, k).into_iter().flatten() {
            let hu = stored.to_f64() * rescale.slope + rescale.intercept;
            (low, high) = (low.min(hu), high.max(hu));
        });
    }
    (low, high)
}

/// The values of a label map, if all have a class.
fn known_labels(label: &Volume<'_>, values: &ValueMap) -> std::result::Result<Vec<u8>, String> {
    let labels = label.label_values().map_err(|error: Error| error.to_string())?;
    let mut counts = [0u64; 256];
    labels.iter().for_each(|&value| counts[usize::from(value)] += 1);
    let unknown: Vec<u8> = (0..=u8::MAX).filter(|&value| counts[usize::from(value)] > 0 && values.class(value).is_none()).collect();
    if unknown.is_empty() {
        return Ok(labels);
    }
    let of = |&value: &u8| format!("{value} ({} voxels)", counts[usize::from(value)]);
    let first: Vec<_> = unknown.iter().take(IN_A_MESSAGE).map(of).collect();
    let more = if unknown.len() > IN_A_MESSAGE { format!(" and {} more", unknown.len() - IN_A_MESSAGE) } else { String::new() };
    Err(format!("it holds label values without a class: {}{more}; map them to a class, or to background to ignore them", first.join(", ")))
}

#[cfg(test)]
mod tests {
    use super::super::Classes;
    use super::super::fixtures::{Files, volume};
    use super::*;
    use crate::geometry::Affine;

    /// What is wrong with a pair of these voxels.
    fn found<I: Voxel, L: Voxel>(hounsfield: &[I], labels: &[L]) -> Vec<String> {
        let files = Files::new();
        files.write("a.nii.gz", &volume(hounsfield, [2, 2, 1]));
        files.write("a-label.nii.gz", &volume(labels, [2, 2, 1]));
        check(&files)
    }

    fn check(files: &Files) -> Vec<String> {
        let pair = Pair {
            id: "a".into(),
            image: files.path("a.nii.gz"),
            label: files.path("a-label.nii.gz"),
            values: Classes::spinect().values().clone(),
            part: None,
        };
        read_pair(&pair, &ReadOptions::default()).err().unwrap_or_default()
    }

    const CT: [i16; 4] = [-1000, 0, 40, 900];
    const LABELS: [u8; 4] = [0, 2, 0, 1];

    #[test]
    fn a_ct_and_its_label_map_pass_whatever_their_types() {
        assert_eq!(found(&CT, &LABELS), Vec::<String>::new());
        assert_eq!(found(&CT.map(f64::from), &LABELS.map(f32::from)), Vec::<String>::new());
        // Padding and metal are no reason to refuse a CT.
        assert_eq!(found(&[i16::MIN, -1000, 40, i16::MAX], &LABELS), Vec::<String>::new());
        assert_eq!(found(&[f32::NAN, -1000.0, 40.0, 900.0], &LABELS), Vec::<String>::new());
    }

    #[test]
    fn images_that_are_no_ct_are_told_by_their_values() {
        for (image, what) in [
            ([7.0; 4], "every voxel holds 7"),
            ([0.0, 1.0, 2.0, 1.0], "air or fat"),
            ([24.0, 1024.0, 1064.0, 1924.0], "air or fat"),
            ([-1000.0, -50.0, 0.0, 40.0], "as high as bone"),
            ([-1e6, 0.0, 40.0, 900.0], "reach from -1000000"),
            ([-1000.0, 0.0, 40.0, f32::INFINITY], "to inf"),
            ([f32::NAN; 4], "no number at all"),
        ] {
            let found = found(&image, &LABELS);
            assert!(found.len() == 1 && found[0].contains(what) && found[0].contains("a.nii.gz"), "{image:?}: {found:?}");
        }
    }

    #[test]
    fn label_maps_are_told_by_their_values() {
        for (labels, what) in [
            ([0.0, 1.0, 2.5, 2.0], "whole numbers"),
            ([0.0, -1.0, 1.0, 2.0], "whole numbers"),
            ([0.0, 7.0, 9.0, 7.0], "7 (2 voxels), 9 (1 voxels)"),
        ] {
            let found = found(&CT, &labels);
            assert!(found.len() == 1 && found[0].contains(what) && found[0].contains("a-label.nii.gz"), "{labels:?}: {found:?}");
        }
    }

    #[test]
    fn an_image_and_a_label_map_that_changed_places_show_it_twice() {
        let found = found(&LABELS, &CT);
        assert!(found.len() == 2 && found[0].contains("air or fat") && found[1].contains("whole numbers"), "{found:?}");
    }

    #[test]
    fn everything_wrong_with_a_pair_comes_at_once() {
        let files = Files::new();
        let mut moved = volume(&[0u8, 9, 0, 0], [2, 2, 1]);
        moved.1.ijk_to_world = Affine::from_spacing([1.0; 3], [0.0, 0.002, 0.0]);
        files.write("a.nii.gz", &volume(&[0i16, 1, 2, 3], [2, 2, 1]));
        files.write("a-label.nii.gz", &moved);
        let found = check(&files);
        assert!(found.len() == 3 && found[0].contains("0.0020 mm apart"), "{found:?}");
        files.write("a-label.nii.gz", &volume(&[0u8, 9], [2, 1, 1]));
        assert!(check(&files)[0].contains("dimensions [2, 2, 1] and [2, 1, 1] differ"));
        std::fs::write(files.path("a.nii.gz"), "no image").unwrap();
        let found = check(&files);
        assert!(found.len() == 2 && found[0].contains("not a NIfTI file") && found[1].contains("9 (1 voxels)"), "{found:?}");
    }

    #[test]
    fn a_spacing_that_no_session_accepts_is_refused() {
        let files = Files::new();
        files.write("a.nii", &volume(&CT, [2, 2, 1]));
        files.write("a-label.nii.gz", &volume(&LABELS, [2, 2, 1]));
        // No writer writes such a file: pixdim[3] and srow_z[2] of the header (nifti1.h).
        let mut bytes = std::fs::read(files.path("a.nii")).unwrap();
        [88, 320].iter().for_each(|&offset| bytes[offset..offset + 4].copy_from_slice(&30f32.to_le_bytes()));
        std::fs::write(files.path("a.nii.gz"), bytes).unwrap();
        let found = check(&files);
        assert!(found.len() == 1 && found[0].contains("accepted are 0.05 to 20 mm"), "{found:?}");
    }
}
