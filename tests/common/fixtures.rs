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
    let mut config = Config::spinect(&[2, 4, 8]);
    config.window.size = [16, 32, 32];
    config.window.stride = [10, 20, 20];
    let model = Model::untrained(config, 1).expect("the configuration is valid");
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
