//! How far a structure is from a point or a tool: exactly, at once, without memory.
//!
//! A structure is the union of its voxels, each the parallelepiped that the affine makes of it. Between its voxels and the
//! others lie the faces of its surface. They are found once and kept in a hierarchy of boxes; a question descends into
//! the boxes that may hold an answer, the nearest first. So nothing is approximated by a map of distances on a grid, and
//! a question may come from anywhere in space.

mod examined;
mod faces;
mod frame;
mod hints;
mod line;
mod occupancy;
mod probe;
mod slant;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
mod tree;

pub use self::examined::Examined;
use self::faces::Face;
use self::frame::Frame;
use self::hints::Hints;
use self::line::{Line, squared_to_box};
use self::occupancy::Occupancy;
use self::probe::{AlongLine, FromLine, FromPoint, Place};
use self::tree::Tree;
use crate::error::Result;
use crate::geometry::Geometry;

/// The surface of a structure, ready for questions. Immutable: any number of threads may ask. No question allocates.
#[derive(Clone, Debug)]
pub struct Structure {
    frame: Frame,
    occupancy: Occupancy,
    tree: Tree,
    hints: Hints,
    /// How much deeper than the deepest place found a line may get, mm.
    tolerance: f64,
}

/// The nearest point of a structure's surface.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Nearest {
    /// How far it is, mm; negative inside the structure.
    pub distance_mm: f64,
    /// Where it is, mm.
    pub point: [f64; 3],
}

/// How near a line comes to a structure.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Approach {
    /// From the line to the structure's surface, mm; if the line passes through the structure: how deep it gets, negative.
    pub distance_mm: f64,
    /// Where on the line that is, mm.
    pub at: [f64; 3],
    /// The nearest point of the structure's surface, mm.
    pub nearest: [f64; 3],
    /// Whether the line passes through the structure.
    pub crosses: bool,
    /// How much of the line lies in the structure, mm.
    pub length_inside_mm: f64,
}

/// Where a line first comes too near.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Contact {
    /// How far along the line, mm.
    pub along_mm: f64,
    /// Where on the line, mm.
    pub at: [f64; 3],
    /// The nearest point of the structure's surface, mm.
    pub nearest: [f64; 3],
}

/// Places of a line to begin a search from, less one.
const GUESSES: u32 = 8;
/// The share of the smallest spacing by which a line's depth in a structure may be underestimated.
const DEPTH_TOLERANCE: f64 = 0.25;

impl Structure {
    /// The structure of the voxels with this value; `None` if there are none. `labels` are packed, i fastest.
    ///
    /// # Errors
    /// [`ErrorKind::VolumeTooLarge`](crate::ErrorKind::VolumeTooLarge) above 65,535 voxels along an axis;
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory); those of [`Geometry::check`].
    pub fn of(labels: &[u8], value: u8, geometry: &Geometry) -> Result<Option<Structure>> {
        let frame = Frame::of(geometry)?;
        let Some(occupancy) = Occupancy::of(labels, value, geometry.dims)? else { return Ok(None) };
        let tree = Tree::of(faces::of(&occupancy)?, &frame)?;
        let tolerance = DEPTH_TOLERANCE * frame.smallest_spacing();
        let hints = Hints::of(&tree, geometry.dims, &frame)?;
        Ok(Some(Structure { frame, occupancy, tree, hints, tolerance }))
    }

    /// The nearest point of the surface to a point (mm, in the geometry's world), which may lie anywhere.
    pub fn nearest(&self, point: [f64; 3]) -> Nearest {
        let place = self.frame.place(point);
        let (distance, nearest) = self.nearest_to(place);
        let inside = self.occupancy.contains_place(self.frame.index(place));
        Nearest { distance_mm: if inside { -distance } else { distance }, point: self.frame.world(nearest) }
    }

    /// How near the line between two points (mm, in the geometry's world) comes, or how deep it gets.
    pub fn approach(&self, from: [f64; 3], to: [f64; 3]) -> Approach {
        let line = Line::between(self.frame.place(from), self.frame.place(to));
        let (mut crosses, mut share_inside, mut deepest) = (false, 0.0, (0.0, 0.0));
        self.walk(&line, |enter, leave| {
            deepest = if crosses { deepest } else { (0.0, enter) };
            crosses = true;
            share_inside += leave - enter;
            // A line that starts or ends in the structure does so at some depth; elsewhere it enters through the surface.
            let depth = |t: f64| if t == 0.0 || t == 1.0 { self.nearest_to(line.at(t)).0 } else { 0.0 };
            let [enter, leave] = [enter, leave].map(|t| (t, depth(t)));
            for (t, depth) in [enter, leave] {
                if depth > deepest.0 {
                    deepest = (depth, t);
                }
            }
            self.deepen(&line, enter, leave, &mut deepest);
        });
        let t = if crosses { deepest.1 } else { self.nearest_on(&line) };
        let at = line.at(t);
        let (distance, nearest) = self.nearest_to(at);
        Approach {
            distance_mm: if crosses { -distance } else { distance },
            at: self.frame.world(at),
            nearest: self.frame.world(nearest),
            crosses,
            length_inside_mm: share_inside * line.length(),
        }
    }

    /// Where the line from one point to another (mm, in the geometry's world) first lies in the structure, or comes nearer
    /// to it than `reach_mm`; `None` if it never does.
    pub fn first_within(&self, from: [f64; 3], to: [f64; 3], reach_mm: f64) -> Option<Contact> {
        let line = Line::between(self.frame.place(from), self.frame.place(to));
        let mut first = f64::INFINITY;
        self.walk(&line, |enter, _| first = first.min(enter));
        let probe = AlongLine { frame: &self.frame, line, reach: reach_mm };
        if let Some((t, _)) = self.tree.smallest(&self.frame, &probe, first) {
            first = t;
        }
        if first > 1.0 {
            return None;
        }
        let at = line.at(first);
        let nearest = self.frame.world(self.nearest_to(at).1);
        Some(Contact { along_mm: first * line.length(), at: self.frame.world(at), nearest })
    }

    /// The distance to the surface and its nearest point, in the frame.
    fn nearest_to(&self, place: [f64; 3]) -> (f64, [f64; 3]) {
        let squared = |face: &Face| Place::of(face, &self.frame).squared(place);
        let guess = self.hints.near(self.frame.index(place)).map(|face| (squared(&face), face));
        let probe = FromPoint { frame: &self.frame, point: place };
        let limit = guess.map_or(f64::INFINITY, |(squared, _)| squared);
        let Some((_, face)) = self.tree.smallest(&self.frame, &probe, limit).or(guess) else { return (f64::INFINITY, place) };
        let nearest = Place::of(&face, &self.frame).nearest(place);
        (squared_to_box(place, nearest, nearest).sqrt(), nearest)
    }

    /// Where the nearest point of a line to the surface is.
    fn nearest_on(&self, line: &Line) -> f64 {
        let probe = FromLine::new(&self.frame, *line);
        // Of the guesses along the line, the nearest.
        let guesses = (0..=GUESSES).filter_map(|at| {
            let place = line.at(f64::from(at) / f64::from(GUESSES));
            let face = self.hints.near(self.frame.index(place))?;
            Some((Place::of(&face, &self.frame).squared(place), face))
        });
        let guess = guesses.min_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, face)| (probe.squared(&face), face));
        let limit = guess.map_or(f64::INFINITY, |(squared, _)| squared);
        let nearest = self.tree.smallest(&self.frame, &probe, limit).or(guess);
        nearest.map_or(0.0, |(_, face)| Place::of(&face, &self.frame).nearest_on(line))
    }

    fn walk(&self, line: &Line, inside: impl FnMut(f64, f64)) {
        let [from, to] = [0.0, 1.0].map(|t| self.frame.index(line.at(t)));
        self.occupancy.walk(from, std::array::from_fn(|axis| to[axis] - from[axis]), inside);
    }

    /// Looks for the deepest place of a line between two of its places with known depths, all in the structure. Depth
    /// changes no faster than one moves, so that between two places it stays below what a roof over them allows.
    fn deepen(&self, line: &Line, a: (f64, f64), b: (f64, f64), deepest: &mut (f64, f64)) {
        let way = (b.0 - a.0) * line.length();
        if 0.5 * (a.1 + b.1 + way) <= deepest.0 + self.tolerance {
            return;
        }
        let t = 0.5 * (a.0 + b.0);
        let middle = (t, self.nearest_to(line.at(t)).0);
        if middle.1 > deepest.0 {
            *deepest = (middle.1, t);
        }
        let halves = if a.1 > b.1 { [(a, middle), (middle, b)] } else { [(middle, b), (a, middle)] };
        halves.into_iter().for_each(|(a, b)| self.deepen(line, a, b, deepest));
    }
}
