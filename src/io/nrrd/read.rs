//! A NRRD file to an image: nothing is allocated that the file cannot fill.

use std::fs::File;
use std::io::BufRead;

use super::super::buffer::Reader;
use super::super::source::Source;
use super::super::voxels::{check_limit, make_native};
use super::super::{ImageHeader, ReadOptions};
use super::header::{self, Header};
use super::text::Text;
use crate::error::{Error, ErrorKind, Result};
use crate::volume::{Image, Rescale};

/// Reads all of a file of `length` bytes.
pub(in super::super) fn read(file: File, length: u64, options: &ReadOptions) -> Result<Image> {
    read_stream(Reader::new(file)?, length, options)
}

/// Reads the header of a file.
pub(in super::super) fn read_header(file: File) -> Result<ImageHeader> {
    let header = header::parse(&Text::read(&mut Reader::new(file)?)?)?;
    check_single(&header)?;
    let Header { geometry, voxel_type, .. } = header;
    Ok(ImageHeader { geometry, voxel_type, rescale: Rescale::IDENTITY, placement: None })
}

/// Reads an image of `length` bytes.
pub(super) fn read_stream(mut reader: impl BufRead, length: u64, options: &ReadOptions) -> Result<Image> {
    let text = Text::read(&mut reader)?;
    let header = header::parse(&text)?;
    check_single(&header)?;
    let bytes = voxels(reader, &text, &header, length, options)?;
    Image::new(bytes, header.voxel_type, header.geometry, Rescale::IDENTITY)
}

/// The voxels behind a header, in native byte order.
pub(super) fn voxels(reader: impl BufRead, text: &Text, header: &Header, length: u64, options: &ReadOptions) -> Result<Vec<u8>> {
    let [i, j, k] = header.geometry.dims;
    let dims = [header.layers, i, j, k];
    check_limit(if header.list { &dims } else { &dims[1..] }, header.voxel_type, header.voxel_bytes, options)?;
    let left = length.saturating_sub(text.bytes);
    let mut source = if header.packed { Source::packed(reader, left)? } else { Source::plain(reader, left) };
    source.check_claim(header.voxel_bytes as u64)?;
    let mut bytes = source.take(header.voxel_bytes, "the voxels of an image")?;
    source.finish()?;
    make_native(&mut bytes, header.voxel_type, header.big_endian);
    Ok(bytes)
}

pub(super) fn check_single(header: &Header) -> Result<()> {
    if !header.list {
        return Ok(());
    }
    let message = format!("a 4D image, {} values per voxel (a list or vectors): give one with a single 3D volume", header.layers);
    Err(Error::new(ErrorKind::UnsupportedFormat, message))
}

#[cfg(test)]
mod tests {
    use super::super::fixtures::{TYPES, file, geometry, gzip, packed, plain, plain_head, voxels, with_line};
    use super::*;
    use crate::volume::VoxelType;

    fn read(file: &[u8]) -> Result<Image> {
        read_stream(file, file.len() as u64, &ReadOptions::default())
    }

    #[test]
    fn every_voxel_type_reads_the_same_in_either_byte_order_and_packing() {
        for voxel_type in TYPES {
            let mut expected = voxels(voxel_type, false);
            make_native(&mut expected, voxel_type, false);
            for (big, packed) in [(false, false), (true, false), (false, true), (true, true)] {
                let image = read(&file(voxel_type, big, packed)).unwrap();
                assert_eq!(image.bytes(), expected, "{voxel_type:?} {big} {packed}");
                let view = image.view();
                assert_eq!((*view.geometry(), view.voxel_type(), view.rescale()), (geometry(), voxel_type, Rescale::IDENTITY));
            }
        }
    }

    #[test]
    fn a_file_cut_off_anywhere_is_corrupt_and_says_so() {
        for whole in [plain(), packed()] {
            for length in 0..whole.len() {
                let error = read(&whole[..length]).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::CorruptFile, "{length}");
                let told = ["cut off", "not a NRRD file", "damaged"].iter().any(|word| error.message().contains(word));
                assert!(told, "{length}: {error}");
            }
        }
    }

    #[test]
    fn any_flipped_bit_is_read_or_refused_but_never_panics() {
        for whole in [plain(), packed()] {
            let mut refused = 0;
            for bit in 0..8 * whole.len() {
                let mut flipped = whole.clone();
                flipped[bit / 8] ^= 1 << (bit % 8);
                match read(&flipped) {
                    Ok(image) => assert_eq!(image.bytes().len(), image.view().geometry().voxel_count() * image.view().voxel_type().size()),
                    Err(_) => refused += 1,
                }
            }
            assert!(refused > 1000, "{refused}");
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
        let huge = with_line(&plain_head(), "sizes", "sizes: 1048576 1024 1024").into_bytes();
        assert_eq!(limited(&huge, 1 << 30).unwrap_err(), ErrorKind::VolumeTooLarge);
        assert_eq!(limited(&huge, u64::MAX).unwrap_err(), ErrorKind::CorruptFile);
    }

    #[test]
    fn compressed_voxels_are_unpacked_no_further_than_the_header_says() {
        let head = with_line(&plain_head(), "encoding", "encoding: gzip");
        let bytes = [head.as_bytes(), &gzip(&vec![0; 64 << 20])].concat();
        let mut unread = &bytes[..];
        let error = read_stream(&mut unread, bytes.len() as u64, &ReadOptions::default()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::CorruptFile, "{error}");
        assert!(unread.len() > bytes.len() * 9 / 10, "{} of {} bytes unread", unread.len(), bytes.len());
    }

    #[test]
    fn a_few_bytes_behind_the_voxels_are_ignored() {
        let mut longer = plain();
        longer.extend([0xee; 100]);
        assert_eq!(read(&longer).unwrap().bytes(), read(&plain()).unwrap().bytes());
    }

    #[test]
    fn lists_and_vectors_are_not_supported() {
        let head = plain_head();
        let head = with_line(&with_line(&head, "dimension", "dimension: 4"), "sizes", "sizes: 1 3 4 2");
        let head = with_line(&head, "space directions", "space directions: none (1,0,0) (0,1,0) (0,0,1)");
        let head = with_line(&head, "kinds", "kinds: list domain domain domain");
        let error = read(&[head.as_bytes(), &voxels(VoxelType::Int16, false)].concat()).unwrap_err();
        assert!(error.kind() == ErrorKind::UnsupportedFormat && error.message().contains("4D"), "{error}");
    }

    #[test]
    fn a_file_as_simpleitk_2_5_writes_it_lies_where_simpleitk_placed_it() {
        // SetDirection((0,0,-1, 0,1,0, 1,0,0)), SetSpacing((0.5,2,3)), SetOrigin((-10.5,20,30)); 2×1×3 voxels of int16.
        let head = "NRRD0004\n# Complete NRRD file format specification at:\n# http://teem.sourceforge.net/nrrd/format.html\n\
            type: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 2 1 3\n\
            space directions: (0,0,0.5) (0,2,0) (-3,0,0)\nkinds: domain domain domain\nendian: little\nencoding: raw\n\
            space origin: (-10.5,20,30)\nITK_InputFilterName:=NrrdImageIO\n\n";
        let voxels: Vec<u8> = (0..6i16).flat_map(i16::to_le_bytes).collect();
        let image = read(&[head.as_bytes(), &voxels].concat()).unwrap();
        let view = image.view();
        // TransformIndexToPhysicalPoint((1,0,2)) is (-16.5, 20, 30.5).
        assert_eq!(view.geometry().ijk_to_world.apply([1.0, 0.0, 2.0]), [-16.5, 20.0, 30.5]);
        assert_eq!((view.geometry().world, view.geometry().orientation().letters()), (crate::World::Lps, ['S', 'P', 'R']));
        assert_eq!(view.row::<i16>(0, 2).unwrap().collect::<Vec<_>>(), [4, 5]);
    }
}
