//! How a training went.

/// How a training went, point by point; iterations do not fall.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct History {
    /// The foreground classes' names, in the order of [`Validation::dice`].
    pub classes: Vec<String>,
    /// The training loss.
    pub losses: Vec<LossPoint>,
    /// What validations found.
    pub validations: Vec<Validation>,
}

/// The training loss at an iteration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LossPoint {
    /// Iterations done.
    pub iteration: u64,
    /// The epoch that the iteration belongs to, from 0.
    pub epoch: u32,
    /// The loss; one that is not finite leaves a gap.
    pub loss: f64,
}

/// What a validation found.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Validation {
    /// Iterations done.
    pub iteration: u64,
    /// Dice per foreground class, 0 to 1; `None` where no case holds the class.
    pub dice: Vec<Option<f64>>,
    /// The mean that the best model is chosen by.
    pub mean: Option<f64>,
}

impl History {
    /// The validation with the highest mean, the first of several.
    pub fn best(&self) -> Option<&Validation> {
        let with_mean = self.validations.iter().filter(|validation| validation.mean.is_some_and(f64::is_finite));
        with_mean.reduce(|best, next| if next.mean > best.mean { next } else { best })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_validation_is_the_first_with_the_highest_mean() {
        let at = |iteration, mean| Validation { iteration, mean, ..Validation::default() };
        let validations = vec![at(1, None), at(2, Some(0.5)), at(3, Some(0.7)), at(4, Some(0.7)), at(5, Some(f64::NAN))];
        assert_eq!(History { validations, ..History::default() }.best().map(|best| best.iteration), Some(3));
        assert_eq!(History::default().best(), None);
    }
}
