//! How far away the space is of which nothing is known.

use super::frame::Frame;
use crate::error::Result;
use crate::geometry::{Geometry, cross, dot, norm};

/// The box of voxels that were examined.
#[derive(Clone, Debug)]
pub struct Examined {
    frame: Frame,
    /// Along i, j and k: the direction across the two planes of the box, of length 1, and where they are, in mm.
    slabs: [([f64; 3], [f64; 2]); 3],
}

impl Examined {
    /// The box of the voxels in these ranges of i, j, k.
    ///
    /// # Errors
    /// Those of [`Geometry::check`].
    pub fn of(geometry: &Geometry, region: &[std::ops::Range<usize>; 3]) -> Result<Self> {
        let frame = Frame::of(geometry)?;
        let slab = |axis: usize| {
            let across = cross(frame.edge((axis + 1) % 3), frame.edge((axis + 2) % 3));
            let across = across.map(|c| c / norm(across));
            let height = dot(across, frame.edge(axis));
            (across, [region[axis].start, region[axis].end].map(|plane| plane as f64 * height))
        };
        let slabs = std::array::from_fn(slab);
        Ok(Examined { frame, slabs })
    }

    /// From a point (mm, in the geometry's world) to the nearest space that was not examined, in mm; 0 or less within it:
    /// then at least so far from what was.
    pub fn distance_mm(&self, point: [f64; 3]) -> f64 {
        let place = self.frame.place(point);
        // The nearest plane of a convex box, from within.
        let depth = self.slabs.iter().map(|(across, [low, high])| {
            let height = dot(*across, place);
            (height - low).min(high - height)
        });
        depth.fold(f64::INFINITY, f64::min)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::query::testing::{grids, random};

    #[test]
    fn every_point_nearer_than_the_distance_was_examined_too() {
        let mut r = random(31);
        let region = [1..6, 2..9, 0..5];
        for (name, geometry) in grids([8, 9, 7]) {
            let examined = Examined::of(&geometry, &region).unwrap();
            let inverse = geometry.ijk_to_world.inverse().unwrap();
            let inside = |point: [f64; 3]| {
                let index = inverse.apply(point).map(|c| c + 0.5);
                (0..3).all(|axis| (region[axis].start as f64..=region[axis].end as f64).contains(&index[axis]))
            };
            let (mut within, mut beyond) = (0, 0);
            for _ in 0..400 {
                let index = std::array::from_fn(|axis| r(-1.0, geometry.dims[axis] as f64 + 1.0));
                let point = geometry.ijk_to_world.apply(index);
                let distance = examined.distance_mm(point);
                assert_eq!(distance >= 0.0, inside(point), "{name} {point:?}");
                let direction: [f64; 3] = std::array::from_fn(|_| r(-1.0, 1.0));
                let step = 0.99 * distance.abs() / norm(direction);
                let other = std::array::from_fn(|c| point[c] + step * direction[c]);
                assert_eq!(inside(other), inside(point), "{name} {point:?}");
                if distance > 0.0 {
                    within += 1;
                } else {
                    beyond += 1;
                }
            }
            assert!(within > 30 && beyond > 30);
        }
    }
}
