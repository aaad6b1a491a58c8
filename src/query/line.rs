//! Straight lines against points, lines and boxes.

use crate::geometry::dot;

/// The points `from + t·step`, 0 ≤ t ≤ 1: the axis of a tool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    pub(super) from: [f64; 3],
    pub(super) step: [f64; 3],
}

/// How far a coordinate lies outside an interval, with its sign; 0 within.
fn excess(x: f64, low: f64, high: f64) -> f64 {
    if x < low {
        x - low
    } else if x > high {
        x - high
    } else {
        0.0
    }
}

/// The squared distance between a point and a box.
pub(super) fn squared_to_box(point: [f64; 3], low: [f64; 3], high: [f64; 3]) -> f64 {
    (0..3).map(|c| excess(point[c], low[c], high[c]).powi(2)).sum()
}

impl Line {
    pub(super) fn between(from: [f64; 3], to: [f64; 3]) -> Self {
        Line { from, step: std::array::from_fn(|c| to[c] - from[c]) }
    }

    pub(super) fn at(&self, t: f64) -> [f64; 3] {
        std::array::from_fn(|c| self.from[c] + t * self.step[c])
    }

    pub(super) fn length(&self) -> f64 {
        crate::geometry::norm(self.step)
    }

    /// The box around it.
    pub(super) fn around(&self) -> [[f64; 3]; 2] {
        let to = self.at(1.0);
        [std::array::from_fn(|c| self.from[c].min(to[c])), std::array::from_fn(|c| self.from[c].max(to[c]))]
    }

    /// Where its nearest point to a point is.
    pub(super) fn foot(&self, point: [f64; 3]) -> f64 {
        let (length, w) = (dot(self.step, self.step), std::array::from_fn(|c| point[c] - self.from[c]));
        if length > 0.0 { (dot(self.step, w) / length).clamp(0.0, 1.0) } else { 0.0 }
    }

    /// Where its nearest point to another line is.
    pub(super) fn nearest_to(&self, other: &Line) -> f64 {
        let w: [f64; 3] = std::array::from_fn(|c| self.from[c] - other.from[c]);
        let (a, b, c) = (dot(self.step, self.step), dot(self.step, other.step), dot(other.step, other.step));
        let (d, e) = (dot(self.step, w), dot(other.step, w));
        let determinant = a * c - b * b;
        // The feet of the common perpendicular, then each foot on the other line moved to where that ends (Ericson,
        // Real-Time Collision Detection, 2005, 5.1.9). Where they are parallel, any place will do to start from.
        let t = if determinant > 1e-12 * a * c { ((b * e - c * d) / determinant).clamp(0.0, 1.0) } else { 0.0 };
        let s = if c > 0.0 { ((b * t + e) / c).clamp(0.0, 1.0) } else { 0.0 };
        self.foot(other.at(s))
    }

    /// Where its nearest point to a box is. The squared distance along it is convex, and its slope is straight between the
    /// planes of the box.
    pub(super) fn nearest_to_box(&self, low: [f64; 3], high: [f64; 3]) -> f64 {
        let slope = |t: f64| (0..3).map(|c| self.step[c] * excess(self.from[c] + t * self.step[c], low[c], high[c])).sum::<f64>();
        let (mut left, mut right) = ((0.0, slope(0.0)), (1.0, slope(1.0)));
        if left.1 >= 0.0 {
            return 0.0;
        }
        if right.1 <= 0.0 {
            return 1.0;
        }
        for c in 0..3 {
            for plane in [low[c], high[c]] {
                // No number for a line along the plane: then it has no place there.
                let t = (plane - self.from[c]) / self.step[c];
                if t > left.0 && t < right.0 {
                    let slope = slope(t);
                    if slope < 0.0 {
                        left = (t, slope);
                    } else {
                        right = (t, slope);
                    }
                }
            }
        }
        left.0 + (right.0 - left.0) * left.1 / (left.1 - right.1)
    }

    /// Where it first comes as near as `reach` to a convex thing, given the squared distance to it along the line and where
    /// that is smallest; `None` if it never does.
    pub(super) fn first_within(squared: impl Fn(f64) -> f64, nearest: f64, reach: f64) -> Option<f64> {
        let within = |t: f64| squared(t) <= reach * reach;
        if !within(nearest) {
            return None;
        }
        if within(0.0) {
            return Some(0.0);
        }
        // Towards the nearest point the distance only falls.
        let (mut out, mut within_at) = (0.0, nearest);
        for _ in 0..60 {
            let middle = 0.5 * (out + within_at);
            if within(middle) {
                within_at = middle;
            } else {
                out = middle;
            }
        }
        Some(within_at)
    }

    /// The part of it within a box, if there is one.
    pub(super) fn part_in_box(&self, low: [f64; 3], high: [f64; 3]) -> Option<[f64; 2]> {
        let (mut enter, mut leave) = (0.0f64, 1.0f64);
        for c in 0..3 {
            if self.step[c] == 0.0 {
                if self.from[c] < low[c] || self.from[c] > high[c] {
                    return None;
                }
            } else {
                let [a, b] = [low[c], high[c]].map(|plane| (plane - self.from[c]) / self.step[c]);
                enter = enter.max(a.min(b));
                leave = leave.min(a.max(b));
            }
        }
        (enter <= leave).then_some([enter, leave])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::random;

    /// Lines of all kinds: slanted, along an axis, along a plane, of no length.
    fn lines(seed: u64) -> Vec<Line> {
        let mut r = random(seed);
        let mut line = |turn: usize| Line {
            from: std::array::from_fn(|_| r(-4.0, 4.0)),
            step: std::array::from_fn(|c| if (turn % 8) >> c & 1 == 1 { 0.0 } else { r(-6.0, 6.0) }),
        };
        (0..400).map(&mut line).collect()
    }

    fn least(distance: impl Fn(f64) -> f64) -> f64 {
        (0..=2000).map(|at| distance(f64::from(at) / 2000.0)).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn no_point_of_a_line_is_nearer_to_a_box_than_the_nearest() {
        let mut r = random(11);
        for line in lines(12) {
            let low: [f64; 3] = std::array::from_fn(|_| r(-2.0, 1.0));
            // Some are flat.
            let high = low.map(|c| if r(0.0, 1.0) < 0.3 { c } else { c + r(0.0, 2.0) });
            let t = line.nearest_to_box(low, high);
            let found = squared_to_box(line.at(t), low, high);
            let best = least(|t| squared_to_box(line.at(t), low, high));
            assert!((0.0..=1.0).contains(&t) && found <= best + 1e-9, "{line:?} {low:?} {high:?}: {found}, not {best}");
        }
    }

    #[test]
    fn no_point_of_a_line_is_nearer_to_another_line_than_the_nearest() {
        for (line, other) in lines(13).into_iter().zip(lines(14)) {
            let distance = |t: f64| {
                let (a, b) = (line.at(t), other.at(other.foot(line.at(t))));
                (0..3).map(|c| (a[c] - b[c]).powi(2)).sum::<f64>()
            };
            let found = distance(line.nearest_to(&other));
            assert!(found <= least(distance) + 1e-9, "{line:?} {other:?}: {found}");
        }
    }

    #[test]
    fn the_first_place_within_reach_has_none_before_it() {
        let mut found = 0;
        for line in lines(15) {
            let (low, high) = ([-1.0, -0.5, -1.5], [1.0, 0.5, 0.5]);
            let squared = |t: f64| squared_to_box(line.at(t), low, high);
            let first = Line::first_within(squared, line.nearest_to_box(low, high), 1.5);
            let before = (0..2000).map(|at| f64::from(at) / 2000.0).find(|&t| squared(t) <= 2.25);
            match (first, before) {
                (Some(first), Some(before)) => assert!(first <= before && squared(first) <= 2.25 + 1e-12),
                (Some(first), None) => assert!(squared(first) <= 2.25 + 1e-12),
                (None, before) => assert_eq!(before, None, "{line:?}"),
            }
            found += usize::from(first.is_some());
        }
        assert!((60..340).contains(&found), "{found}");
    }
}
