//! From a [`Model`] to the bytes of its file: the same model, the same bytes.

use std::collections::BTreeMap;

use half::f16;
use safetensors::Dtype;
use safetensors::tensor::TensorInfo;
use serde::Serialize;
use sha2::{Digest, Sha256};

use super::header::{FORMAT, LENGTH_BYTES, MAX_HEADER_BYTES};
use super::read::hexadecimal;
use super::validate::invalid;
use super::{Config, Model, Tensor};
use crate::error::{Result, try_reserve};

/// Serialized in this order; tensors by name.
#[derive(Serialize)]
struct FileHeader<'a> {
    #[serde(rename = "__metadata__")]
    metadata: BTreeMap<&'a str, &'a str>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

/// How a file stores its kernels. Biases and normalizations are few, and a variance may exceed f16: always f32.
#[derive(Clone, Copy, Debug)]
enum Kernels {
    F32,
    F16,
}

impl Model {
    /// The model file's bytes (f32). The same model gives the same bytes, and [`from_bytes`](Self::from_bytes) gives it back.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory);
    /// [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) where the header would exceed 1 MiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        file(&self.config, &self.tensors, Kernels::F32)
    }

    /// As [`to_bytes`](Self::to_bytes), half as large: kernels are rounded to the nearest number of f16, three decimal
    /// digits. Biases and normalizations stay f32.
    ///
    /// # Errors
    /// As [`to_bytes`](Self::to_bytes); [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) for a kernel with a number
    /// that f16 cannot hold (above 65504).
    pub fn to_half_bytes(&self) -> Result<Vec<u8>> {
        let overflows = |tensor: &Tensor| is_kernel(tensor) && tensor.data.iter().any(|&value| f16::from_f32(value).is_infinite());
        if let Some((name, _)) = self.tensors.iter().find(|(_, tensor)| overflows(tensor)) {
            return Err(invalid(format!("tensor `{name}` holds a number above 65504, the largest of f16: store the model in f32")));
        }
        file(&self.config, &self.tensors, Kernels::F16)
    }
}

fn is_kernel(tensor: &Tensor) -> bool {
    tensor.shape.len() > 1
}

fn file(config: &Config, tensors: &BTreeMap<String, Tensor>, kernels: Kernels) -> Result<Vec<u8>> {
    let header = header(config, tensors, kernels)?;
    let data = tensors.values().fold(0usize, |sum, tensor| sum.saturating_add(kernels.bytes(tensor)));
    let mut bytes = Vec::new();
    try_reserve(&mut bytes, header.len().saturating_add(data), "the model file")?;
    emit(&header, tensors, kernels, |chunk| bytes.extend_from_slice(chunk));
    Ok(bytes)
}

/// The hash of the file that [`Model::to_bytes`] gives, without its bytes in memory.
pub(super) fn sha256(config: &Config, tensors: &BTreeMap<String, Tensor>) -> Result<String> {
    let mut hash = Sha256::new();
    emit(&header(config, tensors, Kernels::F32)?, tensors, Kernels::F32, |chunk| hash.update(chunk));
    Ok(hexadecimal(&hash.finalize()))
}

/// The header with its length in front, padded by spaces so that the data is aligned to 8 bytes.
fn header(config: &Config, tensors: &BTreeMap<String, Tensor>, kernels: Kernels) -> Result<Vec<u8>> {
    let unwritable = |error: serde_json::Error| invalid(format!("the configuration cannot be written as JSON: {error}"));
    let config = serde_json::to_string(config).map_err(unwritable)?;
    let mut end = 0usize;
    let mut infos = BTreeMap::new();
    for (name, tensor) in tensors {
        let start = end;
        end = start.saturating_add(kernels.bytes(tensor));
        infos.insert(name.as_str(), TensorInfo { dtype: kernels.dtype(tensor), shape: tensor.shape.clone(), data_offsets: (start, end) });
    }
    let header = FileHeader { metadata: BTreeMap::from([("config", config.as_str()), ("format", FORMAT)]), tensors: infos };
    let mut json = serde_json::to_vec(&header).map_err(unwritable)?;
    json.resize(json.len().next_multiple_of(LENGTH_BYTES), b' ');
    if json.len() > MAX_HEADER_BYTES {
        return Err(invalid(format!(
            "the header would take {} bytes, more than the {MAX_HEADER_BYTES} allowed: shorten `provenance`",
            json.len()
        )));
    }
    let mut bytes = (json.len() as u64).to_le_bytes().to_vec();
    bytes.append(&mut json);
    Ok(bytes)
}

impl Kernels {
    fn dtype(self, tensor: &Tensor) -> Dtype {
        match self {
            Kernels::F16 if is_kernel(tensor) => Dtype::F16,
            _ => Dtype::F32,
        }
    }

    fn bytes(self, tensor: &Tensor) -> usize {
        size_of_val(tensor.data.as_slice()) * self.dtype(tensor).bitsize() / Dtype::F32.bitsize()
    }
}

/// Hands the file over piece by piece.
fn emit(header: &[u8], tensors: &BTreeMap<String, Tensor>, kernels: Kernels, mut sink: impl FnMut(&[u8])) {
    const PIECE: usize = 1024;
    let (mut whole, mut half) = ([[0u8; 4]; PIECE], [[0u8; 2]; PIECE]);
    sink(header);
    for tensor in tensors.values() {
        let dtype = kernels.dtype(tensor);
        for values in tensor.data.chunks(PIECE) {
            if dtype == Dtype::F16 {
                half.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = f16::from_f32(*value).to_le_bytes());
                sink(half.split_at(values.len()).0.as_flattened());
            } else {
                whole.iter_mut().zip(values).for_each(|(bytes, value)| *bytes = value.to_le_bytes());
                sink(whole.split_at(values.len()).0.as_flattened());
            }
        }
    }
}
