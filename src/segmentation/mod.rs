//! The result: a label map in the input's geometry, with statistics, confidence, provenance and warnings.

mod cleaning;
mod queries;
mod reviewed;
mod statistics;
mod warnings;

use ndarray::{ArrayView3, ShapeBuilder};

pub use self::cleaning::Cleaning;
pub(crate) use self::queries::Prepared;
pub use self::queries::{Clearance, Corridor, Distance, Tool, Violation};
pub use self::statistics::Statistics;
pub use self::warnings::Warnings;
use crate::engine::{Device, Precision};
use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::geometry::{Geometry, World};
use crate::model::{Code, LabelConfig};
use crate::pipeline::Region;
use crate::volume::NiftiPlacement;

/// A label map in the geometry of the volume it came from.
#[derive(Clone, Debug)]
pub struct Segmentation {
    pub(crate) geometry: Geometry,
    pub(crate) placement: Option<NiftiPlacement>,
    /// Packed, i fastest.
    pub(crate) labels: Vec<u8>,
    pub(crate) confidence: Confidence,
    /// The voxels (i, j, k) that were examined.
    pub(crate) examined: Region,
    pub(crate) table: Vec<Label>,
    pub(crate) provenance: Provenance,
    pub(crate) timings: Timings,
    pub(crate) prepared: Prepared,
}

/// The confidence of every voxel, kept on the model grid, which is smaller than most inputs.
#[derive(Clone, Debug, Default)]
pub(crate) struct Confidence {
    /// The model grid, D, H, W.
    pub values: Vec<f32>,
    /// For i, j, k and each index: its share of the offset into `values`.
    pub offsets: [Vec<u32>; 3],
}

impl Confidence {
    fn at(&self, [i, j, k]: [usize; 3]) -> Option<f32> {
        let offset = self.offsets[0].get(i)? + self.offsets[1].get(j)? + self.offsets[2].get(k)?;
        self.values.get(offset as usize).copied()
    }
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
#[derive(Clone, Debug, Default, PartialEq)]
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
    /// A result of this geometry in which nothing has been examined: background throughout.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub(crate) fn empty(geometry: &Geometry, model_voxels: usize, labels: &[LabelConfig], provenance: Provenance) -> Result<Self> {
        let mut segmentation = Segmentation {
            geometry: *geometry,
            placement: None,
            labels: Vec::new(),
            confidence: Confidence::default(),
            examined: [0..0, 0..0, 0..0],
            table: labels.iter().map(Label::new).collect(),
            provenance,
            timings: Timings::default(),
            prepared: Prepared::default(),
        };
        segmentation.reserve(geometry.dims, model_voxels)?;
        let background = labels.first().map_or(0, |label| label.value);
        segmentation.labels.resize(geometry.voxel_count(), background);
        Ok(segmentation)
    }

    /// Makes room for a result of this size; nothing that can be seen changes.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub(crate) fn reserve(&mut self, dims: [usize; 3], model_voxels: usize) -> Result<()> {
        try_reserve(&mut self.labels, dims.iter().product(), "the label map")?;
        try_reserve(&mut self.confidence.values, model_voxels, "the confidences")?;
        for (table, length) in self.confidence.offsets.iter_mut().zip(dims) {
            try_reserve(table, length, "the resampling tables")?;
        }
        Ok(())
    }

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
        let [i, j, k] = self.geometry.dims;
        ArrayView3::from_shape((i, j, k).f(), &self.labels).ok()
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
        let (count, [columns, rows, _]) = (self.labels.len(), self.geometry.dims);
        let Some(confidence) = confidence.get_mut(..count) else {
            return Err(Error::new(
                ErrorKind::BufferTooSmall,
                format!("room for {} confidences, the label map has {count} voxels", confidence.len()),
            ));
        };
        for (index, value) in confidence.iter_mut().enumerate() {
            let voxel = [index % columns, index / columns % rows, index / (columns * rows)];
            *value = if self.is_examined(voxel) { self.confidence.at(voxel).unwrap_or(0.0) } else { 0.0 };
        }
        Ok(())
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
        if point.iter().any(|coordinate| !coordinate.is_finite()) {
            return Err(Error::new(ErrorKind::InvalidArgument, "the point has a coordinate that is not finite"));
        }
        let index = self.geometry.ijk_to_world.between(self.geometry.world, world).inverse()?.apply(point);
        let mut voxel = [0; 3];
        for axis in 0..3 {
            // A voxel is a box around its center; the outermost faces belong to the volume.
            let n = self.geometry.dims[axis];
            if !(-0.5..=n as f64 - 0.5).contains(&index[axis]) {
                return Err(Self::not_examined());
            }
            voxel[axis] = ((index[axis] + 0.5).floor() as usize).min(n - 1);
        }
        let [columns, rows, _] = self.geometry.dims;
        let label = self.labels.get((voxel[2] * rows + voxel[1]) * columns + voxel[0]);
        match (self.is_examined(voxel), label, self.confidence.at(voxel)) {
            (true, Some(&label), Some(confidence)) => Ok(Sample { label: i32::from(label), confidence: f64::from(confidence) }),
            _ => Err(Self::not_examined()),
        }
    }

    fn is_examined(&self, voxel: [usize; 3]) -> bool {
        (0..3).all(|axis| self.examined[axis].contains(&voxel[axis]))
    }

    fn not_examined() -> Error {
        Error::new(ErrorKind::NotExamined, "the point lies outside what was segmented: nothing is known there, not even background")
    }
}

impl Label {
    /// A label of which nothing has been found yet.
    pub(crate) fn new(config: &LabelConfig) -> Self {
        Label {
            value: config.value,
            name: config.name.clone(),
            color: config.color,
            terminology: config.terminology.clone(),
            category: config.category.clone(),
            statistics: Statistics::NOTHING,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::Affine;

    /// 4×3×2 voxels of 2 mm with label (and confidence in percent) i + 4·j + 12·k, of which i = 3 was not examined.
    fn segmentation() -> Segmentation {
        let geometry = Geometry { dims: [4, 3, 2], ijk_to_world: Affine::from_spacing([2.0; 3], [10.0, 20.0, 30.0]), world: World::Ras };
        let mut segmentation = Segmentation::empty(&geometry, 24, &[], Provenance::default()).unwrap();
        segmentation.labels = (0..24).collect();
        segmentation.confidence.values = (0..24).map(|v| v as f32 / 100.0).collect();
        segmentation.confidence.offsets = [vec![0, 1, 2, 3], vec![0, 4, 8], vec![0, 12]];
        segmentation.examined = [0..3, 0..3, 0..2];
        segmentation
    }

    #[test]
    fn a_point_has_the_label_of_the_voxel_around_it_in_either_world() {
        let sample = |world, point| segmentation().at(world, point).map(|sample| sample.label);
        assert_eq!(sample(World::Ras, [12.9, 22.0, 32.0]), Ok(1 + 4 + 12));
        assert_eq!(sample(World::Lps, [-12.9, -22.0, 32.0]), Ok(1 + 4 + 12));
        assert_eq!(sample(World::Ras, [9.0, 19.0, 29.0]), Ok(0));
        assert_eq!(sample(World::Ras, [9.0, 25.0, 33.0]), Ok(8 + 12));
    }

    #[test]
    fn beyond_the_field_of_view_and_the_region_of_interest_nothing_is_known() {
        for point in [[8.9, 20.0, 30.0], [10.0, 25.1, 30.0], [15.5, 20.0, 30.0], [-1e300, 0.0, 0.0]] {
            assert_eq!(segmentation().at(World::Ras, point).unwrap_err().kind(), ErrorKind::NotExamined, "{point:?}");
        }
        assert_eq!(segmentation().at(World::Ras, [f64::NAN, 0.0, 0.0]).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn confidences_are_copied_voxel_by_voxel_and_are_zero_where_nothing_was_examined() {
        let mut confidence = [1.0; 25];
        segmentation().copy_confidence(&mut confidence).unwrap();
        for (v, &value) in confidence[..24].iter().enumerate() {
            assert_eq!(value, if v % 4 == 3 { 0.0 } else { v as f32 / 100.0 });
        }
        assert_eq!(confidence[24], 1.0);
        assert_eq!(segmentation().copy_confidence(&mut [0.0; 23]).unwrap_err().kind(), ErrorKind::BufferTooSmall);
    }
}
