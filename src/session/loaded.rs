//! What is known of the loaded model without holding its engine: for calls that come at any time.

use crate::engine::{Device, Memory, Precision, Size};
use crate::error::Result;
use crate::model::{Config, Model};
use crate::pipeline::grid::{GridMap, model_dims};
use crate::pipeline::pieces::Pieces;
use crate::pipeline::restore::Tallies;
use crate::pipeline::window::Windows;
use crate::segmentation::{Provenance, Warnings};
use crate::volume::Volume;

/// What a session knows about its model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// SHA-256 of the model file, 64 hexadecimal digits.
    pub sha256: String,
    /// Parameters as the paper counts them.
    pub parameters: u64,
    /// Output channels.
    pub classes: usize,
    /// Voxels of the window, D, H, W.
    pub window: [usize; 3],
    /// Steps from window to window, D, H, W.
    pub stride: [usize; 3],
    /// Spacing of the model grid in mm, D, H, W.
    pub spacing_mm: [f64; 3],
    /// The device in use: what AUTO became.
    pub device: Device,
    /// The precision in use.
    pub precision: Precision,
}

/// Memory that a segmentation takes, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Bytes on the host: session and result, without the caller's volume.
    pub host_bytes: u64,
    /// Bytes on the device; 0 on the CPU.
    pub device_bytes: u64,
}

/// See the top of this file.
#[derive(Debug)]
pub(super) struct Loaded {
    pub config: Config,
    pub info: ModelInfo,
    pub memory: Box<dyn Memory>,
    pub clinical: bool,
    /// The label map's value of each channel.
    pub values: Vec<u8>,
}

impl Loaded {
    /// What is known of a model whose engine takes this memory.
    pub fn new(model: &Model, memory: Box<dyn Memory>, device: Device, precision: Precision) -> Self {
        let config = model.config().clone();
        let info = ModelInfo {
            name: config.name.clone(),
            version: config.version.clone(),
            sha256: model.sha256().to_string(),
            parameters: model.parameters(),
            classes: config.labels.len(),
            window: config.window.size,
            stride: config.window.stride,
            spacing_mm: config.preprocess.spacing_mm,
            device,
            precision,
        };
        let values = config.labels.iter().map(|label| label.value).collect();
        Loaded { clinical: model.is_declared_clinical(), config, info, memory, values }
    }

    /// How large a volume is, on its own grid and on the model's.
    ///
    /// # Errors
    /// [`ErrorKind::VolumeTooLarge`](crate::ErrorKind::VolumeTooLarge) for a model grid that cannot be addressed.
    pub fn size(&self, volume: &Volume<'_>) -> Result<Size> {
        let grid = model_dims(volume.geometry(), self.config.preprocess.spacing_mm)?;
        let window = &self.config.window;
        let starts = std::array::from_fn(|axis| Windows::count_along(grid[axis], window.size[axis], window.stride[axis]));
        Ok(Size { input: volume.geometry().dims, voxel_bytes: volume.voxel_type().size(), grid, starts })
    }

    /// The most bytes on the host that segmenting a volume like this one takes.
    ///
    /// # Errors
    /// Those of [`size`](Self::size).
    pub fn host_bytes(&self, volume: &Volume<'_>) -> Result<u64> {
        let (geometry, size) = (volume.geometry(), self.size(volume)?);
        let (input, model) = (geometry.voxel_count() as u64, size.voxels() as u64);
        let tables = GridMap::bytes(geometry.dims, size.grid) as u64 * 4;
        // In the result, label and confidence.
        let result = input + model * 4;
        let tallies = Tallies::bytes(geometry.dims[2], self.values.len()) as u64;
        let pieces = if self.counts_pieces() { Pieces::bytes(size.grid) as u64 } else { 0 };
        Ok(self.memory.host_bytes(&size).saturating_add(result + tables + tallies + pieces))
    }

    /// The bytes on the device.
    ///
    /// # Errors
    /// Those of [`size`](Self::size).
    pub fn device_bytes(&self, volume: &Volume<'_>) -> Result<u64> {
        Ok(self.memory.device_bytes(&self.size(volume)?))
    }

    /// Whether the model says of a label in how many pieces it is.
    pub fn counts_pieces(&self) -> bool {
        self.config.labels.iter().any(|label| label.pieces.is_some())
    }

    /// What a result of this model says of its making, before there is one.
    pub fn provenance(&self) -> Provenance {
        Provenance {
            device: self.info.device,
            precision: self.info.precision,
            warnings: Warnings::default(),
            model_name: self.info.name.clone(),
            model_sha256: self.info.sha256.clone(),
            input_sha256: String::with_capacity(64),
        }
    }
}
