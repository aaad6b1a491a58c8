//! The region of interest: a box in the world to a box of voxels.

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::Geometry;
use crate::pipeline::Region;

/// A box in the volume's world (mm): only the windows that touch it are computed, and inside it the result is that of
/// the whole volume. What is examined is the box of voxels around it.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionOfInterest {
    /// The smallest coordinates.
    pub min: [f64; 3],
    /// The largest coordinates.
    pub max: [f64; 3],
}

impl RegionOfInterest {
    /// The box of voxels (i, j, k) that holds a region, or the whole volume for `None`.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if a coordinate is not finite, a minimum above its maximum, or the region outside
    /// the volume.
    pub(super) fn voxels(region: Option<&Self>, geometry: &Geometry) -> Result<Region> {
        let Some(RegionOfInterest { min, max }) = region else { return Ok(geometry.dims.map(|n| 0..n)) };
        let fail = |message| Err(Error::new(ErrorKind::InvalidArgument, message));
        if min.iter().chain(max).any(|v| !v.is_finite()) || (0..3).any(|axis| min[axis] > max[axis]) {
            return fail(format!("region of interest {min:?} to {max:?}: coordinates must be finite and each minimum at most its maximum"));
        }
        let world_to_ijk = geometry.ijk_to_world.inverse()?;
        let (mut low, mut high) = ([f64::INFINITY; 3], [f64::NEG_INFINITY; 3]);
        for corner in 0..8 {
            let point = std::array::from_fn(|axis| if corner >> axis & 1 == 0 { min[axis] } else { max[axis] });
            let index = world_to_ijk.apply(point);
            for axis in 0..3 {
                low[axis] = low[axis].min(index[axis]);
                high[axis] = high[axis].max(index[axis]);
            }
        }
        // Voxel v is the box from v − 0.5 to v + 0.5.
        let outside = (0..3).any(|axis| high[axis] < -0.5 || low[axis] > geometry.dims[axis] as f64 - 0.5);
        if outside {
            return fail(format!("region of interest {min:?} to {max:?} lies outside the volume"));
        }
        Ok(std::array::from_fn(|axis| {
            let last = geometry.dims[axis] - 1;
            let first = ((low[axis] + 0.5).floor().max(0.0) as usize).min(last);
            // A box that ends on a face does not touch the voxel behind it.
            let end = (high[axis] + 0.5).ceil().max(0.0) as usize;
            first..end.clamp(first + 1, last + 1)
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Affine, World};

    fn voxels(min: [f64; 3], max: [f64; 3]) -> Result<Region> {
        // i runs against x, voxels of 2 mm, the first center at 0.
        let affine = Affine([-2., 0., 0., 0., 0., 2., 0., 0., 0., 0., 2., 0., 0., 0., 0., 1.]);
        let geometry = Geometry { dims: [10, 10, 10], ijk_to_world: affine, world: World::Ras };
        RegionOfInterest::voxels(Some(&RegionOfInterest { min, max }), &geometry)
    }

    #[test]
    fn a_box_holds_the_voxels_that_it_cuts_and_not_those_that_it_only_touches() {
        assert_eq!(voxels([-7.0, 1.0, 4.5], [-3.0, 5.0, 4.6]), Ok([2..4, 1..3, 2..3]));
        assert_eq!(voxels([-100.0; 3], [100.0; 3]), Ok([0..10, 0..10, 0..10]));
    }

    #[test]
    fn a_point_is_a_region_of_one_voxel() {
        assert_eq!(voxels([-4.0, 4.0, 4.0], [-4.0, 4.0, 4.0]), Ok([2..3, 2..3, 2..3]));
        assert_eq!(voxels([1.0, 19.0, 19.0], [1.0, 19.0, 19.0]), Ok([0..1, 9..10, 9..10]));
    }

    #[test]
    fn regions_that_are_no_box_or_lie_outside_are_refused() {
        for (min, max) in
            [([0.0, 0.0, 1.0], [0.0; 3]), ([f64::NAN; 3], [0.0; 3]), ([1.5, 0.0, 0.0], [9.0; 3]), ([-5.0, -9.0, 0.0], [0.0, -2.0, 1.0])]
        {
            assert_eq!(voxels(min, max).unwrap_err().kind(), ErrorKind::InvalidArgument, "{min:?}");
        }
    }
}
