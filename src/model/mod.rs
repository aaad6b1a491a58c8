//! What a model is: configuration, tensors, validation, hash. No arithmetic.

mod config;
mod header;
mod init;
mod layers;
mod preset;
mod read;
#[cfg(test)]
mod tests;
mod validate;
mod write;

use std::collections::BTreeMap;

pub use config::*;
pub use layers::{Layer, LayerKind, TensorRole, TensorSpec};

use crate::error::Result;

/// A tensor of a model: shape and values, row major, converted to f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Values, the last axis fastest.
    pub data: Vec<f32>,
}

/// A model: what its file holds, checked. Whoever has one may rely on every rule of the model format.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    config: Config,
    tensors: BTreeMap<String, Tensor>,
    sha256: String,
}

impl Model {
    /// A model from its parts, validated as a file's are; the hash is that of [`to_bytes`](Self::to_bytes).
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel), naming the tensor or key that breaks a rule.
    pub fn new(config: Config, tensors: BTreeMap<String, Tensor>) -> Result<Model> {
        config.validate()?;
        let specs: Vec<TensorSpec> = config.tensors().collect();
        validate::check_shapes(&specs, &tensors.iter().map(|(name, tensor)| (name.as_str(), tensor.shape.as_slice())).collect())?;
        for (spec, tensor) in specs.iter().filter_map(|spec| Some((spec, tensors.get(&spec.name)?))) {
            let (found, needed) = (tensor.data.len(), spec.elements());
            if found as u64 != needed {
                return Err(validate::invalid(format!("tensor `{}` holds {found} values: its shape needs {needed}", spec.name)));
            }
            validate::check_values(spec, &tensor.data)?;
        }
        let sha256 = write::sha256(&config, &tensors)?;
        Ok(Model { config, tensors, sha256 })
    }

    /// Takes the model apart, for example to train on: configuration, and tensors by name.
    pub fn into_parts(self) -> (Config, BTreeMap<String, Tensor>) {
        (self.config, self.tensors)
    }

    /// What the model says about itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    /// Parameters as the paper's framework counts them: every number in the file.
    pub fn parameters(&self) -> u64 {
        self.config.parameters()
    }

    /// Whether the file declares, by `"clinical": true` in its provenance, that the model is meant for clinical use.
    ///
    /// Silence counts as no: a result of any other model carries a warning. The declaration is the model maker's;
    /// this library cannot check it.
    pub fn is_declared_clinical(&self) -> bool {
        self.config.provenance.get("clinical") == Some(&serde_json::Value::Bool(true))
    }

    /// A tensor by its name in the file.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        self.tensors.get(name)
    }

    /// Every tensor with its name in the file, in the order of the names.
    pub fn tensors(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.tensors.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }
}
