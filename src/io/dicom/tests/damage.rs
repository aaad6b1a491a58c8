//! Truncated and damaged files: refused, never a panic, never other voxels, never much memory.
#![allow(deprecated)]

use dicom_core::Tag;
use dicom_dictionary_std::{tags, uids};

use super::super::fixtures::{File, Place, Value, delimiter, item, series, stored};
use super::encodings::rle;
use crate::error::ErrorKind;

/// A private element between the others.
const PRIVATE: Tag = Tag(0x0019, 0x1001);

fn with_private(file: File, vr: &[u8; 2], value: Value) -> File {
    let mut file = file;
    file.elements.insert(PRIVATE, (*vr, value));
    file
}

/// A sequence of undefined length with an item of undefined length, which holds one text element, explicit little endian.
fn sequence() -> Vec<u8> {
    let element = [b"\x19\x00\x02\x10LO\x04\x00", b"text".as_slice()].concat();
    [b"\xfe\xff\x00\xe0\xff\xff\xff\xff", element.as_slice(), &delimiter(0xe00d), &delimiter(0xe0dd)].concat()
}

#[test]
fn a_file_cut_off_anywhere_is_refused() {
    let file = with_private(series()[1].clone(), b"SQ", Value::Undefined(sequence()));
    let whole = stored(&Place::series().read().unwrap());
    for syntax in [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN, uids::RLE_LOSSLESS] {
        let fragments = (syntax == uids::RLE_LOSSLESS).then(|| vec![rle(&file.numbers)]);
        let bytes = File { syntax, fragments, ..file.clone() }.encode();
        let place = Place::series();
        place.write("c", &bytes);
        assert_eq!(stored(&place.read().unwrap()), whole);
        for length in 0..bytes.len() {
            place.write("c", &bytes[..length]);
            match place.read() {
                // Below that it is no DICOM, and two slices are left.
                Ok(image) if length < 132 => assert_eq!(stored(&image), whole[..24]),
                // All voxels are there before the end mark of the compressed stream.
                Ok(image) => assert!(syntax == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN && stored(&image) == whole, "{syntax} {length}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::CorruptFile, "{syntax} {length}: {error}"),
            }
        }
    }
}

#[test]
fn flipped_bits_are_read_or_refused_but_never_panic() {
    for syntax in [uids::EXPLICIT_VR_LITTLE_ENDIAN, uids::IMPLICIT_VR_LITTLE_ENDIAN, uids::EXPLICIT_VR_BIG_ENDIAN] {
        let bytes = File { syntax, ..series()[1].clone() }.encode();
        let (place, mut refused) = (Place::series(), 0);
        // Every bit of some byte, every byte in some bit.
        for bit in (8 * 128..8 * bytes.len()).step_by(5) {
            let mut flipped = bytes.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            place.write("c", &flipped);
            match place.read() {
                Ok(image) => assert_eq!(image.bytes().len(), image.view().geometry().voxel_count() * image.view().voxel_type().size()),
                Err(error) => {
                    assert!(error.message().len() >= 8);
                    refused += 1;
                }
            }
        }
        assert!(refused > 100, "{syntax}: {refused}");
    }
}

#[test]
fn sequences_are_passed_over_however_they_are_written() {
    let implicit = [b"\x19\x00\x02\x10\x04\x00\x00\x00", b"text".as_slice()].concat();
    let unknown = [b"\xfe\xff\x00\xe0\xff\xff\xff\xff", implicit.as_slice(), &delimiter(0xe00d), &delimiter(0xe0dd)].concat();
    let nested = [b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x19\x00\x03\x10SQ\0\0\xff\xff\xff\xff".as_slice(), &sequence(), &delimiter(0xe00d)];
    for (vr, value) in [
        (b"SQ", Value::Undefined(sequence())),
        (b"SQ", Value::Undefined(delimiter(0xe0dd))),
        (b"SQ", Value::Undefined([item(&[7; 30]), delimiter(0xe0dd)].concat())),
        (b"SQ", Value::Bytes(item(&[7; 30]))),
        (b"SQ", Value::Undefined([nested.concat(), delimiter(0xe0dd)].concat())),
        // What its writer did not know is UN, and implicit inside.
        (b"UN", Value::Undefined(unknown)),
        (b"UT", Value::Text("text".repeat(5000))),
    ] {
        let files = series().into_iter().map(|file| with_private(file, vr, value.clone()));
        assert_eq!(stored(&Place::with(files).read().unwrap()), stored(&Place::series().read().unwrap()));
    }
}

#[test]
fn sequences_without_end_or_bottom_are_corrupt() {
    let down = b"\xfe\xff\x00\xe0\xff\xff\xff\xff\x19\x00\x03\x10SQ\0\0\xff\xff\xff\xff".repeat(5000);
    for (contents, word) in [
        (down, "deep"),
        (Vec::new(), "sequence"),
        (delimiter(0xe00d), "wrong place"),
        (b"\xfe\xff\x00\xe0\xff\xff\xff\x7f".to_vec(), "cut off"),
    ] {
        let mut files = series();
        files[1] = with_private(files[1].clone(), b"SQ", Value::Undefined(contents));
        let (kind, message) = Place::with(files).refusal();
        assert!(kind == ErrorKind::CorruptFile && message.contains("c: ") && message.contains(word), "{word}: {message}");
    }
}

#[test]
fn a_length_that_the_file_cannot_hold_takes_no_memory() {
    // 4 GiB of pixel data, of a wanted attribute, and of a fragment.
    let pixels = [0xe0, 0x7f, 0x10, 0x00, b'O', b'W', 0, 0, 0xf0, 0xff, 0xff, 0xff];
    let mut bytes = series()[1].encode();
    let at = bytes.windows(4).rposition(|tag| tag == &pixels[..4]).unwrap();
    bytes.truncate(at);
    bytes.extend(pixels);
    let place = Place::series();
    place.write("c", &bytes);
    assert_eq!(place.read().unwrap_err().kind(), ErrorKind::CorruptFile);

    let long = series()[1].clone().with(tags::SERIES_DESCRIPTION, "x".repeat(5000).as_str());
    place.write("c", &long.encode());
    assert!(place.refusal().1.contains("SeriesDescription has 5000 bytes"), "{:?}", place.refusal());

    let file = series()[1].clone();
    let mut bytes = File { syntax: uids::RLE_LOSSLESS, fragments: Some(vec![rle(&file.numbers)]), ..file }.encode();
    let at = bytes.windows(4).rposition(|tag| tag == [0xfe, 0xff, 0x00, 0xe0]).unwrap();
    bytes[at + 4..at + 8].copy_from_slice(&[0xf0, 0xff, 0xff, 0xff]);
    place.write("c", &bytes);
    let error = place.read().unwrap_err();
    assert!(error.kind() == ErrorKind::CorruptFile && error.message().contains("more than the file can hold"), "{error}");
}

#[test]
fn voxels_that_are_not_as_many_as_told_are_refused() {
    for count in [0, 11, 13, 24] {
        let mut files = series();
        files[1].numbers.resize(count, 0);
        let error = Place::with(files).read().unwrap_err();
        assert!(error.kind() == ErrorKind::CorruptFile && error.message().contains("4×3"), "{error}");
    }
}

#[test]
fn of_several_damaged_files_the_lowest_slice_is_told_whatever_the_threads() {
    let mut files = series();
    files.iter_mut().for_each(|file| file.numbers.truncate(5));
    let place = Place::with(files);
    for _ in 0..20 {
        let error = place.read().unwrap_err();
        assert!(error.message().starts_with(&format!("{}: ", place.path("a").display())), "{error}");
    }
}

#[test]
fn pixel_data_must_be_written_as_the_transfer_syntax_says() {
    let mut files = series();
    files[1].syntax = uids::RLE_LOSSLESS;
    assert!(Place::with(files.clone()).refusal().1.contains("RLE"));
    files[1] = File { syntax: uids::EXPLICIT_VR_LITTLE_ENDIAN, fragments: Some(vec![vec![0; 24]]), ..files[1].clone() };
    assert!(Place::with(files).refusal().1.contains("Explicit VR"));
}

#[test]
fn damaged_file_meta_information_is_corrupt() {
    let whole = series()[1].encode();
    // The group's length: none, more than the file, more than is ever there; and no group at all.
    for (at, bytes) in [(140, [0; 4]), (140, [0xff, 0xff, 0, 0]), (140, [0xff; 4]), (132, [8, 0, 0, 0])] {
        let mut damaged = whole.clone();
        damaged[at..at + 4].copy_from_slice(&bytes);
        let place = Place::series();
        place.write("c", &damaged);
        let kind = place.refusal().0;
        assert!([ErrorKind::CorruptFile, ErrorKind::UnsupportedFormat].contains(&kind), "{at} {bytes:?}: {kind:?}");
    }
}
