//! What a stored number means: bits, sign, rescale, padding.

use dicom_dictionary_std::tags;

use super::super::fixtures::{File, Place, hounsfield, series, stored};
use crate::volume::{Rescale, VoxelType};

#[test]
fn one_rescale_of_all_slices_is_kept_and_numbers_stay_as_stored() {
    for (signed, voxel_type) in [(true, VoxelType::Int16), (false, VoxelType::Uint16)] {
        let place = Place::with(series().into_iter().map(|file| file.bits(16, signed).rescale("0.5", "-1000.25")));
        let image = place.read().unwrap();
        assert_eq!((image.view().voxel_type(), stored(&image)[13]), (voxel_type, 101.0));
        assert_eq!(image.view().rescale(), Rescale { slope: 0.5, intercept: -1000.25 });
        assert_eq!((place.header().image.voxel_type, place.header().image.rescale), (voxel_type, image.view().rescale()));
    }
}

#[test]
fn the_ends_of_the_range_come_through() {
    for (signed, numbers) in [(true, [-32768, 32767, -1]), (false, [0, 65535, 32768])] {
        let mut files = series();
        files.iter_mut().for_each(|file| file.numbers[..3].copy_from_slice(&numbers));
        let image = Place::with(files.into_iter().map(|file| file.bits(16, signed))).read().unwrap();
        assert_eq!(stored(&image)[..3], numbers.map(f64::from));
    }
}

#[test]
fn whole_rescales_that_differ_become_whole_hounsfield_units() {
    let mut files = series().map_bits(12);
    files[1] = files[1].clone().rescale("2", "-1000");
    let image = Place::with(files).read().unwrap();
    assert_eq!((image.view().voxel_type(), image.view().rescale()), (VoxelType::Int16, Rescale::IDENTITY));
    // Sorted, the slice that differs is the last.
    assert_eq!([0, 12, 24, 25].map(|at| stored(&image)[at]), [-1024.0, -924.0, -600.0, -598.0]);
}

#[test]
fn fractions_and_what_16_bits_do_not_hold_become_floating_point() {
    for (bits, slope, intercept, expected) in [(12, "0.5", "-1024.5", -924.5), (16, "1", "-1000", -800.0), (12, "30", "0", 6000.0)] {
        let mut files = series().map_bits(bits);
        files[1] = files[1].clone().rescale(slope, intercept);
        let image = Place::with(files).read().unwrap();
        assert_eq!((image.view().voxel_type(), image.view().rescale()), (VoxelType::Float32, Rescale::IDENTITY), "{slope}");
        assert_eq!([0, 12, 24].map(|at| stored(&image)[at]), [-1024.0, -924.0, expected], "{slope}");
    }
}

#[test]
fn signed_and_unsigned_slices_meet_in_hounsfield_units() {
    let mut files = series().map_bits(12);
    files[0] = files[0].clone().bits(12, false);
    files[0].numbers[0] = 4095;
    files[2].numbers[0] = -5;
    let image = Place::with(files).read().unwrap();
    assert_eq!([0, 12, 24].map(|at| hounsfield(&image)[at]), [-1029.0, 3071.0, -824.0]);
}

#[test]
fn bits_above_those_stored_are_cut_off() {
    let mut files = series().map_bits(12);
    // An overlay in the upper bits, and a negative number that is not carried on into them.
    files[2].numbers[..2].copy_from_slice(&[0x7005, 0x0fff]);
    assert_eq!(stored(&Place::with(files).read().unwrap())[..2], [5.0, -1.0]);
}

#[test]
fn padding_is_kept_as_it_is_stored() {
    let mut files: Vec<File> = series().into_iter().map(|file| file.with(tags::PIXEL_PADDING_VALUE, "-2000")).collect();
    files[2].numbers[0] = -2000;
    assert_eq!(stored(&Place::with(files).read().unwrap())[0], -2000.0);
}

trait MapBits {
    fn map_bits(self, bits: u16) -> Vec<File>;
}

impl MapBits for Vec<File> {
    /// The same files with so many bits stored, signed.
    fn map_bits(self, bits: u16) -> Vec<File> {
        self.into_iter().map(|file| file.bits(bits, true)).collect()
    }
}
