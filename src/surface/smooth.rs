//! Smoothing: a low-pass filter over the net, after which every point is put back into its own cell.
//!
//! The filter is a windowed sinc of the net's Laplacian as a series of Chebyshev polynomials (G. Taubin, T. Zhang and
//! G. Golub, *Optimal Surface Smoothing as Filter Design*, ECCV 1996): unlike repeated averaging, it leaves what is coarser
//! than its cut-off where it is, so that a nerve does not grow thin. An edge of the net weighs 1/length², with the length of
//! the voxel's edge beside it: a ripple of so many millimeters is the same in thick slices as in thin ones.

use std::f64::consts::PI;

use super::net::Net;
use crate::error::{Result, try_reserve, try_vec};
use crate::geometry::{Affine, dot};

/// How far a point may be from its cell's center along an axis, in voxels. A little less than the half, so that points of
/// two cells never meet.
const REACH: f64 = 0.49;

/// How far points of one cell stay from its center along an axis that separates them, in voxels. It lets files that store
/// 32 bits tell them apart, and takes less than 1 % from a voxel that touches others only at its edges and corners.
const GAP: f64 = 0.001;

/// The highest degree of the filter. It is reached where `smoothing_mm` is about 12 voxels; the filter is no coarser then.
const MAX_DEGREE: usize = 160;

/// The transition of the filter, from 1 to 0, takes from half its cut-off (as an angle) to one and a half times that.
const DEGREE_TIMES_ANGLE: f64 = 4.0 * PI;

/// The place nearest to `point` at which the point may be.
pub(super) fn confined(point: [f64; 3], center: [f64; 3], sides: [i8; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis: usize| {
        let (low, high) = match sides[axis] {
            0 => (-REACH, REACH),
            1.. => (GAP, REACH),
            _ => (-REACH, -GAP),
        };
        center[axis] + (point[axis] - center[axis]).clamp(low, high)
    })
}

/// The points of the net where features of less than about `smoothing_mm` are smoothed away: a ripple whose period is four
/// times that loses half its height. `smoothing_mm` 0: the corners of the voxels.
///
/// # Errors
/// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
pub(super) fn smoothed(net: &Net, ijk_to_world: &Affine, smoothing_mm: f64) -> Result<Vec<[f64; 3]>> {
    let mut points = try_vec([0.0; 3], net.centers.len(), "the points of a surface")?;
    points.copy_from_slice(&net.centers);
    if smoothing_mm > 0.0 {
        let graph = Graph::of(net, ijk_to_world)?;
        let cut_off = (PI / (2.0 * smoothing_mm)).powi(2);
        if let Some(filter) = Filter::below(cut_off, graph.largest_eigenvalue()) {
            filter.apply(&graph, &mut points)?;
        }
    }
    for ((point, &center), &sides) in points.iter_mut().zip(&net.centers).zip(&net.sides) {
        *point = confined(*point, center, sides);
    }
    Ok(points)
}

/// Who is whose neighbor in the net.
struct Graph {
    /// Where the neighbors of every point start in `neighbors`, and at last their number.
    starts: Vec<usize>,
    neighbors: Vec<u32>,
    /// The axis along which each neighbor lies.
    axes: Vec<u8>,
    /// What an edge along each axis weighs, 1/mm².
    weights: [f64; 3],
}

impl Graph {
    fn of(net: &Net, ijk_to_world: &Affine) -> Result<Self> {
        // Around a quadrilateral, every edge of a closed oriented net is met once in either direction.
        let directed = || net.quads.iter().flat_map(|quad| (0..4).map(|at| [quad[at] as usize, quad[(at + 1) % 4] as usize]));
        let mut starts = try_vec(0usize, net.centers.len() + 1, "the edges of a surface")?;
        for [from, _] in directed() {
            starts[from + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        let mut neighbors = try_vec(0u32, net.quads.len() * 4, "the edges of a surface")?;
        let mut axes = try_vec(0u8, net.quads.len() * 4, "the edges of a surface")?;
        let mut free = Vec::new();
        try_reserve(&mut free, starts.len(), "the edges of a surface")?;
        free.extend_from_slice(&starts);
        for [from, to] in directed() {
            let at = free[from];
            free[from] += 1;
            neighbors[at] = to as u32;
            axes[at] = (0..3).find(|&axis| net.centers[from][axis] != net.centers[to][axis]).unwrap_or(0) as u8;
        }
        let weights = [0, 1, 2].map(|axis| {
            let step = ijk_to_world.column(axis);
            1.0 / dot(step, step)
        });
        Ok(Graph { starts, neighbors, axes, weights })
    }

    /// The neighbors of a point, with the weights of the edges to them.
    fn around(&self, point: usize) -> impl Iterator<Item = (usize, f64)> {
        let range = self.starts[point]..self.starts[point + 1];
        self.neighbors[range.clone()].iter().zip(&self.axes[range]).map(|(&to, &axis)| (to as usize, self.weights[usize::from(axis)]))
    }

    /// A bound of the Laplacian's eigenvalues (Gershgorin), 1/mm².
    fn largest_eigenvalue(&self) -> f64 {
        (0..self.starts.len() - 1).map(|point| 2.0 * self.around(point).map(|(_, weight)| weight).sum::<f64>()).fold(0.0, f64::max)
    }

    /// The Laplacian of the coordinates at a point: the weighted sum of its differences to its neighbors.
    fn laplacian(&self, points: &[[f64; 3]], point: usize) -> [f64; 3] {
        let here = points[point];
        self.around(point).fold([0.0; 3], |sum, (to, weight)| [0, 1, 2].map(|axis| sum[axis] + weight * (here[axis] - points[to][axis])))
    }
}

/// A polynomial of the Laplacian, as a sum of Chebyshev polynomials.
struct Filter {
    coefficients: Vec<f64>,
    largest_eigenvalue: f64,
}

impl Filter {
    /// The filter that lets eigenvalues below `cut_off` pass, both in 1/mm²; `None` if all of them do.
    fn below(cut_off: f64, largest_eigenvalue: f64) -> Option<Self> {
        if cut_off >= largest_eigenvalue {
            return None;
        }
        let angle = (1.0 - 2.0 * cut_off / largest_eigenvalue).acos().max(DEGREE_TIMES_ANGLE / MAX_DEGREE as f64);
        let degree = (DEGREE_TIMES_ANGLE / angle).ceil();
        let mut coefficients: Vec<f64> = (0..=degree as usize)
            .map(|n| {
                let n = n as f64;
                let step = if n == 0.0 { angle / PI } else { 2.0 * (n * angle).sin() / (n * PI) };
                // Hamming's window.
                step * (0.54 + 0.46 * (n * PI / (degree + 1.0)).cos())
            })
            .collect();
        // What does not change along the surface passes as it is: the series of a constant is the sum of its coefficients.
        let sum: f64 = coefficients.iter().sum();
        for coefficient in &mut coefficients {
            *coefficient /= sum;
        }
        Some(Filter { coefficients, largest_eigenvalue })
    }

    fn apply(&self, graph: &Graph, points: &mut [[f64; 3]]) -> Result<()> {
        let copy = |points: &[[f64; 3]]| -> Result<Vec<[f64; 3]>> {
            let mut copy = Vec::new();
            try_reserve(&mut copy, points.len(), "the points of a surface")?;
            copy.extend_from_slice(points);
            Ok(copy)
        };
        // T₀ is the identity and T₁ maps the eigenvalues to −1 … 1, 0 to 1; Tₙ₊₁ = 2·T₁·Tₙ − Tₙ₋₁.
        let scale = 2.0 / self.largest_eigenvalue;
        let first = |points: &[[f64; 3]], at: usize| {
            let laplacian = graph.laplacian(points, at);
            [0, 1, 2].map(|axis| points[at][axis] - scale * laplacian[axis])
        };
        let mut coefficients = self.coefficients.iter();
        let (mut before, mut last) = (copy(points)?, copy(points)?);
        for (at, last) in last.iter_mut().enumerate() {
            *last = first(&before, at);
        }
        let constant = coefficients.next().copied().unwrap_or(1.0);
        let linear = coefficients.next().copied().unwrap_or(0.0);
        for (point, last) in points.iter_mut().zip(&last) {
            *point = [0, 1, 2].map(|axis| constant * point[axis] + linear * last[axis]);
        }
        for &coefficient in coefficients {
            for (at, (before, point)) in before.iter_mut().zip(points.iter_mut()).enumerate() {
                let next = first(&last, at);
                for axis in 0..3 {
                    before[axis] = 2.0 * next[axis] - before[axis];
                    point[axis] += coefficient * before[axis];
                }
            }
            std::mem::swap(&mut before, &mut last);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the filter makes of an eigenvalue.
    fn response(filter: &Filter, eigenvalue: f64) -> f64 {
        let angle = (1.0 - 2.0 * eigenvalue / filter.largest_eigenvalue).acos();
        filter.coefficients.iter().enumerate().map(|(n, c)| c * (n as f64 * angle).cos()).sum()
    }

    #[test]
    fn coarse_passes_and_fine_does_not() {
        for cut_off in [0.05, 0.5, 3.0] {
            let filter = Filter::below(cut_off, 12.0).unwrap();
            assert!((response(&filter, 0.0) - 1.0).abs() < 1e-12);
            assert!((response(&filter, cut_off / 10.0) - 1.0).abs() < 0.02);
            assert!((response(&filter, cut_off) - 0.5).abs() < 0.1, "{}", response(&filter, cut_off));
            let steps = (0..1000).map(|at| f64::from(at) / 1000.0 * 12.0);
            assert!(steps.filter(|&e| e > 2.5 * cut_off).all(|eigenvalue| response(&filter, eigenvalue).abs() < 0.01));
        }
        assert!(Filter::below(12.0, 12.0).is_none());
    }

    #[test]
    fn a_point_stays_in_its_cell_and_on_its_side() {
        assert_eq!(confined([3.2, -9.0, 9.0], [3.0; 3], [0, 0, 0]), [3.2, 3.0 - REACH, 3.0 + REACH]);
        assert_eq!(confined([3.2, 3.2, 3.2], [3.0; 3], [1, -1, 0]), [3.2, 3.0 - GAP, 3.2]);
    }
}
