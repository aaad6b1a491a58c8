//! One collapse: an edge becomes a point. Where the point goes, what that costs, and how far the surface moves by it.

use super::Growing;
use super::mesh::Mesh;
use super::view::View;
use crate::error::Result;
use crate::geometry::{cross, dot, norm};

pub(super) type Vector = [f64; 3];

/// The least angle between a new triangle and the direction in which it is compared with the old ones: its sine.
const STEEPEST: f64 = 0.2;

/// The least quality of a new triangle, 1 for an equilateral one, unless an old one was worse.
const LEAST_QUALITY: f64 = 0.1;

/// How much a point is drawn to the middle of its edge where the surface does not say where to go along it.
const PULL: f64 = 1e-3;

/// An edge and the triangles around its two ends, in coordinates from its middle. It is filled again and again.
#[derive(Debug, Default)]
pub(super) struct Patch {
    middle: Vector,
    /// The ends of the edge: the inner points of the patch.
    inner: [Vector; 2],
    /// The triangles around either end, those around both once.
    triangles: Vec<OldTriangle>,
    /// The edges of the triangles around both ends that are inside of the patch.
    spokes: Vec<[Vector; 2]>,
    /// The border of the patch: from point to point, in the direction of the triangles.
    border: Vec<[Vector; 2]>,
    /// The neighbors of the first end.
    neighbors: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct OldTriangle {
    number: u32,
    corners: [Vector; 3],
}

/// Where the merged point goes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Place {
    /// From the middle of the edge.
    offset: Vector,
    /// What the collapse costs: squared distances from the planes of the triangles, weighed by their areas.
    pub cost: f64,
}

impl Patch {
    /// Fills the patch with what is around an edge. `false`: merging its ends would make the mesh another one than a closed
    /// 2-manifold of the same genus (the link condition).
    pub fn fill(&mut self, mesh: &Mesh, ends: [u32; 2]) -> Result<bool> {
        const WHAT: &str = "the neighborhood of an edge";
        let [gone, kept] = ends;
        let (a, b) = (mesh.points[gone as usize], mesh.points[kept as usize]);
        let middle = [0, 1, 2].map(|axis| (a[axis] + b[axis]) / 2.0);
        let place = |point: u32| subtract(mesh.points[point as usize], middle);
        self.middle = middle;
        self.inner = ends.map(place);
        self.triangles.clear();
        self.spokes.clear();
        self.border.clear();
        self.neighbors.clear();
        for wing in mesh.wings(gone) {
            self.neighbors.grow(wing.after, WHAT)?;
        }
        let (mut common, mut degree) = (0, 0);
        for wing in mesh.wings(kept) {
            degree += 1;
            common += usize::from(self.neighbors.contains(&wing.after));
        }
        // Two points that the edge's triangles have; and not the last four triangles of a piece.
        if common != 2 || (degree == 3 && self.neighbors.len() == 3) {
            return Ok(false);
        }
        for (at, end) in ends.into_iter().enumerate() {
            let other = ends[1 - at];
            for wing in mesh.wings(end) {
                let shared = wing.after == other || wing.before == other;
                if at == 0 || !shared {
                    let corners = [end, wing.after, wing.before].map(place);
                    self.triangles.grow(OldTriangle { number: wing.triangle, corners }, WHAT)?;
                }
                if !shared {
                    self.border.grow([place(wing.after), place(wing.before)], WHAT)?;
                }
                if wing.after != other || at == 0 {
                    self.spokes.grow([place(end), place(wing.after)], WHAT)?;
                }
            }
        }
        Ok(true)
    }

    /// The numbers of the triangles around either end.
    pub fn triangles(&self) -> impl Iterator<Item = u32> {
        self.triangles.iter().map(|triangle| triangle.number)
    }

    /// Where the merged point costs least among the places where the volume stays what it is (P. Lindstrom and G. Turk,
    /// *Fast and Memory Efficient Polygonal Simplification*, IEEE Visualization 1998). `None` where that is no place: on a
    /// patch without an outside.
    pub fn place(&self) -> Option<Place> {
        let (mut quadric, mut linear, mut constant) = ([[0.0; 3]; 3], [0.0; 3], 0.0);
        // Of the fan around the point p, six volumes are p · direction.
        let (mut direction, mut six_volumes, mut trace) = ([0.0; 3], 0.0, 0.0);
        for OldTriangle { corners: [a, b, c], .. } in &self.triangles {
            let normal = cross(subtract(*b, *a), subtract(*c, *a));
            let length = norm(normal);
            direction = add(direction, normal);
            six_volumes += dot(*a, cross(*b, *c));
            if length > 0.0 {
                let distance = dot(normal, *a) / length;
                for (row, &value) in quadric.iter_mut().zip(&normal) {
                    *row = [0, 1, 2].map(|axis| row[axis] + value * normal[axis] / length);
                }
                linear = [0, 1, 2].map(|axis| linear[axis] + normal[axis] * distance);
                constant += length * distance * distance;
                trace += length;
            }
        }
        for (axis, row) in quadric.iter_mut().enumerate() {
            row[axis] += PULL * trace;
        }
        let inverse = inverse_of_symmetric(quadric)?;
        let times = |vector: Vector| inverse.map(|row| dot(row, vector));
        let (free, along) = (times(linear), times(direction));
        let response = dot(direction, along);
        let offset = [0, 1, 2].map(|axis| free[axis] + along[axis] * (six_volumes - dot(direction, free)) / response);
        let cost = dot(offset, quadric.map(|row| dot(row, offset))) - 2.0 * dot(linear, offset) + constant;
        (offset.iter().all(|value| value.is_finite()) && cost.is_finite()).then_some(Place { offset, cost: cost.max(0.0) })
    }

    /// The merged point's place in the mesh's coordinates.
    pub fn point(&self, place: Place) -> Vector {
        add(self.middle, place.offset)
    }

    /// How far, at most, a point of the patch moves when the point goes there, and a point of the new triangles comes from.
    /// `None` if that is not known, because the old or the new triangles hide each other seen along the patch's normal, or if
    /// a new triangle is too steep or too thin.
    ///
    /// Seen along one direction, old and new triangles fill the same polygon. Between them, the distance along that direction
    /// is linear over every piece of their overlay, so that it is largest at a corner of a piece: at an inner point of either,
    /// or where an inner edge of one crosses one of the other.
    pub fn deviation(&self, place: Place) -> Option<f64> {
        let point = place.offset;
        let direction = self.triangles.iter().fold([0.0; 3], |sum, triangle| add(sum, normal_of(triangle.corners)));
        let view = View::along(direction)?;
        let mut worst = LEAST_QUALITY;
        for triangle in &self.triangles {
            if view.area(triangle.corners) <= 0.0 {
                return None;
            }
            worst = worst.min(quality(triangle.corners));
        }
        let mut turns = 0;
        for &[a, b] in &self.border {
            let corners = [point, a, b];
            let area = view.area(corners);
            if area.is_nan() || area <= STEEPEST * norm(normal_of(corners)) || quality(corners) < worst {
                return None;
            }
            // How often the border goes around the point: it crosses a ray from it upward so many times.
            let above = |end: Vector| view.flat(subtract(end, point))[1] > 0.0;
            turns += usize::from(!above(a) && above(b));
        }
        if turns != 1 {
            return None;
        }
        let fan = || self.border.iter().map(|&[a, b]| [point, a, b]);
        let old = || self.triangles.iter().map(|triangle| triangle.corners);
        let mut deviation = view.height_difference(point, old())?;
        for end in self.inner {
            deviation = deviation.max(view.height_difference(end, fan())?);
        }
        for spoke in &self.spokes {
            for &[end, _] in &self.border {
                deviation = deviation.max(view.height_at_crossing(*spoke, [point, end]));
            }
        }
        Some(deviation)
    }
}

/// The shape of a triangle: its area by that of an equilateral one whose edges have the same mean square.
fn quality(corners: [Vector; 3]) -> f64 {
    let [a, b, c] = corners;
    let squares: f64 = [subtract(b, a), subtract(c, b), subtract(a, c)].map(|edge| dot(edge, edge)).iter().sum();
    norm(normal_of(corners)) * 2.0 * 3f64.sqrt() / squares
}

/// Perpendicular to a triangle, twice as long as its area.
pub(super) fn normal_of([a, b, c]: [Vector; 3]) -> Vector {
    cross(subtract(b, a), subtract(c, a))
}

/// The inverse of a symmetric matrix; `None` if it is singular.
fn inverse_of_symmetric([x, y, z]: [Vector; 3]) -> Option<[Vector; 3]> {
    let adjugate = [cross(y, z), cross(z, x), cross(x, y)];
    let determinant = dot(x, adjugate[0]);
    (determinant > 0.0 && determinant.is_finite()).then(|| adjugate.map(|row| row.map(|value| value / determinant)))
}

fn add(a: Vector, b: Vector) -> Vector {
    [0, 1, 2].map(|axis| a[axis] + b[axis])
}

fn subtract(a: Vector, b: Vector) -> Vector {
    [0, 1, 2].map(|axis| a[axis] - b[axis])
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of 4 × 4 steps with a given height in the middle, closed far below.
    fn field(height: f64) -> Mesh {
        let number = |i: u32, j: u32| 5 * j + i;
        let mut points: Vec<Vector> = (0..5).flat_map(|j| (0..5).map(move |i| [f64::from(i), f64::from(j), 0.0])).collect();
        points[12][2] = height;
        points.push([2.0, 2.0, -9.0]);
        let squares = (0..4).flat_map(|j| (0..4).map(move |i| [number(i, j), number(i + 1, j), number(i + 1, j + 1), number(i, j + 1)]));
        let mut triangles: Vec<[u32; 3]> = squares.flat_map(|[a, b, c, d]| [[a, b, c], [a, c, d]]).collect();
        for at in 0..4 {
            triangles.push([number(at + 1, 0), number(at, 0), 25]);
            triangles.push([number(4, at + 1), number(4, at), 25]);
            triangles.push([number(at, 4), number(at + 1, 4), 25]);
            triangles.push([number(0, at), number(0, at + 1), 25]);
        }
        Mesh::new(points, triangles).unwrap()
    }

    #[test]
    fn an_edge_in_a_plane_costs_nothing_and_moves_nothing() {
        let mut patch = Patch::default();
        assert!(patch.fill(&field(0.0), [11, 12]).unwrap());
        let place = patch.place().unwrap();
        assert!(place.cost < 0.01 && patch.deviation(place).unwrap() < 1e-12);
        let [x, y, z] = patch.point(place);
        assert!((x - 1.5).abs() < 1e-9 && (y - 2.0).abs() < 1e-9 && z.abs() < 1e-9);
    }

    #[test]
    fn the_volume_under_a_tip_stays_and_its_height_is_the_deviation() {
        let mut patch = Patch::default();
        assert!(patch.fill(&field(0.6), [11, 12]).unwrap());
        let place = patch.place().unwrap();
        let point = patch.point(place);
        // Six volumes under the tip: its height by twice the area of the six triangles around it; likewise for the ten edges
        // of the border around both ends.
        let old = 0.6 * 6.0;
        let new: f64 = patch.border.iter().map(|&[a, b]| dot(place.offset, cross(a, b)) - dot(patch.inner[0], cross(a, b))).sum();
        assert!((new - old).abs() < 1e-9, "{new}");
        assert!(point[2] < 0.6 && patch.deviation(place).unwrap() >= 0.6 - point[2]);
    }

    #[test]
    fn an_edge_whose_collapse_would_pinch_the_surface_is_refused() {
        let points = vec![[0.0; 3], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]];
        let tetrahedron = Mesh::new(points, vec![[0, 2, 1], [0, 1, 3], [0, 3, 2], [1, 2, 3]]).unwrap();
        assert!(!Patch::default().fill(&tetrahedron, [0, 1]).unwrap());
    }
}
