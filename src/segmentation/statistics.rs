//! How much of a label was found, and where.

use crate::geometry::Geometry;
use crate::pipeline::restore::Tally;

/// How much of a label was found, and where. Background is a label like any other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Voxels with this label, of those that were examined.
    pub voxels: u64,
    /// Their volume, mm³.
    pub volume_mm3: f64,
    /// The smallest i, j, k of its voxels; above `box_max` if there is none.
    pub box_min: [u64; 3],
    /// The largest i, j, k of its voxels.
    pub box_max: [u64; 3],
    /// The mean position of its voxels, mm in the volume's world; NaN if there is none.
    pub centroid: [f64; 3],
    /// The mean confidence of its voxels, 0 to 1; NaN if there is none.
    pub mean_confidence: f64,
}

impl Statistics {
    /// No voxel was found.
    pub(crate) const NOTHING: Statistics =
        Statistics { voxels: 0, volume_mm3: 0.0, box_min: [1; 3], box_max: [0; 3], centroid: [f64::NAN; 3], mean_confidence: f64::NAN };

    /// What a tally of voxels means in a volume of this geometry.
    pub(crate) fn of(tally: &Tally, geometry: &Geometry) -> Self {
        if tally.voxels == 0 {
            return Self::NOTHING;
        }
        let count = tally.voxels as f64;
        Statistics {
            voxels: tally.voxels,
            volume_mm3: count * geometry.voxel_volume(),
            box_min: tally.min,
            box_max: tally.max,
            centroid: geometry.ijk_to_world.apply(tally.index_sums.map(|sum| sum as f64 / count)),
            mean_confidence: tally.confidence / count,
        }
    }
}
