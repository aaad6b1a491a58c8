//! A low-pass filter over a net: a windowed sinc of its Laplacian, as a series of Chebyshev polynomials (G. Taubin, T. Zhang
//! and G. Golub, *Optimal Surface Smoothing as Filter Design*, ECCV 1996).
//!
//! Unlike repeated averaging, it leaves what is coarser than its cut-off where it is. The Laplacian is that of the voxels'
//! faces in millimeters: a ripple of so many millimeters is the same in thick slices as in thin ones.

use std::f64::consts::PI;

use super::copy_of;
use super::net::Net;
use crate::error::{Result, try_vec};
use crate::geometry::{Affine, norm};

/// The highest degree of the filter. It is reached where `smoothing_mm` is about 9 times the shortest edge of a voxel. A
/// coarser filter would smooth no more: the points are at the ends of their cells.
const MAX_DEGREE: usize = 100;

/// The transition of the filter, from 1 to 0, takes from half its cut-off (as an angle) to one and a half times that.
const DEGREE_TIMES_ANGLE: f64 = 4.0 * PI;

/// The Laplacian of the net as one matrix: the voxels' faces are rectangles, on which conductance and area are those of
/// finite volumes. On a face of sides p and q, half of q/p conducts along either side p, and a quarter of p·q belongs to each
/// corner.
pub(super) struct Graph {
    /// Where the neighbors of every point start in `neighbors`, and at last their number.
    starts: Vec<usize>,
    neighbors: Vec<u32>,
    /// What the edge to each neighbor conducts, per area of the point, 1/mm².
    weights: Vec<f64>,
}

impl Graph {
    pub fn of(net: &Net, ijk_to_world: &Affine) -> Result<Self> {
        const WHAT: &str = "the edges of a surface";
        let lengths = [0, 1, 2].map(|axis| norm(ijk_to_world.column(axis)));
        // Around a quadrilateral, every edge of a closed oriented net is met once in either direction.
        let mut starts = try_vec(0usize, net.centers.len() + 1, WHAT)?;
        for &point in net.quads.iter().flatten() {
            starts[point as usize + 1] += 1;
        }
        for at in 1..starts.len() {
            starts[at] += starts[at - 1];
        }
        // A point has as many neighbors as quadrilaterals: the next corner of each.
        let mut neighbors = try_vec(u32::MAX, net.quads.len() * 4, WHAT)?;
        let mut weights = try_vec(0.0, net.quads.len() * 4, WHAT)?;
        let mut areas = try_vec(0.0, net.centers.len(), WHAT)?;
        for quad in &net.quads {
            for at in 0..4 {
                let [before, point, after] = [at + 3, at, at + 1].map(|at| quad[at % 4]);
                let length = |to: u32| {
                    let (here, there) = (net.centers[point as usize], net.centers[to as usize]);
                    (0..3).find(|&axis| here[axis] != there[axis]).map_or(1.0, |axis| lengths[axis])
                };
                let (p, q) = (length(before), length(after));
                areas[point as usize] += p * q / 4.0;
                let range = starts[point as usize]..starts[point as usize + 1];
                for (neighbor, conductance) in [(before, q / p / 2.0), (after, p / q / 2.0)] {
                    let slot = neighbors[range.clone()].iter().position(|&known| known == neighbor || known == u32::MAX);
                    let slot = range.start + slot.unwrap_or(0);
                    neighbors[slot] = neighbor;
                    weights[slot] += conductance;
                }
            }
        }
        for (point, area) in areas.iter().enumerate() {
            for weight in &mut weights[starts[point]..starts[point + 1]] {
                *weight /= area;
            }
        }
        Ok(Graph { starts, neighbors, weights })
    }

    /// The neighbors of a point, with the weights of the edges to them.
    fn around(&self, point: usize) -> impl Iterator<Item = (usize, f64)> {
        let range = self.starts[point]..self.starts[point + 1];
        self.neighbors[range.clone()].iter().zip(&self.weights[range]).map(|(&to, &weight)| (to as usize, weight))
    }

    /// A bound of the Laplacian's eigenvalues (Gershgorin), 1/mm².
    fn largest_eigenvalue(&self) -> f64 {
        (0..self.starts.len() - 1).map(|point| 2.0 * self.around(point).map(|(_, weight)| weight).sum::<f64>()).fold(0.0, f64::max)
    }

    /// The Laplacian at a point: the weighted sum of differences to its neighbors.
    fn laplacian<const N: usize>(&self, values: &[[f64; N]], point: usize) -> [f64; N] {
        let here = values[point];
        self.around(point).fold([0.0; N], |sum, (to, weight)| {
            let there = values[to];
            std::array::from_fn(|at| sum[at] + weight * (here[at] - there[at]))
        })
    }
}

/// A polynomial of the Laplacian, as a sum of Chebyshev polynomials.
pub(super) struct Filter {
    /// Of T₀, T₁ …; 0 beyond the degree.
    coefficients: [f64; MAX_DEGREE + 1],
    degree: usize,
    largest_eigenvalue: f64,
}

impl Filter {
    /// The filter that takes features of less than about `feature_mm` away; `None` if there are none.
    pub fn finer_than(feature_mm: f64, graph: &Graph) -> Option<Self> {
        Filter::below((PI / (2.0 * feature_mm)).powi(2), graph.largest_eigenvalue())
    }

    /// The filter that lets eigenvalues below `cut_off` pass, both in 1/mm²; `None` if all of them do.
    fn below(cut_off: f64, largest_eigenvalue: f64) -> Option<Self> {
        if cut_off >= largest_eigenvalue {
            return None;
        }
        let angle = (1.0 - 2.0 * cut_off / largest_eigenvalue).acos().max(DEGREE_TIMES_ANGLE / MAX_DEGREE as f64);
        let degree = (DEGREE_TIMES_ANGLE / angle).ceil().min(MAX_DEGREE as f64);
        let mut coefficients = [0.0; MAX_DEGREE + 1];
        for (at, coefficient) in coefficients.iter_mut().enumerate().take(degree as usize + 1) {
            let n = at as f64;
            let step = if at == 0 { angle / PI } else { 2.0 * (n * angle).sin() / (n * PI) };
            // Hamming's window.
            *coefficient = step * (0.54 + 0.46 * (n * PI / (degree + 1.0)).cos());
        }
        // What does not change along the surface passes as it is: the series of a constant is the sum of its coefficients.
        let sum: f64 = coefficients.iter().sum();
        for coefficient in &mut coefficients {
            *coefficient /= sum;
        }
        Some(Filter { coefficients, degree: degree as usize, largest_eigenvalue })
    }

    /// Filters values at the points.
    pub fn apply<const N: usize>(&self, graph: &Graph, values: &mut [[f64; N]]) -> Result<()> {
        // T₀ is the identity and T₁ maps the eigenvalues to 1 (at 0) … −1; Tₙ₊₁ = 2·T₁·Tₙ − Tₙ₋₁.
        let scale = 2.0 / self.largest_eigenvalue;
        let first = |values: &[[f64; N]], at: usize| -> [f64; N] {
            let (here, laplacian) = (values[at], graph.laplacian(values, at));
            std::array::from_fn(|axis| here[axis] - scale * laplacian[axis])
        };
        let (mut before, mut last) = (copy_of(values)?, copy_of(values)?);
        for (at, last) in last.iter_mut().enumerate() {
            *last = first(&before, at);
        }
        let mut coefficients = self.coefficients.iter().take(self.degree + 1);
        let constant = coefficients.next().copied().unwrap_or(1.0);
        let linear = coefficients.next().copied().unwrap_or(0.0);
        for (value, last) in values.iter_mut().zip(&last) {
            *value = std::array::from_fn(|axis| constant * value[axis] + linear * last[axis]);
        }
        for &coefficient in coefficients {
            for (at, (before, value)) in before.iter_mut().zip(values.iter_mut()).enumerate() {
                let next = first(&last, at);
                for axis in 0..N {
                    before[axis] = 2.0 * next[axis] - before[axis];
                    value[axis] += coefficient * before[axis];
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
}
