//! What is refused, and that the message names the file and the reason.

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};

use super::super::fixtures::{File, Place, Value, series};
use crate::error::ErrorKind::{self, CorruptFile, InvalidGeometry, Unsupported, UnsupportedFormat};
use crate::io::{ReadOptions, read_series};

/// Changes one slice of the three, the file `c`.
fn refusal(change: impl Fn(File) -> File) -> (ErrorKind, String) {
    let mut files = series();
    files[1] = change(files[1].clone());
    Place::with(files).refusal()
}

fn assert_refused((kind, message): (ErrorKind, String), expected: ErrorKind, words: &[&str]) {
    assert_eq!(kind, expected, "{message}");
    assert!(words.iter().all(|word| message.contains(word)), "{words:?} in {message}");
}

#[test]
fn a_slice_that_is_no_plain_ct_is_refused_by_name() {
    let cases: [(Tag, &str, ErrorKind, &str); 12] = [
        (tags::MODALITY, "MR", UnsupportedFormat, "only CT"),
        (tags::MODALITY, "", UnsupportedFormat, "only CT"),
        (tags::SOP_CLASS_UID, uids::ENHANCED_CT_IMAGE_STORAGE, Unsupported, "one slice per file"),
        (tags::SOP_CLASS_UID, uids::LEGACY_CONVERTED_ENHANCED_CT_IMAGE_STORAGE, Unsupported, "one slice per file"),
        (tags::NUMBER_OF_FRAMES, "2", Unsupported, "one slice per file"),
        (tags::PHOTOMETRIC_INTERPRETATION, "RGB", UnsupportedFormat, "one gray value"),
        (tags::PHOTOMETRIC_INTERPRETATION, "MONOCHROME1", UnsupportedFormat, "MONOCHROME2"),
        (tags::RESCALE_TYPE, "Z_EFF", UnsupportedFormat, "Hounsfield"),
        (tags::RESCALE_SLOPE, "0", CorruptFile, "RescaleSlope"),
        (tags::RESCALE_SLOPE, "one", CorruptFile, "RescaleSlope"),
        (tags::RESCALE_INTERCEPT, "inf", CorruptFile, "RescaleIntercept"),
        (tags::MODALITY_LUT_SEQUENCE, "", UnsupportedFormat, "ModalityLUTSequence"),
    ];
    for (tag, value, kind, word) in cases {
        assert_refused(refusal(|file| file.with(tag, value)), kind, &["c: ", word]);
    }
}

#[test]
fn a_slice_without_what_a_ct_must_have_is_refused_by_name() {
    for (tag, name) in [
        (tags::ROWS, "Rows"),
        (tags::COLUMNS, "Columns"),
        (tags::PIXEL_SPACING, "PixelSpacing"),
        (tags::IMAGE_POSITION_PATIENT, "ImagePositionPatient"),
        (tags::IMAGE_ORIENTATION_PATIENT, "ImageOrientationPatient"),
        (tags::RESCALE_SLOPE, "RescaleSlope"),
        (tags::RESCALE_INTERCEPT, "RescaleIntercept"),
        (tags::BITS_STORED, "BitsStored"),
        (tags::PIXEL_REPRESENTATION, "PixelRepresentation"),
        (tags::PHOTOMETRIC_INTERPRETATION, "PhotometricInterpretation"),
    ] {
        assert_refused(refusal(|file| file.without(tag)), CorruptFile, &["c: ", name, "missing"]);
    }
}

#[test]
fn other_ways_to_store_numbers_are_refused() {
    for (tag, word) in [
        (tags::BITS_ALLOCATED, 8),
        (tags::BITS_ALLOCATED, 32),
        (tags::BITS_STORED, 0),
        (tags::BITS_STORED, 17),
        (tags::HIGH_BIT, 11),
        (tags::HIGH_BIT, u16::MAX),
        (tags::PIXEL_REPRESENTATION, 2),
        (tags::SAMPLES_PER_PIXEL, 3),
    ] {
        assert_refused(refusal(|file| file.with(tag, word)), UnsupportedFormat, &["c: "]);
    }
    assert_refused(refusal(|file| file.with(tags::ROWS, 0)), CorruptFile, &["c: ", "0"]);
    assert_refused(refusal(|file| file.with(tags::ROWS, Value::Bytes(vec![1, 0, 0, 0]))), CorruptFile, &["c: ", "Rows"]);
}

#[test]
fn orientations_that_are_none_are_refused() {
    for cosines in [r"1\0\0\1\0\0", r"1\0\0\0\1", r"0\0\0\0\1\0", r"2\0\0\0\1\0", r"1\0\0\0\1\0\0", r"1\0\0\0.2\1\0"] {
        let refusal = refusal(|file| file.with(tags::IMAGE_ORIENTATION_PATIENT, cosines));
        assert_refused(refusal, CorruptFile, &["c: ", "ImageOrientationPatient"]);
    }
}

#[test]
fn slices_that_do_not_fit_together_are_refused_with_both_names() {
    for (tag, value, word) in [
        (tags::PIXEL_SPACING, Value::from(r"0.5\0.7501"), "PixelSpacing"),
        (tags::IMAGE_ORIENTATION_PATIENT, r"1\0\0\0\-1\0".into(), "ImageOrientationPatient"),
        (tags::FRAME_OF_REFERENCE_UID, "1.2.5".into(), "FrameOfReferenceUID"),
        (tags::FRAME_OF_REFERENCE_UID, "".into(), "FrameOfReferenceUID"),
        (tags::ROWS, 4.into(), "size"),
    ] {
        // Files are read by name; `a` is the first.
        assert_refused(refusal(|file| file.with(tag, value.clone())), InvalidGeometry, &["a and ", "c differ in", word]);
    }
}

#[test]
fn a_gap_is_refused_and_told_where() {
    let place = Place::with([0.0, 2.5, 7.5, 10.0, 12.5].map(|height| File::new(height, 0)));
    assert_refused(place.refusal(), InvalidGeometry, &["c at 2.500 mm", "a at 7.500 mm", "5.000 mm apart", "2.500 mm", "missing"]);
}

#[test]
fn two_slices_in_one_place_are_refused_with_both_names() {
    assert_refused(refusal(|file| file.at([10.0, -20.0, 2.5])), InvalidGeometry, &["b and ", "c lie", "same position", "2.500 mm"]);
}

#[test]
fn one_slice_alone_is_refused() {
    assert_refused(Place::with([File::new(0.0, 0)]).refusal(), InvalidGeometry, &["b: ", "whole series"]);
}

#[test]
fn a_tilted_gantry_is_refused_and_a_told_tilt_without_shear_is_not() {
    let tilted = |angle: f64| {
        let slice = |height: f64| {
            let file = File::new(0.0, 0).at([0.0, height * angle.to_radians().tan(), height]);
            file.with(tags::GANTRY_DETECTOR_TILT, "15")
        };
        Place::with([0.0, 2.5, 5.0].map(slice))
    };
    assert_refused(tilted(15.0).refusal(), InvalidGeometry, &["tilted", "GantryDetectorTilt 15", "15.00°"]);
    assert_refused(tilted(0.11).refusal(), InvalidGeometry, &["0.11°"]);
    assert!(tilted(0.0).read().is_ok());
}

#[test]
fn a_field_of_view_that_moves_is_refused() {
    let place = Place::with(
        [0.0, 1.0, 0.0, -1.0, 0.0]
            .map(f64::from)
            .into_iter()
            .zip([0.0, 2.5, 5.0, 7.5, 10.0])
            .map(|(x, height)| File::new(0.0, 0).at([x, 0.0, height])),
    );
    assert_refused(place.refusal(), InvalidGeometry, &["regular stack"]);
}

#[test]
fn a_spacing_that_no_scanner_has_is_refused() {
    let files = series().into_iter().map(|file| file.with(tags::PIXEL_SPACING, r"0.01\0.01"));
    assert_refused(Place::with(files).refusal(), InvalidGeometry, &["spacing"]);
}

#[test]
fn a_transfer_syntax_that_is_not_decoded_is_named() {
    for (syntax, words) in [(uids::JPEGLS_LOSSLESS, ["JPEG-LS", "uncompressed"]), (uids::HTJ2K, ["High-Throughput", "uncompressed"])] {
        let change = |file: File| File { syntax, fragments: Some(vec![vec![0; 8]]), ..file };
        assert_refused(refusal(change), UnsupportedFormat, &[words[0], words[1], "c: "]);
    }
    assert_refused(refusal(|file| File { syntax: "1.2.3.4", ..file }), UnsupportedFormat, &["1.2.3.4", "c: "]);
}

#[test]
fn the_memory_limit_is_checked_before_any_voxel_is_read() {
    let place = Place::series();
    let whole = std::fs::read(place.path("a")).unwrap();
    place.write("a", &whole[..whole.len() - 2]);
    let read = |limit| {
        let options = ReadOptions { memory_limit: Some(limit), ..ReadOptions::default() };
        read_series(&place.folder(), &options).unwrap_err().kind()
    };
    assert_eq!((read(71), read(72)), (ErrorKind::VolumeTooLarge, CorruptFile));
}
