//! The result: a label map in the input's geometry, with statistics, confidence, provenance and warnings.

use ndarray::ArrayView3;

use crate::error::{Error, ErrorKind, Result};
use crate::geometry::{Geometry, World};
use crate::model::Code;
use crate::session::{Device, Precision};
use crate::volume::{NiftiPlacement, label_array};

mod warnings;
pub use warnings::Warnings;

/// A label map in the geometry of the volume it came from.
#[derive(Clone, Debug)]
pub struct Segmentation {
    pub(crate) geometry: Geometry,
    pub(crate) placement: Option<NiftiPlacement>,
    pub(crate) labels: Vec<u8>,
    pub(crate) table: Vec<Label>,
    pub(crate) provenance: Provenance,
    pub(crate) timings: Timings,
}

/// A label: what it stands for, and how much of it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Label {
    /// The value in the label map.
    pub value: u8,
    /// What users call it.
    pub name: String,
    /// Red, green, blue.
    pub color: [u8; 3],
    /// The coded structure.
    pub terminology: Option<Code>,
    /// The coded category.
    pub category: Option<Code>,
    /// How much of it was found.
    pub statistics: Statistics,
}

/// How much of a label was found, and where. Background is a label like any other.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Statistics {
    /// Voxels with this label.
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

/// Seconds per stage. The stages follow each other without a gap: they add up to `total`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Timings {
    /// Checks, orientation, resampling, whitening.
    pub prepare: f64,
    /// The network over all windows.
    pub network: f64,
    /// Adding up the windows and choosing the winner.
    pub combine: f64,
    /// Back to the input grid, with statistics.
    pub restore: f64,
    /// From call to return.
    pub total: f64,
    /// Windows that the volume (or the region of interest) has.
    pub windows: u64,
    /// Windows that went through the network; identical ones do so once.
    pub windows_computed: u64,
}

/// What made a result.
#[derive(Clone, Debug, PartialEq)]
pub struct Provenance {
    /// The device that computed it.
    pub device: Device,
    /// In what precision.
    pub precision: Precision,
    /// What to know before relying on it.
    pub warnings: Warnings,
    /// The model's name.
    pub model_name: String,
    /// SHA-256 of the model file.
    pub model_sha256: String,
    /// SHA-256 of the input's voxels as stored, packed, i fastest, little endian.
    pub input_sha256: String,
}

/// What lies at a point.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Sample {
    /// The label's value.
    pub label: i32,
    /// Its confidence, 0 to 1.
    pub confidence: f64,
}

impl Segmentation {
    /// The geometry of the volume that was segmented, bit by bit.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// What the input's NIfTI header said about its place, if the input came from such a file.
    pub fn placement(&self) -> Option<&NiftiPlacement> {
        self.placement.as_ref()
    }

    /// The label map: packed, i fastest.
    pub fn labels(&self) -> &[u8] {
        &self.labels
    }

    /// The label map as an array indexed `[i, j, k]`.
    pub fn label_array(&self) -> Option<ArrayView3<'_, u8>> {
        label_array(&self.labels, self.geometry.dims)
    }

    /// Every label of the model, in the order of its output channels.
    pub fn table(&self) -> &[Label] {
        &self.table
    }

    /// Copies the confidence of every voxel (packed, i fastest; 0 where nothing was examined).
    ///
    /// # Errors
    /// [`ErrorKind::BufferTooSmall`] if `confidence` holds fewer elements than there are voxels.
    pub fn copy_confidence(&self, confidence: &mut [f32]) -> Result<()> {
        let _ = confidence;
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// What made this result, and what to know before relying on it.
    pub fn provenance(&self) -> &Provenance {
        &self.provenance
    }

    /// Seconds per stage of the run that made this result.
    pub fn timings(&self) -> &Timings {
        &self.timings
    }

    /// The label and the confidence at a point (mm in `world`): those of the voxel that contains it.
    ///
    /// # Errors
    /// [`ErrorKind::NotExamined`] outside the field of view or the region of interest;
    /// [`ErrorKind::InvalidArgument`] for a coordinate that is not finite.
    pub fn at(&self, world: World, point: [f64; 3]) -> Result<Sample> {
        let _ = (world, point);
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }
}
