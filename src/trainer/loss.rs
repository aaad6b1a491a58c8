//! The loss and its gradient (method.md 5): weighted softmax cross entropy, and a soft Dice loss beside it if asked for.
//!
//! With p the probabilities, t the voxel's class and n the voxels that count:
//!
//! cross entropy = 1/n · Σ_voxels w_t · (−log p_t), with the gradient w_t · (p_k − \[k = t\]) / n by the logits;
//!
//! Dice = 1 − mean over the foreground classes of (2·Σ p_k·t_k + 1) / (Σ p_k + Σ t_k + 1), sums over the batch (Milletari,
//! Navab and Ahmadi 2016, with the sums of nnU-Net), whose gradient q_k by the probabilities is
//! p_k · (q_k − Σ_j q_j·p_j) by the logits.

use rayon::prelude::*;

use super::dataset::PADDING;
use crate::error::{Error, ErrorKind, Result};

/// A loss.
#[derive(Clone, Debug, PartialEq)]
pub struct Loss {
    /// Weight of every class in the cross entropy, background first.
    pub weights: Vec<f64>,
    /// The factor of the Dice loss; 0: none.
    pub dice: f64,
}

/// The loss of a batch.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Value {
    /// Weighted cross entropy.
    pub cross_entropy: f64,
    /// The Dice loss, 0 to 1, without its factor; 0 where there is none.
    pub dice: f64,
    /// What is minimized: the cross entropy and the Dice loss times its factor.
    pub total: f64,
}

/// Sums of a class over a batch.
#[derive(Clone, Copy, Debug, Default)]
struct Sums {
    /// Σ p·t
    both: f64,
    /// Σ p
    probability: f64,
    /// Σ t
    truth: f64,
}

/// Keeps the Dice loss of a class that is absent finite.
const SMOOTH: f64 = 1.0;

impl Loss {
    /// The loss of a batch. `probabilities`, `[slice][class][voxels of a slice]`, become its gradient by the logits; `classes`
    /// are `[slice][voxels of a slice]`, [`PADDING`] does not count.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for a class that has no weight, or sizes that do not fit.
    pub fn evaluate(&self, probabilities: &mut [f32], classes: &[u8], slice: usize) -> Result<Value> {
        let count = self.weights.len();
        let invalid = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        if slice == 0 || !classes.len().is_multiple_of(slice) || probabilities.len() != classes.len() * count {
            return invalid(format!("{} probabilities for {} voxels of {count} classes", probabilities.len(), classes.len()));
        }
        if let Some(class) = classes.iter().find(|&&class| class != PADDING && usize::from(class) >= count) {
            return invalid(format!("a voxel is of class {class}: there are {count}, from 0"));
        }
        let voxels = classes.iter().filter(|&&class| class != PADDING).count();
        if voxels == 0 {
            probabilities.fill(0.0);
            return Ok(Value::default());
        }
        // Slices are summed up in their order, whoever was faster.
        let slices = || probabilities.par_chunks(slice * count).zip(classes.par_chunks(slice));
        let losses: Vec<f64> = slices().map(|(p, classes)| self.cross_entropy(p, classes)).collect();
        let cross_entropy = losses.iter().sum::<f64>() / voxels as f64;
        let (dice, factors) = if self.dice > 0.0 && count > 1 {
            let sums: Vec<Vec<Sums>> = slices().map(|(p, classes)| sums(p, classes, count)).collect();
            self.dice(&sums)
        } else {
            (0.0, vec![[0.0; 2]; count])
        };
        let scale: Vec<f32> = self.weights.iter().map(|weight| (weight / voxels as f64) as f32).collect();
        probabilities
            .par_chunks_mut(slice * count)
            .zip(classes.par_chunks(slice))
            .for_each(|(p, classes)| gradient(p, classes, &scale, &factors));
        Ok(Value { cross_entropy, dice, total: cross_entropy + self.dice * dice })
    }

    /// Σ w·(−log p) of a slice.
    fn cross_entropy(&self, probabilities: &[f32], classes: &[u8]) -> f64 {
        let loss = |(voxel, &class): (usize, &u8)| {
            // What underflows to 0 is no infinite loss.
            let p = probabilities[usize::from(class) * classes.len() + voxel];
            -self.weights[usize::from(class)] * f64::from(if p < f32::MIN_POSITIVE { f32::MIN_POSITIVE } else { p }.ln())
        };
        classes.iter().enumerate().filter(|&(_, &class)| class != PADDING).map(loss).sum()
    }

    /// The Dice loss, and per class the two parts of its gradient by a probability: that of every voxel, and what comes on top
    /// where the class is true.
    fn dice(&self, slices: &[Vec<Sums>]) -> (f64, Vec<[f32; 2]>) {
        let foreground = (self.weights.len() - 1) as f64;
        let (mut loss, mut factors) = (1.0, vec![[0.0; 2]; self.weights.len()]);
        for (class, factors) in factors.iter_mut().enumerate().skip(1) {
            let add =
                |a: Sums, b: &Sums| Sums { both: a.both + b.both, probability: a.probability + b.probability, truth: a.truth + b.truth };
            let sums = slices.iter().map(|sums| &sums[class]).fold(Sums::default(), add);
            let (above, below) = (2.0 * sums.both + SMOOTH, sums.probability + sums.truth + SMOOTH);
            loss -= above / below / foreground;
            let factor = self.dice / foreground;
            *factors = [(factor * above / (below * below)) as f32, (-2.0 * factor / below) as f32];
        }
        (loss, factors)
    }
}

/// The sums of every class over a slice.
fn sums(probabilities: &[f32], classes: &[u8], count: usize) -> Vec<Sums> {
    let mut sums = vec![Sums::default(); count];
    for (class, (sums, p)) in sums.iter_mut().zip(probabilities.chunks(classes.len())).enumerate().skip(1) {
        for (&p, &truth) in p.iter().zip(classes).filter(|&(_, &truth)| truth != PADDING) {
            let is = f64::from(u8::from(usize::from(truth) == class));
            let p = f64::from(p);
            *sums = Sums { both: sums.both + is * p, probability: sums.probability + p, truth: sums.truth + is };
        }
    }
    sums
}

/// Probabilities of a slice to the gradient by the logits, in place.
fn gradient(probabilities: &mut [f32], classes: &[u8], scale: &[f32], factors: &[[f32; 2]]) {
    let voxels = classes.len();
    for (voxel, &truth) in classes.iter().enumerate() {
        if truth == PADDING {
            (0..scale.len()).for_each(|class| probabilities[class * voxels + voxel] = 0.0);
            continue;
        }
        let truth = usize::from(truth);
        let by_probability = |class: usize| factors[class][0] + if class == truth { factors[class][1] } else { 0.0 };
        let mean: f32 = (0..scale.len()).map(|class| by_probability(class) * probabilities[class * voxels + voxel]).sum();
        for class in 0..scale.len() {
            let p = &mut probabilities[class * voxels + voxel];
            let is = if class == truth { 1.0 } else { 0.0 };
            *p = scale[truth] * (*p - is) + *p * (by_probability(class) - mean);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn softmax(logits: &[f64], voxels: usize) -> Vec<f32> {
        let count = logits.len() / voxels;
        let sum = |voxel: usize| (0..count).map(|class| logits[class * voxels + voxel].exp()).sum::<f64>();
        logits.iter().enumerate().map(|(at, logit)| (logit.exp() / sum(at % voxels)) as f32).collect()
    }

    #[test]
    fn weighting_gives_the_loss_and_gradient_that_were_computed_by_hand() {
        // Two voxels that count: bone at p = ½, nerve at p = ¼; a third is padding.
        let mut p = vec![0.25, 0.25, 0.2, 0.5, 0.5, 0.3, 0.25, 0.25, 0.5];
        let loss = Loss { weights: vec![1.0, 1.0, 20.0], dice: 0.0 };
        let value = loss.evaluate(&mut p, &[1, 2, PADDING], 3).unwrap();
        // (1·log 2 + 20·log 4) / 2 = 41/2·log 2 = 14.2095171…
        assert!((value.total - 14.209_517_201_478_9).abs() < 1e-6, "{value:?}");
        // w·(p − [k = t])/2: bone voxel ⅛, −¼, ⅛; nerve voxel 2.5, 5, −7.5.
        let expected = [0.125, 2.5, 0.0, -0.25, 5.0, 0.0, 0.125, -7.5, 0.0];
        assert!(p.iter().zip(expected).all(|(g, e)| (g - e).abs() < 1e-6), "{p:?}");
    }

    #[test]
    fn the_dice_loss_is_that_of_its_formula() {
        let mut p = vec![0.5, 0.0, 0.5, 1.0];
        let loss = Loss { weights: vec![0.0, 0.0], dice: 1.0 };
        // One voxel of two is true with p = 1, the other has p = ½: 1 − (2·1 + 1)/(1.5 + 1 + 1).
        let value = loss.evaluate(&mut p, &[0, 1], 2).unwrap();
        assert!((value.dice - (1.0 - 3.0 / 3.5)).abs() < 1e-9 && (value.total - value.dice).abs() < 1e-12, "{value:?}");
    }

    #[test]
    fn the_gradient_agrees_with_finite_differences() {
        let classes = [0, 1, 2, 2, PADDING, 1];
        let logits: Vec<f64> = (0..18).map(|i| f64::from(i * 7 % 11) / 5.0 - 1.0).collect();
        for (weights, dice) in [([1.0, 1.0, 20.0], 0.0), ([1.0, 2.0, 3.0], 0.7), ([0.0; 3], 1.0)] {
            let loss = Loss { weights: weights.to_vec(), dice };
            // Two slices of three voxels, [slice][class][voxel].
            let evaluate = |logits: &[f64]| {
                let mut p: Vec<f32> = logits.chunks(9).flat_map(|slice| softmax(slice, 3)).collect();
                (loss.evaluate(&mut p, &classes, 3).unwrap().total, p)
            };
            let (_, gradient) = evaluate(&logits);
            for at in 0..logits.len() {
                let moved = |step: f64| {
                    let mut logits = logits.clone();
                    logits[at] += step;
                    evaluate(&logits).0
                };
                let expected = (moved(1e-2) - moved(-1e-2)) / 2e-2;
                assert!((f64::from(gradient[at]) - expected).abs() < 2e-4, "{at}: {} instead of {expected}", gradient[at]);
            }
        }
    }

    #[test]
    fn a_batch_of_padding_has_no_loss_and_a_class_without_a_weight_is_refused() {
        let loss = Loss { weights: vec![1.0, 1.0], dice: 1.0 };
        let mut p = vec![0.5; 4];
        assert_eq!(loss.evaluate(&mut p, &[PADDING; 2], 2).unwrap(), Value::default());
        assert_eq!(p, [0.0; 4]);
        assert!(loss.evaluate(&mut [0.5; 4], &[0, 2], 2).unwrap_err().message().contains("class 2"));
        assert!(loss.evaluate(&mut [0.5; 3], &[0, 1], 2).is_err());
    }
}
