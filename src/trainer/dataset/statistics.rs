//! What whitening and class weights are made from (method.md 5).

use crate::error::{Error, ErrorKind, Result};
use crate::model::Preprocess;

use super::Dataset;
use super::case::{Case, Whitening};

/// Statistics of cases on the model grid.
#[derive(Clone, Debug, PartialEq)]
pub struct Statistics {
    /// Mean of the clipped Hounsfield units.
    pub mean: f64,
    /// Their population standard deviation.
    pub std: f64,
    /// Voxels of every class; their sum is the number of voxels.
    pub class_voxels: Vec<u64>,
}

/// How often every Hounsfield unit and class occurs: sums of these do not depend on the order.
struct Counts {
    hounsfield: Vec<u64>,
    classes: [u64; 256],
}

impl Counts {
    fn add(&mut self, case: &Case, spacing_mm: [f64; 3]) -> Result<()> {
        let [depths, rows, columns] = case.whole_grid(spacing_mm)?;
        for (&d, &h) in depths.iter().flat_map(|d| rows.iter().map(move |h| (d, h))) {
            let (hounsfield, classes) = case.row(d, h);
            for &w in &columns {
                self.hounsfield[(i32::from(hounsfield[w as usize]) - i32::from(i16::MIN)) as usize] += 1;
                self.classes[usize::from(classes[w as usize])] += 1;
            }
        }
        Ok(())
    }
}

impl Dataset {
    /// Mean and standard deviation over all voxels of these cases after clipping and resampling to the model's spacing, and
    /// the voxels of every class there. Of `preprocess`, spacing and clip matter.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for no case, or voxels that are all alike once clipped; those of [`Dataset::case`] and
    /// [`Case::to_model_grid`].
    pub fn statistics(&self, cases: &[usize], preprocess: &Preprocess) -> Result<Statistics> {
        let whitening = Whitening::new(&Preprocess { mean: 0.0, std: 1.0, ..preprocess.clone() })?;
        let mut counts = Counts { hounsfield: vec![0; 1 << 16], classes: [0; 256] };
        for &case in cases {
            counts.add(&*self.case(case)?, preprocess.spacing_mm)?;
        }
        let clipped = |at: usize| f64::from(whitening.clip(at as f32 + f32::from(i16::MIN)));
        let number = counts.hounsfield.iter().sum::<u64>() as f64;
        let sum = |value: &dyn Fn(f64) -> f64| -> f64 {
            counts.hounsfield.iter().enumerate().map(|(at, &count)| if count > 0 { count as f64 * value(clipped(at)) } else { 0.0 }).sum()
        };
        let mean = sum(&|hu| hu) / number;
        let std = (sum(&|hu| (hu - mean).powi(2)) / number).sqrt();
        if std.is_nan() || std <= 0.0 {
            let message = "no case, or voxels that are all alike once clipped: there is nothing to whiten by";
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        Ok(Statistics { mean, std, class_voxels: counts.classes[..self.classes().count()].to_vec() })
    }
}

#[cfg(test)]
mod tests {
    use super::super::Classes;
    use super::*;
    use crate::model::Config;

    fn case(dims: [usize; 3], spacing_mm: [f64; 3], first: i16) -> Case {
        let count = dims.iter().product::<usize>();
        let hounsfield = (0..count).map(|n| first + 131 * n as i16).collect();
        Case::new(dims, spacing_mm, hounsfield, (0..count).map(|n| (n % 4 / 2) as u8).collect()).unwrap()
    }

    #[test]
    fn they_are_those_of_the_model_grids_voxels_of_the_cases_asked_for() {
        let cases = vec![
            ("a".to_owned(), case([5, 4, 3], [2.5, 0.6, 0.9], -3000)),
            ("b".to_owned(), case([3, 3, 3], [1.0; 3], 2500)),
            ("c".to_owned(), case([4, 4, 4], [1.0, 3.0, 1.0], 0)),
        ];
        let dataset = Dataset::from_cases(Classes::spinect(), cases).unwrap();
        let mut preprocess = Config::spinect(&[2]).preprocess;
        (preprocess.mean, preprocess.std) = (0.0, 1.0);
        for chosen in [&[0, 2][..], &[1], &[2, 1, 0]] {
            let grids: Vec<_> = chosen.iter().map(|&at| dataset.case(at).unwrap().to_model_grid(&preprocess).unwrap()).collect();
            let voxels: Vec<f64> = grids.iter().flat_map(|(grid, _)| grid.voxels.iter().map(|&hu| f64::from(hu))).collect();
            let mean = voxels.iter().sum::<f64>() / voxels.len() as f64;
            let std = (voxels.iter().map(|hu| (hu - mean).powi(2)).sum::<f64>() / voxels.len() as f64).sqrt();
            let of_class = |class| grids.iter().flat_map(|(_, classes)| classes).filter(|&&found| found == class).count() as u64;
            let statistics = dataset.statistics(chosen, &preprocess).unwrap();
            assert!((statistics.mean - mean).abs() < 1e-9 && (statistics.std - std).abs() < 1e-9, "{statistics:?}");
            assert_eq!(statistics.class_voxels, [of_class(0), of_class(1), 0]);
        }
    }

    #[test]
    fn nothing_to_whiten_by_is_an_error() {
        let alike = Case::new([1, 1, 2], [1.0; 3], vec![-1024, -2000], vec![0; 2]).unwrap();
        let dataset = Dataset::from_cases(Classes::spinect(), vec![("a".into(), alike)]).unwrap();
        let preprocess = Config::spinect(&[2]).preprocess;
        for cases in [&[0][..], &[]] {
            assert!(dataset.statistics(cases, &preprocess).unwrap_err().message().contains("all alike"));
        }
        assert!(dataset.statistics(&[1], &preprocess).is_err());
    }
}
