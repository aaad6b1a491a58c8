//! What repeated measurements look like: percentiles and a histogram.

use serde::Serialize;

/// Percentiles, largest and mean of a sample, in its own unit.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Distribution {
    pub(super) p50: f64,
    pub(super) p90: f64,
    pub(super) p99: f64,
    pub(super) max: f64,
    pub(super) mean: f64,
}

impl Distribution {
    /// The distribution of a sample; `None` for an empty one.
    pub(super) fn of(sample: impl IntoIterator<Item = f64>) -> Option<Distribution> {
        let mut sorted: Vec<f64> = sample.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Some(Distribution {
            p50: percentile(&sorted, 50)?,
            p90: percentile(&sorted, 90)?,
            p99: percentile(&sorted, 99)?,
            max: sorted.last().copied()?,
            mean: sorted.iter().sum::<f64>() / sorted.len() as f64,
        })
    }
}

/// The percentile by nearest rank: the smallest value that at least `percent` of 100 values do not exceed. It is always
/// one of the measured values; below 100 of them, the 99th percentile is the largest.
fn percentile(sorted: &[f64], percent: usize) -> Option<f64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

/// A bin of a histogram.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Bin {
    /// The smallest value that belongs here.
    pub(super) low: f64,
    /// The end of the bin; it belongs to the next one, except in the last bin.
    pub(super) high: f64,
    /// How many values lie here.
    pub(super) count: usize,
}

/// The sample in at most `bins` bins of equal width between its smallest and largest value; one bin if all are equal.
pub(super) fn histogram(sample: &[f64], bins: usize) -> Vec<Bin> {
    let low = sample.iter().copied().fold(f64::INFINITY, f64::min);
    let high = sample.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    if sample.is_empty() || bins == 0 {
        return Vec::new();
    }
    let bins = if high > low { bins } else { 1 };
    let width = (high - low) / bins as f64;
    let edge = |at: usize| if at == bins { high } else { low + at as f64 * width };
    let mut result: Vec<Bin> = (0..bins).map(|at| Bin { low: edge(at), high: edge(at + 1), count: 0 }).collect();
    for value in sample {
        let at = if width > 0.0 { ((value - low) / width) as usize } else { 0 };
        if let Some(bin) = result.get_mut(at.min(bins - 1)) {
            bin.count += 1;
        }
    }
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_measured_values_by_nearest_rank() {
        let sample: Vec<f64> = (1..=200).rev().map(f64::from).collect();
        let expected = Distribution { p50: 100.0, p90: 180.0, p99: 198.0, max: 200.0, mean: 100.5 };
        assert_eq!(Distribution::of(sample), Some(expected));
        let few = Distribution::of([3.0, 1.0, 2.0, 4.0, 5.0]).unwrap();
        assert_eq!((few.p50, few.p90, few.p99, few.max), (3.0, 5.0, 5.0, 5.0));
        let even = Distribution::of([4.0, 1.0, 3.0, 2.0]).unwrap();
        assert_eq!((even.p50, even.mean), (2.0, 2.5));
    }

    #[test]
    fn one_value_is_all_its_percentiles_and_none_has_none() {
        let one = Distribution::of([7.0]).unwrap();
        assert_eq!((one.p50, one.p90, one.p99, one.max, one.mean), (7.0, 7.0, 7.0, 7.0, 7.0));
        assert_eq!(Distribution::of([]), None);
    }

    #[test]
    fn a_histogram_counts_every_value_once_and_the_largest_in_the_last_bin() {
        let counts = |sample: &[f64], bins| histogram(sample, bins).iter().map(|bin| bin.count).collect::<Vec<_>>();
        assert_eq!(counts(&[0.0, 0.5, 1.0, 3.9, 4.0], 4), [2, 1, 0, 2]);
        assert_eq!(counts(&[2.0, 2.0, 2.0], 4), [3]);
        assert!(counts(&[], 4).is_empty());
        let bins = histogram(&[0.0, 4.0], 4);
        assert_eq!((bins[0].low, bins[0].high, bins[3].high), (0.0, 1.0, 4.0));
    }
}
