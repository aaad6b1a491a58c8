//! What a training run is asked for: the paper's preset, the recommended one, and every choice between them.

use serde::{Deserialize, Serialize};

use super::dataset::{Augmentation, Statistics};
use super::loss::Loss;
use super::optimizer::Optimizer;
use crate::error::{Error, ErrorKind, Result};

/// What a training run is asked for. As JSON, keys that are left out are the paper's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Decides the split, the weights at the start, every patch and the cases of a validation.
    pub seed: u64,
    /// Iterations of an epoch.
    pub epoch: u64,
    /// Epochs.
    pub epochs: u64,
    /// Patches per iteration.
    pub batch: usize,
    /// The loss.
    pub loss: LossOptions,
    /// How gradients change the parameters.
    pub optimizer: Optimizer,
    /// The learning rate at the start.
    pub learning_rate: f64,
    /// What becomes of the learning rate.
    pub schedule: Schedule,
    /// Iterations over which the learning rate rises from 0 at the start.
    pub warm_up: u64,
    /// How patches are varied.
    pub augmentation: Augmentation,
    /// Iterations from a validation to the next.
    pub validate_every: u64,
    /// Cases of a validation, drawn anew each time; `None`: all.
    pub validation_cases: Option<usize>,
    /// Iterations from a checkpoint to the next: what a stop at any moment loses at most.
    pub checkpoint_every: u64,
}

/// The loss: weighted cross entropy, and a Dice loss if one wants it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LossOptions {
    /// The classes' weights in the cross entropy.
    pub weights: ClassWeights,
    /// The factor of the Dice loss; 0: none.
    pub dice: f64,
}

/// Weights of the classes in the cross entropy.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum ClassWeights {
    /// All 1.
    Equal,
    /// From these epochs on these weights, background first.
    Epochs(Vec<Phase>),
    /// `(all voxels / (classes · voxels of the class))^power`, from the training cases: 1 makes every class count alike.
    Frequency {
        /// The exponent: 0.5 takes the edge off.
        power: f64,
    },
}

/// Weights from an epoch on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Phase {
    /// The first epoch that they are for, from 0.
    pub from: u64,
    /// One per class, background first.
    pub weights: Vec<f64>,
}

/// What becomes of the learning rate over the iterations.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Schedule {
    /// It stays.
    Constant,
    /// It falls as (1 − iteration / all)^power.
    Polynomial {
        /// The exponent; 0.9 is usual.
        power: f64,
    },
    /// It falls as half a cosine, to 0.
    Cosine,
}

impl Default for Options {
    fn default() -> Self {
        Options::paper()
    }
}

impl Default for LossOptions {
    fn default() -> Self {
        let phase = |from, weights: [f64; 3]| Phase { from, weights: weights.to_vec() };
        LossOptions { weights: ClassWeights::Epochs(vec![phase(0, [1.0, 1.0, 20.0]), phase(40, [1.0, 1.0, 2.0])]), dice: 0.0 }
    }
}

impl Options {
    /// The paper's preset (method.md 5): 100 epochs of 250 batches of 4 patches, plain gradient descent at 5e-4, weights
    /// 1 : 1 : 20, from epoch 40 on 1 : 1 : 2.
    pub fn paper() -> Options {
        Options {
            seed: 0,
            epoch: 250,
            epochs: 100,
            batch: 4,
            loss: LossOptions::default(),
            optimizer: Optimizer::Sgd { momentum: 0.0 },
            learning_rate: 5e-4,
            schedule: Schedule::Constant,
            warm_up: 0,
            augmentation: Augmentation::default(),
            validate_every: 100,
            validation_cases: Some(6),
            checkpoint_every: 250,
        }
    }

    /// What learns faster than the paper's preset: AdamW with a learning rate that rises and falls, cross entropy with Dice,
    /// half of the patches on the foreground.
    pub fn recommended() -> Options {
        Options {
            epochs: 20,
            loss: LossOptions { weights: ClassWeights::Equal, dice: 1.0 },
            optimizer: Optimizer::ADAM_W,
            learning_rate: 2e-3,
            schedule: Schedule::Cosine,
            warm_up: 100,
            augmentation: Augmentation { foreground_share: 0.5, ..Augmentation::default() },
            ..Options::paper()
        }
    }

    /// Iterations in all.
    pub fn iterations(&self) -> u64 {
        self.epoch.saturating_mul(self.epochs)
    }

    /// The learning rate of an iteration, from 0.
    pub fn learning_rate_at(&self, iteration: u64) -> f64 {
        let done = iteration as f64 / self.iterations().max(1) as f64;
        let rise = if self.warm_up == 0 { 1.0 } else { ((iteration + 1) as f64 / self.warm_up as f64).min(1.0) };
        let fall = match self.schedule {
            Schedule::Constant => 1.0,
            Schedule::Polynomial { power } => (1.0 - done).max(0.0).powf(power),
            Schedule::Cosine => 0.5 * (1.0 + (std::f64::consts::PI * done.min(1.0)).cos()),
        };
        self.learning_rate * rise * fall
    }

    /// The loss of an iteration, for so many classes and a training set with these statistics.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if the weights are those of another number of classes.
    pub fn loss_at(&self, iteration: u64, statistics: &Statistics) -> Result<Loss> {
        let classes = statistics.class_voxels.len();
        let weights = match &self.loss.weights {
            ClassWeights::Equal => vec![1.0; classes],
            ClassWeights::Epochs(phases) => {
                let epoch = iteration / self.epoch.max(1);
                let phase = phases.iter().filter(|phase| phase.from <= epoch).max_by_key(|phase| phase.from);
                phase.map(|phase| phase.weights.clone()).unwrap_or_default()
            }
            ClassWeights::Frequency { power } => {
                let all: u64 = statistics.class_voxels.iter().sum();
                // A class that the training cases lack cannot be learned; whatever its weight, it multiplies nothing.
                let share = |voxels: u64| all as f64 / (classes as f64 * voxels.max(1) as f64);
                statistics.class_voxels.iter().map(|&voxels| share(voxels).powf(*power)).collect()
            }
        };
        if weights.len() != classes {
            let (given, names) = (weights.len(), "one per class, background first");
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{given} class weights for {classes} classes: give {names}")));
        }
        Ok(Loss { weights, dice: self.loss.dice })
    }

    /// Checks every number before anything is trained on it.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`], naming the number.
    pub fn check(&self) -> Result<()> {
        let fail = |what: &str| Err(Error::new(ErrorKind::InvalidArgument, format!("training options: {what}")));
        let counts = [
            ("epoch", self.epoch),
            ("epochs", self.epochs),
            ("batch", self.batch as u64),
            ("validate_every", self.validate_every),
            ("validation_cases", self.validation_cases.map_or(1, |cases| cases as u64)),
            ("checkpoint_every", self.checkpoint_every),
        ];
        if let Some((name, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return fail(&format!("{name} is 0: it must be at least 1"));
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return fail(&format!("learning_rate is {}: it must be above 0", self.learning_rate));
        }
        if let Schedule::Polynomial { power } = self.schedule
            && !(power >= 0.0 && power.is_finite())
        {
            return fail(&format!("the schedule's power is {power}: it must be 0 or more"));
        }
        if !(self.loss.dice >= 0.0 && self.loss.dice.is_finite()) {
            return fail(&format!("the factor of the Dice loss is {}: it must be 0 or more", self.loss.dice));
        }
        match &self.loss.weights {
            ClassWeights::Equal => {}
            ClassWeights::Frequency { power } if power.is_finite() => {}
            ClassWeights::Frequency { power } => return fail(&format!("the frequencies' power is {power}: it must be finite")),
            ClassWeights::Epochs(phases) => {
                if !phases.iter().any(|phase| phase.from == 0) {
                    return fail("no class weights from epoch 0 on: give some");
                }
                let all = || phases.iter().flat_map(|phase| &phase.weights);
                if all().any(|weight| !(*weight >= 0.0 && weight.is_finite())) {
                    return fail("a class weight is negative or not finite");
                }
            }
        }
        self.optimizer.check()?;
        self.augmentation.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn statistics(class_voxels: &[u64]) -> Statistics {
        Statistics { mean: 0.0, std: 1.0, class_voxels: class_voxels.to_vec() }
    }

    #[test]
    fn the_papers_weights_change_at_epoch_40() {
        let weights = |iteration| Options::paper().loss_at(iteration, &statistics(&[1, 1, 1])).unwrap().weights;
        assert_eq!(weights(0), [1.0, 1.0, 20.0]);
        assert_eq!(weights(40 * 250 - 1), [1.0, 1.0, 20.0]);
        assert_eq!(weights(40 * 250), [1.0, 1.0, 2.0]);
        assert_eq!(weights(100 * 250 - 1), [1.0, 1.0, 2.0]);
    }

    #[test]
    fn weights_from_frequency_make_classes_count_alike() {
        let options = |power| Options { loss: LossOptions { weights: ClassWeights::Frequency { power }, dice: 0.0 }, ..Options::paper() };
        let voxels = [900, 90, 10];
        let weights = options(1.0).loss_at(0, &statistics(&voxels)).unwrap().weights;
        for (weight, voxels) in weights.iter().zip(voxels) {
            assert!((weight * voxels as f64 - 1000.0 / 3.0).abs() < 1e-9);
        }
        assert_eq!(options(0.0).loss_at(0, &statistics(&voxels)).unwrap().weights, [1.0; 3]);
    }

    #[test]
    fn weights_for_another_number_of_classes_are_refused() {
        let error = Options::paper().loss_at(0, &statistics(&[1; 5])).unwrap_err();
        assert!(error.message().contains("3 class weights for 5 classes"), "{error}");
    }

    #[test]
    fn the_learning_rate_rises_and_falls() {
        let options = Options { epoch: 10, epochs: 10, warm_up: 4, learning_rate: 1.0, schedule: Schedule::Cosine, ..Options::paper() };
        assert!((options.learning_rate_at(0) - 0.25).abs() < 1e-9 && options.learning_rate_at(3) > 0.99);
        assert!((options.learning_rate_at(50) - 0.5).abs() < 1e-9 && options.learning_rate_at(100) < 1e-9);
        let polynomial = Options { schedule: Schedule::Polynomial { power: 2.0 }, warm_up: 0, ..options };
        assert!((polynomial.learning_rate_at(50) - 0.25).abs() < 1e-9);
        assert_eq!(Options::paper().learning_rate_at(0), Options::paper().learning_rate_at(24_999));
    }

    #[test]
    fn options_that_nothing_could_be_trained_with_are_refused_by_name() {
        let ok = Options::paper;
        let wrong = [
            ("batch", Options { batch: 0, ..ok() }),
            ("learning_rate", Options { learning_rate: f64::NAN, ..ok() }),
            ("power", Options { schedule: Schedule::Polynomial { power: -1.0 }, ..ok() }),
            ("Dice", Options { loss: LossOptions { dice: -1.0, ..LossOptions::default() }, ..ok() }),
            ("epoch 0", Options { loss: LossOptions { weights: ClassWeights::Epochs(vec![]), dice: 0.0 }, ..ok() }),
            ("momentum", Options { optimizer: Optimizer::Sgd { momentum: 1.0 }, ..ok() }),
        ];
        assert!(ok().check().is_ok() && Options::recommended().check().is_ok());
        for (name, options) in wrong {
            assert!(options.check().unwrap_err().message().contains(name), "{name}");
        }
    }

    #[test]
    fn options_survive_json_and_unknown_keys_do_not() {
        for options in [Options::paper(), Options::recommended()] {
            assert_eq!(serde_json::from_str::<Options>(&serde_json::to_string(&options).unwrap()).unwrap(), options);
        }
        assert_eq!(serde_json::from_str::<Options>("{}").unwrap(), Options::paper());
        assert!(serde_json::from_str::<Options>("{\"learning_rat\": 1}").is_err());
    }
}
