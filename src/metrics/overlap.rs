//! Voxels that two label maps share: pixel accuracy, IoU, Dice.

use crate::error::{Error, ErrorKind, Result};

/// How two label maps lie over each other: per label, its voxels in the truth, in the prediction, and in both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overlaps(Vec<Overlap>);

/// How one label of the truth and of the prediction lie over each other.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Overlap {
    /// Voxels with the label in the truth.
    pub truth: u64,
    /// Voxels with the label in the prediction.
    pub prediction: u64,
    /// Voxels with the label in both: the true positives.
    pub both: u64,
}

impl Overlaps {
    /// Counts every label's voxels in one pass over two label maps of the same shape and voxel order.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the two differ in length.
    pub fn between(truth: &[u8], prediction: &[u8]) -> Result<Overlaps> {
        if truth.len() != prediction.len() {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("the truth has {} voxels and the prediction {}: compare label maps of one grid", truth.len(), prediction.len()),
            ));
        }
        let mut counts = [Overlap::default(); 256];
        for (&expected, &found) in truth.iter().zip(prediction) {
            counts[usize::from(expected)].truth += 1;
            counts[usize::from(found)].prediction += 1;
            if expected == found {
                counts[usize::from(expected)].both += 1;
            }
        }
        Ok(Overlaps(counts.to_vec()))
    }

    /// The counts of one label; all 0 if neither map holds it.
    pub fn of(&self, label: u8) -> Overlap {
        self.0.get(usize::from(label)).copied().unwrap_or_default()
    }
}

impl Overlap {
    /// Pixel accuracy of a class: true positives / voxels of the class in the truth, i.e. recall. `None` where the truth
    /// does not hold the class.
    pub fn pixel_accuracy(self) -> Option<f64> {
        ratio(self.both, self.truth)
    }

    /// Intersection over union, |T ∩ P| / |T ∪ P|. `None` where neither holds the class.
    pub fn iou(self) -> Option<f64> {
        ratio(self.both, self.truth + self.prediction - self.both)
    }

    /// The Dice score, 2 |T ∩ P| / (|T| + |P|). `None` where neither holds the class.
    pub fn dice(self) -> Option<f64> {
        ratio(2 * self.both, self.truth + self.prediction)
    }
}

fn ratio(part: u64, whole: u64) -> Option<f64> {
    (whole > 0).then(|| part as f64 / whole as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Label 1: truth at 0 to 3, prediction at 2 to 4: 4 and 3 voxels, 2 in both, 5 in the union.
    const TRUTH: [u8; 8] = [1, 1, 1, 1, 0, 2, 0, 3];
    const PREDICTION: [u8; 8] = [0, 0, 1, 1, 1, 2, 4, 0];

    #[test]
    fn the_three_metrics_are_those_counted_by_hand() {
        let bone = Overlaps::between(&TRUTH, &PREDICTION).unwrap().of(1);
        assert_eq!(bone, Overlap { truth: 4, prediction: 3, both: 2 });
        assert_eq!(bone.pixel_accuracy(), Some(2.0 / 4.0));
        assert_eq!(bone.iou(), Some(2.0 / 5.0));
        assert_eq!(bone.dice(), Some(4.0 / 7.0));
    }

    #[test]
    fn a_perfect_prediction_scores_one() {
        let nerve = Overlaps::between(&TRUTH, &PREDICTION).unwrap().of(2);
        assert_eq!((nerve.pixel_accuracy(), nerve.iou(), nerve.dice()), (Some(1.0), Some(1.0), Some(1.0)));
    }

    #[test]
    fn a_class_that_only_the_truth_or_only_the_prediction_holds_scores_zero() {
        let overlaps = Overlaps::between(&TRUTH, &PREDICTION).unwrap();
        let (missed, invented) = (overlaps.of(3), overlaps.of(4));
        assert_eq!((missed.pixel_accuracy(), missed.iou(), missed.dice()), (Some(0.0), Some(0.0), Some(0.0)));
        assert_eq!((invented.pixel_accuracy(), invented.iou(), invented.dice()), (None, Some(0.0), Some(0.0)));
    }

    #[test]
    fn a_class_that_neither_holds_cannot_be_judged() {
        let absent = Overlaps::between(&TRUTH, &PREDICTION).unwrap().of(9);
        assert_eq!((absent.pixel_accuracy(), absent.iou(), absent.dice()), (None, None, None));
    }

    #[test]
    fn maps_of_different_length_are_refused() {
        assert_eq!(Overlaps::between(&[1, 2], &[1]).unwrap_err().kind(), ErrorKind::InvalidArgument);
    }
}
