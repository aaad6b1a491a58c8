//! The configuration that a model file carries: architecture, preprocessing, window, labels.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

/// The version of the model format that this library reads and writes.
pub const FORMAT_VERSION: u32 = 1;

/// Everything a model file says about itself except its tensors.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Config {
    /// Always 1 in this version of the library.
    pub format_version: u32,
    /// What the model is called.
    pub name: String,
    /// The model's own version.
    pub version: String,
    /// The network.
    pub architecture: Architecture,
    /// From Hounsfield units to the network's input.
    pub preprocess: Preprocess,
    /// The sliding window.
    pub window: WindowConfig,
    /// `labels[k]` describes output channel k.
    pub labels: Vec<LabelConfig>,
    /// Where the model comes from; free-form.
    #[serde(default, skip_serializing_if = "serde_json::Map::is_empty")]
    pub provenance: serde_json::Map<String, serde_json::Value>,
}

/// The network's shape.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Architecture {
    /// Which family of networks.
    pub kind: ArchitectureKind,
    /// Channels of the input: 1, CT.
    pub in_channels: usize,
    /// Channels per level, full resolution first.
    pub channels: Vec<usize>,
    /// 3×3×3 convolutions per block.
    pub convs_per_stage: usize,
    /// Normalization, and which convolutions it follows.
    pub norm: Norm,
    /// What stands behind every convolution.
    pub activation: Activation,
    /// From a level to the next coarser one.
    pub downsample: Downsample,
    /// From a level to the next finer one.
    pub upsample: Upsample,
}

/// Families of networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ArchitectureKind {
    /// The 3D U-Net of the paper.
    #[serde(rename = "unet3d")]
    Unet3d,
}

/// Normalization.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Norm {
    /// Batch normalization between convolution and activation.
    Batch {
        /// Added to the variance.
        #[serde(deserialize_with = "naming_eps")]
        eps: f64,
        /// The convolutions that it follows, as `encoder.{level}.{convolution}` or `decoder.{level}.{convolution}`.
        #[serde(deserialize_with = "naming_layers")]
        layers: Vec<String>,
    },
}

// An enum with a tag is buffered before it is read, so that the path of an error ends at the enum: these name the key.
fn naming_eps<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    f64::deserialize(deserializer).map_err(|error| D::Error::custom(format_args!("eps: {error}")))
}

fn naming_layers<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<String>, D::Error> {
    Vec::deserialize(deserializer).map_err(|error| D::Error::custom(format_args!("layers: {error}")))
}

/// Activation functions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case", deny_unknown_fields)]
pub enum Activation {
    /// max(x, 0).
    Relu {},
}

/// Ways to the next coarser level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Downsample {
    /// 2×2×2 max pooling.
    MaxPool,
}

/// Ways to the next finer level.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Upsample {
    /// 2×2×2 transposed convolution of stride 2.
    TransposedConv,
}

/// From Hounsfield units to the network's input.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Preprocess {
    /// What the index increases towards along W, H, D.
    pub orientation: ModelOrientation,
    /// Spacing of the model grid in mm, D, H, W.
    pub spacing_mm: [f64; 3],
    /// How the grid is filled.
    pub interpolation: Interpolation,
    /// Hounsfield units are clipped to these.
    pub clip_hu: [f64; 2],
    /// Mean of the training set's voxels, Hounsfield units.
    pub mean: f64,
    /// Standard deviation of the training set's voxels, Hounsfield units.
    pub std: f64,
}

/// Orientations of the model grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ModelOrientation {
    /// Left, Posterior, Superior along W, H, D.
    #[serde(rename = "LPS")]
    Lps,
}

/// Ways to fill the model grid.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Interpolation {
    /// Nearest neighbor.
    Nearest,
}

/// The sliding window.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WindowConfig {
    /// Voxels of the model grid, D, H, W.
    pub size: [usize; 3],
    /// Steps from window to window, D, H, W.
    pub stride: [usize; 3],
    /// The weight of a window's voxels in the sum.
    pub weighting: Weighting,
}

/// Weights of a window's voxels in the sum.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Weighting {
    /// All alike.
    Uniform,
}

/// One output channel.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct LabelConfig {
    /// The value in the label map.
    pub value: u8,
    /// What users call it.
    pub name: String,
    /// Red, green, blue.
    pub color: [u8; 3],
    /// The coded structure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub terminology: Option<Code>,
    /// The coded category of the structure.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub category: Option<Code>,
    /// In how many large pieces the structure is at most (a tenth of its voxels or more each); more are warned of. `None`:
    /// in any number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pieces: Option<u32>,
}

/// A coded concept, for example SNOMED CT 272673000 "Bone".
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Code {
    /// The coding scheme, "SCT" for SNOMED CT.
    pub scheme: String,
    /// The code in that scheme.
    pub code: String,
    /// The code's meaning in words.
    pub meaning: String,
}
