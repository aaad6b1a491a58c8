//! A small model and a small volume, made through the Rust API, for tests that run clients.
#![allow(dead_code)]

use std::fs;
use std::path::{Path, PathBuf};

use spinect::io::write_image;
use spinect::model::Config;
use spinect::{Affine, Geometry, Model, Volume, World};

/// Voxels of [`small_volume`] along i, j, k.
pub const DIMS: [usize; 3] = [40, 36, 20];

/// Writes an untrained model of few channels and small windows: quick, even under valgrind.
pub fn small_model(folder: &Path) -> PathBuf {
    let model = Model::untrained(small_config(), 1).expect("the configuration is valid");
    let path = folder.join("small.safetensors");
    fs::write(&path, model.to_bytes().expect("the model fits into memory")).expect("the scratch folder can be written");
    path
}

/// Writes a volume of [`DIMS`] voxels, along the axes of the world: a block as dense as bone in soft tissue with a little texture.
pub fn small_volume(folder: &Path) -> PathBuf {
    let [columns, rows, slices] = DIMS;
    let voxels: Vec<i16> = (0..columns * rows * slices)
        .map(|n| {
            let (i, j, k) = (n % columns, n / columns % rows, n / columns / rows);
            let in_block = (10..25).contains(&i) && (8..20).contains(&j) && (5..15).contains(&k);
            (if in_block { 700 } else { 40 }) + (n * 7919 % 31) as i16
        })
        .collect();
    let geometry = Geometry { dims: DIMS, ijk_to_world: Affine::from_spacing([0.9, 0.9, 1.5], [-18.0, -16.0, -700.0]), world: World::Ras };
    let path = folder.join("small.nii.gz");
    write_image(&Volume::from_slice(&voxels, geometry).expect("a volume"), &path).expect("the scratch folder can be written");
    path
}

/// An untrained model of few channels and small windows.
pub fn small_config() -> Config {
    let mut config = Config::spinect(&[4, 8, 16]);
    config.window.size = [16, 32, 32];
    config.window.stride = [10, 20, 20];
    // So that pieces are counted, too.
    config.labels[2].pieces = Some(1);
    config
}

/// A volume of seeded noise between fat and bone, so that no two windows are alike; 1 mm, oblique enough to count.
pub struct Noise {
    /// Hounsfield units, i fastest.
    pub voxels: Vec<i16>,
    geometry: Geometry,
}

impl Noise {
    /// Noise of these dimensions.
    pub fn new(dims: [usize; 3]) -> Self {
        let mut state = 1u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % 1400
        };
        let voxels = (0..dims.iter().product()).map(|_| next() as i16 - 200).collect();
        let affine = Affine([0.0, -1.1, 0.1, 30.0, -0.9, 0.0, 0.0, 20.0, 0.0, 0.1, 1.3, -40.0, 0.0, 0.0, 0.0, 1.0]);
        Noise { voxels, geometry: Geometry { dims, ijk_to_world: affine, world: World::Ras } }
    }

    /// A view of it.
    pub fn volume(&self) -> Volume<'_> {
        Volume::from_slice(&self.voxels, self.geometry).expect("a volume")
    }
}
