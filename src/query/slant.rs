//! Parallelograms: the faces of sheared voxels.

use super::line::Line;
use crate::geometry::{cross, dot};

/// The points `corner + s·u + t·v`, 0 ≤ s, t ≤ 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Parallelogram {
    pub(super) corner: [f64; 3],
    pub(super) u: [f64; 3],
    pub(super) v: [f64; 3],
}

fn add(a: [f64; 3], b: [f64; 3], by: f64) -> [f64; 3] {
    std::array::from_fn(|c| a[c] + by * b[c])
}

fn squared(a: [f64; 3], b: [f64; 3]) -> f64 {
    let d = add(a, b, -1.0);
    dot(d, d)
}

impl Parallelogram {
    fn edges(&self) -> [Line; 4] {
        let Parallelogram { corner, u, v } = *self;
        [(corner, u), (corner, v), (add(corner, u, 1.0), v), (add(corner, v, 1.0), u)].map(|(from, step)| Line { from, step })
    }

    /// Its nearest point to a point.
    pub(super) fn nearest(&self, point: [f64; 3]) -> [f64; 3] {
        let (u, v, w) = (self.u, self.v, add(point, self.corner, -1.0));
        // The foot of the perpendicular, if it lies within.
        let (uu, uv, vv, uw, vw) = (dot(u, u), dot(u, v), dot(v, v), dot(u, w), dot(v, w));
        let determinant = uu * vv - uv * uv;
        let (s, t) = ((uw * vv - vw * uv) / determinant, (vw * uu - uw * uv) / determinant);
        if (0.0..=1.0).contains(&s) && (0.0..=1.0).contains(&t) {
            return add(add(self.corner, u, s), v, t);
        }
        let feet = self.edges().map(|edge| edge.at(edge.foot(point)));
        feet.into_iter().min_by(|a, b| squared(*a, point).total_cmp(&squared(*b, point))).unwrap_or(self.corner)
    }

    /// Where on a line the nearest point to it is.
    pub(super) fn nearest_on(&self, line: &Line) -> f64 {
        // Where the line crosses it; else the nearest is an end of the line, or lies over an edge.
        let normal = cross(self.u, self.v);
        let rise = dot(normal, line.step);
        if rise != 0.0 {
            let t = dot(normal, add(self.corner, line.from, -1.0)) / rise;
            let foot = line.at(t.clamp(0.0, 1.0));
            if (0.0..=1.0).contains(&t) && squared(self.nearest(foot), foot) <= 1e-18 * dot(normal, normal) {
                return t;
            }
        }
        let candidates = [0.0, 1.0].into_iter().chain(self.edges().map(|edge| line.nearest_to(&edge)));
        let distance = |t: &f64| squared(self.nearest(line.at(*t)), line.at(*t));
        candidates.min_by(|a, b| distance(a).total_cmp(&distance(b))).unwrap_or(0.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::random;

    fn example(r: &mut impl FnMut(f64, f64) -> f64) -> Parallelogram {
        let mut vector = || std::array::from_fn(|_| r(-2.0, 2.0));
        Parallelogram { corner: vector(), u: vector(), v: vector() }
    }

    #[test]
    fn no_point_of_a_grid_on_it_is_nearer_than_the_nearest() {
        let mut r = random(7);
        for _ in 0..300 {
            let p = example(&mut r);
            let point: [f64; 3] = std::array::from_fn(|_| r(-4.0, 4.0));
            let found = squared(p.nearest(point), point).sqrt();
            let steps = 200;
            let grid =
                (0..=steps).flat_map(|s| (0..=steps).map(move |t| (f64::from(s) / f64::from(steps), f64::from(t) / f64::from(steps))));
            let best = grid.map(|(s, t)| squared(add(add(p.corner, p.u, s), p.v, t), point)).fold(f64::INFINITY, f64::min).sqrt();
            assert!(found <= best + 1e-9 && best <= found + 0.05, "{found}, not {best}");
        }
    }

    #[test]
    fn no_point_of_a_line_is_nearer_than_the_nearest() {
        let mut r = random(8);
        for turn in 0..300 {
            let p = example(&mut r);
            let mut line = Line { from: std::array::from_fn(|_| r(-4.0, 4.0)), step: std::array::from_fn(|_| r(-8.0, 8.0)) };
            match turn % 5 {
                0 => line.step = p.u,
                1 => line.step = [0.0; 3],
                _ => {}
            }
            let distance = |t: f64| squared(p.nearest(line.at(t)), line.at(t)).sqrt();
            let found = distance(p.nearest_on(&line));
            let best = (0..=1000).map(|at| distance(f64::from(at) / 1000.0)).fold(f64::INFINITY, f64::min);
            assert!(found <= best + 1e-7, "{turn}: {found}, not {best}");
        }
    }
}
