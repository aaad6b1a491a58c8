//! What a model is: configuration, tensors, validation, hash. No arithmetic.

mod config;

use std::path::Path;

pub use config::*;

use crate::error::{Error, ErrorKind, Result};

/// A tensor of a model: shape and values, row major, converted to f32.
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    /// Sizes, outermost first.
    pub shape: Vec<usize>,
    /// Values, the last axis fastest.
    pub data: Vec<f32>,
}

/// A model: what its file holds, checked.
#[derive(Clone, Debug)]
pub struct Model {
    config: Config,
}

impl Config {
    /// The paper's preset with these channels per level (`[32, 64, 128, 256, 512]` in the paper).
    pub fn spinect(channels: &[usize]) -> Config {
        let _ = channels;
        todo!()
    }
}

impl Model {
    /// Reads a model file whole into memory, then as [`from_bytes`](Self::from_bytes).
    pub fn from_file(path: &Path) -> Result<Model> {
        let _ = path;
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// Parses and validates a model file.
    pub fn from_bytes(bytes: &[u8]) -> Result<Model> {
        let _ = bytes;
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// An untrained model: He-normal weights from a seed (method.md 5).
    pub fn untrained(config: Config, seed: u64) -> Result<Model> {
        let _ = (config, seed);
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// The model file's bytes (f32).
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// What the model says about itself.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// SHA-256 of the file, 64 lower-case hexadecimal digits.
    pub fn sha256(&self) -> &str {
        todo!()
    }

    /// Parameters as the paper's framework counts them: every number in the file.
    pub fn parameters(&self) -> u64 {
        todo!()
    }

    /// A tensor by its name in the file.
    pub fn tensor(&self, name: &str) -> Option<&Tensor> {
        let _ = name;
        todo!()
    }
}
