//! Smoothing: a low-pass filter over the net; then thin structures get their thickness back, and every point is put back
//! into its own cell.

use super::copy_of;
use super::filter::{Filter, Graph};
use super::net::Net;
use crate::error::{Result, try_vec};
use crate::geometry::{Affine, cross, dot, norm};

/// How far a point may be from its cell's center along an axis, in voxels. A little less than the half, so that points of
/// two cells never meet.
const REACH: f64 = 0.49;

/// How far points of one cell stay from its center along an axis that separates them, in voxels. It lets files that store
/// 32 bits tell them apart, and takes less than 1 % from a voxel that touches others only at its edges and corners.
const GAP: f64 = 0.001;

/// What light smoothing takes off, in shortest edges of a voxel: the steps, and no more.
const LIGHT: f64 = 1.4;

/// How often the surface is searched for folds.
const UNFOLDINGS: usize = 6;

/// How often a point is put onto its cell and the surface by turns.
const TURNS: usize = 8;

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
    let mut points = copy_of(&net.centers)?;
    if smoothing_mm > 0.0 {
        let graph = Graph::of(net, ijk_to_world)?;
        let shortest = [0, 1, 2].map(|axis| norm(ijk_to_world.column(axis))).into_iter().fold(f64::INFINITY, f64::min);
        let filters = [smoothing_mm, smoothing_mm.min(LIGHT * shortest)].map(|feature_mm| Filter::finer_than(feature_mm, &graph));
        if let [Some(filter), Some(light)] = filters {
            let mut lightly = copy_of(&net.centers)?;
            light.apply(&graph, &mut lightly)?;
            let normals = normals_of(net, &lightly)?;
            filter.apply(&graph, &mut points)?;
            thicken(net, &graph, &filter, &normals, &mut points)?;
            slide_into_cells(net, &mut points)?;
            slide_into_cells(net, &mut lightly)?;
            unfold(net, &normals, &lightly, &mut points)?;
        }
    }
    for ((point, &center), &sides) in points.iter_mut().zip(&net.centers).zip(&net.sides) {
        *point = confined(*point, center, sides);
    }
    Ok(points)
}

/// Gives structures back the thickness that the filter took: one that is thinner than the cut-off is drawn towards its middle.
///
/// The filter moves steps and bumps to and fro along the normals, but a thin structure to one side: what is left of that
/// movement when it is filtered in turn, as a number on the surface, is taken back. The normals are those of the lightly
/// smoothed surface, which are there in the thinnest structure.
fn thicken(net: &Net, graph: &Graph, filter: &Filter, normals: &[[f64; 3]], points: &mut [[f64; 3]]) -> Result<()> {
    let mut movements = try_vec([0.0], points.len(), "the points of a surface")?;
    for (at, [movement]) in movements.iter_mut().enumerate() {
        let length = norm(normals[at]);
        if length > 0.0 {
            *movement = dot(normals[at], difference(points[at], net.centers[at])) / length;
        }
    }
    filter.apply(graph, &mut movements)?;
    for ((point, &normal), [movement]) in points.iter_mut().zip(normals).zip(movements) {
        let length = norm(normal);
        if length > 0.0 {
            *point = [0, 1, 2].map(|axis| point[axis] - movement / length * normal[axis]);
        }
    }
    Ok(())
}

/// Where the surface has been folded, because a structure is small for so much smoothing, it is smoothed lightly only.
fn unfold(net: &Net, normals: &[[f64; 3]], lightly: &[[f64; 3]], points: &mut [[f64; 3]]) -> Result<()> {
    let mut near = try_vec(false, points.len(), "the points of a surface")?;
    for _ in 0..UNFOLDINGS {
        let mut folds = 0;
        let mut folded = try_vec(false, points.len(), "the points of a surface")?;
        for quad in &net.quads {
            let outward = quad.iter().fold([0.0; 3], |sum, &point| [0, 1, 2].map(|axis| sum[axis] + normals[point as usize][axis]));
            let [a, b, c, d] = quad.map(|point| points[point as usize]);
            let looks_inward = |[a, b, c]: [[f64; 3]; 3]| dot(cross(difference(b, a), difference(c, a)), outward) < 0.0;
            if [[a, b, c], [a, c, d], [b, c, d], [b, d, a]].into_iter().any(looks_inward) {
                folds += 1;
                quad.iter().for_each(|&point| folded[point as usize] = true);
            }
        }
        if folds == 0 {
            break;
        }
        // And the points around, so that what was folded fits in.
        for quad in net.quads.iter().filter(|quad| quad.iter().any(|&point| folded[point as usize])) {
            quad.iter().for_each(|&point| near[point as usize] = true);
        }
        for (at, point) in points.iter_mut().enumerate().filter(|&(at, _)| near[at]) {
            *point = lightly[at];
        }
    }
    Ok(())
}

fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis| a[axis] - b[axis])
}

/// A vector at every point that looks outward, perpendicular to the net.
fn normals_of(net: &Net, points: &[[f64; 3]]) -> Result<Vec<[f64; 3]>> {
    let mut normals = try_vec([0.0; 3], points.len(), "the normals of a surface")?;
    for quad in &net.quads {
        let [a, b, c, d] = quad.map(|point| points[point as usize]);
        let normal = cross(difference(c, a), difference(d, b));
        for &point in quad {
            normals[point as usize] = [0, 1, 2].map(|axis| normals[point as usize][axis] + normal[axis]);
        }
    }
    Ok(normals)
}

/// Moves points that the filter has carried out of their cells back along the smooth surface: to a place of the cell on the
/// plane that touches the surface at the point, if there is one. The nearest place of the cell would often lie beside the
/// surface, for the filter also spaces points evenly along it, over more than a voxel where slices are thick.
fn slide_into_cells(net: &Net, points: &mut [[f64; 3]]) -> Result<()> {
    let normals = normals_of(net, points)?;
    for (at, point) in points.iter_mut().enumerate() {
        let (normal, touching) = (normals[at], *point);
        let square = dot(normal, normal);
        // Onto the cell and onto the plane by turns: the two are convex, so this leads to where they meet.
        for _ in 0..TURNS {
            *point = confined(*point, net.centers[at], net.sides[at]);
            let above = dot(normal, difference(*point, touching));
            if square > 0.0 {
                *point = [0, 1, 2].map(|axis| point[axis] - above / square * normal[axis]);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_stays_in_its_cell_and_on_its_side() {
        assert_eq!(confined([3.2, -9.0, 9.0], [3.0; 3], [0, 0, 0]), [3.2, 3.0 - REACH, 3.0 + REACH]);
        assert_eq!(confined([3.2, 3.2, 3.2], [3.0; 3], [1, -1, 0]), [3.2, 3.0 - GAP, 3.2]);
    }
}
