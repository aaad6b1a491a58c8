//! Two triangulations of one polygon, seen along a direction: how far they lie before or behind each other.

use super::collapse::{Vector, normal_of};
use crate::geometry::{cross, dot, norm};

/// A direction to look along, and a plane across it.
pub(super) struct View {
    along: Vector,
    across: [Vector; 2],
}

impl View {
    pub fn along(direction: Vector) -> Option<Self> {
        let length = norm(direction);
        let along = direction.map(|value| value / length);
        // Perpendicular to the axis that is farthest from the direction, so that it has a length.
        let farthest = (0..3).min_by(|&a, &b| along[a].abs().total_cmp(&along[b].abs()))?;
        let axis = [0, 1, 2].map(|at| f64::from(u8::from(at == farthest)));
        let first = cross(axis, along);
        let first_length = norm(first);
        let first = first.map(|value| value / first_length);
        (length > 0.0 && length.is_finite()).then(|| View { along, across: [first, cross(along, first)] })
    }

    fn height(&self, point: Vector) -> f64 {
        dot(self.along, point)
    }

    pub fn flat(&self, point: Vector) -> [f64; 2] {
        self.across.map(|axis| dot(axis, point))
    }

    /// Twice the area of a triangle as it is seen, negative from behind.
    pub fn area(&self, corners: [Vector; 3]) -> f64 {
        dot(self.along, normal_of(corners))
    }

    /// How far the point lies from the triangle before or behind it. The triangles fill the polygon in which the point is
    /// seen; by rounding, it may seem to lie just beside all of them.
    pub fn height_difference(&self, point: Vector, triangles: impl Iterator<Item = [Vector; 3]>) -> Option<f64> {
        let at = self.flat(point);
        let (mut best, mut height) = (f64::NEG_INFINITY, None);
        for corners in triangles {
            let [a, b, c] = corners.map(|corner| self.flat(corner));
            let area = cross_flat(minus(b, a), minus(c, a));
            let shares = [(b, c), (c, a), (a, b)].map(|(from, to)| cross_flat(minus(from, at), minus(to, at)) / area);
            let inside = shares.into_iter().fold(f64::INFINITY, f64::min);
            if inside > best {
                best = inside;
                height = Some((0..3).map(|corner| shares[corner] * self.height(corners[corner])).sum::<f64>());
            }
        }
        height.map(|height| (height - self.height(point)).abs())
    }

    /// How far two edges that cross, as they are seen, lie before or behind each other there; 0 if they do not cross.
    pub fn height_at_crossing(&self, one: [Vector; 2], other: [Vector; 2]) -> f64 {
        let ([a, b], [c, d]) = (one.map(|end| self.flat(end)), other.map(|end| self.flat(end)));
        let (along_one, along_other, between) = (minus(b, a), minus(d, c), minus(c, a));
        let determinant = cross_flat(along_one, along_other);
        let (at_one, at_other) = (cross_flat(between, along_other) / determinant, cross_flat(between, along_one) / determinant);
        // Parallel edges give no number here. Where they lie on each other, the distance is largest at their ends.
        if !((0.0..=1.0).contains(&at_one) && (0.0..=1.0).contains(&at_other)) {
            return 0.0;
        }
        let height = |edge: [Vector; 2], at: f64| self.height(edge[0]) * (1.0 - at) + self.height(edge[1]) * at;
        (height(one, at_one) - height(other, at_other)).abs()
    }
}

fn minus(a: [f64; 2], b: [f64; 2]) -> [f64; 2] {
    [a[0] - b[0], a[1] - b[1]]
}

fn cross_flat(a: [f64; 2], b: [f64; 2]) -> f64 {
    a[0] * b[1] - a[1] * b[0]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heights_are_measured_along_the_direction() {
        let view = View::along([0.0, 0.0, 5.0]).unwrap();
        let triangle = [[0.0, 0.0, 1.0], [4.0, 0.0, 1.0], [0.0, 4.0, 5.0]];
        assert!((view.area(triangle) - 16.0).abs() < 1e-12);
        assert!((view.height_difference([1.0, 2.0, 0.0], [triangle].into_iter()).unwrap() - 3.0).abs() < 1e-12);
        assert!(View::along([0.0; 3]).is_none() && View::along([f64::NAN; 3]).is_none());
    }

    #[test]
    fn edges_are_compared_where_they_cross_and_only_there() {
        let view = View::along([0.0, 0.0, 1.0]).unwrap();
        let one = [[0.0, 0.0, 0.0], [2.0, 2.0, 2.0]];
        assert!((view.height_at_crossing(one, [[0.0, 2.0, 4.0], [2.0, 0.0, 4.0]]) - 3.0).abs() < 1e-12);
        for apart in [[[3.0, 0.0, 4.0], [5.0, 0.0, 4.0]], [[1.0, 0.0, 4.0], [3.0, 2.0, 4.0]]] {
            assert_eq!(view.height_at_crossing(one, apart), 0.0);
        }
    }
}
