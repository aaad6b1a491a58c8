//! From a [`Model`] to the bytes of its file: the same model, the same bytes.

use std::collections::BTreeMap;

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

impl Model {
    /// The model file's bytes (f32). The same model gives the same bytes, and [`from_bytes`](Self::from_bytes) gives it back.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory);
    /// [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) where the header would exceed 1 MiB.
    pub fn to_bytes(&self) -> Result<Vec<u8>> {
        let header = header(&self.config, &self.tensors)?;
        let mut bytes = Vec::new();
        try_reserve(&mut bytes, header.len().saturating_add(data_bytes(&self.tensors)), "the model file")?;
        emit(&header, &self.tensors, |chunk| bytes.extend_from_slice(chunk));
        Ok(bytes)
    }
}

/// The hash of the file that [`Model::to_bytes`] gives, without its bytes in memory.
pub(super) fn sha256(config: &Config, tensors: &BTreeMap<String, Tensor>) -> Result<String> {
    let mut hash = Sha256::new();
    emit(&header(config, tensors)?, tensors, |chunk| hash.update(chunk));
    Ok(hexadecimal(&hash.finalize()))
}

/// The header with its length in front, padded by spaces so that the data is aligned to 8 bytes.
fn header(config: &Config, tensors: &BTreeMap<String, Tensor>) -> Result<Vec<u8>> {
    let unwritable = |error: serde_json::Error| invalid(format!("the configuration cannot be written as JSON: {error}"));
    let config = serde_json::to_string(config).map_err(unwritable)?;
    let mut end = 0usize;
    let mut infos = BTreeMap::new();
    for (name, tensor) in tensors {
        let start = end;
        end = start.saturating_add(size_of_val(tensor.data.as_slice()));
        infos.insert(name.as_str(), TensorInfo { dtype: Dtype::F32, shape: tensor.shape.clone(), data_offsets: (start, end) });
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

fn data_bytes(tensors: &BTreeMap<String, Tensor>) -> usize {
    tensors.values().fold(0usize, |sum, tensor| sum.saturating_add(size_of_val(tensor.data.as_slice())))
}

/// Hands the file over piece by piece.
fn emit(header: &[u8], tensors: &BTreeMap<String, Tensor>, mut sink: impl FnMut(&[u8])) {
    sink(header);
    let mut buffer = [[0u8; size_of::<f32>()]; 1024];
    for tensor in tensors.values() {
        for values in tensor.data.chunks(buffer.len()) {
            for (bytes, value) in buffer.iter_mut().zip(values) {
                *bytes = value.to_le_bytes();
            }
            sink(buffer.split_at(values.len()).0.as_flattened());
        }
    }
}
