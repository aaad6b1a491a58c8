//! Many cases in one number.

/// The mean of those values that exist: a case in which a class cannot be judged does not count. `None` if none exists.
pub fn mean(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let (sum, count) = values.into_iter().flatten().fold((0.0, 0u32), |(sum, count), value| (sum + value, count + 1));
    (count > 0).then(|| sum / f64::from(count))
}

/// The standard deviation of those values that exist, as of a sample (n − 1 in the denominator). `None` below two values.
pub fn standard_deviation(values: impl IntoIterator<Item = Option<f64>>) -> Option<f64> {
    let values: Vec<f64> = values.into_iter().flatten().collect();
    let mean = mean(values.iter().copied().map(Some))?;
    let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
    (values.len() > 1).then(|| (squares / (values.len() - 1) as f64).sqrt())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_exist_does_not_count_in_the_mean() {
        assert_eq!(mean([Some(0.5), None, Some(1.0)]), Some(0.75));
        assert_eq!((mean([None, None]), mean([])), (None, None));
    }

    #[test]
    fn the_standard_deviation_is_that_of_a_sample_and_needs_two_values() {
        assert_eq!(standard_deviation([Some(1.0), None, Some(3.0)]), Some(2f64.sqrt()));
        assert_eq!(standard_deviation([Some(0.25); 3]), Some(0.0));
        assert_eq!((standard_deviation([Some(1.0), None]), standard_deviation([])), (None, None));
    }
}
