//! Cleaning: what is not connected with the large pieces of a structure becomes background. Never done unasked.

use super::{Segmentation, Statistics, Warnings};
use crate::error::{Error, ErrorKind, Result};
use crate::pipeline::pieces::Pieces;
use crate::pipeline::restore::Tally;

/// Which pieces of a structure stay. Voxels that share a face, an edge or a corner are of one piece.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Cleaning {
    /// So many of the largest; at least 1.
    pub keep: usize,
    /// Of those, the ones with at least this volume, mm³; 0: all.
    pub least_mm3: f64,
}

impl Segmentation {
    /// Makes background of all voxels of a label that are not in the pieces that stay, counts anew, and forgets what
    /// [`prepare_queries`](Self::prepare_queries) made. Confidences stay those of the labels that won, and warnings stay: they
    /// tell of what the model found. A label of which nothing is left adds its own. Returns how many voxels that were.
    ///
    /// # Errors
    /// [`ErrorKind::UnknownLabel`]; [`ErrorKind::InvalidArgument`] for the background, none to keep, or a volume that is none;
    /// [`ErrorKind::OutOfMemory`]. Then nothing has changed.
    pub fn clean(&mut self, label: i32, cleaning: &Cleaning) -> Result<u64> {
        let value = self.value_of(label)?;
        let background = self.table.first().map_or(0, |label| label.value);
        let fail = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        if value == background {
            return fail(format!("{label} is the background: there is nothing that its pieces could become"));
        }
        if cleaning.keep == 0 {
            return fail("0 pieces to keep: keep at least 1".into());
        }
        if !(cleaning.least_mm3 >= 0.0 && cleaning.least_mm3.is_finite()) {
            return fail(format!("a least volume of {} mm³: it must be 0 or a positive number", cleaning.least_mm3));
        }
        let [columns, rows, slices] = self.geometry.dims;
        // A quotient that is whole but for rounding is that number.
        let least = (cleaning.least_mm3 / self.geometry.voxel_volume() - 1e-9).ceil().max(0.0) as u64;
        let removed = Pieces::remove_small(&mut self.labels, [slices, rows, columns], value, cleaning.keep, least, background)?;
        if removed > 0 {
            self.count();
            self.prepared = super::Prepared::default();
            if !self.labels.contains(&value) {
                self.provenance.warnings |= Warnings::STRUCTURE_ABSENT;
            }
        }
        Ok(removed)
    }

    /// Counts every label anew.
    fn count(&mut self) {
        let mut tallies = [Tally::EMPTY; 256];
        let [columns, rows, _] = self.geometry.dims;
        let [is, js, ks] = self.examined.clone();
        for (j, k) in ks.flat_map(|k| js.clone().map(move |j| (j, k))) {
            let row = (k * rows + j) * columns;
            for i in is.clone() {
                let tally = &mut tallies[usize::from(self.labels[row + i])];
                tally.confidence += f64::from(self.confidence.at([i, j, k]).unwrap_or(0.0));
                tally.count(i..i + 1, j, k);
            }
        }
        for label in &mut self.table {
            label.statistics = Statistics::of(&tallies[usize::from(label.value)], &self.geometry);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::geometry::{Affine, Geometry, World};
    use crate::model::LabelConfig;
    use crate::volume::Volume;

    /// Of 12×3×2 voxels of 1×1×2 mm, nerve (2) in pieces of 6, 4 and 1 voxels, and one of bone (1).
    fn reviewed() -> Segmentation {
        let mut labels = [0; 72];
        labels[..6].fill(2);
        [8, 9, 44, 45].into_iter().for_each(|v| labels[v] = 2);
        (labels[35], labels[71]) = (1, 2);
        let geometry = Geometry { dims: [12, 3, 2], ijk_to_world: Affine::from_spacing([1.0, 1.0, 2.0], [0.0; 3]), world: World::Ras };
        let label =
            |value, name: &str| LabelConfig { value, name: name.into(), color: [0; 3], terminology: None, category: None, pieces: None };
        Segmentation::from_labels(&Volume::from_slice(&labels, geometry).unwrap(), &[label(1, "bone"), label(2, "nerve")]).unwrap()
    }

    #[test]
    fn the_largest_pieces_stay_and_everything_is_counted_anew() {
        for (keep, least_mm3, left) in [(1, 0.0, 6), (2, 0.0, 10), (9, 0.0, 11), (9, 2.0, 11), (9, 2.1, 10), (9, 12.0, 6), (9, 12.1, 0)] {
            let mut result = reviewed();
            let removed = result.clean(2, &Cleaning { keep, least_mm3 }).unwrap();
            let nerve = result.table()[2].statistics;
            assert_eq!((removed, nerve.voxels), (11 - left, left), "{keep} {least_mm3}");
            assert_eq!(result.table()[1].statistics, reviewed().table()[1].statistics);
            assert_eq!(result.table()[0].statistics.voxels, 60 + removed);
            assert_eq!(result.labels().iter().filter(|&&value| value == 2).count() as u64, left);
            assert_eq!(result.provenance().warnings.contains(Warnings::STRUCTURE_ABSENT), left == 0);
            if left == 11 {
                let statistics = |result: &Segmentation| result.table().iter().map(|label| label.statistics).collect::<Vec<_>>();
                assert_eq!(statistics(&result), statistics(&reviewed()));
            }
        }
    }

    #[test]
    fn what_was_prepared_is_forgotten() {
        let mut result = reviewed();
        result.prepare_queries(2).unwrap();
        result.clean(2, &Cleaning { keep: 1, least_mm3: 0.0 }).unwrap();
        assert_eq!(result.distance(2, World::Ras, [0.0; 3]).unwrap_err().kind(), ErrorKind::NotPrepared);
    }

    #[test]
    fn what_cannot_be_cleaned_stays_as_it_is() {
        let mut result = reviewed();
        let mut kind = |label, keep, least_mm3| result.clean(label, &Cleaning { keep, least_mm3 }).unwrap_err().kind();
        assert_eq!(kind(7, 1, 0.0), ErrorKind::UnknownLabel);
        for (label, keep, least) in [(0, 1, 0.0), (2, 0, 0.0), (2, 1, -1.0), (2, 1, f64::NAN)] {
            assert_eq!(kind(label, keep, least), ErrorKind::InvalidArgument);
        }
        assert_eq!(result.labels(), reviewed().labels());
    }
}
