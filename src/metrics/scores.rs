//! Every metric of one label in one case, together.

use serde::Serialize;

use super::{Overlaps, SurfaceDistances, mean, standard_deviation};
use crate::error::Result;

/// How well a label of a prediction matches the truth, or the mean or the standard deviation of that over cases. `None`
/// (in JSON null) where a metric does not exist: [`Scores::between`] says when.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// Pixel accuracy: true positives / voxels of the label in the truth, 0 to 1.
    pub pixel_accuracy: Option<f64>,
    /// Intersection over union, 0 to 1.
    pub iou: Option<f64>,
    /// The Dice score, 0 to 1.
    pub dice: Option<f64>,
    /// The 95th percentile of the distances between the surfaces, mm.
    pub hd95_mm: Option<f64>,
    /// The average symmetric distance between the surfaces, mm.
    pub assd_mm: Option<f64>,
}

impl Scores {
    /// The scores of `label` between two label maps of one grid: `dims` voxels along i, j, k, i fastest, `spacing_mm`
    /// apart.
    ///
    /// Pixel accuracy does not exist where the truth lacks the label, IoU and Dice where both maps do, the two distances
    /// where either does (a distance to nothing is not 0, and no number stands for it).
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) if the maps do not both hold `dims` voxels or the spacing is
    /// not above 0 and finite; [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn between(truth: &[u8], prediction: &[u8], label: u8, dims: [usize; 3], spacing_mm: [f64; 3]) -> Result<Scores> {
        let overlap = Overlaps::between(truth, prediction)?.of(label);
        let surface = SurfaceDistances::between(truth, prediction, label, dims, spacing_mm)?;
        Ok(Scores {
            pixel_accuracy: overlap.pixel_accuracy(),
            iou: overlap.iou(),
            dice: overlap.dice(),
            hd95_mm: surface.map(|surface| surface.hd95_mm),
            assd_mm: surface.map(|surface| surface.assd_mm),
        })
    }

    /// The mean of each metric over those cases in which it exists.
    pub fn mean(cases: &[Scores]) -> Scores {
        Self::each(cases, |values| mean(values.iter().copied()))
    }

    /// The standard deviation of each metric over those cases in which it exists, as of a sample; `None` below two.
    pub fn standard_deviation(cases: &[Scores]) -> Scores {
        Self::each(cases, |values| standard_deviation(values.iter().copied()))
    }

    fn each(cases: &[Scores], summary: impl Fn(&[Option<f64>]) -> Option<f64>) -> Scores {
        let of = |metric: fn(&Scores) -> Option<f64>| summary(&cases.iter().map(metric).collect::<Vec<_>>());
        Scores {
            pixel_accuracy: of(|scores| scores.pixel_accuracy),
            iou: of(|scores| scores.iou),
            dice: of(|scores| scores.dice),
            hd95_mm: of(|scores| scores.hd95_mm),
            assd_mm: of(|scores| scores.assd_mm),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_metrics_of_a_label_come_together() {
        // Along i: truth at 0 to 3, prediction at 2 to 4.
        let scores = Scores::between(&[1, 1, 1, 1, 0], &[0, 0, 1, 1, 1], 1, [5, 1, 1], [2.0, 1.0, 1.0]).unwrap();
        assert_eq!((scores.pixel_accuracy, scores.iou, scores.dice), (Some(0.5), Some(0.4), Some(4.0 / 7.0)));
        // Every voxel of a line touches the volume's border. Truth to prediction: 4, 2, 0, 0 mm; back: 0, 0, 2 mm.
        assert_eq!(scores.assd_mm, Some(8.0 / 7.0));
        // The 95th percentile of 0 0 0 0 2 2 4 stands at 5.7 of 0 to 6.
        assert!((scores.hd95_mm.unwrap() - 3.4).abs() < 1e-12);
    }

    #[test]
    fn a_label_that_is_missed_scores_zero_and_has_no_distance() {
        let scores = Scores::between(&[3, 0], &[0, 0], 3, [2, 1, 1], [1.0; 3]).unwrap();
        assert_eq!(scores, Scores { pixel_accuracy: Some(0.0), iou: Some(0.0), dice: Some(0.0), ..Scores::default() });
    }

    #[test]
    fn cases_without_a_metric_do_not_count_in_its_mean_and_deviation() {
        let cases = [Scores { dice: Some(0.5), ..Scores::default() }, Scores { dice: Some(1.0), assd_mm: Some(2.0), ..Scores::default() }];
        assert_eq!(Scores::mean(&cases), Scores { dice: Some(0.75), assd_mm: Some(2.0), ..Scores::default() });
        assert_eq!(Scores::standard_deviation(&cases), Scores { dice: Some(0.125f64.sqrt()), ..Scores::default() });
    }
}
