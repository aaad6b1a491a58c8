//! Small image files for tests.

use std::path::PathBuf;

use crate::geometry::{Affine, Geometry, World};
use crate::io::write_image;
use crate::volume::{Volume, Voxel};

/// Voxels and where they lie.
pub type Stored<T> = (Vec<T>, Geometry);

/// Packed voxels, i fastest, of 1 mm.
pub fn volume<T: Voxel>(voxels: &[T], dims: [usize; 3]) -> Stored<T> {
    (voxels.to_vec(), Geometry { dims, ijk_to_world: Affine::from_spacing([1.0; 3], [0.0; 3]), world: World::Ras })
}

/// A folder for a test's files, gone when it is dropped.
pub struct Files(tempfile::TempDir);

impl Files {
    pub fn new() -> Files {
        Files(tempfile::tempdir().unwrap())
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Writes an image; folders on the way are made.
    pub fn write<T: Voxel>(&self, name: &str, (voxels, geometry): &Stored<T>) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        write_image(&Volume::from_slice(voxels, *geometry).unwrap(), &path).unwrap();
    }

    /// A case of 6×5×4 voxels whose Hounsfield units and labels (bone and nerve among them) follow from a number.
    pub fn write_case(&self, image: &str, label: &str, number: i16) {
        let hounsfield: Vec<i16> = (0..120).map(|at| (at * 37 + number * 101) % 1500 - 1000).collect();
        let labels: Vec<u8> = (0..120).map(|at| [0, 1, 0, 2, 0][(at + number as usize) % 5]).collect();
        self.write(image, &volume(&hounsfield, [6, 5, 4]));
        self.write(label, &volume(&labels, [6, 5, 4]));
    }
}
