//! Every transfer syntax that is decoded gives the same numbers.
#![allow(deprecated)]

use dicom_dictionary_std::{tags, uids};

use super::super::fixtures::{File, Place, hounsfield, series, stored};
use crate::error::{ErrorKind, Result};
use crate::volume::Image;

/// The numbers in [`JPEG_SIGNED`] and, 1024 higher, in [`JPEG_UNSIGNED`], both by GDCM.
const IN_JPEG: [i32; 12] = [-1000, -963, -926, -889, -900, -863, 3071, -789, -800, -763, -726, -1024];
/// The numbers in [`J2K_SIGNED`] and, 1024 higher, in [`J2K_UNSIGNED`], both by OpenJPEG: 32×32 times −1000, but for
/// 3071 in column 2 of row 1 and −1024 at the end.
const J2K_SIZE: u16 = 32;
const JPEG_SIGNED: &str = "ffd8ffc3000b100003000401011100ffc4001800010003010000000000000000000000000607090c0fffda0008010100010000ef830952a59912\
    ef5ec1d732254b5abfffd900";
const JPEG_UNSIGNED: &str = "ffd8ffc3000b100003000401011100ffc4001800010003010000000000000000000000000607090c0fffda0008010100010000e002e952a59912\
    ef5ec1d732254b5abfffd900";
const J2K_SIGNED: &str = "ff4fff5100290000000000200000002000000000000000000000002000000020000000000000000000018f0101ff52000c000000010005040400\
    01ff5c00134080888890888890888890888890888890ff640025000143726561746564206279204f70656e4a5045472076657273696f6e20322e\
    352e32ff90000a00000000009a0001ff93c07ec040099cc007da05001f680c00fcc08006bf0804dfc007da09003f0048007da06007f844c407f1\
    4ba90507eec000f902c00fc01a0003e408154bb77aa712382ed69c3f1816ab1fc07f20f0000e8500002314e5a2f57599bf14e7156e4fc03f60c8\
    1fe03201fc850012733669189eaec190896cdf180c2261ee7dad64f85c797f11e5497ffe38dc7b2f73ffd9";
const J2K_UNSIGNED: &str = "ff4fff5100290000000000200000002000000000000000000000002000000020000000000000000000010f0101ff52000c000000010005040400\
    01ff5c00134080888890888890888890888890888890ff640025000143726561746564206279204f70656e4a5045472076657273696f6e20322e\
    352e32ff90000a00000000009b0001ff93cffc300c0a02dfc007da05001f680c00fcc08006bf0804dfc007da09003f0048007da06007f844c407\
    f14ba90507eec000f902c00fc01a0003e408154bb77aa712382ed69c3f1816ab1fc07f20f0000e8500002314e5a2f57599bf14e7156e4fc03f60\
    c81fe03201fc850012733669189eaec190896cdf180c2261ee7dad64f85c797f11e5497ffe38dc7b2f73ffd9";

fn bytes(hexadecimal: &str) -> Vec<u8> {
    let digits: Vec<u8> = hexadecimal.chars().filter_map(|digit| digit.to_digit(16)).map(|digit| digit as u8).collect();
    digits.chunks(2).map(|two| two[0] << 4 | two[1]).collect()
}

/// Two slices with these fragments.
fn encoded(syntax: &'static str, fragments: &[Vec<u8>], signed: bool, size: [u16; 2]) -> Place {
    Place::with([0.0, 1.0].map(|height| {
        let file = File { syntax, fragments: Some(fragments.to_vec()), ..File::new(height, 0).bits(16, signed) };
        file.with(tags::COLUMNS, size[0]).with(tags::ROWS, size[1])
    }))
}

fn jpeg(data: &str, signed: bool) -> Place {
    encoded(uids::JPEG_LOSSLESS_SV1, &[bytes(data)], signed, [4, 3])
}

fn jpeg_2000(data: &str, signed: bool) -> Place {
    encoded(uids::JPEG2000_LOSSLESS, &[bytes(data)], signed, [J2K_SIZE; 2])
}

/// RLE: the high bytes, then the low ones, each byte as a run of one.
pub(super) fn rle(numbers: &[i32]) -> Vec<u8> {
    let segment = |shift: i32| numbers.iter().flat_map(|number| [0, (number >> shift) as u8]).collect::<Vec<u8>>();
    let mut words = [0u32; 16];
    words[..3].copy_from_slice(&[2, 64, 64 + 2 * numbers.len() as u32]);
    words.iter().flat_map(|word| word.to_le_bytes()).chain(segment(8)).chain(segment(0)).collect()
}

#[test]
fn every_way_to_write_numbers_reads_the_same() {
    let mut files = series();
    files.iter_mut().for_each(|file| file.numbers[0] = -32768);
    let plain = stored(&Place::with(files.clone()).read().unwrap());
    assert_eq!(plain[..2], [-32768.0, 1.0]);
    for syntax in [uids::IMPLICIT_VR_LITTLE_ENDIAN, uids::EXPLICIT_VR_BIG_ENDIAN, uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN] {
        let place = Place::with(files.iter().cloned().map(|file| File { syntax, ..file }));
        assert_eq!(stored(&place.read().unwrap()), plain, "{syntax}");
    }
    let syntaxes = [uids::RLE_LOSSLESS, uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN];
    for syntax in syntaxes {
        let place = Place::with(files.iter().cloned().map(|file| {
            let whole = match syntax {
                uids::RLE_LOSSLESS => rle(&file.numbers),
                _ => file.numbers.iter().flat_map(|number| (*number as i16).to_le_bytes()).collect(),
            };
            // In one fragment, and in two.
            let fragments = if file.numbers[1] > 100 { vec![whole[..20].to_vec(), whole[20..].to_vec()] } else { vec![whole] };
            File { syntax, fragments: Some(fragments), ..file }
        }));
        assert_eq!(stored(&place.read().unwrap()), plain, "{syntax}");
        assert!(place.header().transfer_syntax.len() > 3);
    }
}

#[test]
fn slices_of_one_series_may_be_written_in_different_ways() {
    let mut files = series();
    files[0].syntax = uids::IMPLICIT_VR_LITTLE_ENDIAN;
    files[1].syntax = uids::EXPLICIT_VR_BIG_ENDIAN;
    assert_eq!(stored(&Place::with(files).read().unwrap()), stored(&Place::series().read().unwrap()));
}

#[test]
fn jpeg_lossless_of_gdcm_is_decoded_signed_or_not() {
    for (data, signed, lift) in [(JPEG_SIGNED, true, 0), (JPEG_UNSIGNED, false, 1024)] {
        let image = jpeg(data, signed).read().unwrap();
        assert_eq!(stored(&image)[..12], IN_JPEG.map(|number| f64::from(number + lift)));
    }
}

#[test]
fn jpeg_2000_of_openjpeg_is_decoded_signed_or_not() {
    for (data, signed, lift) in [(J2K_SIGNED, true, 0.0), (J2K_UNSIGNED, false, 1024.0)] {
        let image = jpeg_2000(data, signed).read().unwrap();
        let mut expected = [-1000.0; 1024];
        (expected[34], expected[1023]) = (3071.0, -1024.0);
        assert_eq!(stored(&image)[..1024], expected.map(|number| number + lift));
    }
}

/// What an image of damaged data must be, if it is one: that of the whole data.
fn refused_or_same(outcome: Result<Image>, whole: &[f64], what: &str) -> usize {
    match outcome {
        Ok(image) => {
            assert!(hounsfield(&image) == whole, "{what}: other voxels without a word");
            0
        }
        Err(error) => {
            assert_eq!(error.kind(), ErrorKind::CorruptFile, "{what}: {error}");
            1
        }
    }
}

#[test]
fn encoded_data_that_is_cut_off_is_refused_and_never_other_voxels() {
    let cases = [
        (uids::RLE_LOSSLESS, rle(&IN_JPEG), [4, 3]),
        (uids::JPEG_LOSSLESS_SV1, bytes(JPEG_SIGNED), [4, 3]),
        (uids::JPEG2000_LOSSLESS, bytes(J2K_SIGNED), [J2K_SIZE; 2]),
    ];
    for (syntax, data, size) in cases {
        let read = |length: usize| encoded(syntax, &[data[..length].to_vec()], true, size).read();
        let whole = hounsfield(&read(data.len()).unwrap());
        let refused: usize = (0..data.len()).map(|length| refused_or_same(read(length), &whole, &format!("{syntax} {length}"))).sum();
        // The end mark of a stream may be missing.
        assert!(refused >= data.len() - 3, "{syntax}: {refused}");
    }
}

#[test]
fn flipped_bits_of_encoded_data_never_panic() {
    for (syntax, data, size) in [
        (uids::RLE_LOSSLESS, rle(&IN_JPEG), [4, 3]),
        (uids::JPEG_LOSSLESS_SV1, bytes(JPEG_SIGNED), [4, 3]),
        (uids::JPEG2000_LOSSLESS, bytes(J2K_SIGNED), [J2K_SIZE; 2]),
    ] {
        let mut refused = 0;
        for bit in 0..8 * data.len() {
            let mut flipped = data.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            refused += usize::from(encoded(syntax, &[flipped], true, size).read().is_err());
        }
        assert!(refused > 50, "{syntax}: {refused}");
    }
}

#[test]
fn encoded_data_of_another_size_is_refused() {
    for place in [
        encoded(uids::JPEG_LOSSLESS_SV1, &[bytes(JPEG_SIGNED)], true, [3, 4]),
        encoded(uids::JPEG2000_LOSSLESS, &[bytes(J2K_SIGNED)], true, [4, 3]),
        encoded(uids::RLE_LOSSLESS, &[rle(&IN_JPEG)], true, [4, 4]),
        encoded(uids::ENCAPSULATED_UNCOMPRESSED_EXPLICIT_VR_LITTLE_ENDIAN, &[vec![0; 26]], true, [4, 3]),
        encoded(uids::RLE_LOSSLESS, &[], true, [4, 3]),
    ] {
        assert_eq!(place.read().unwrap_err().kind(), ErrorKind::CorruptFile);
    }
}
