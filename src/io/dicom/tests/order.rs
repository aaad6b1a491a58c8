//! Where voxels lie: order, orientation, spacing.

use dicom_dictionary_std::tags;

use super::super::fixtures::{File, Place, stored};
use crate::geometry::{Affine, World, cross, norm};

#[test]
fn slices_are_sorted_by_position_whatever_their_names_and_numbers() {
    let place = Place::series();
    let image = place.read().unwrap();
    let expected: Vec<f64> = [0, 100, 200].into_iter().flat_map(|first| first..first + 12).map(f64::from).collect();
    assert_eq!(stored(&image), expected);
    let view = image.view();
    assert_eq!((view.geometry().dims, view.geometry().world), ([4, 3, 3], World::Lps));
    assert_eq!(view.geometry().ijk_to_world, Affine::from_spacing([0.75, 0.5, 2.5], [10.0, -20.0, 0.0]));
    assert_eq!(place.header().image.geometry, *view.geometry());
}

#[test]
fn every_voxel_lies_where_its_file_says_in_any_orientation() {
    let (c, s) = (0.8, 0.6);
    for (row, column) in [
        ([1.0, 0.0, 0.0], [0.0, 1.0, 0.0]),
        // Feet first, prone, mirrored.
        ([-1.0, 0.0, 0.0], [0.0, 1.0, 0.0]),
        ([-1.0, 0.0, 0.0], [0.0, -1.0, 0.0]),
        ([1.0, 0.0, 0.0], [0.0, -1.0, 0.0]),
        // Sagittal and coronal.
        ([0.0, 1.0, 0.0], [0.0, 0.0, -1.0]),
        ([0.0, -1.0, 0.0], [0.0, 0.0, -1.0]),
        ([1.0, 0.0, 0.0], [0.0, 0.0, -1.0]),
        // Oblique.
        ([c, s, 0.0], [-s * c, c * c, s]),
        ([0.0, c, s], [-1.0, 0.0, 0.0]),
    ] {
        let normal = cross(row, column);
        let position = |number: f64| -> [f64; 3] { std::array::from_fn(|axis| [10.0, -20.0, 30.0][axis] + 2.5 * number * normal[axis]) };
        let cosines = [row, column].concat().iter().map(f64::to_string).collect::<Vec<_>>().join(r"\");
        let slice = |number: i32| {
            File::new(0.0, 100 * number).at(position(f64::from(number))).with(tags::IMAGE_ORIENTATION_PATIENT, cosines.as_str())
        };
        let image = Place::with([3, 0, 2, 1].map(slice)).read().unwrap();
        assert_eq!(stored(&image).first(), Some(&0.0));
        let affine = image.view().geometry().ijk_to_world;
        for (index, number) in (0..36).zip(stored(&image)) {
            let [i, j, k] = [index % 4, index / 4 % 3, index / 12].map(f64::from);
            assert_eq!(number, 100.0 * k + 4.0 * j + i);
            let expected: [f64; 3] = std::array::from_fn(|axis| position(k)[axis] + 0.75 * i * row[axis] + 0.5 * j * column[axis]);
            let found = affine.apply([i, j, k]);
            assert!(norm(std::array::from_fn(|axis| found[axis] - expected[axis])) < 1e-9, "{row:?} {column:?}: {found:?}");
        }
    }
}

#[test]
fn cosines_of_few_digits_do_not_change_the_spacing() {
    let files = [0.0, 1.0].map(|height| File::new(height, 0).with(tags::IMAGE_ORIENTATION_PATIENT, r"0.9659\0.2588\0\-0.2588\0.9659\0"));
    assert_eq!(Place::with(files).read().unwrap().view().geometry().ijk_to_world.spacing(), [0.75, 0.5, 1.0]);
}

#[test]
fn slices_a_twentieth_of_a_degree_aslant_are_accepted_where_they_are() {
    let files = [0.0, 2.5, 5.0].map(|height: f64| File::new(0.0, 0).at([0.0, height * 0.05f64.to_radians().tan(), height]));
    let affine = Place::with(files).read().unwrap().view().geometry().ijk_to_world;
    assert!((affine.apply([0.0, 0.0, 2.0])[1] - 5.0 * 0.05f64.to_radians().tan()).abs() < 1e-9);
}

#[test]
fn distances_within_a_hundredth_of_the_spacing_are_even() {
    for (middle, accepted) in [(2.524, true), (2.476, true), (2.53, false), (2.47, false)] {
        let place = Place::with([0.0, middle, 5.0, 7.5, 10.0].map(|height| File::new(height, 0)));
        assert_eq!(place.read().is_ok(), accepted, "{middle}");
    }
    // Fine slices: a hundredth of a millimeter.
    for (middle, accepted) in [(0.309, true), (0.311, false)] {
        let place = Place::with([0.0, middle, 0.6, 0.9, 1.2].map(|height| File::new(height, 0)));
        assert_eq!(place.read().is_ok(), accepted, "{middle}");
    }
}

#[test]
fn small_errors_that_add_up_are_refused() {
    let place = Place::with([0.0, 2.48, 4.96, 7.46, 9.98, 12.5].map(|height| File::new(height, 0)));
    assert!(place.refusal().1.contains("regular stack"), "{:?}", place.refusal());
}
