//! Smoothing: a low-pass filter over the net, after which every point is put back into its own cell.
//!
//! The filter is a windowed sinc of the net's Laplacian as a series of Chebyshev polynomials (G. Taubin, T. Zhang and
//! G. Golub, *Optimal Surface Smoothing as Filter Design*, ECCV 1996): unlike repeated averaging, it leaves what is coarser
//! than its cut-off where it is, so that a nerve does not grow thin. The Laplacian is that of the voxels' faces in millimeters:
//! a ripple of so many millimeters is the same in thick slices as in thin ones.

use std::f64::consts::PI;

use super::net::Net;
use crate::error::{Result, try_reserve, try_vec};
use crate::geometry::{Affine, cross, dot, norm};

/// How far a point may be from its cell's center along an axis, in voxels. A little less than the half, so that points of
/// two cells never meet.
const REACH: f64 = 0.49;

/// How far points of one cell stay from its center along an axis that separates them, in voxels. It lets files that store
/// 32 bits tell them apart, and takes less than 1 % from a voxel that touches others only at its edges and corners.
const GAP: f64 = 0.001;

/// How often a point is put onto its cell and the surface by turns.
const TURNS: usize = 8;

/// The highest degree of the filter. It is reached where `smoothing_mm` is about 7 times the shortest edge of a voxel. A
/// coarser filter would smooth no more: the points are at the ends of their cells.
const MAX_DEGREE: usize = 100;

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
            slide_into_cells(net, &mut points)?;
        }
    }
    for ((point, &center), &sides) in points.iter_mut().zip(&net.centers).zip(&net.sides) {
        *point = confined(*point, center, sides);
    }
    Ok(points)
}

/// Moves points that the filter has carried out of their cells back along the smooth surface: to a place of the cell on the
/// plane that touches the surface at the point, if there is one. The nearest place of the cell would often lie beside the
/// surface, for the filter also spaces points evenly along it, over more than a voxel where slices are thick.
fn slide_into_cells(net: &Net, points: &mut [[f64; 3]]) -> Result<()> {
    let mut normals = try_vec([0.0; 3], points.len(), "the normals of a surface")?;
    for quad in &net.quads {
        let [a, b, c, d] = quad.map(|point| points[point as usize]);
        let normal = cross([0, 1, 2].map(|axis| c[axis] - a[axis]), [0, 1, 2].map(|axis| d[axis] - b[axis]));
        for &point in quad {
            normals[point as usize] = [0, 1, 2].map(|axis| normals[point as usize][axis] + normal[axis]);
        }
    }
    for (at, point) in points.iter_mut().enumerate() {
        let (normal, touching) = (normals[at], *point);
        let square = dot(normal, normal);
        // Onto the cell and onto the plane by turns: the two are convex, so this leads to where they meet.
        for _ in 0..TURNS {
            *point = confined(*point, net.centers[at], net.sides[at]);
            let above = dot(normal, [0, 1, 2].map(|axis| point[axis] - touching[axis]));
            if square > 0.0 {
                *point = [0, 1, 2].map(|axis| point[axis] - above / square * normal[axis]);
            }
        }
    }
    Ok(())
}

/// The Laplacian of the net as one matrix: the voxels' faces are rectangles, on which conductance and area are those of
/// finite volumes. On a face of sides p and q, half of q/p conducts along either side p, and a quarter of p·q belongs to each
/// corner.
struct Graph {
    /// Where the neighbors of every point start in `neighbors`, and at last their number.
    starts: Vec<usize>,
    neighbors: Vec<u32>,
    /// What the edge to each neighbor conducts, per area of the point, 1/mm².
    weights: Vec<f64>,
}

impl Graph {
    fn of(net: &Net, ijk_to_world: &Affine) -> Result<Self> {
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
