//! The paper's network as a configuration.

use super::config::*;

impl Config {
    /// The paper's preset with these channels per level (`[32, 64, 128, 256, 512]` in the paper; method.md 1 to 3).
    ///
    /// Mean and standard deviation are placeholders of the usual size: training replaces them by its set's own.
    pub fn spinect(channels: &[usize]) -> Config {
        Config {
            format_version: FORMAT_VERSION,
            name: "spinect".into(),
            version: "1".into(),
            architecture: Architecture {
                kind: ArchitectureKind::Unet3d,
                in_channels: 1,
                channels: channels.to_vec(),
                convs_per_stage: 2,
                norm: Norm::Batch { eps: 1e-3, layers: normalized_convolutions(channels.len()) },
                activation: Activation::Relu {},
                downsample: Downsample::MaxPool,
                upsample: Upsample::TransposedConv,
            },
            preprocess: Preprocess {
                orientation: ModelOrientation::Lps,
                spacing_mm: [1.0; 3],
                interpolation: Interpolation::Nearest,
                clip_hu: [-1024.0, 3071.0],
                mean: -31.5,
                std: 312.9,
            },
            window: WindowConfig { size: [32, 64, 64], stride: [20, 40, 40], weighting: Weighting::Uniform },
            labels: vec![
                label(0, "background", [0, 0, 0], None),
                label(1, "bone", [241, 214, 145], Some(("272673000", "Bone"))),
                label(2, "nerve", [244, 214, 49], Some(("119410002", "Nerve"))),
            ],
            provenance: serde_json::Map::new(),
        }
    }
}

/// The second convolution of every block, and the first of the very first block: the choice that gives the paper's number
/// of parameters.
fn normalized_convolutions(levels: usize) -> Vec<String> {
    let encoder = (0..levels).map(|level| format!("encoder.{level}.1"));
    let decoder = (0..levels.saturating_sub(1)).map(|level| format!("decoder.{level}.1"));
    std::iter::once("encoder.0.0".to_owned()).chain(encoder).chain(decoder).collect()
}

/// A label; one that has a code is of the category "Tissue".
fn label(value: u8, name: &str, color: [u8; 3], code: Option<(&str, &str)>) -> LabelConfig {
    let snomed = |(code, meaning): (&str, &str)| Code { scheme: "SCT".into(), code: code.into(), meaning: meaning.into() };
    LabelConfig {
        value,
        name: name.into(),
        color,
        terminology: code.map(snomed),
        category: code.map(|_| snomed(("85756007", "Tissue"))),
        pieces: None,
    }
}
