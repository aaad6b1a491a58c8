//! Coordinates in which distances are Euclidean and voxels are simple: the volume's corner is the origin, the first voxel
//! edge lies along x, the second in the plane of x and y (the QR decomposition of the affine).

use super::faces::Face;
use crate::error::Result;
use crate::geometry::{Geometry, dot, norm};

/// An orthonormal frame of a voxel grid, in mm.
#[derive(Clone, Debug)]
pub(super) struct Frame {
    /// The outer corner of the voxel (0, 0, 0) in the world.
    origin: [f64; 3],
    /// The frame's axes in the world: of length 1, perpendicular, and maybe left-handed.
    axes: [[f64; 3]; 3],
    /// One voxel along i, j and k. What is below the diagonal, and in a grid that is not sheared above it, is 0.
    edges: [[f64; 3]; 3],
    /// Whether the voxels are no cuboids.
    sheared: bool,
}

/// Shear that moves no corner of the volume by more than this share of the smallest spacing is none: affines that were
/// stored in 32 bits have it.
const NEGLIGIBLE: f64 = 0.01;

impl Frame {
    /// # Errors
    /// Those of [`Geometry::check`].
    pub(super) fn of(geometry: &Geometry) -> Result<Self> {
        geometry.check()?;
        let columns: [[f64; 3]; 3] = std::array::from_fn(|axis| geometry.ijk_to_world.column(axis));
        // Gram and Schmidt; a checked geometry has three independent columns.
        let mut axes = columns;
        let mut edges = [[0.0; 3]; 3];
        for at in 0..3 {
            for before in 0..at {
                let along = dot(axes[before], axes[at]);
                edges[at][before] = along;
                axes[at] = std::array::from_fn(|c| axes[at][c] - along * axes[before][c]);
            }
            let length = norm(axes[at]);
            edges[at][at] = length;
            axes[at] = axes[at].map(|c| c / length);
        }
        let moved = (0..3).map(|at| (0..at).map(|c| edges[at][c].abs()).sum::<f64>() * geometry.dims[at] as f64).sum::<f64>();
        let smallest = columns.map(norm).into_iter().fold(f64::INFINITY, f64::min);
        let sheared = moved > NEGLIGIBLE * smallest;
        if !sheared {
            edges = std::array::from_fn(|at| std::array::from_fn(|c| if c == at { edges[at][at] } else { 0.0 }));
        }
        Ok(Frame { origin: geometry.ijk_to_world.apply([-0.5; 3]), axes, edges, sheared })
    }

    /// Whether the voxels are no cuboids.
    pub(super) fn is_sheared(&self) -> bool {
        self.sheared
    }

    /// One voxel along an axis of the grid.
    pub(super) fn edge(&self, axis: usize) -> [f64; 3] {
        self.edges[axis]
    }

    /// The shortest voxel edge, mm.
    pub(super) fn smallest_spacing(&self) -> f64 {
        self.edges.map(norm).into_iter().fold(f64::INFINITY, f64::min)
    }

    /// From the world's mm to the frame's.
    pub(super) fn place(&self, world: [f64; 3]) -> [f64; 3] {
        let from_origin = std::array::from_fn(|c| world[c] - self.origin[c]);
        self.axes.map(|axis| dot(axis, from_origin))
    }

    /// From the frame's mm to the world's.
    pub(super) fn world(&self, place: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|c| self.origin[c] + (0..3).map(|at| self.axes[at][c] * place[at]).sum::<f64>())
    }

    /// From mm to voxels: the voxel (i, j, k) reaches from its index to the next.
    pub(super) fn index(&self, place: [f64; 3]) -> [f64; 3] {
        let [[a, _, _], [b, c, _], [d, e, f]] = self.edges;
        let k = place[2] / f;
        let j = (place[1] - e * k) / c;
        [(place[0] - b * j - d * k) / a, j, k]
    }

    /// The box around a face, or any other box of voxels, mm.
    pub(super) fn bounds(&self, face: &Face) -> [[f64; 3]; 2] {
        let (low, high) = (face.low.map(f64::from), face.high.map(f64::from));
        if !self.sheared {
            return [low, high].map(|corner| std::array::from_fn(|c| self.edges[c][c] * corner[c]));
        }
        let end = |c: usize, low: [f64; 3], high: [f64; 3]| {
            (c..3).map(|axis| self.edges[axis][c] * if self.edges[axis][c] > 0.0 { low[axis] } else { high[axis] }).sum()
        };
        [std::array::from_fn(|c| end(c, low, high)), std::array::from_fn(|c| end(c, high, low))]
    }

    /// From voxels to mm.
    pub(super) fn corner(&self, index: [f64; 3]) -> [f64; 3] {
        std::array::from_fn(|c| (0..3).map(|axis| self.edges[axis][c] * index[axis]).sum())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::{grids, random};

    #[test]
    fn the_frame_keeps_lengths_and_finds_voxels_where_the_affine_has_them() {
        let mut r = random(1);
        for (name, geometry) in grids([7, 9, 11]) {
            let frame = Frame::of(&geometry).unwrap();
            assert_eq!(frame.is_sheared(), name.contains("sheared"), "{name}");
            let [p, q]: [[f64; 3]; 2] = std::array::from_fn(|_| std::array::from_fn(|_| r(-300.0, 300.0)));
            let distance = |a: [f64; 3], b: [f64; 3]| norm(std::array::from_fn(|c| a[c] - b[c]));
            assert!((distance(frame.place(p), frame.place(q)) - distance(p, q)).abs() < 1e-9, "{name}");
            assert!(distance(frame.world(frame.place(p)), p) < 1e-9, "{name}");
            let index = [r(0.0, 7.0), r(0.0, 9.0), r(0.0, 11.0)];
            let found = frame.index(frame.place(geometry.ijk_to_world.apply(index.map(|i| i - 0.5))));
            assert!(distance(found, index) < 1e-2, "{name}: {found:?}, not {index:?}");
            assert!(distance(frame.index(frame.corner(index)), index) < 1e-9, "{name}");
        }
    }
}
