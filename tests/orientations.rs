//! One real CT stored in all 48 axis orders and flips, by pointer, by sform and by qform: the same labels in the world.

mod common;

use std::path::Path;

use spinect::io::{GeometryChoice, read_image};
use spinect::{Affine, Geometry, ReadOptions, Rescale, Run, Session, SessionConfig, Volume, VoxelType, World};

/// How the array axes of a stored volume come from those of the original: its axis `axes[a]`, backwards if `flipped[a]`.
#[derive(Clone, Copy, Debug)]
struct Storage {
    axes: [usize; 3],
    flipped: [bool; 3],
}

impl Storage {
    fn all() -> impl Iterator<Item = Storage> {
        const ORDERS: [[usize; 3]; 6] = [[0, 1, 2], [0, 2, 1], [1, 0, 2], [1, 2, 0], [2, 0, 1], [2, 1, 0]];
        ORDERS.into_iter().flat_map(|axes| (0..8).map(move |f| Storage { axes, flipped: [f & 1 != 0, f & 2 != 0, f & 4 != 0] }))
    }

    fn dims(&self, dims: [usize; 3]) -> [usize; 3] {
        self.axes.map(|axis| dims[axis])
    }

    /// The original's index of a stored voxel.
    fn original(&self, stored: [usize; 3], dims: [usize; 3]) -> [usize; 3] {
        let mut index = [0; 3];
        for a in 0..3 {
            index[self.axes[a]] = if self.flipped[a] { dims[self.axes[a]] - 1 - stored[a] } else { stored[a] };
        }
        index
    }

    /// The stored volume's voxels, i fastest.
    fn store<T: Copy>(&self, voxels: &[T], dims: [usize; 3]) -> Vec<T> {
        let [columns, rows, slices] = self.dims(dims);
        (0..columns * rows * slices)
            .map(|v| {
                let [i, j, k] = self.original([v % columns, v / columns % rows, v / (columns * rows)], dims);
                voxels[(k * dims[1] + j) * dims[0] + i]
            })
            .collect()
    }

    fn affine(&self, original: &Affine, dims: [usize; 3]) -> Affine {
        let origin = original.apply(self.original([0; 3], dims).map(|n| n as f64));
        let mut affine = Affine::from_spacing([1.0; 3], origin);
        for a in 0..3 {
            let sign = if self.flipped[a] { -1.0 } else { 1.0 };
            for (row, step) in original.column(self.axes[a]).into_iter().enumerate() {
                affine.0[4 * row + a] = sign * step;
            }
        }
        affine
    }
}

/// The original: voxels (i fastest), geometry, labels.
struct Original {
    voxels: Vec<i16>,
    geometry: Geometry,
    labels: Vec<u8>,
    session: Session,
}

/// A part of the golden CT that takes a dozen windows, without symmetry.
fn original() -> Option<Original> {
    let golden = common::shared_data()?.join("golden");
    let image = read_image(&golden.join("ct-l5s1-3mm.nii.gz"), &ReadOptions::default()).unwrap();
    let view = image.view();
    let dims = [27, 24, 20];
    let voxels: Vec<i16> =
        (0..dims[2] * dims[1]).flat_map(|r| view.row::<i16>(r % dims[1] + 9, r / dims[1] + 5).unwrap().skip(8).take(dims[0])).collect();
    let geometry = Geometry { dims, ..*view.geometry() };
    // The tests of this file run side by side already.
    let session = Session::new(&SessionConfig { threads: 1, ..SessionConfig::default() }).unwrap();
    session.load_weights(&golden.join("tiny.safetensors")).unwrap();
    let segmentation = session.segment(&Volume::from_slice(&voxels, geometry).unwrap(), Run::default()).unwrap();
    let labels = segmentation.labels().to_vec();
    for value in 0..3 {
        assert!(labels.contains(&value), "label {value} is nowhere: this would show nothing");
    }
    Some(Original { voxels, geometry, labels, session })
}

impl Original {
    fn assert_same(&self, volume: &Volume<'_>, storage: Storage, how: &str) {
        let mut labels = vec![255; volume.geometry().voxel_count()];
        self.session.segment_into(volume, Run::default(), &mut labels).unwrap();
        assert!(labels == storage.store(&self.labels, self.geometry.dims), "{how}: {storage:?}");
    }
}

#[test]
fn by_pointer_the_labels_are_the_same_in_every_order_type_and_world() {
    let Some(original) = original() else { return };
    for storage in Storage::all() {
        let dims = original.geometry.dims;
        let geometry = Geometry {
            dims: storage.dims(dims),
            ijk_to_world: storage.affine(&original.geometry.ijk_to_world, dims).between(World::Ras, World::Lps),
            world: World::Lps,
        };
        // A third as float32 with a rescale, the others as int16.
        if storage.axes[0] == 0 {
            let stored: Vec<f32> = storage.store(&original.voxels, dims).iter().map(|&v| f32::from(v) * 0.5 + 512.0).collect();
            let volume = Volume::from_slice(&stored, geometry).unwrap().with_rescale(Rescale::new(2.0, -1024.0).unwrap());
            original.assert_same(&volume, storage, "float32");
        } else {
            let stored = storage.store(&original.voxels, dims);
            original.assert_same(&Volume::from_slice(&stored, geometry).unwrap(), storage, "int16");
        }
    }
}

#[test]
fn by_strides_the_labels_are_the_same_without_moving_a_voxel() {
    let Some(original) = original() else { return };
    let dims = original.geometry.dims;
    let steps = [2, 2 * dims[0] as isize, 2 * (dims[0] * dims[1]) as isize];
    for storage in Storage::all() {
        let [i, j, k] = storage.original([0; 3], dims);
        let first = &raw const original.voxels[(k * dims[1] + j) * dims[0] + i];
        let strides = std::array::from_fn(|a| steps[storage.axes[a]] * if storage.flipped[a] { -1 } else { 1 });
        let ijk_to_world = storage.affine(&original.geometry.ijk_to_world, dims);
        let geometry = Geometry { dims: storage.dims(dims), ijk_to_world, world: World::Ras };
        // SAFETY: the strides walk the original's axes from one of its corners to the opposite one.
        let volume = unsafe { Volume::from_raw(first.cast(), VoxelType::Int16, Some(strides), geometry, Rescale::IDENTITY) };
        original.assert_same(&volume.unwrap(), storage, "strides");
    }
}

/// A NIfTI-1 file of this CT with one transform, the other's code being 0.
fn nifti(voxels: &[i16], dims: [usize; 3], affine: &Affine, by_qform: bool) -> Vec<u8> {
    let mut header = [0u8; 352];
    let mut put = |at: usize, bytes: &[u8]| header[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &348i32.to_le_bytes());
    for (index, n) in [3, dims[0], dims[1], dims[2], 1, 1, 1, 1].into_iter().enumerate() {
        put(40 + 2 * index, &(n as i16).to_le_bytes());
    }
    put(70, &4i16.to_le_bytes());
    put(72, &16i16.to_le_bytes());
    put(108, &352f32.to_le_bytes());
    put(112, &1f32.to_le_bytes());
    put(123, &[2]);
    put(344, b"n+1\0");
    let spacing: [f64; 3] = std::array::from_fn(|a| affine.column(a).iter().map(|v| v * v).sum::<f64>().sqrt());
    let handedness = affine.determinant().signum();
    for (index, value) in [handedness, spacing[0], spacing[1], spacing[2]].into_iter().enumerate() {
        put(76 + 4 * index, &(value as f32).to_le_bytes());
    }
    if by_qform {
        put(252, &1i16.to_le_bytes());
        let quaternion = quaternion(affine, spacing, handedness);
        let numbers = quaternion.into_iter().chain([affine.0[3], affine.0[7], affine.0[11]]);
        for (index, value) in numbers.enumerate() {
            put(256 + 4 * index, &(value as f32).to_le_bytes());
        }
    } else {
        put(254, &1i16.to_le_bytes());
        for index in 0..12 {
            put(280 + 4 * index, &(affine.0[index] as f32).to_le_bytes());
        }
    }
    header.into_iter().chain(voxels.iter().flat_map(|voxel| voxel.to_le_bytes())).collect()
}

/// b, c, d of the rotation behind an affine (nifti1.h, "quaternion representation").
fn quaternion(affine: &Affine, spacing: [f64; 3], handedness: f64) -> [f64; 3] {
    let r = |row: usize, column: usize| affine.0[4 * row + column] / spacing[column] * if column == 2 { handedness } else { 1.0 };
    let squares = [
        1.0 + r(0, 0) + r(1, 1) + r(2, 2),
        1.0 + r(0, 0) - r(1, 1) - r(2, 2),
        1.0 - r(0, 0) + r(1, 1) - r(2, 2),
        1.0 - r(0, 0) - r(1, 1) + r(2, 2),
    ];
    let largest = (0..4).fold(0, |best, n| if squares[n] > squares[best] { n } else { best });
    let root = squares[largest].sqrt();
    let half = |v: f64| v / (2.0 * root);
    let (x, y, z) = (r(2, 1) - r(1, 2), r(0, 2) - r(2, 0), r(1, 0) - r(0, 1));
    let (xy, xz, yz) = (r(1, 0) + r(0, 1), r(2, 0) + r(0, 2), r(2, 1) + r(1, 2));
    let [a, b, c, d] = match largest {
        0 => [root / 2.0, half(x), half(y), half(z)],
        1 => [half(x), root / 2.0, half(xy), half(xz)],
        2 => [half(y), half(xy), root / 2.0, half(yz)],
        _ => [half(z), half(xz), half(yz), root / 2.0],
    };
    if a < 0.0 { [-b, -c, -d] } else { [b, c, d] }
}

fn by_file(by_qform: bool) {
    let Some(original) = original() else { return };
    let path = common::scratch_dir().join(format!("orientation-{by_qform}.nii"));
    for storage in Storage::all() {
        let dims = original.geometry.dims;
        let affine = storage.affine(&original.geometry.ijk_to_world, dims);
        let file = nifti(&storage.store(&original.voxels, dims), storage.dims(dims), &affine, by_qform);
        std::fs::write(&path, file).unwrap();
        let image = read(&path, by_qform);
        original.assert_same(&image.view(), storage, if by_qform { "qform" } else { "sform" });
    }
}

fn read(path: &Path, by_qform: bool) -> spinect::Image {
    let strict = read_image(path, &ReadOptions::default()).unwrap();
    let geometry = if by_qform { GeometryChoice::Qform } else { GeometryChoice::Sform };
    let chosen = read_image(path, &ReadOptions { geometry, ..ReadOptions::default() }).unwrap();
    assert_eq!(strict.view().geometry(), chosen.view().geometry());
    strict
}

#[test]
fn by_sform_the_labels_are_the_same_in_every_order() {
    by_file(false);
}

#[test]
fn by_qform_the_labels_are_the_same_in_every_order() {
    by_file(true);
}
