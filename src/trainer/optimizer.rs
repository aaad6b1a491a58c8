//! How gradients change the parameters: stochastic gradient descent, with momentum or not, and AdamW.
//!
//! Our own, because candle-nn's optimizers keep their state to themselves: a run that is resumed must go on with the same bits.

use serde::{Deserialize, Serialize};

use crate::engine::cpu::training::Parameters;
use crate::error::{Error, ErrorKind, Result};
use crate::model::TensorRole;

/// An optimizer and its constants.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Optimizer {
    /// `v ← momentum·v + g`, `w ← w − rate·v`.
    Sgd {
        /// 0: plain descent.
        momentum: f64,
    },
    /// Adam with decoupled weight decay (Loshchilov and Hutter 2019, algorithm 2).
    AdamW {
        /// Decay of the mean of the gradients.
        beta1: f64,
        /// Decay of the mean of their squares.
        beta2: f64,
        /// Added to the root of the latter.
        eps: f64,
        /// Decay of kernels, per unit of the learning rate; biases and normalizations are left alone.
        weight_decay: f64,
    },
}

/// What an optimizer remembers: for every tensor as many numbers as it has, once per moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Moments(pub Vec<Vec<Vec<f32>>>);

impl Optimizer {
    /// AdamW with its usual constants.
    pub const ADAM_W: Optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.999, eps: 1e-8, weight_decay: 0.01 };

    /// Checks the constants.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`], naming the constant.
    pub fn check(&self) -> Result<()> {
        let constants = match *self {
            Optimizer::Sgd { momentum } => vec![("momentum", momentum, momentum < 1.0)],
            Optimizer::AdamW { beta1, beta2, eps, weight_decay } => vec![
                ("beta1", beta1, beta1 < 1.0),
                ("beta2", beta2, beta2 < 1.0),
                ("eps", eps, eps > 0.0 && eps.is_finite()),
                ("weight_decay", weight_decay, weight_decay.is_finite()),
            ],
        };
        match constants.into_iter().find(|&(_, value, fits)| !(value >= 0.0 && fits)) {
            Some((name, value, _)) => {
                let message = format!("the optimizer's {name} is {value}: it must not be negative, and a decay must be below 1");
                Err(Error::new(ErrorKind::InvalidArgument, message))
            }
            None => Ok(()),
        }
    }

    /// How many moments of a gradient it remembers.
    pub(super) fn moments(&self) -> usize {
        match self {
            Optimizer::Sgd { momentum } => usize::from(*momentum > 0.0),
            Optimizer::AdamW { .. } => 2,
        }
    }

    /// The moments before the first step.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn begin(&self, parameters: &Parameters) -> Result<Moments> {
        (0..self.moments()).map(|_| parameters.zeros()).collect::<Result<_>>().map(Moments)
    }

    /// Changes the parameters. `step` counts from 1; running statistics stay.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for moments or gradients of another optimizer or network.
    pub fn step(&self, parameters: &mut Parameters, gradients: &[Vec<f32>], moments: &mut Moments, rate: f64, step: u64) -> Result<()> {
        let roles: Vec<TensorRole> = parameters.specs().iter().map(|spec| spec.role).collect();
        let lengths = |tensors: &[Vec<f32>]| tensors.iter().map(Vec::len).collect::<Vec<_>>();
        let expected = lengths(parameters.values());
        if moments.0.len() != self.moments()
            || moments.0.iter().map(Vec::as_slice).chain([gradients]).any(|tensors| lengths(tensors) != expected)
        {
            return Err(Error::new(ErrorKind::InvalidArgument, "the optimizer's state belongs to another network or optimizer"));
        }
        for (tensor, (values, role)) in parameters.values_mut().iter_mut().zip(roles).enumerate().filter(|(_, (_, role))| role.is_learned())
        {
            let gradient = &gradients[tensor];
            match (*self, moments.0.as_mut_slice()) {
                (Optimizer::Sgd { momentum }, [velocity]) => {
                    let (momentum, rate) = (momentum as f32, rate as f32);
                    for ((value, velocity), &gradient) in values.iter_mut().zip(&mut velocity[tensor]).zip(gradient) {
                        *velocity = momentum * *velocity + gradient;
                        *value -= rate * *velocity;
                    }
                }
                (Optimizer::AdamW { beta1, beta2, eps, weight_decay }, [first, second]) => {
                    let decay = if matches!(role, TensorRole::Weight { .. }) { 1.0 - rate * weight_decay } else { 1.0 };
                    let correction = |beta: f64| 1.0 - beta.powf(step as f64);
                    // rate·m̂/(√v̂ + ε), the corrections taken out of the loop.
                    let root = correction(beta2).sqrt();
                    let (scale, eps) = ((rate * root / correction(beta1)) as f32, (eps * root) as f32);
                    let (beta1, beta2, decay) = (beta1 as f32, beta2 as f32, decay as f32);
                    let moments = first[tensor].iter_mut().zip(&mut second[tensor]);
                    for ((value, (first, second)), &gradient) in values.iter_mut().zip(moments).zip(gradient) {
                        *first = beta1 * *first + (1.0 - beta1) * gradient;
                        *second = beta2 * *second + (1.0 - beta2) * gradient * gradient;
                        *value = *value * decay - scale * *first / (second.sqrt() + eps);
                    }
                }
                (_, _) => {
                    let rate = rate as f32;
                    values.iter_mut().zip(gradient).for_each(|(value, &gradient)| *value -= rate * gradient);
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Config, Model};

    fn parameters() -> Parameters {
        Parameters::of(&Model::untrained(Config::spinect(&[2]), 1).unwrap()).unwrap()
    }

    /// Parameters after steps with gradients of 0.5, −0.25, 0.5 ….
    fn after(optimizer: Optimizer, steps: u64) -> (Parameters, Parameters) {
        let before = parameters();
        let (mut after, mut moments) = (before.clone(), optimizer.begin(&before).unwrap());
        for step in 1..=steps {
            let gradient = if step % 2 == 1 { 0.5 } else { -0.25 };
            let gradients: Vec<Vec<f32>> = before.values().iter().map(|values| vec![gradient; values.len()]).collect();
            optimizer.step(&mut after, &gradients, &mut moments, 0.1, step).unwrap();
        }
        (before, after)
    }

    /// The change of one number of a tensor.
    fn change(name: &str, (before, after): &(Parameters, Parameters)) -> f32 {
        let tensor = before.index(name).unwrap();
        after.values()[tensor][0] - before.values()[tensor][0]
    }

    #[test]
    fn descent_and_momentum_take_the_steps_that_were_computed_by_hand() {
        let bias = "encoder.0.0.conv.bias";
        assert!((change(bias, &after(Optimizer::Sgd { momentum: 0.0 }, 2)) + 0.025).abs() < 1e-7);
        // 0.1·0.5 + 0.1·(0.9·0.5 − 0.25)
        assert!((change(bias, &after(Optimizer::Sgd { momentum: 0.9 }, 2)) + 0.07).abs() < 1e-7);
    }

    #[test]
    fn adam_w_takes_the_steps_that_were_computed_by_hand_and_decays_kernels_alone() {
        let optimizer = Optimizer::AdamW { beta1: 0.9, beta2: 0.99, eps: 1e-8, weight_decay: 0.5 };
        // First step: rate. Second: m̂ = (0.9·0.05 − 0.025)/0.19, v̂ = (0.99·0.0025 + 0.000625)/0.0199.
        let second = 0.1 * (0.02 / 0.19) / (0.0031f64 / 0.0199).sqrt();
        assert!((f64::from(change("encoder.0.0.conv.bias", &after(optimizer, 1))) + 0.1).abs() < 1e-6);
        assert!((f64::from(change("encoder.0.0.conv.bias", &after(optimizer, 2))) + 0.1 + second).abs() < 1e-6);
        let one = after(optimizer, 1);
        let weight = f64::from(one.0.values()[one.0.index("head.weight").unwrap()][0]);
        assert!((f64::from(change("head.weight", &one)) + 0.1 + 0.05 * weight).abs() < 1e-6);
    }

    #[test]
    fn running_statistics_are_nobodys_to_step_on() {
        for optimizer in [Optimizer::Sgd { momentum: 0.0 }, Optimizer::Sgd { momentum: 0.9 }, Optimizer::ADAM_W] {
            assert_eq!(change("encoder.0.0.norm.running_var", &after(optimizer, 2)), 0.0);
        }
    }

    #[test]
    fn the_state_of_another_optimizer_is_refused() {
        let (mut parameters, gradients) = (parameters(), parameters().zeros().unwrap());
        let mut moments = Optimizer::Sgd { momentum: 0.9 }.begin(&parameters).unwrap();
        assert!(Optimizer::ADAM_W.step(&mut parameters, &gradients, &mut moments, 0.1, 1).is_err());
    }
}
