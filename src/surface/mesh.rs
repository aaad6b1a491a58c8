//! Triangles whose edges can be collapsed: who is around a point, in memory that is taken once.

use super::count_as_u32;
use crate::error::{Result, try_reserve, try_vec};

/// No triangle, or no corner.
const GONE: u32 = u32::MAX;

type Points = Vec<[f64; 3]>;
type Triangles = Vec<[u32; 3]>;

/// A closed mesh that can lose edges. A corner is the place of a point in a triangle; the corners of a point form a list.
#[derive(Debug)]
pub(super) struct Mesh {
    pub points: Points,
    triangles: Triangles,
    /// How many triangles are left.
    count: usize,
    /// Of every point, one corner.
    first: Vec<u32>,
    /// Of every corner, another one of its point.
    next: Vec<u32>,
}

/// A triangle as one of its points sees it: its number, and the other two points in its order.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Wing {
    pub triangle: u32,
    pub after: u32,
    pub before: u32,
}

impl Mesh {
    pub fn new(points: Points, triangles: Triangles) -> Result<Self> {
        const WHAT: &str = "the corners of a surface";
        count_as_u32(triangles.len().saturating_mul(3))?;
        let mut first = try_vec(GONE, points.len(), WHAT)?;
        let mut next = try_vec(GONE, triangles.len() * 3, WHAT)?;
        for (corner, &point) in triangles.iter().flatten().enumerate() {
            next[corner] = first[point as usize];
            first[point as usize] = corner as u32;
        }
        Ok(Mesh { points, count: triangles.len(), triangles, first, next })
    }

    pub fn triangle_count(&self) -> usize {
        self.count
    }

    /// Whether the point has not been merged into another one.
    pub fn is_there(&self, point: u32) -> bool {
        self.first[point as usize] != GONE
    }

    /// The corners of a point.
    fn corners(&self, point: u32) -> impl Iterator<Item = u32> {
        let mut at = self.first[point as usize];
        std::iter::from_fn(move || {
            let corner = at;
            (corner != GONE).then(|| {
                at = self.next[corner as usize];
                corner
            })
        })
    }

    /// The triangles around a point.
    pub fn wings(&self, point: u32) -> impl Iterator<Item = Wing> {
        self.corners(point).map(|corner| {
            let (triangle, at) = (corner / 3, corner as usize % 3);
            let points = self.triangles[triangle as usize];
            Wing { triangle, after: points[(at + 1) % 3], before: points[(at + 2) % 3] }
        })
    }

    /// The edges, each once, in a fixed order.
    pub fn edges(&self) -> impl Iterator<Item = [u32; 2]> {
        // In a closed oriented mesh, every edge is met once in either direction.
        self.triangles.iter().flat_map(|&[a, b, c]| [[a, b], [b, c], [c, a]]).filter(|[from, to]| from < to)
    }

    /// Takes the point `gone` out: the two triangles that it shares with `kept` vanish, its others become those of `kept`.
    pub fn merge(&mut self, gone: u32, kept: u32) {
        let mut at = self.first[gone as usize];
        self.first[gone as usize] = GONE;
        while at != GONE {
            let (corner, triangle) = (at, at as usize / 3);
            at = self.next[corner as usize];
            let points = self.triangles[triangle];
            if points.contains(&kept) {
                for (side, point) in points.into_iter().enumerate().filter(|&(_, point)| point != gone) {
                    self.unlink(point, (3 * triangle + side) as u32);
                }
                self.triangles[triangle] = [GONE; 3];
                self.count -= 1;
            } else {
                self.triangles[triangle][corner as usize % 3] = kept;
                self.next[corner as usize] = self.first[kept as usize];
                self.first[kept as usize] = corner;
            }
        }
    }

    /// Takes a corner out of its point's list.
    fn unlink(&mut self, point: u32, corner: u32) {
        let after = self.next[corner as usize];
        if self.first[point as usize] == corner {
            self.first[point as usize] = after;
            return;
        }
        let before = self.corners(point).find(|&before| self.next[before as usize] == corner);
        if let Some(before) = before {
            self.next[before as usize] = after;
        }
    }

    /// The points and triangles that are left, in their old order.
    pub fn into_points_and_triangles(mut self) -> Result<(Points, Triangles)> {
        let mut numbers = try_vec(GONE, self.points.len(), "the points of a surface")?;
        let mut points = Vec::new();
        try_reserve(&mut points, self.first.iter().filter(|&&first| first != GONE).count(), "the points of a surface")?;
        for (at, &point) in self.points.iter().enumerate() {
            if self.first[at] != GONE {
                numbers[at] = points.len() as u32;
                points.push(point);
            }
        }
        self.triangles.retain(|triangle| triangle[0] != GONE);
        for point in self.triangles.iter_mut().flatten() {
            *point = numbers[*point as usize];
        }
        Ok((points, self.triangles))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn merging_two_points_takes_their_two_triangles_and_keeps_the_rest_closed() {
        // An octahedron: 0 and 5 opposite, 1 2 3 4 around.
        let points = (0..6).map(|at| [f64::from(at), 0.0, 0.0]).collect();
        let around = |at: u32| [1 + at % 4, 1 + (at + 1) % 4];
        let triangles = (0..4).flat_map(|at| [[0, around(at)[0], around(at)[1]], [5, around(at)[1], around(at)[0]]]).collect();
        let mut mesh = Mesh::new(points, triangles).unwrap();
        assert_eq!((mesh.edges().count(), mesh.wings(1).count(), mesh.triangle_count()), (12, 4, 8));
        mesh.merge(2, 1);
        assert!(!mesh.is_there(2) && mesh.is_there(1));
        assert_eq!((mesh.wings(1).count(), mesh.wings(0).count(), mesh.wings(5).count()), (4, 3, 3));
        assert!(mesh.wings(1).all(|wing| mesh.wings(wing.after).any(|back| back.before == 1)));
        let (points, triangles) = mesh.into_points_and_triangles().unwrap();
        assert_eq!(points.iter().map(|point| point[0]).collect::<Vec<_>>(), [0.0, 1.0, 3.0, 4.0, 5.0]);
        assert_eq!(triangles.len(), 6);
        assert!(triangles.iter().flatten().all(|&point| point < 5));
    }
}
