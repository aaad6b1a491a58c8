//! A model's layers as the engines use them: batch normalization folded into the convolution before it.
//!
//! With scale γ, shift β, mean μ and variance σ² per output channel, `γ·(w·x + b − μ)/√(σ² + ε) + β` is a convolution
//! with weight `w·γ/√(σ² + ε)` and bias `(b − μ)·γ/√(σ² + ε) + β`. Computed in f64, stored in f32.

use crate::error::{Error, ErrorKind, Result, try_vec};
use crate::model::{Model, Norm, Tensor};

/// Weight and bias of a convolution, folded.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Layer {
    /// The layer's name in the model file, for messages.
    pub name: String,
    /// As in the model file: \[out\]\[in\]\[k\]\[k\]\[k\], or \[in\]\[out\]\[2\]\[2\]\[2\] where transposed.
    pub weight: Vec<f32>,
    /// One per output channel.
    pub bias: Vec<f32>,
}

fn tensor<'m>(model: &'m Model, name: &str) -> Result<&'m Tensor> {
    model.tensor(name).ok_or_else(|| Error::new(ErrorKind::InvalidModel, format!("tensor {name} is missing")))
}

/// The convolution `name` (`encoder.0.1`, say) with its normalization, if it has one, folded in.
///
/// # Errors
/// [`ErrorKind::InvalidModel`] if a tensor is missing; [`ErrorKind::OutOfMemory`].
pub fn convolution(model: &Model, name: &str) -> Result<Layer> {
    let weight = tensor(model, &format!("{name}.conv.weight"))?;
    let bias = tensor(model, &format!("{name}.conv.bias"))?;
    let mut layer = Layer { name: name.to_string(), weight: copy(&weight.data)?, bias: copy(&bias.data)? };
    let Norm::Batch { eps, layers } = &model.config().architecture.norm;
    if layers.iter().any(|normalized| normalized == name) {
        let part = |part: &str| tensor(model, &format!("{name}.norm.{part}")).map(|tensor| tensor.data.iter().map(|&v| f64::from(v)));
        let statistics = part("weight")?.zip(part("bias")?).zip(part("running_mean")?.zip(part("running_var")?));
        let per_channel = (layer.weight.len() / layer.bias.len().max(1)).max(1);
        let channels = layer.weight.chunks_exact_mut(per_channel).zip(&mut layer.bias);
        for ((weight, bias), ((gamma, beta), (mean, variance))) in channels.zip(statistics) {
            let scale = gamma / (variance + eps).sqrt();
            for value in weight {
                *value = (f64::from(*value) * scale) as f32;
            }
            *bias = ((f64::from(*bias) - mean) * scale + beta) as f32;
        }
    }
    // Finite tensors can fold to infinity: a variance near 0 below large weights.
    if layer.weight.iter().chain(&layer.bias).any(|value| !value.is_finite()) {
        return Err(Error::new(ErrorKind::InvalidModel, format!("{name}: its normalization makes weights larger than f32 can hold")));
    }
    Ok(layer)
}

/// A layer without normalization: `upsample.0` or `head`.
///
/// # Errors
/// As [`convolution`].
pub fn plain(model: &Model, name: &str) -> Result<Layer> {
    let weight = copy(&tensor(model, &format!("{name}.weight"))?.data)?;
    let bias = copy(&tensor(model, &format!("{name}.bias"))?.data)?;
    Ok(Layer { name: name.to_string(), weight, bias })
}

fn copy(values: &[f32]) -> Result<Vec<f32>> {
    let mut copy = try_vec(0.0, values.len(), "the weights")?;
    copy.copy_from_slice(values);
    Ok(copy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Config;

    #[test]
    fn a_normalization_that_overflows_is_refused_by_the_layers_name() {
        let (mut config, mut tensors) = Model::untrained(Config::spinect(&[2, 4]), 3).unwrap().into_parts();
        let Norm::Batch { eps, .. } = &mut config.architecture.norm;
        *eps = 1e-30;
        tensors.get_mut("decoder.0.1.norm.running_var").unwrap().data[0] = 0.0;
        tensors.get_mut("decoder.0.1.norm.weight").unwrap().data[0] = 1e38;
        let error = convolution(&Model::new(config, tensors).unwrap(), "decoder.0.1").unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidModel);
        assert!(error.message().contains("decoder.0.1"), "{error}");
    }

    #[test]
    fn folding_gives_normalization_after_convolution() {
        let model = Model::untrained(Config::spinect(&[2, 4]), 3).unwrap();
        let layer = convolution(&model, "encoder.0.0").unwrap();
        let get = |name: &str| model.tensor(&format!("encoder.0.0.{name}")).unwrap().data.clone();
        let (w, b, x) = (get("conv.weight"), get("conv.bias"), 0.7f32);
        for channel in 0..2 {
            // One tap suffices: convolution is linear in each.
            let raw = w[channel * 27] * x + b[channel];
            let normalized = get("norm.weight")[channel] * (raw - get("norm.running_mean")[channel])
                / (get("norm.running_var")[channel] + 1e-3).sqrt()
                + get("norm.bias")[channel];
            assert!((layer.weight[channel * 27] * x + layer.bias[channel] - normalized).abs() < 1e-6);
        }
        assert_eq!(convolution(&model, "encoder.1.0").unwrap().weight, model.tensor("encoder.1.0.conv.weight").unwrap().data);
    }
}
