//! The network of method.md 2, written once in candle operations: the reference of the engines, and what training runs.
//!
//! Per level, finest first: a block of 3×3×3 convolutions, each followed by batch normalization where the architecture
//! says so and by the activation; max pooling to the next coarser level. On the way back: a transposed convolution, the
//! skip concatenated before it, another block. At the end a 1×1×1 convolution, the head, gives one logit per class.

use candle_core::{DType, Device, Tensor};
use candle_nn::{BatchNorm, ModuleT};

use super::{conv_transpose3d, conv3d, max_pool3d};
use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::model::{Activation, Architecture, ArchitectureKind, Downsample, Model, Norm, Upsample};

/// Where the network's numbers come from: a model that is finished, or variables in training.
pub trait Parameters {
    /// The tensor of this name in the model format, on the input's device and in its number type.
    ///
    /// # Errors
    /// [`InvalidModel`](ErrorKind::InvalidModel) when there is none.
    fn tensor(&self, name: &str) -> Result<Tensor>;

    /// Normalizes `x` [N, C, D, H, W] by the tensors `{layer}.norm.…`; unless overridden, in the form of inference:
    /// (x − running_mean) / √(running_var + eps) · weight + bias, per channel.
    ///
    /// # Errors
    /// As [`tensor`](Self::tensor), or [`InvalidArgument`](ErrorKind::InvalidArgument) for shapes that do not fit.
    fn normalize(&self, x: &Tensor, layer: &str, eps: f64) -> Result<Tensor> {
        let [mean, variance, weight, bias] = ["running_mean", "running_var", "weight", "bias"].map(|part| format!("{layer}.norm.{part}"));
        let (mean, variance) = (self.tensor(&mean)?, self.tensor(&variance)?);
        let norm = BatchNorm::new(x.dim(1)?, mean, variance, self.tensor(&weight)?, self.tensor(&bias)?, eps)?;
        Ok(norm.forward_t(x, false)?)
    }
}

/// The logits [N, classes, D, H, W] of `x` [N, 1, D, H, W], whitened, f32 or f64, D, H and W divisible by 2^(levels − 1).
///
/// # Errors
/// [`InvalidArgument`](ErrorKind::InvalidArgument) for an input that does not fit the network,
/// [`InvalidModel`](ErrorKind::InvalidModel) for a tensor that the model lacks.
pub fn forward(model: &Model, x: &Tensor) -> Result<Tensor> {
    evaluate(&model.config().architecture, &Finished { model, device: x.device(), dtype: x.dtype() }, x)
}

/// The probabilities [N, classes, D, H, W] of `x`: softmax over the classes of what [`forward`] gives.
///
/// # Errors
/// As [`forward`].
pub fn probabilities(model: &Model, x: &Tensor) -> Result<Tensor> {
    Ok(candle_nn::ops::softmax(&forward(model, x)?, 1)?)
}

/// The logits of `x` by a network of this architecture with these parameters. Differentiable in whatever they track.
///
/// # Errors
/// As [`forward`], and whatever `parameters` fails with.
pub fn evaluate(architecture: &Architecture, parameters: &dyn Parameters, x: &Tensor) -> Result<Tensor> {
    let ArchitectureKind::Unet3d = architecture.kind;
    let network = Network { architecture, parameters };
    let levels = architecture.channels.len();
    let mut skips = Vec::new();
    try_reserve(&mut skips, levels, "the skip connections")?;
    let mut x = network.block("encoder.0", x)?;
    for level in 1..levels {
        let coarser = match architecture.downsample {
            Downsample::MaxPool => max_pool3d(&x)?,
        };
        skips.push(x);
        x = network.block(&format!("encoder.{level}"), &coarser)?;
    }
    for (level, skip) in skips.iter().enumerate().rev() {
        let upsample = format!("upsample.{level}");
        let finer = match architecture.upsample {
            Upsample::TransposedConv => conv_transpose3d(&x, &network.weight(&upsample)?, Some(&network.bias(&upsample)?))?,
        };
        x = network.block(&format!("decoder.{level}"), &Tensor::cat(&[skip, &finer], 1)?)?;
    }
    conv3d(&x, &network.weight("head")?, Some(&network.bias("head")?))
}

struct Network<'a> {
    architecture: &'a Architecture,
    parameters: &'a dyn Parameters,
}

impl Network<'_> {
    /// The convolutions of a level on one side, each with what follows it.
    fn block(&self, level: &str, x: &Tensor) -> Result<Tensor> {
        let Norm::Batch { eps, layers } = &self.architecture.norm;
        let mut x = x.clone();
        for convolution in 0..self.architecture.convs_per_stage {
            let layer = format!("{level}.{convolution}");
            let conv = format!("{layer}.conv");
            x = conv3d(&x, &self.weight(&conv)?, Some(&self.bias(&conv)?)).map_err(|error| error.context(&layer))?;
            if layers.contains(&layer) {
                x = self.parameters.normalize(&x, &layer, *eps)?;
            }
            x = match self.architecture.activation {
                Activation::Relu {} => x.relu()?,
            };
        }
        Ok(x)
    }

    fn weight(&self, layer: &str) -> Result<Tensor> {
        self.parameters.tensor(&format!("{layer}.weight"))
    }

    fn bias(&self, layer: &str) -> Result<Tensor> {
        self.parameters.tensor(&format!("{layer}.bias"))
    }
}

/// A model as it was read: constants.
struct Finished<'a> {
    model: &'a Model,
    device: &'a Device,
    dtype: DType,
}

impl Parameters for Finished<'_> {
    fn tensor(&self, name: &str) -> Result<Tensor> {
        let tensor = self.model.tensor(name).ok_or_else(|| missing(name))?;
        Ok(Tensor::from_slice(&tensor.data, tensor.shape.as_slice(), self.device)?.to_dtype(self.dtype)?)
    }
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::InvalidModel, format!("the model has no tensor {name:?}: export it again"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use candle_core::Var;

    use super::super::testing::{assert_gradients, bits, difference, flat, random};
    use super::*;
    use crate::testing::shared_data;

    /// Parameters by name, in variables.
    struct Variables(BTreeMap<String, Var>);

    impl Parameters for Variables {
        fn tensor(&self, name: &str) -> Result<Tensor> {
            self.0.get(name).map(|variable| variable.as_tensor().clone()).ok_or_else(|| missing(name))
        }
    }

    /// Two levels, one convolution each, the first one normalized.
    fn small() -> (Architecture, Variables) {
        let architecture = serde_json::from_value(serde_json::json!({
            "kind": "unet3d", "in_channels": 1, "channels": [2, 3], "convs_per_stage": 1,
            "norm": {"kind": "batch", "eps": 0.001, "layers": ["encoder.0.0"]}, "activation": {"kind": "relu"},
            "downsample": "max_pool", "upsample": "transposed_conv",
        }));
        let shapes: [(&str, &[usize]); 14] = [
            ("encoder.0.0.conv.weight", &[2, 1, 3, 3, 3]),
            ("encoder.0.0.conv.bias", &[2]),
            ("encoder.0.0.norm.weight", &[2]),
            ("encoder.0.0.norm.bias", &[2]),
            ("encoder.0.0.norm.running_mean", &[2]),
            ("encoder.0.0.norm.running_var", &[2]),
            ("encoder.1.0.conv.weight", &[3, 2, 3, 3, 3]),
            ("encoder.1.0.conv.bias", &[3]),
            ("upsample.0.weight", &[3, 2, 2, 2, 2]),
            ("upsample.0.bias", &[2]),
            ("decoder.0.0.conv.weight", &[2, 4, 3, 3, 3]),
            ("decoder.0.0.conv.bias", &[2]),
            ("head.weight", &[3, 2, 1, 1, 1]),
            ("head.bias", &[3]),
        ];
        let variables = shapes.iter().zip(1..).map(|(&(name, shape), seed)| {
            // A variance is not negative.
            let values = random(shape, seed, DType::F64);
            let values = if name.ends_with("var") { values.sqr().unwrap() } else { values };
            (name.to_owned(), Var::from_tensor(&values).unwrap())
        });
        (architecture.unwrap(), Variables(variables.collect()))
    }

    #[test]
    fn a_composed_network_has_the_gradients_of_finite_differences() {
        let inputs = [
            random((2, 1, 4, 2, 4), 1, DType::F64),
            random((2, 1, 3, 3, 3), 2, DType::F64),
            random(2, 3, DType::F64),
            random((2, 3, 2, 2, 2), 4, DType::F64),
            random(3, 5, DType::F64),
            random((2, 3, 3, 3, 3), 6, DType::F64),
        ];
        assert_gradients(&inputs, |t| {
            let x = max_pool3d(&conv3d(&t[0], &t[1], Some(&t[2]))?.relu()?)?;
            conv3d(&conv_transpose3d(&x, &t[3], Some(&t[4]))?, &t[5], None)
        });
    }

    #[test]
    fn a_gradient_reaches_every_parameter_through_skips_and_levels() {
        let (architecture, variables) = small();
        let logits = evaluate(&architecture, &variables, &random((2, 1, 4, 6, 2), 1, DType::F64)).unwrap();
        assert_eq!(logits.dims(), [2, 3, 4, 6, 2]);
        let gradients = logits.sqr().unwrap().sum_all().unwrap().backward().unwrap();
        for (name, variable) in variables.0.iter().filter(|(name, _)| !name.contains("running")) {
            let gradient = flat(gradients.get(variable).unwrap_or_else(|| panic!("{name} has no gradient")));
            assert!(gradient.iter().any(|g| g.abs() > 1e-6), "the gradient of {name} is zero");
        }
    }

    #[test]
    fn batch_items_do_not_see_each_other() {
        let (architecture, variables) = small();
        let batch = random((3, 1, 4, 4, 4), 2, DType::F64);
        let together = evaluate(&architecture, &variables, &batch).unwrap();
        for item in 0..3 {
            let alone = evaluate(&architecture, &variables, &batch.narrow(0, item, 1).unwrap()).unwrap();
            assert!(difference(&flat(&alone), &flat(&together.narrow(0, item, 1).unwrap())) < 1e-12);
        }
    }

    #[test]
    fn an_input_that_the_levels_cannot_halve_is_refused() {
        let (architecture, variables) = small();
        let error = evaluate(&architecture, &variables, &random((1, 1, 4, 5, 4), 1, DType::F64)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        assert!(error.message().contains("[4, 5, 4]"), "{error}");
    }

    #[test]
    fn a_missing_tensor_is_named() {
        let (architecture, mut variables) = small();
        variables.0.remove("upsample.0.bias");
        let error = evaluate(&architecture, &variables, &random((1, 1, 2, 2, 2), 1, DType::F64)).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidModel);
        assert!(error.message().contains("upsample.0.bias"), "{error}");
    }

    #[test]
    fn the_golden_patch_comes_out_as_the_independent_implementation_has_it() {
        let Some(golden) = shared_data("golden") else { return };
        let model = Model::from_file(&golden.join("tiny.safetensors")).unwrap();
        let golden = candle_core::safetensors::load(golden.join("patch.safetensors"), &Device::Cpu).unwrap();
        let x = golden["input"].unsqueeze(0).unwrap().unsqueeze(0).unwrap();
        let logits = forward(&model, &x).unwrap();
        assert!(difference(&flat(&logits), &flat(&golden["logits"])) < 1e-5);
        let result = probabilities(&model, &x).unwrap();
        assert_eq!(result.dims(), [1, 3, 32, 64, 64]);
        assert!(difference(&flat(&result), &flat(&golden["probabilities"])) < 1e-5);
        assert_eq!(bits(&probabilities(&model, &x).unwrap()), bits(&result));
    }
}
