//! What the tests of this room share: grids of every kind, random shapes, random numbers.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use crate::geometry::{Affine, Geometry, World};

/// Seeded numbers between two bounds.
pub(super) fn random(seed: u64) -> impl FnMut(f64, f64) -> f64 {
    let mut random = ChaCha8Rng::seed_from_u64(seed);
    move |low, high| low + (high - low) * (random.next_u32() as f64 / u32::MAX as f64)
}

/// Geometries of this many voxels: straight with 1 mm, anisotropic, flipped, left-handed, oblique, sheared.
pub(super) fn grids(dims: [usize; 3]) -> Vec<(&'static str, Geometry)> {
    let rows: [(&str, [f64; 12]); 6] = [
        ("1 mm", [1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        ("anisotropic", [0.7, 0.0, 0.0, -120.5, 0.0, 0.4, 0.0, 33.0, 0.0, 0.0, 3.0, 7.25]),
        ("flipped", [-0.7, 0.0, 0.0, 12.0, 0.0, -0.7, 0.0, 3.0, 0.0, 0.0, 1.5, -80.0]),
        ("left-handed", [0.0, 0.9, 0.0, 1.0, 1.1, 0.0, 0.0, 2.0, 0.0, 0.0, 2.0, 3.0]),
        ("oblique", [0.56, -0.288, 0.768, 10.0, 0.42, 0.384, -1.024, 20.0, 0.0, 0.64, 0.96, -30.0]),
        ("sheared", [0.8, 0.15, -0.3, 5.0, 0.1, 0.9, 0.4, -6.0, 0.0, -0.2, 1.8, 70.0]),
    ];
    let grid = |(name, rows): (&'static str, [f64; 12])| {
        let mut affine = [0.0; 16];
        affine[..12].copy_from_slice(&rows);
        affine[15] = 1.0;
        (name, Geometry { dims, ijk_to_world: Affine(affine), world: World::Ras })
    };
    rows.into_iter().map(grid).collect()
}

/// Voxels of 1 at random places, about this share of all.
pub(super) fn blobs(seed: u64, dims: [usize; 3], share: f64) -> Vec<u8> {
    let mut r = random(seed);
    (0..dims.iter().product()).map(|_| u8::from(r(0.0, 1.0) < share)).collect()
}
