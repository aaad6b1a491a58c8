//! A NIfTI file to an image: nothing is allocated that the file cannot fill.

use std::fs::File;
use std::io::BufRead;

use ::nifti::Endianness;

use super::super::buffer::Reader;
use super::super::source::Source;
use super::super::voxels::{check_limit, make_native};
use super::super::{ImageHeader, LabelMap, ReadOptions};
use super::Version;
use super::header::{self, Header};
use super::{table, transform};
use crate::error::{Error, ErrorKind, Result};
use crate::model::LabelConfig;
use crate::volume::Image;

/// Reads all of a file of `length` bytes.
pub(in super::super) fn read(file: File, length: u64, options: &ReadOptions) -> Result<Image> {
    read_stream(Reader::new(file)?, length, options)
}

/// Reads the header of a file of `length` bytes.
pub(in super::super) fn read_header(file: File, length: u64, options: &ReadOptions) -> Result<ImageHeader> {
    image_header(&open(&mut Source::detect(Reader::new(file)?, length)?)?, options)
}

/// Reads a label map of `length` bytes, with its table, if its header has one in an extension.
pub(in super::super) fn read_labels(file: File, length: u64, options: &ReadOptions) -> Result<LabelMap> {
    let mut table = None;
    let image = read_with(Reader::new(file)?, length, options, Some(&mut table))?;
    let (values, geometry) = (image.view().label_values()?, *image.view().geometry());
    Ok(LabelMap { values, geometry, placement: image.placement().copied(), table })
}

/// Reads an image of `length` bytes.
pub(super) fn read_stream(reader: impl BufRead, length: u64, options: &ReadOptions) -> Result<Image> {
    read_with(reader, length, options, None)
}

/// A label table, if there is one.
type Table = Option<Vec<LabelConfig>>;

/// Reads an image, and its label table into `table` if that is wanted.
fn read_with(reader: impl BufRead, length: u64, options: &ReadOptions, table: Option<&mut Table>) -> Result<Image> {
    let mut source = Source::detect(reader, length)?;
    let header = open(&mut source)?;
    let ImageHeader { geometry, voxel_type, rescale, .. } = image_header(&header, options)?;
    check_limit(&header.dims, voxel_type, header.voxel_bytes, options)?;
    source.check_claim(header.voxel_offset.saturating_add(header.voxel_bytes as u64))?;
    skip_to_voxels(&mut source, &header, table)?;
    let mut bytes = source.take(header.voxel_bytes, "the voxels of an image")?;
    source.finish()?;
    make_native(&mut bytes, voxel_type, header.endianness == Endianness::Big);
    Ok(Image::new(bytes, voxel_type, geometry, rescale)?.with_placement(header.placement))
}

fn image_header(header: &Header, options: &ReadOptions) -> Result<ImageHeader> {
    Ok(ImageHeader {
        geometry: transform::geometry(&header.placement, header.dims, options.geometry)?,
        voxel_type: header.voxel_type,
        rescale: header.rescale,
        placement: Some(header.placement),
    })
}

/// Reads the header.
fn open(source: &mut Source<impl BufRead>) -> Result<Header> {
    let start = source.array::<4>()?;
    let (version, endianness) = header::identify(start)?;
    let mut bytes = [0; Version::Two.header_bytes()];
    let header = bytes.get_mut(..version.header_bytes()).unwrap_or_default();
    if let Some((head, tail)) = header.split_at_mut_checked(start.len()) {
        head.copy_from_slice(&start);
        source.exact(tail)?;
    }
    header::parse(version, endianness, header)
}

/// Goes past the extensions, whose sizes must be sound, to the first voxel. The first that is a label table is read, if
/// one is wanted.
fn skip_to_voxels(source: &mut Source<impl BufRead>, header: &Header, mut wanted: Option<&mut Table>) -> Result<()> {
    let [announced, ..] = source.array::<4>()?;
    let number = |bytes| if header.endianness == Endianness::Big { i32::from_be_bytes(bytes) } else { i32::from_le_bytes(bytes) };
    // Less than the size of an extension's head is padding.
    while announced != 0 && header.voxel_offset - source.position() >= 8 {
        let [size, code] = [number(source.array()?), number(source.array()?)];
        let left = header.voxel_offset - source.position();
        let rest = u64::try_from(size).ok().filter(|size| size % 16 == 0).and_then(|size| size.checked_sub(8)).filter(|rest| *rest <= left);
        let Some(rest) = rest else {
            return Err(Error::new(
                ErrorKind::CorruptFile,
                format!("an extension of {size} bytes with {} up to the voxels: its size must be a multiple of 16 and fit", left + 8),
            ));
        };
        match wanted.as_mut().filter(|table| table.is_none() && table::may_hold(code) && rest <= table::TABLE_BYTES) {
            Some(table) => **table = table::parse(&source.take(rest as usize, "a label table")?)?,
            None => source.skip(rest)?,
        }
    }
    source.skip(header.voxel_offset - source.position())
}

#[cfg(test)]
mod tests {
    use std::io::{self, Read};

    use super::super::fixtures::{DIMS, TYPES, file, geometry, gzip, plain, voxels, with};
    use super::*;
    use crate::volume::{Rescale, VoxelType};

    fn read(file: &[u8]) -> Result<Image> {
        read_stream(file, file.len() as u64, &ReadOptions::default())
    }

    fn refusal(file: &[u8]) -> (ErrorKind, String) {
        let error = read(file).unwrap_err();
        (error.kind(), error.message().into())
    }

    /// Every unpacked file of the tests' size: the headers, the byte orders.
    fn kinds() -> impl Iterator<Item = (Version, Endianness)> {
        [Version::One, Version::Two].into_iter().flat_map(|version| [(version, Endianness::Little), (version, Endianness::Big)])
    }

    #[test]
    fn every_voxel_type_reads_the_same_in_either_version_byte_order_and_packing() {
        for voxel_type in TYPES {
            let mut expected = voxels(voxel_type);
            make_native(&mut expected, voxel_type, false);
            for (version, endianness) in kinds() {
                let plain = file(version, endianness, voxel_type);
                for bytes in [gzip(&plain), plain] {
                    let image = read(&bytes).unwrap();
                    assert_eq!(image.bytes(), expected, "{voxel_type:?} {version:?} {endianness:?}");
                    let view = image.view();
                    assert_eq!((*view.geometry(), view.voxel_type()), (geometry(), voxel_type));
                    assert_eq!(view.rescale(), Rescale { slope: 2.0, intercept: -1024.0 });
                }
            }
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_is_corrupt() {
        for (version, endianness) in kinds() {
            let plain = file(version, endianness, VoxelType::Int16);
            for bytes in [gzip(&plain), plain] {
                for length in 0..bytes.len() {
                    assert_eq!(refusal(&bytes[..length]).0, ErrorKind::CorruptFile, "{version:?} {length}");
                }
            }
        }
    }

    #[test]
    fn any_flipped_bit_of_a_header_is_read_or_refused_but_never_panics() {
        for (version, endianness) in kinds() {
            let bytes = file(version, endianness, VoxelType::Int16);
            let mut refused = 0;
            for bit in 0..8 * version.first_voxel() as usize {
                let flipped = with(bytes.clone(), bit / 8, &[bytes[bit / 8] ^ 1 << (bit % 8)]);
                match read(&flipped) {
                    Ok(image) => assert_eq!(image.bytes().len(), image.view().geometry().voxel_count() * image.view().voxel_type().size()),
                    Err(error) => {
                        assert!(error.message().len() >= 8);
                        refused += 1;
                    }
                }
            }
            assert!(refused > 200, "{version:?} {endianness:?}: {refused}");
        }
    }

    #[test]
    fn a_flipped_bit_of_a_compressed_file_never_changes_what_is_read() {
        let bytes = gzip(&plain());
        // The first 10 bytes tell of time and system; behind them, everything is covered by the checksum.
        let (whole, mut refused) = (read(&bytes).unwrap(), 0);
        for bit in 80..8 * bytes.len() {
            let flipped = with(bytes.clone(), bit / 8, &[bytes[bit / 8] ^ 1 << (bit % 8)]);
            match read(&flipped) {
                // A reference to other bytes of the same value unpacks to the same.
                Ok(image) => assert_eq!((image.bytes(), image.placement()), (whole.bytes(), whole.placement()), "bit {bit}"),
                Err(_) => refused += 1,
            }
        }
        assert!(refused > 7 * (bytes.len() - 10), "{refused}");
    }

    #[test]
    fn noise_and_emptiness_are_corrupt() {
        for bytes in [&b""[..], b"\x1f", b"\x1f\x8b", b"\x5c\x01\0\0", &[0xa5; 1000], &[0; 1000]] {
            assert_eq!(refusal(bytes).0, ErrorKind::CorruptFile, "{bytes:?}");
        }
    }

    #[test]
    fn a_gap_before_the_voxels_shifts_nothing() {
        let mut gap = with(plain(), 108, &368f32.to_le_bytes());
        gap.splice(352..352, [0xee; 16]);
        for bytes in [gzip(&gap), gap] {
            assert_eq!(read(&bytes).unwrap().bytes(), read(&plain()).unwrap().bytes());
        }
    }

    /// A file with these bytes between the header and the voxels, announced as extensions.
    fn extended(extensions: &[u8], endianness: Endianness) -> Vec<u8> {
        let offset = 352.0 + extensions.len() as f32;
        let offset = if endianness == Endianness::Big { offset.to_be_bytes() } else { offset.to_le_bytes() };
        let mut bytes = with(file(Version::One, endianness, VoxelType::Int16), 108, &offset);
        bytes[348] = 1;
        bytes.splice(352..352, extensions.iter().copied());
        bytes
    }

    fn extension(size: i32, actual: usize) -> Vec<u8> {
        let mut bytes = vec![b'x'; actual];
        bytes[..4].copy_from_slice(&size.to_le_bytes());
        bytes
    }

    #[test]
    fn extensions_are_passed_over_in_either_byte_order() {
        let two = [extension(32, 32), extension(16, 16)].concat();
        assert_eq!(read(&extended(&two, Endianness::Little)).unwrap().bytes(), read(&plain()).unwrap().bytes());
        let big = with(extension(0, 32), 0, &32i32.to_be_bytes());
        assert_eq!(read(&extended(&big, Endianness::Big)).unwrap().bytes(), read(&plain()).unwrap().bytes());
    }

    #[test]
    fn an_extension_of_an_impossible_size_is_corrupt() {
        for size in [0, 1, 8, 15, 24, 48, -16, i32::MIN, i32::MAX] {
            let refusal = refusal(&extended(&extension(size, 32), Endianness::Little));
            assert!(refusal.0 == ErrorKind::CorruptFile && refusal.1.contains("extension"), "{size}: {refusal:?}");
        }
    }

    #[test]
    fn the_memory_limit_counts_voxels_and_holds_before_anything_is_allocated() {
        let limited = |file: &[u8], limit| {
            let options = ReadOptions { memory_limit: Some(limit), ..ReadOptions::default() };
            read_stream(file, file.len() as u64, &options).map_err(|error| error.kind())
        };
        assert!(limited(&plain(), 48).is_ok());
        assert_eq!(limited(&plain(), 47).unwrap_err(), ErrorKind::VolumeTooLarge);
        // 2^40 voxels claimed.
        let claim: Vec<u8> = [1i64 << 20, 1 << 10, 1 << 10].iter().flat_map(|n| n.to_le_bytes()).collect();
        let huge = with(file(Version::Two, Endianness::Little, VoxelType::Int16), 24, &claim);
        for file in [gzip(&huge), huge] {
            assert_eq!(limited(&file, 1 << 30).unwrap_err(), ErrorKind::VolumeTooLarge);
            assert_eq!(limited(&file, u64::MAX).unwrap_err(), ErrorKind::CorruptFile);
        }
    }

    #[test]
    fn a_compressed_file_is_unpacked_no_further_than_its_header_says() {
        let mut bomb = plain();
        bomb.resize(64 << 20, 0);
        let bytes = gzip(&bomb);
        let mut unread = &bytes[..];
        let error = read_stream(&mut unread, bytes.len() as u64, &ReadOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptFile, "{error}");
        assert!(unread.len() > bytes.len() * 9 / 10, "{} of {} bytes unread", unread.len(), bytes.len());
    }

    #[test]
    fn a_few_bytes_behind_the_voxels_are_ignored() {
        let mut longer = plain();
        longer.extend([0xee; 100]);
        for bytes in [gzip(&longer), longer] {
            assert_eq!(read(&bytes).unwrap().bytes(), read(&plain()).unwrap().bytes());
        }
    }

    #[test]
    fn a_gzip_file_of_several_members_is_one_file() {
        let plain = plain();
        let bytes = [gzip(&plain[..200]), gzip(&plain[200..380]), gzip(&plain[380..])].concat();
        assert_eq!(read(&bytes).unwrap().bytes(), read(&plain).unwrap().bytes());
    }

    /// Gives one byte at a time, and an interruption before each; fails for good at the end if asked to.
    struct Reluctant<'a> {
        bytes: &'a [u8],
        interrupted: bool,
        fails: bool,
    }

    impl Read for Reluctant<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let count = self.fill_buf()?.read(buffer)?;
            self.consume(count);
            Ok(count)
        }
    }

    impl BufRead for Reluctant<'_> {
        fn fill_buf(&mut self) -> io::Result<&[u8]> {
            self.interrupted = !self.interrupted;
            if self.interrupted {
                return Err(io::ErrorKind::Interrupted.into());
            }
            if self.fails && self.bytes.is_empty() {
                return Err(io::Error::other("a test's failure"));
            }
            Ok(&self.bytes[..self.bytes.len().min(2)])
        }

        fn consume(&mut self, count: usize) {
            self.bytes = &self.bytes[count..];
        }
    }

    #[test]
    fn a_reader_that_gives_little_and_is_interrupted_is_read_all_the_same() {
        let plain = plain();
        let reader = Reluctant { bytes: &plain, interrupted: false, fails: false };
        let image = read_stream(reader, plain.len() as u64, &ReadOptions::default()).unwrap();
        assert_eq!(image.bytes(), read(&plain).unwrap().bytes());
    }

    #[test]
    fn a_failure_of_the_system_is_an_io_error_wherever_it_happens() {
        let plain = plain();
        for length in [0, 3, 100, 350, 360] {
            let reader = Reluctant { bytes: &plain[..length], interrupted: false, fails: true };
            let error = read_stream(reader, plain.len() as u64, &ReadOptions::default()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io, "{length}: {error}");
        }
    }

    #[test]
    fn a_transform_that_describes_no_volume_is_invalid() {
        for (offset, value) in [(280, f32::NAN), (292, f32::INFINITY), (300, 0.0)] {
            // srow_x[0], srow_x[3], srow_y[1]
            assert_eq!(refusal(&with(plain(), offset, &value.to_le_bytes())).0, ErrorKind::InvalidGeometry, "{offset}");
        }
        assert_eq!(refusal(&with(plain(), 252, &[0; 4])).0, ErrorKind::AmbiguousGeometry);
    }

    #[test]
    fn one_row_of_65535_voxels_fits_nifti_2_alone() {
        let mut long = with(file(Version::Two, Endianness::Little, VoxelType::Uint8), 24, &65_535i64.to_le_bytes());
        long = with(long, 32, &[1i64.to_le_bytes(), 1i64.to_le_bytes()].concat());
        long.resize(544 + 65_535, 7);
        let image = read(&long).unwrap();
        assert_eq!((image.view().geometry().dims, image.bytes().len()), ([65_535, 1, 1], 65_535));
        assert_ne!(image.view().geometry().dims, DIMS);
    }
}
