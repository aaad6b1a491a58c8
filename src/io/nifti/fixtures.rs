//! Small NIfTI files for tests, whole and to be damaged.

use std::io::Write;

use ::nifti::Endianness;

use super::header::{self, Header};
use super::write::Head;
use super::{Version, transform};
use crate::geometry::{Affine, Geometry, World};
use crate::volume::{Rescale, VoxelType, with_voxel_type};

pub const DIMS: [usize; 3] = [3, 4, 2];
pub const TYPES: [VoxelType; 7] =
    [VoxelType::Int8, VoxelType::Uint8, VoxelType::Int16, VoxelType::Uint16, VoxelType::Int32, VoxelType::Float32, VoxelType::Float64];

/// An oblique, left-handed, anisotropic placement whose numbers 32 bits hold exactly.
pub fn geometry() -> Geometry {
    let affine =
        Affine([-0.6, 0.0, 2.0, -40.5, 0.0, 1.0, 0.0, 12.25, 0.8, 0.0, 1.5, 310.0, 0.0, 0.0, 0.0, 1.0].map(|v: f64| f64::from(v as f32)));
    Geometry { dims: DIMS, ijk_to_world: affine, world: World::Ras }
}

/// Packed voxels, little-endian: no two neighbors alike, negative where the type allows.
pub fn voxels(voxel_type: VoxelType) -> Vec<u8> {
    let count = DIMS.iter().product::<usize>() as i32;
    with_voxel_type!(voxel_type, T => (0..count).flat_map(|n| (f64::from(n * 5 - 9) as T).to_le_bytes()).collect())
}

/// A file that can be read.
pub fn file(version: Version, endianness: Endianness, voxel_type: VoxelType) -> Vec<u8> {
    let placement = transform::placement(&geometry());
    let rescale = Rescale { slope: 2.0, intercept: -1024.0 };
    let mut bytes = Head { version, dims: DIMS, voxel_type, rescale, placement, intent: 0, extension: vec![] }.encode();
    let mut voxels = voxels(voxel_type);
    if endianness == Endianness::Big {
        for (offset, size, count) in numbers(version) {
            bytes[offset..offset + size * count].chunks_exact_mut(size).for_each(<[u8]>::reverse);
        }
        voxels.chunks_exact_mut(voxel_type.size()).for_each(<[u8]>::reverse);
    }
    bytes.extend(voxels);
    bytes
}

/// The plain file that most tests damage: NIfTI-1, little-endian, int16.
pub fn plain() -> Vec<u8> {
    file(Version::One, Endianness::Little, VoxelType::Int16)
}

/// Where a header's numbers lie: offset, bytes of one, how many. From nifti1.h and nifti2.h.
fn numbers(version: Version) -> Vec<(usize, usize, usize)> {
    match version {
        Version::One => vec![
            (0, 4, 1),
            (32, 4, 1),
            (36, 2, 1),
            (40, 2, 8),
            (56, 4, 3),
            (68, 2, 4),
            (76, 4, 11),
            (120, 2, 1),
            (124, 4, 6),
            (252, 2, 2),
            (256, 4, 18),
        ],
        Version::Two => vec![(0, 4, 1), (12, 2, 2), (16, 8, 28), (344, 4, 2), (352, 8, 18), (496, 4, 3)],
    }
}

/// The same file with other bytes from `offset` on.
pub fn with(mut file: Vec<u8>, offset: usize, bytes: &[u8]) -> Vec<u8> {
    file[offset..offset + bytes.len()].copy_from_slice(bytes);
    file
}

/// The header of a file as the guard sees it.
pub fn parse(file: &[u8]) -> crate::Result<Header> {
    let (version, endianness) = header::identify(*file.first_chunk().unwrap())?;
    header::parse(version, endianness, &file[..version.header_bytes()])
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}
