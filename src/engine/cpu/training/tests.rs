//! The gradients of the whole network against candle's automatic differentiation of `ops::unet3d` in f64, and that against
//! finite differences.

use candle_core::{DType, Device, Tensor, Var};

use super::*;
use crate::engine::cpu::kernels::testing::noise;
use crate::model::Model;
use crate::ops::unet3d;

/// The parameters as variables in f64, normalizing by the batch's statistics.
struct Reference(Vec<(String, Var)>);

impl Reference {
    fn new(parameters: &Parameters) -> Reference {
        let variable = |(spec, values): (&crate::model::TensorSpec, &Vec<f32>)| {
            let tensor = Tensor::from_slice(values, spec.shape.as_slice(), &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
            (spec.name.clone(), Var::from_tensor(&tensor).unwrap())
        };
        Reference(parameters.specs().iter().zip(parameters.values()).map(variable).collect())
    }

    /// Σ over voxels of weight(class) · −log p(class), divided by the number of voxels, from batches `[N, 1, D, H, W]`.
    fn loss(&self, config: &Config, voxels: &Tensor, classes: &[u8], weights: &[f64]) -> Tensor {
        let logits = unet3d::evaluate(&config.architecture, self, voxels).unwrap();
        let log = candle_nn::ops::log_softmax(&logits, 1).unwrap();
        let [n, k, d, h, w] = logits.dims5().map(|(n, k, d, h, w)| [n, k, d, h, w]).unwrap();
        let mut factors = vec![0.0; n * k * d * h * w];
        for (voxel, &class) in classes.iter().enumerate() {
            let (window, at) = (voxel / (d * h * w), voxel % (d * h * w));
            factors[(window * k + usize::from(class)) * d * h * w + at] = -weights[usize::from(class)] / classes.len() as f64;
        }
        let factors = Tensor::from_vec(factors, (n, k, d, h, w), &Device::Cpu).unwrap();
        (log * factors).unwrap().sum_all().unwrap()
    }
}

impl unet3d::Parameters for Reference {
    fn tensor(&self, name: &str) -> Result<Tensor> {
        Ok(self.0.iter().find(|(known, _)| known == name).unwrap().1.as_tensor().clone())
    }

    fn normalize(&self, x: &Tensor, layer: &str, eps: f64) -> Result<Tensor> {
        let channels = x.dim(1)?;
        let mean = x.mean_keepdim((0, 2, 3, 4))?;
        let centered = x.broadcast_sub(&mean)?;
        let deviation = (centered.sqr()?.mean_keepdim((0, 2, 3, 4))? + eps)?.sqrt()?;
        let part = |part: &str| Ok::<_, crate::Error>(self.tensor(&format!("{layer}.norm.{part}"))?.reshape((1, channels, 1, 1, 1))?);
        Ok(centered.broadcast_div(&deviation)?.broadcast_mul(&part("weight")?)?.broadcast_add(&part("bias")?)?)
    }
}

/// Weighted cross entropy, written down once more: to the gradient by the logits, in place.
fn cross_entropy(probabilities: &mut [f32], classes: &[u8], weights: &[f64], shape: [usize; 3]) -> f64 {
    let (plane, count) = (shape[1] * shape[2], weights.len());
    let mut loss = 0.0;
    for (voxel, &class) in classes.iter().enumerate() {
        let (slice, at) = (voxel / plane, voxel % plane);
        let weight = weights[usize::from(class)] / classes.len() as f64;
        for k in 0..count {
            let p = &mut probabilities[(slice * count + k) * plane + at];
            let truth = k == usize::from(class);
            loss -= if truth { weight * f64::from(*p).ln() } else { 0.0 };
            *p = (weight * (f64::from(*p) - f64::from(u8::from(truth)))) as f32;
        }
    }
    loss
}

struct Setup {
    config: Config,
    parameters: Parameters,
    voxels: Vec<f32>,
    classes: Vec<u8>,
}

const WEIGHTS: [f64; 3] = [1.0, 1.5, 4.0];

fn setup(channels: &[usize], size: [usize; 3], batch: usize) -> Setup {
    let mut config = Config::spinect(channels);
    (config.window.size, config.window.stride) = (size, size);
    let mut parameters = Parameters::of(&Model::untrained(config.clone(), 3).unwrap()).unwrap();
    // Biases, scales and shifts that are not 0 or 1, so that a mistake in them shows.
    for (index, values) in parameters.values_mut().iter_mut().enumerate().filter(|(_, values)| values.len() < 64) {
        let changes = noise(values.len(), index as u64);
        values.iter_mut().zip(changes).for_each(|(value, change)| *value += 0.3 * change);
    }
    let count = batch * size.iter().product::<usize>();
    let classes = noise(count, 5)
        .iter()
        .map(|&v| {
            if v < 0.0 {
                0
            } else if v < 0.6 {
                1
            } else {
                2
            }
        })
        .collect();
    Setup { config, parameters, voxels: noise(count, 4), classes }
}

impl Setup {
    fn batch(&self) -> Tensor {
        let [d, h, w] = self.config.window.size;
        let voxels = Tensor::from_slice(&self.voxels, (self.voxels.len() / (d * h * w), 1, d, h, w), &Device::Cpu).unwrap();
        voxels.to_dtype(DType::F64).unwrap()
    }

    fn run(&self, kernels: &'static Kernels, threads: usize) -> (f64, TrainingNetwork) {
        let size = self.config.window.size;
        let batch = self.voxels.len() / size.iter().product::<usize>();
        let mut network = TrainingNetwork::with_kernels(&self.config, self.parameters.clone(), batch, threads, kernels).unwrap();
        let loss = |probabilities: &mut [f32]| Ok(cross_entropy(probabilities, &self.classes, &WEIGHTS, size));
        let loss = network.step(&self.voxels, loss).unwrap();
        (loss, network)
    }
}

#[test]
fn every_gradient_of_the_whole_network_is_that_of_automatic_differentiation() {
    // Odd and even numbers of blocks, channels that fill none, one to four levels, one window and several.
    for (channels, size, batch) in
        [(&[3][..], [2, 3, 5], 2), (&[5, 8], [4, 6, 4], 3), (&[20, 33, 18], [8, 8, 12], 1), (&[16, 32, 48, 16], [8, 16, 8], 2)]
    {
        let setup = setup(channels, size, batch);
        let reference = Reference::new(&setup.parameters);
        let expected_loss = reference.loss(&setup.config, &setup.batch(), &setup.classes, &WEIGHTS);
        let expected = expected_loss.backward().unwrap();
        for kernels in Kernels::available() {
            let (loss, network) = setup.run(kernels, 2);
            let expected_loss = expected_loss.to_scalar::<f64>().unwrap();
            assert!((loss - expected_loss).abs() < 1e-4 * expected_loss, "{}: loss {loss} instead of {expected_loss}", kernels.name);
            for ((name, variable), (spec, gradient)) in reference
                .0
                .iter()
                .zip(setup.parameters.specs().iter().zip(network.gradients()))
                .filter(|(_, (spec, _))| spec.role.is_learned())
            {
                let expected: Vec<f64> = expected.get(variable).unwrap().flatten_all().unwrap().to_vec1().unwrap();
                let length = |numbers: &mut dyn Iterator<Item = f64>| numbers.map(|number| number * number).sum::<f64>().sqrt();
                let (size, error) = (
                    length(&mut expected.iter().copied()).max(1e-5),
                    length(&mut expected.iter().zip(gradient).map(|(e, &g)| e - f64::from(g))),
                );
                assert!(gradient.len() == expected.len() && spec.name == *name);
                assert!(error < 1e-4 * size, "{} {channels:?} {name}: off by {error:e} of {size:e}", kernels.name);
            }
        }
    }
}

#[test]
fn the_whole_networks_gradient_agrees_with_finite_differences() {
    let setup = setup(&[4, 6, 5], [4, 8, 4], 2);
    let reference = Reference::new(&setup.parameters);
    let loss = || reference.loss(&setup.config, &setup.batch(), &setup.classes, &WEIGHTS);
    let gradients = loss().backward().unwrap();
    let (_, network) = setup.run(Kernels::best(), 1);
    for (index, (name, variable)) in reference.0.iter().enumerate().filter(|(_, (name, _))| !name.contains("running")) {
        // Along one direction per tensor: short, so that few activations change sides.
        let values = variable.as_tensor().copy().unwrap();
        let direction = noise(values.elem_count(), 100 + index as u64);
        let direction = Tensor::from_vec(direction, values.shape(), &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
        let at = |step: f64| {
            variable.set(&(&values + (&direction * step).unwrap()).unwrap()).unwrap();
            loss().to_scalar::<f64>().unwrap()
        };
        let step = 1e-6;
        let difference = (at(step) - at(-step)) / (2.0 * step);
        variable.set(&values).unwrap();
        let along = |gradient: &Tensor| (gradient * &direction).unwrap().sum_all().unwrap().to_scalar::<f64>().unwrap();
        let automatic = along(gradients.get(variable).unwrap());
        let ours = Tensor::from_slice(&network.gradients()[index], values.shape(), &Device::Cpu).unwrap().to_dtype(DType::F64).unwrap();
        let size = difference.abs().max(1e-3);
        assert!((automatic - difference).abs() < 1e-5 * size, "{name}: {automatic} instead of {difference}");
        assert!((along(&ours) - difference).abs() < 1e-4 * size, "{name}: {} instead of {difference}", along(&ours));
    }
}

#[test]
fn running_statistics_follow_the_batch() {
    let setup = setup(&[4, 6], [4, 8, 4], 2);
    let (_, network) = setup.run(Kernels::best(), 2);
    let reference = Reference::new(&setup.parameters);
    let layer = |name: &str| unet3d::Parameters::tensor(&reference, name).unwrap();
    let raw = crate::ops::conv3d(&setup.batch(), &layer("encoder.0.0.conv.weight"), Some(&layer("encoder.0.0.conv.bias"))).unwrap();
    let raw = raw.transpose(0, 1).unwrap().contiguous().unwrap().reshape((4, ())).unwrap();
    let count = raw.dim(1).unwrap() as f64;
    let mean: Vec<f64> = raw.mean(1).unwrap().to_vec1().unwrap();
    let centered = raw.broadcast_sub(&raw.mean_keepdim(1).unwrap()).unwrap();
    let unbiased: Vec<f64> = (centered.sqr().unwrap().sum(1).unwrap() / (count - 1.0)).unwrap().to_vec1().unwrap();
    for (part, statistics) in [("running_mean", mean), ("running_var", unbiased)] {
        let index = setup.parameters.index(&format!("encoder.0.0.norm.{part}")).unwrap();
        for (channel, value) in statistics.into_iter().enumerate() {
            let expected = 0.99 * f64::from(setup.parameters.values()[index][channel]) + 0.01 * value;
            let found = f64::from(network.parameters().values()[index][channel]);
            assert!((found - expected).abs() < 1e-6, "{part} {channel}: {found} instead of {expected}");
        }
    }
}

#[test]
fn threads_change_no_bit_of_a_gradient() {
    let setup = setup(&[20, 33, 18], [8, 8, 12], 2);
    let (loss, network) = setup.run(Kernels::best(), 1);
    for threads in [2, 3] {
        let (other, others) = setup.run(Kernels::best(), threads);
        assert_eq!(loss.to_bits(), other.to_bits());
        assert_eq!(network.gradients(), others.gradients());
    }
}

#[test]
fn a_batch_of_another_size_is_refused() {
    let setup = setup(&[3], [2, 3, 5], 2);
    let mut network = TrainingNetwork::new(&setup.config, setup.parameters, 3, 1).unwrap();
    let error = network.step(&setup.voxels, |_| Ok(())).unwrap_err();
    assert_eq!(error.kind(), crate::ErrorKind::InvalidArgument);
}
