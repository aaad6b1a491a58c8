//! Untrained models: weights drawn from a seed.

use std::collections::BTreeMap;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use rand_distr::{Distribution, Normal};

use super::layers::TensorRole;
use super::validate::invalid;
use super::{Config, Model, Tensor};
use crate::error::{Result, try_reserve, try_vec};

impl Model {
    /// An untrained model: He-normal weights from a seed (method.md 5), for training to start from and for latency tests.
    ///
    /// Weights have the standard deviation √(2 / fan-in), biases are 0, scales 1, shifts 0, running means 0 and variances 1.
    /// The same configuration and seed give the same model. Its provenance says that nothing was trained.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) for a configuration that breaks a rule,
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn untrained(mut config: Config, seed: u64) -> Result<Model> {
        config.validate()?;
        config.provenance = [("trained_on", "nothing: random weights"), ("intended_use", "latency tests")]
            .map(|(key, value)| (key.to_owned(), value.into()))
            .into_iter()
            .collect();
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut tensors = BTreeMap::new();
        for spec in config.tensors() {
            let what = format!("tensor {}", spec.name);
            let elements = usize::try_from(spec.elements()).unwrap_or(usize::MAX);
            let data = match spec.role {
                TensorRole::Weight { fan_in } => he_normal(&mut random, fan_in, elements, &what)?,
                TensorRole::Scale | TensorRole::RunningVariance => try_vec(1.0, elements, &what)?,
                TensorRole::Bias | TensorRole::Shift | TensorRole::RunningMean => try_vec(0.0, elements, &what)?,
            };
            tensors.insert(spec.name, Tensor { shape: spec.shape, data });
        }
        Model::new(config, tensors)
    }
}

/// Normal values of mean 0 and variance 2 / fan-in: He et al., Delving Deep into Rectifiers (2015), equation 10.
fn he_normal(random: &mut ChaCha8Rng, fan_in: usize, elements: usize, what: &str) -> Result<Vec<f32>> {
    let deviation = (2.0 / fan_in as f32).sqrt();
    let normal = Normal::new(0.0f32, deviation).map_err(|error| invalid(format!("{what} with fan-in {fan_in}: {error}")))?;
    let mut values = Vec::new();
    try_reserve(&mut values, elements, what)?;
    values.extend(normal.sample_iter(random).take(elements));
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Mean and population variance.
    fn moments(values: &[f32]) -> (f64, f64) {
        let n = values.len() as f64;
        let mean = values.iter().map(|&value| f64::from(value)).sum::<f64>() / n;
        (mean, values.iter().map(|&value| (f64::from(value) - mean).powi(2)).sum::<f64>() / n)
    }

    #[test]
    fn weights_have_the_variance_of_he_and_the_rest_is_neutral() {
        let model = Model::untrained(Config::spinect(&[32, 64]), 7).unwrap();
        for (name, fan_in) in [("encoder.1.0.conv.weight", 32 * 27), ("decoder.0.0.conv.weight", 64 * 27), ("upsample.0.weight", 64)] {
            let (mean, variance) = moments(&model.tensor(name).unwrap().data);
            let expected = 2.0 / f64::from(fan_in);
            assert!(mean.abs() < 0.05 * expected.sqrt(), "{name}: mean {mean}");
            assert!((variance / expected - 1.0).abs() < 0.05, "{name}: variance {variance}, expected {expected}");
        }
        for (ending, value) in [(".bias", 0.0), (".norm.weight", 1.0), (".running_mean", 0.0), (".running_var", 1.0)] {
            let all: Vec<_> = model.tensors().filter(|(name, _)| name.ends_with(ending)).collect();
            assert!(!all.is_empty() && all.iter().all(|(_, tensor)| tensor.data.iter().all(|&found| found == value)), "{ending}");
        }
    }

    #[test]
    fn the_seed_alone_decides_the_model() {
        let model = |seed| Model::untrained(Config::spinect(&[2, 4]), seed).unwrap();
        assert_eq!(model(1), model(1));
        assert_ne!(model(1).sha256(), model(2).sha256());
    }

    #[test]
    fn an_untrained_model_says_so_and_is_not_clinical() {
        let mut config = Config::spinect(&[2]);
        config.provenance.insert("clinical".into(), true.into());
        let model = Model::untrained(config, 0).unwrap();
        assert_eq!(model.config().provenance["trained_on"], "nothing: random weights");
        assert_eq!(model.config().provenance["intended_use"], "latency tests");
        assert!(!model.is_declared_clinical());
    }

    #[test]
    fn a_configuration_that_breaks_a_rule_gets_no_model() {
        let error = Model::untrained(Config::spinect(&[]), 0).unwrap_err();
        assert!(error.message().contains("architecture.channels"), "{error}");
    }
}
