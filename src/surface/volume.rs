//! The volume that closed surfaces enclose, and how smoothing gives it back.
//!
//! A label can have several surfaces: one around every piece, one around every cavity, whose volume is negative. Each of them
//! keeps its own volume, or small pieces would shrink and large ones grow.

use super::net::Net;
use super::smooth::confined;
use crate::error::{Result, try_vec};
use crate::geometry::{Affine, cross, dot, norm};

/// How far the volume of a surface may be from that of its voxels, relatively, before it is corrected.
const TOLERANCE: f64 = 1e-3;

/// Steps along the normals. Two suffice unless points have reached the end of their cells.
const MAX_STEPS: usize = 12;

/// Bisections on the way back to the corners of the voxels.
const BISECTIONS: usize = 24;

/// Six times the volume under a triangle, seen from the origin.
fn six_volumes([a, b, c]: [[f64; 3]; 3]) -> f64 {
    dot(a, cross(b, c))
}

/// The volume that triangles enclose, negative if they look inward. `points` in any units.
pub(super) fn enclosed(points: &[[f64; 3]], triangles: &[[u32; 3]]) -> f64 {
    // From a point of the surface, not from the origin: which may be far away, and then digits cancel.
    let Some(&origin) = triangles.first().and_then(|t| points.get(t[0] as usize)) else { return 0.0 };
    let corner = |point: u32| {
        let point = points[point as usize];
        [0, 1, 2].map(|axis| point[axis] - origin[axis])
    };
    triangles.iter().map(|&triangle| six_volumes(triangle.map(corner))).sum::<f64>() / 6.0
}

/// The surfaces of a net: which point belongs to which.
struct Pieces {
    /// Of every point.
    of_point: Vec<u32>,
    count: usize,
}

impl Pieces {
    fn of_net(net: &Net) -> Result<Self> {
        // Each point's parent in a tree whose root has the smallest number.
        let mut parents = try_vec(0u32, net.centers.len(), "the pieces of a surface")?;
        for (at, parent) in parents.iter_mut().enumerate() {
            *parent = at as u32;
        }
        fn root(parents: &mut [u32], mut at: u32) -> u32 {
            while parents[at as usize] != at {
                parents[at as usize] = parents[parents[at as usize] as usize];
                at = parents[at as usize];
            }
            at
        }
        for quad in &net.quads {
            for at in 1..4 {
                let (a, b) = (root(&mut parents, quad[0]), root(&mut parents, quad[at]));
                parents[a.max(b) as usize] = a.min(b);
            }
        }
        let mut of_point = try_vec(0u32, parents.len(), "the pieces of a surface")?;
        let mut count = 0;
        for at in 0..parents.len() {
            // A root has the smallest number of its tree: it has been numbered when the others ask.
            let root = root(&mut parents, at as u32) as usize;
            of_point[at] = if root == at { count } else { of_point[root] };
            count += u32::from(root == at);
        }
        Ok(Pieces { of_point, count: count as usize })
    }

    fn of(&self, point: u32) -> usize {
        self.of_point[point as usize] as usize
    }

    /// The volume in every piece, of points that are known by their number.
    fn volumes(&self, triangles: &[[u32; 3]], place: impl Fn(u32) -> [f64; 3]) -> Result<Vec<f64>> {
        let mut volumes = try_vec(0.0, self.count, "the pieces of a surface")?;
        for triangle in triangles {
            volumes[self.of(triangle[0])] += six_volumes(triangle.map(&place)) / 6.0;
        }
        Ok(volumes)
    }
}

/// Moves the points of a net, within their cells, until every piece encloses the volume of its voxels. Points, net and
/// volumes are in voxels; the points move along the normals of the surface in the world.
///
/// What remains is less than [`TOLERANCE`], and less than 1 % of a piece most of whose points share their cells with others.
///
/// # Errors
/// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
pub(super) fn restore(net: &Net, triangles: &[[u32; 3]], ijk_to_world: &Affine, points: &mut [[f64; 3]]) -> Result<()> {
    let pieces = Pieces::of_net(net)?;
    let targets = pieces.volumes(triangles, |point| net.centers[point as usize])?;
    let is_off = |piece: usize, volumes: &[f64]| (volumes[piece] - targets[piece]).abs() > TOLERANCE * targets[piece].abs();
    for _ in 0..MAX_STEPS {
        let volumes = pieces.volumes(triangles, |point| points[point as usize])?;
        if !(0..pieces.count).any(|piece| is_off(piece, &volumes)) {
            return Ok(());
        }
        let missing = |piece: usize| if is_off(piece, &volumes) { targets[piece] - volumes[piece] } else { 0.0 };
        step(net, &pieces, triangles, ijk_to_world, points, missing)?;
    }
    go_back(net, &pieces, triangles, &targets, points)
}

/// Moves every piece along its normals by what its missing volume asks for.
fn step(
    net: &Net,
    pieces: &Pieces,
    triangles: &[[u32; 3]],
    ijk_to_world: &Affine,
    points: &mut [[f64; 3]],
    missing: impl Fn(usize) -> f64,
) -> Result<()> {
    // By how much the volume grows when a point moves, as a vector: a sixth of the sum of the triangles' normals around it.
    let mut growth = try_vec([0.0; 3], points.len(), "the normals of a surface")?;
    for triangle in triangles {
        let [a, b, c] = triangle.map(|point| points[point as usize]);
        let normal = cross(difference(b, a), difference(c, a));
        for &point in triangle {
            growth[point as usize] = [0, 1, 2].map(|axis| growth[point as usize][axis] + normal[axis] / 6.0);
        }
    }
    let inverse = ijk_to_world.inverse()?;
    let rows = [0, 1, 2].map(|row: usize| [0, 1, 2].map(|column: usize| inverse.0[4 * row + column]));
    // A step of 1 mm along the normal in the world, in voxels: normals map by the transposed inverse.
    let along_normal = |growth: [f64; 3]| {
        let normal = [0, 1, 2].map(|axis| (0..3).map(|row| rows[row][axis] * growth[row]).sum::<f64>());
        let length = norm(normal);
        if length > 0.0 { rows.map(|row| dot(row, normal) / length) } else { [0.0; 3] }
    };
    let moved = |at: usize, point: [f64; 3], mm: f64| {
        let along = along_normal(growth[at]);
        confined([0, 1, 2].map(|axis| point[axis] + mm * along[axis]), net.centers[at], net.sides[at])
    };
    // How much volume a millimeter brings, of the points that can move that way.
    const PROBE: f64 = 1e-4;
    let mut rates = try_vec(0.0, pieces.count, "the pieces of a surface")?;
    for (at, &point) in points.iter().enumerate() {
        let piece = pieces.of(at as u32);
        let probe = PROBE.copysign(missing(piece));
        rates[piece] += dot(difference(moved(at, point, probe), point), growth[at]) / probe;
    }
    for (at, point) in points.iter_mut().enumerate() {
        let piece = pieces.of(at as u32);
        let (missing, rate) = (missing(piece), rates[piece]);
        if missing != 0.0 && rate > 0.0 {
            *point = moved(at, *point, missing / rate);
        }
    }
    Ok(())
}

/// Takes pieces that are still off as far back towards the corners of their voxels as it takes: there, they enclose the
/// right volume, but for the gaps between points of one cell.
fn go_back(net: &Net, pieces: &Pieces, triangles: &[[u32; 3]], targets: &[f64], points: &mut [[f64; 3]]) -> Result<()> {
    let volumes = pieces.volumes(triangles, |point| points[point as usize])?;
    let tolerance = |piece: usize| TOLERANCE * targets[piece].abs();
    // For every piece, between which shares of the way back the volume is right. Others do not move.
    let mut shares = try_vec([0.0, 0.0], pieces.count, "the pieces of a surface")?;
    for (piece, share) in shares.iter_mut().enumerate() {
        if (volumes[piece] - targets[piece]).abs() > tolerance(piece) {
            share[1] = 1.0;
        }
    }
    let back = |at: usize, point: [f64; 3], share: f64| {
        let corner = confined(net.centers[at], net.centers[at], net.sides[at]);
        [0, 1, 2].map(|axis| point[axis] + share * (corner[axis] - point[axis]))
    };
    for _ in 0..BISECTIONS {
        let middle = |piece: usize| (shares[piece][0] + shares[piece][1]) / 2.0;
        let now = pieces.volumes(triangles, |point| back(point as usize, points[point as usize], middle(pieces.of(point))))?;
        for (piece, share) in shares.iter_mut().enumerate().filter(|(_, share)| share[0] < share[1]) {
            let middle = (share[0] + share[1]) / 2.0;
            let (before, after) = (volumes[piece] - targets[piece], now[piece] - targets[piece]);
            if after.abs() <= tolerance(piece) {
                *share = [middle; 2];
            } else if (after > 0.0) == (before > 0.0) {
                share[0] = middle;
            } else {
                share[1] = middle;
            }
        }
    }
    for (at, point) in points.iter_mut().enumerate() {
        *point = back(at, *point, shares[pieces.of(at as u32)][1]);
    }
    Ok(())
}

fn difference(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [0, 1, 2].map(|axis| a[axis] - b[axis])
}
