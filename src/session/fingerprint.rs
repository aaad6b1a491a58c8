//! The SHA-256 of a volume's voxels, for the provenance of a result.

use sha2::{Digest, Sha256};

use crate::volume::{Volume, Voxel, with_voxel_type};

/// Lower-case hexadecimal SHA-256 of the voxels as stored: packed, i fastest, little endian. Allocates nothing.
pub(super) fn sha256_hex(volume: &Volume<'_>, hex: &mut [u8; 64]) {
    let mut hash = Sha256::new();
    with_voxel_type!(volume.voxel_type(), T => update::<T>(&mut hash, volume));
    for (pair, byte) in hex.chunks_exact_mut(2).zip(hash.finalize()) {
        for (digit, nibble) in pair.iter_mut().zip([byte >> 4, byte & 15]) {
            *digit = b"0123456789abcdef"[usize::from(nibble)];
        }
    }
}

fn update<T: Voxel>(hash: &mut Sha256, volume: &Volume<'_>) {
    const ROOM: usize = 1024;
    let mut buffer = [0u8; ROOM];
    let mut filled = 0;
    let [_, rows, slices] = volume.geometry().dims;
    for (k, j) in (0..slices).flat_map(|k| (0..rows).map(move |j| (k, j))) {
        for voxel in volume.row::<T>(j, k).into_iter().flatten() {
            filled += voxel.write_le_bytes(&mut buffer[filled..]);
            if filled == ROOM {
                hash.update(buffer);
                filled = 0;
            }
        }
    }
    hash.update(&buffer[..filled]);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Affine, Geometry, World};

    #[test]
    fn the_hash_is_that_of_the_packed_little_endian_voxels() {
        let voxels: Vec<i16> = (0..3 * 500 * 2).map(|v| v as i16 - 700).collect();
        let geometry = Geometry { dims: [3, 500, 2], ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Ras };
        let mut hex = [0; 64];
        sha256_hex(&Volume::from_slice(&voxels, geometry).unwrap(), &mut hex);
        let bytes: Vec<u8> = voxels.iter().flat_map(|voxel| voxel.to_le_bytes()).collect();
        let expected: String = Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(std::str::from_utf8(&hex).unwrap(), expected);
    }
}
