//! Volumes that nobody scanned: noise for timing.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::error::{Error, ErrorKind, Result, try_vec};
use crate::geometry::{Affine, Geometry, World};
use crate::volume::{Image, Rescale, VoxelType};

/// A volume of seeded noise between soft tissue and bone, `size` voxels along D, H, W with `spacing` mm along D, H, W.
/// No two of its windows are alike, so each one goes through the network.
pub(super) fn noise(size: [usize; 3], spacing: [f64; 3], seed: u64) -> Result<Image> {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    filled([size[2], size[1], size[0]], [spacing[2], spacing[1], spacing[0]], |_| random.random_range(-200..=1200))
}

/// An image whose axes increase towards Right, Anterior and Superior, with a value for each voxel index.
fn filled(dims: [usize; 3], spacing: [f64; 3], mut hounsfield: impl FnMut([usize; 3]) -> i16) -> Result<Image> {
    let geometry = Geometry { dims, ijk_to_world: Affine::from_spacing(spacing, [0.0; 3]), world: World::Ras };
    geometry.check()?;
    let length = geometry.voxel_count().checked_mul(2).ok_or_else(|| {
        Error::new(ErrorKind::VolumeTooLarge, format!("{dims:?} voxels are more than this machine can address: choose a smaller size"))
    })?;
    let mut bytes = try_vec(0u8, length, "a synthetic volume")?;
    let [columns, rows, _] = dims;
    for (at, voxel) in bytes.chunks_exact_mut(2).enumerate() {
        let index = [at % columns, at / columns % rows, at / columns / rows];
        voxel.copy_from_slice(&hounsfield(index).to_ne_bytes());
    }
    Image::new(bytes, VoxelType::Int16, geometry, Rescale::IDENTITY)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn voxels(image: &Image) -> Vec<i16> {
        image.bytes().chunks_exact(2).map(|pair| i16::from_ne_bytes([pair[0], pair[1]])).collect()
    }

    #[test]
    fn noise_repeats_with_its_seed_and_never_within_itself() {
        let make = |seed| noise([4, 8, 6], [2.0, 1.0, 0.5], seed).unwrap();
        let image = make(7);
        assert_eq!(image.view().geometry().dims, [6, 8, 4]);
        assert_eq!(image.view().geometry().ijk_to_world.spacing(), [0.5, 1.0, 2.0]);
        assert_eq!(image.bytes(), make(7).bytes());
        assert_ne!(image.bytes(), make(8).bytes());
        let voxels = voxels(&image);
        let slices: Vec<&[i16]> = voxels.chunks(48).collect();
        assert!(slices.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn an_impossible_size_is_an_error() {
        assert!(noise([usize::MAX, 2, 2], [1.0; 3], 0).is_err());
        assert!(noise([1 << 20, 1 << 20, 1 << 18], [1.0; 3], 0).is_err());
    }
}
