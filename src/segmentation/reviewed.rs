//! A result made of a label map that was not segmented here: reviewed, edited, or somebody else's.

use sha2::{Digest, Sha256};

use super::{Confidence, Label, Prepared, Provenance, Segmentation, Statistics, Timings, Warnings};
use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::model::LabelConfig;
use crate::pipeline::restore::Tally;
use crate::volume::Volume;

/// What a label map's own background is called and looks like, where the table does not say.
const BACKGROUND: &str = "background";

impl Segmentation {
    /// A result that answers every question from this label map: a whole number from 0 to 255 per voxel, of any voxel
    /// type. All of it counts as examined, with confidence 1. No model made it: the provenance names none, and whoever
    /// reviewed the labels answers for them.
    ///
    /// `table` names the labels, each value once; 0 is the background and need not be listed.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a value that is listed twice, or occurs and is not listed, or is none;
    /// [`ErrorKind::NullArgument`] for a volume without voxels; [`ErrorKind::OutOfMemory`].
    pub fn from_labels(labels: &Volume<'_>, table: &[LabelConfig]) -> Result<Segmentation> {
        if !labels.has_voxels() {
            return Err(Error::new(ErrorKind::NullArgument, "the label map has no voxels: give those, too"));
        }
        let geometry = *labels.geometry();
        geometry.check()?;
        let mut entries: Vec<Label> = table.iter().map(Label::new).collect();
        if !table.iter().any(|label| label.value == 0) {
            let color = [0; 3];
            let background = LabelConfig { value: 0, name: BACKGROUND.into(), color, terminology: None, category: None, pieces: None };
            entries.insert(0, Label::new(&background));
        }
        let places = places(&entries)?;
        let values = labels.label_values()?;
        let tallies = tallies(&values, geometry.dims, &places, entries.len())?;
        let examined = geometry.dims.map(|n| 0..n);
        let mut warnings = Warnings::of_geometry(&geometry);
        for (entry, tally) in entries.iter_mut().zip(&tallies) {
            entry.statistics = Statistics::of(tally, &geometry);
            if entry.value != 0 {
                warnings |= Warnings::of_structure(tally, &examined);
            }
        }
        let input_sha256 = Sha256::digest(&values).iter().map(|byte| format!("{byte:02x}")).collect();
        Ok(Segmentation {
            geometry,
            placement: labels.placement().copied(),
            labels: values,
            confidence: certainty(geometry.dims)?,
            examined,
            table: entries,
            provenance: Provenance { warnings, input_sha256, ..Provenance::default() },
            timings: Timings::default(),
            prepared: Prepared::default(),
        })
    }
}

/// No label.
const NONE: usize = usize::MAX;

/// Where each value stands in the table.
fn places(entries: &[Label]) -> Result<[usize; 256]> {
    let mut places = [NONE; 256];
    for (at, label) in entries.iter().enumerate() {
        let place = &mut places[usize::from(label.value)];
        if *place != NONE {
            let message = format!("the table lists the value {} twice: give every label a value of its own", label.value);
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        *place = at;
    }
    Ok(places)
}

/// Counts what every label of the table has, run after run of equal values along i.
fn tallies(values: &[u8], [columns, rows, _]: [usize; 3], places: &[usize; 256], labels: usize) -> Result<Vec<Tally>> {
    let mut tallies = vec![Tally::EMPTY; labels];
    for (row, voxels) in values.chunks_exact(columns).enumerate() {
        let (j, k) = (row % rows, row / rows);
        let mut first = 0;
        for run in voxels.chunk_by(|a, b| a == b) {
            let (value, next) = (run[0], first + run.len());
            let Some(tally) = tallies.get_mut(places[usize::from(value)]) else {
                let message = format!("voxel [{first}, {j}, {k}] has the value {value}, which the table does not list: add it");
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            };
            tally.confidence += run.len() as f64;
            tally.count(first..next, j, k);
            first = next;
        }
    }
    Ok(tallies)
}

/// Confidence 1 everywhere.
fn certainty(dims: [usize; 3]) -> Result<Confidence> {
    let mut confidence = Confidence { values: vec![1.0], ..Confidence::default() };
    for (offsets, n) in confidence.offsets.iter_mut().zip(dims) {
        try_reserve(offsets, n, "the confidences")?;
        offsets.resize(n, 0);
    }
    Ok(confidence)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Affine, Geometry, World};

    fn label(value: u8, name: &str) -> LabelConfig {
        LabelConfig { value, name: name.into(), color: [1, 2, 3], terminology: None, category: None, pieces: None }
    }

    fn geometry() -> Geometry {
        Geometry { dims: [3, 2, 2], ijk_to_world: Affine::from_spacing([1.0, 2.0, 3.0], [10.0, 0.0, 0.0]), world: World::Lps }
    }

    const MAP: [u8; 12] = [0, 0, 5, 0, 5, 5, 0, 0, 0, 0, 9, 0];

    fn reviewed(table: &[LabelConfig]) -> Result<Segmentation> {
        Segmentation::from_labels(&Volume::from_slice(&MAP, geometry())?, table)
    }

    #[test]
    fn a_reviewed_map_answers_like_a_fresh_one() {
        let result = reviewed(&[label(5, "nerve"), label(9, "bone"), label(7, "disc")]).unwrap();
        assert_eq!((result.labels(), *result.geometry()), (&MAP[..], geometry()));
        let found: Vec<_> = result.table().iter().map(|label| (label.value, label.name.as_str(), label.statistics.voxels)).collect();
        assert_eq!(found, [(0, "background", 8), (5, "nerve", 3), (9, "bone", 1), (7, "disc", 0)]);
        let nerve = result.table()[1].statistics;
        assert_eq!((nerve.volume_mm3, nerve.box_min, nerve.box_max, nerve.mean_confidence), (18.0, [1, 0, 0], [2, 1, 0], 1.0));
        let sample = result.at(World::Ras, [-12.0, 0.0, 0.0]).unwrap();
        assert_eq!((sample.label, sample.confidence), (5, 1.0));
        assert_eq!(result.at(World::Lps, [13.0, 0.0, 0.0]).unwrap_err().kind(), ErrorKind::NotExamined);
        let warnings = result.provenance().warnings;
        assert!(warnings.contains(Warnings::STRUCTURE_CUT) && warnings.contains(Warnings::STRUCTURE_ABSENT));
        assert!(!warnings.contains(Warnings::LOW_CONFIDENCE) && result.provenance().model_name.is_empty());
    }

    #[test]
    fn any_voxel_type_with_whole_numbers_will_do() {
        let wide: Vec<i16> = MAP.iter().map(|&value| i16::from(value)).collect();
        let volume = Volume::from_slice(&wide, geometry()).unwrap();
        let table = [label(0, "nothing"), label(5, "nerve"), label(9, "bone")];
        let result = Segmentation::from_labels(&volume, &table).unwrap();
        assert_eq!((result.labels(), result.table()[0].name.as_str()), (&MAP[..], "nothing"));
        let negative = [-1i16; 12];
        let error = Segmentation::from_labels(&Volume::from_slice(&negative, geometry()).unwrap(), &table).unwrap_err();
        assert!(error.message().contains("whole numbers from 0 to 255"), "{error}");
    }

    #[test]
    fn a_value_that_is_unlisted_or_listed_twice_is_refused() {
        let unlisted = reviewed(&[label(5, "nerve")]).unwrap_err();
        assert!(unlisted.message().contains("[1, 1, 1]") && unlisted.message().contains("value 9"), "{unlisted}");
        let twice = reviewed(&[label(5, "nerve"), label(9, "bone"), label(5, "root")]).unwrap_err();
        assert!(twice.message().contains("5 twice"), "{twice}");
        assert_eq!((unlisted.kind(), twice.kind()), (ErrorKind::InvalidArgument, ErrorKind::InvalidArgument));
    }
}
