//! What is asked of the faces: which is nearest to a point, nearest to a line, first met by a line.

use super::faces::Face;
use super::frame::Frame;
use super::line::{Line, squared_to_box};
use super::slant::Parallelogram;
use super::tree::Probe;
use crate::geometry::dot;

/// A face in the frame, in mm.
pub(super) enum Place {
    /// The corners of a rectangle along the axes.
    Straight([[f64; 3]; 2]),
    Slanted(Parallelogram),
}

impl Place {
    pub(super) fn of(face: &Face, frame: &Frame) -> Self {
        let corner = |index: [u16; 3]| frame.corner(index.map(f64::from));
        if !frame.is_sheared() {
            return Place::Straight(frame.bounds(face));
        }
        let across = (0..3).find(|&axis| face.low[axis] == face.high[axis]).unwrap_or(0);
        let [u, v] = [(across + 1) % 3, (across + 2) % 3].map(|axis| {
            let voxels = f64::from(face.high[axis] - face.low[axis]);
            frame.edge(axis).map(|c| c * voxels)
        });
        Place::Slanted(Parallelogram { corner: corner(face.low), u, v })
    }

    /// Its nearest point to a point.
    pub(super) fn nearest(&self, point: [f64; 3]) -> [f64; 3] {
        match self {
            Place::Straight([low, high]) => std::array::from_fn(|c| point[c].max(low[c]).min(high[c])),
            Place::Slanted(parallelogram) => parallelogram.nearest(point),
        }
    }

    pub(super) fn squared(&self, point: [f64; 3]) -> f64 {
        let nearest = self.nearest(point);
        squared_to_box(point, nearest, nearest)
    }

    /// Where on a line the nearest point to it is.
    pub(super) fn nearest_on(&self, line: &Line) -> f64 {
        match self {
            Place::Straight([low, high]) => line.nearest_to_box(*low, *high),
            Place::Slanted(parallelogram) => parallelogram.nearest_on(line),
        }
    }
}

/// The squared distance to a point.
pub(super) struct FromPoint<'a> {
    pub(super) frame: &'a Frame,
    pub(super) point: [f64; 3],
}

impl Probe for FromPoint<'_> {
    fn around(&self) -> [[f64; 3]; 2] {
        [self.point; 2]
    }

    fn reach(&self, limit: f64) -> f64 {
        limit
    }

    fn bound(&self, squared: f64, _: [f64; 3], _: [f64; 3], _: f64) -> f64 {
        squared
    }

    fn value(&self, face: &Face, _: f64) -> f64 {
        Place::of(face, self.frame).squared(self.point)
    }
}

/// The smallest squared distance to a point of a line.
pub(super) struct FromLine<'a> {
    frame: &'a Frame,
    line: Line,
    /// 1 / length², or 0 for a line without length.
    inverse: f64,
}

impl<'a> FromLine<'a> {
    pub(super) fn new(frame: &'a Frame, line: Line) -> Self {
        let squared = dot(line.step, line.step);
        FromLine { frame, line, inverse: if squared > 0.0 { 1.0 / squared } else { 0.0 } }
    }

    /// The squared distance to a face.
    pub(super) fn squared(&self, face: &Face) -> f64 {
        let place = Place::of(face, self.frame);
        place.squared(self.line.at(place.nearest_on(&self.line)))
    }

    /// Whether a box lies farther than this from the line, by the sphere around it.
    fn is_beyond(&self, low: [f64; 3], high: [f64; 3], limit: f64) -> bool {
        let middle: [f64; 3] = std::array::from_fn(|c| 0.5 * (low[c] + high[c]) - self.line.from[c]);
        let t = (dot(middle, self.line.step) * self.inverse).clamp(0.0, 1.0);
        let off: [f64; 3] = std::array::from_fn(|c| middle[c] - t * self.line.step[c]);
        let half: [f64; 3] = std::array::from_fn(|c| 0.5 * (high[c] - low[c]));
        // (√limit + radius)² ≤ 2·(limit + radius²): no root, and no box is lost.
        let (off, radius) = (dot(off, off), dot(half, half));
        off > 2.0 * (limit + radius) || off > limit + radius + 2.0 * (limit * radius).sqrt()
    }
}

impl Probe for FromLine<'_> {
    fn around(&self) -> [[f64; 3]; 2] {
        self.line.around()
    }

    fn reach(&self, limit: f64) -> f64 {
        limit
    }

    fn bound(&self, _: f64, low: [f64; 3], high: [f64; 3], limit: f64) -> f64 {
        if self.is_beyond(low, high, limit) {
            return f64::INFINITY;
        }
        squared_to_box(self.line.at(self.line.nearest_to_box(low, high)), low, high)
    }

    fn value(&self, face: &Face, bound: f64) -> f64 {
        // A rectangle along the axes is its own box.
        if self.frame.is_sheared() { self.squared(face) } else { bound }
    }
}

/// Where a line first comes as near as `reach`.
pub(super) struct AlongLine<'a> {
    pub(super) frame: &'a Frame,
    pub(super) line: Line,
    pub(super) reach: f64,
}

impl Probe for AlongLine<'_> {
    fn around(&self) -> [[f64; 3]; 2] {
        self.line.around()
    }

    fn reach(&self, _: f64) -> f64 {
        // No face is nearer than its bound, but one may lie just within reach.
        self.reach * self.reach + f64::MIN_POSITIVE
    }

    fn bound(&self, _: f64, low: [f64; 3], high: [f64; 3], _: f64) -> f64 {
        let part = self.line.part_in_box(low.map(|c| c - self.reach), high.map(|c| c + self.reach));
        part.map_or(f64::INFINITY, |[enter, _]| enter)
    }

    fn value(&self, face: &Face, _: f64) -> f64 {
        let place = Place::of(face, self.frame);
        let squared = |t: f64| place.squared(self.line.at(t));
        Line::first_within(squared, place.nearest_on(&self.line), self.reach).unwrap_or(f64::INFINITY)
    }
}
