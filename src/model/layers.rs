//! What a configuration expects of its file: every layer, every tensor's name and shape.
//!
//! One list serves everybody: validation, counting, initialization, and the engines that build their plans from it.

use super::config::{Config, Norm};

/// What a layer computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LayerKind {
    /// 3×3×3 convolution, zero padding 1, followed by normalization if [`Layer::normalized`], then activation.
    Convolution,
    /// 2×2×2 transposed convolution of stride 2, halving the spacing.
    Upsample,
    /// 1×1×1 convolution to the classes.
    Head,
}

/// A layer that has tensors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// `encoder.{level}.{convolution}`, `upsample.{level}`, `decoder.{level}.{convolution}` or `head`.
    pub name: String,
    /// What it computes.
    pub kind: LayerKind,
    /// Channels that it takes.
    pub inputs: usize,
    /// Channels that it gives.
    pub outputs: usize,
    /// Whether normalization follows it.
    pub normalized: bool,
}

/// What a tensor is to its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TensorRole {
    /// A convolution's kernel.
    Weight {
        /// Inputs that one output sums up, as initialization counts them: a transposed convolution's are its input channels.
        fan_in: usize,
    },
    /// Added to a convolution's output.
    Bias,
    /// What normalization multiplies by.
    Scale,
    /// What normalization adds.
    Shift,
    /// Mean that batch normalization subtracts.
    RunningMean,
    /// Variance that batch normalization divides by the root of.
    RunningVariance,
}

impl TensorRole {
    /// Whether gradients change it; running statistics follow the batches instead.
    pub fn is_learned(self) -> bool {
        !matches!(self, TensorRole::RunningMean | TensorRole::RunningVariance)
    }
}

/// A tensor that a configuration expects.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TensorSpec {
    /// Its name in the file.
    pub name: String,
    /// Its sizes, outermost first.
    pub shape: Vec<usize>,
    /// What it is to its layer.
    pub role: TensorRole,
}

impl TensorSpec {
    /// How many numbers it holds.
    pub fn elements(&self) -> u64 {
        self.shape.iter().fold(1, |product, &size| product.saturating_mul(size as u64))
    }
}

impl Norm {
    /// The convolutions that normalization follows.
    pub fn layers(&self) -> &[String] {
        match self {
            Norm::Batch { layers, .. } => layers,
        }
    }

    /// The tensors of one normalized layer: ending of the name, and role.
    fn tensors(&self) -> &'static [(&'static str, TensorRole)] {
        match self {
            Norm::Batch { .. } => &[
                ("weight", TensorRole::Scale),
                ("bias", TensorRole::Shift),
                ("running_mean", TensorRole::RunningMean),
                ("running_var", TensorRole::RunningVariance),
            ],
        }
    }
}

impl Layer {
    /// Its tensors: kernel, bias, then those of its normalization.
    pub fn tensors(&self, norm: &Norm) -> Vec<TensorSpec> {
        let (inputs, outputs) = (self.inputs, self.outputs);
        let (prefix, shape, fan_in) = match self.kind {
            LayerKind::Convolution => (format!("{}.conv", self.name), vec![outputs, inputs, 3, 3, 3], inputs.saturating_mul(27)),
            LayerKind::Upsample => (self.name.clone(), vec![inputs, outputs, 2, 2, 2], inputs),
            LayerKind::Head => (self.name.clone(), vec![outputs, inputs, 1, 1, 1], inputs),
        };
        let mut tensors = vec![
            TensorSpec { name: format!("{prefix}.weight"), shape, role: TensorRole::Weight { fan_in } },
            TensorSpec { name: format!("{prefix}.bias"), shape: vec![outputs], role: TensorRole::Bias },
        ];
        if self.normalized {
            tensors.extend(norm.tensors().iter().map(|&(ending, role)| TensorSpec {
                name: format!("{}.norm.{ending}", self.name),
                shape: vec![outputs],
                role,
            }));
        }
        tensors
    }
}

impl Config {
    /// Every layer that has tensors, in the order in which the network computes them (method.md 2).
    pub fn layers(&self) -> impl Iterator<Item = Layer> {
        let channels = &self.architecture.channels;
        let mut layers = Vec::new();
        let mut inputs = self.architecture.in_channels;
        for (level, &outputs) in channels.iter().enumerate() {
            self.push_block(&mut layers, "encoder", level, inputs, outputs);
            inputs = outputs;
        }
        for (level, pair) in channels.windows(2).enumerate().rev() {
            if let &[fine, coarse] = pair {
                let name = format!("upsample.{level}");
                layers.push(Layer { name, kind: LayerKind::Upsample, inputs: coarse, outputs: fine, normalized: false });
                self.push_block(&mut layers, "decoder", level, fine.saturating_mul(2), fine);
            }
        }
        layers.push(Layer {
            name: "head".into(),
            kind: LayerKind::Head,
            inputs: channels.first().copied().unwrap_or(0),
            outputs: self.labels.len(),
            normalized: false,
        });
        layers.into_iter()
    }

    /// Every tensor that the file must hold, in the order of [`layers`](Self::layers).
    pub fn tensors(&self) -> impl Iterator<Item = TensorSpec> {
        self.layers().flat_map(|layer| layer.tensors(&self.architecture.norm))
    }

    /// Parameters as the paper's framework counts them: every number in the file, 4 per normalized channel.
    pub fn parameters(&self) -> u64 {
        self.tensors().fold(0, |sum: u64, tensor| sum.saturating_add(tensor.elements()))
    }

    /// The convolutions of one block: the first takes `inputs` channels, the others `outputs`.
    fn push_block(&self, layers: &mut Vec<Layer>, side: &str, level: usize, inputs: usize, outputs: usize) {
        for convolution in 0..self.architecture.convs_per_stage {
            let name = format!("{side}.{level}.{convolution}");
            let normalized = self.architecture.norm.layers().contains(&name);
            let inputs = if convolution == 0 { inputs } else { outputs };
            layers.push(Layer { name, kind: LayerKind::Convolution, inputs, outputs, normalized });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_preset_has_the_papers_own_number_of_parameters() {
        assert_eq!(Config::spinect(&[32, 64, 128, 256, 512]).parameters(), 22_581_411);
    }

    #[test]
    fn layers_come_in_the_order_of_the_computation() {
        let names: Vec<_> = Config::spinect(&[2, 4]).layers().map(|layer| layer.name).collect();
        assert_eq!(names, ["encoder.0.0", "encoder.0.1", "encoder.1.0", "encoder.1.1", "upsample.0", "decoder.0.0", "decoder.0.1", "head"]);
    }

    #[test]
    fn shapes_follow_the_table_of_the_model_format() {
        let config = Config::spinect(&[2, 4]);
        let shape = |name: &str| config.tensors().find(|tensor| tensor.name == name).map(|tensor| tensor.shape);
        for (name, expected) in [
            ("encoder.0.0.conv.weight", vec![2, 1, 3, 3, 3]),
            ("encoder.1.0.conv.weight", vec![4, 2, 3, 3, 3]),
            ("encoder.1.1.norm.running_var", vec![4]),
            ("upsample.0.weight", vec![4, 2, 2, 2, 2]),
            ("upsample.0.bias", vec![2]),
            ("decoder.0.0.conv.weight", vec![2, 4, 3, 3, 3]),
            ("decoder.0.1.conv.weight", vec![2, 2, 3, 3, 3]),
            ("head.weight", vec![3, 2, 1, 1, 1]),
            ("head.bias", vec![3]),
        ] {
            assert_eq!(shape(name), Some(expected), "{name}");
        }
        assert_eq!(shape("encoder.1.0.norm.weight"), None);
        assert_eq!(shape("upsample.1.weight"), None);
    }

    #[test]
    fn a_network_of_one_level_has_no_way_up() {
        let names: Vec<_> = Config::spinect(&[2]).layers().map(|layer| layer.name).collect();
        assert_eq!(names, ["encoder.0.0", "encoder.0.1", "head"]);
    }

    #[test]
    fn counting_an_absurd_configuration_saturates() {
        assert_eq!(Config::spinect(&[usize::MAX, usize::MAX]).parameters(), u64::MAX);
    }
}
