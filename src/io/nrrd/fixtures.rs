//! Small NRRD files for tests, whole and to be damaged.

use std::io::Write;

use crate::geometry::{Affine, Geometry, World};
use crate::volume::{VoxelType, with_voxel_type};

pub const TYPES: [VoxelType; 7] =
    [VoxelType::Int8, VoxelType::Uint8, VoxelType::Int16, VoxelType::Uint16, VoxelType::Int32, VoxelType::Float32, VoxelType::Float64];

/// The header that most tests damage: int16, little-endian, raw.
pub fn plain_head() -> String {
    "NRRD0004\ntype: short\ndimension: 3\nspace: left-posterior-superior\nsizes: 3 4 2\n\
     space directions: (-0.6,0,0.8) (0,1,0) (2,0,1.5)\nkinds: domain domain domain\nendian: little\nencoding: raw\n\
     space origin: (-40.5,12.25,310)\n\n"
        .into()
}

/// Where [`plain_head`] places its voxels: oblique and anisotropic.
pub fn geometry() -> Geometry {
    let affine = Affine([-0.6, 0.0, 2.0, -40.5, 0.0, 1.0, 0.0, 12.25, 0.8, 0.0, 1.5, 310.0, 0.0, 0.0, 0.0, 1.0]);
    Geometry { dims: [3, 4, 2], ijk_to_world: affine, world: World::Lps }
}

/// A header with another line for that of a field; none if the other is empty.
pub fn with_line(head: &str, field: &str, line: &str) -> String {
    let mut found = false;
    let mut lines: Vec<&str> = Vec::new();
    for old in head.lines() {
        let this = old.split(':').next() == Some(field) && !old.is_empty();
        found |= this;
        if !this {
            lines.push(old);
        } else if !line.is_empty() {
            lines.push(line);
        }
    }
    assert!(found, "no line {field}");
    lines.join("\n") + "\n"
}

/// Packed voxels: no two neighbors alike, negative where the type allows.
pub fn voxels(voxel_type: VoxelType, big: bool) -> Vec<u8> {
    let mut bytes: Vec<u8> = with_voxel_type!(voxel_type, T => (0..24).flat_map(|n| (f64::from(n * 5 - 9) as T).to_le_bytes()).collect());
    if big {
        bytes.chunks_exact_mut(voxel_type.size()).for_each(<[u8]>::reverse);
    }
    bytes
}

pub fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// A file that can be read.
pub fn file(voxel_type: VoxelType, big: bool, packed: bool) -> Vec<u8> {
    let head = with_line(&plain_head(), "type", &format!("type: {}", super::header::type_name(voxel_type)));
    let head = with_line(&head, "endian", if big { "endian: big" } else { "endian: little" });
    let head = with_line(&head, "encoding", if packed { "encoding: gzip" } else { "encoding: raw" });
    let voxels = voxels(voxel_type, big);
    [head.as_bytes(), &if packed { gzip(&voxels) } else { voxels }].concat()
}

/// The plain file: int16, little-endian, raw.
pub fn plain() -> Vec<u8> {
    file(VoxelType::Int16, false, false)
}

/// The same, compressed.
pub fn packed() -> Vec<u8> {
    file(VoxelType::Int16, false, true)
}
