//! The numbers that training changes.

use crate::error::{Error, ErrorKind, Result, try_reserve, try_vec};
use crate::model::{Config, Model, Tensor, TensorSpec};

/// Every tensor of a model, in the order of [`Config::tensors`].
#[derive(Clone, Debug, PartialEq)]
pub struct Parameters {
    specs: Vec<TensorSpec>,
    values: Vec<Vec<f32>>,
}

impl Parameters {
    /// A model's.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn of(model: &Model) -> Result<Parameters> {
        let specs: Vec<TensorSpec> = model.config().tensors().collect();
        let mut values = Vec::with_capacity(specs.len());
        for spec in &specs {
            let tensor = model.tensor(&spec.name).ok_or_else(|| missing(&spec.name))?;
            let mut copy = Vec::new();
            try_reserve(&mut copy, tensor.data.len(), &spec.name)?;
            copy.extend_from_slice(&tensor.data);
            values.push(copy);
        }
        Ok(Parameters { specs, values })
    }

    /// The model with these numbers.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] if they are not finite or the configuration is another's; [`ErrorKind::OutOfMemory`].
    pub fn model(&self, config: Config) -> Result<Model> {
        let Parameters { specs, values } = self.clone();
        let tensors = specs.into_iter().zip(values).map(|(spec, data)| (spec.name, Tensor { shape: spec.shape, data }));
        Model::new(config, tensors.collect())
    }

    /// What each tensor is.
    pub fn specs(&self) -> &[TensorSpec] {
        &self.specs
    }

    /// The numbers of every tensor.
    pub fn values(&self) -> &[Vec<f32>] {
        &self.values
    }

    /// The numbers of every tensor, to change.
    pub fn values_mut(&mut self) -> &mut [Vec<f32>] {
        &mut self.values
    }

    /// Which tensor has this name.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] if none has.
    pub fn index(&self, name: &str) -> Result<usize> {
        self.specs.iter().position(|spec| spec.name == name).ok_or_else(|| missing(name))
    }

    /// A 0 for every number.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn zeros(&self) -> Result<Vec<Vec<f32>>> {
        self.values.iter().map(|values| try_vec(0.0, values.len(), "a gradient")).collect()
    }
}

fn missing(name: &str) -> Error {
    Error::new(ErrorKind::InvalidModel, format!("the model has no tensor {name}"))
}
