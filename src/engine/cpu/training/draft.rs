//! From a configuration to the steps of its network in training, and the memory that they take.

use super::{Affine, Map, Normalized, Parameters, Step};
use crate::engine::cpu::convolution::Convolution;
use crate::engine::plan::Place;
use crate::error::Result;
use crate::model::{ArchitectureKind, Config};

/// A network that is being drawn up.
pub(super) struct Draft<'a> {
    config: &'a Config,
    parameters: &'a Parameters,
    batch: usize,
    pub steps: Vec<Step>,
    pub maps: Vec<Map>,
    /// Blocks of scratch memory that a thread needs.
    pub scratch: usize,
}

impl<'a> Draft<'a> {
    /// The steps of a configuration's network for batches of so many windows.
    ///
    /// # Errors
    /// [`InvalidModel`](crate::ErrorKind::InvalidModel) if the parameters are another configuration's;
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn new(config: &'a Config, parameters: &'a Parameters, batch: usize) -> Result<Draft<'a>> {
        let mut draft = Draft { config, parameters, batch, steps: Vec::new(), maps: Vec::new(), scratch: 0 };
        match config.architecture.kind {
            ArchitectureKind::Unet3d => draft.unet3d()?,
        }
        Ok(draft)
    }

    /// The 3D U-Net of method.md 2.
    fn unet3d(&mut self) -> Result<()> {
        let levels = self.config.architecture.channels.len();
        let (mut skips, mut current) = (Vec::new(), None);
        for level in 0..levels {
            let output = self.block(&format!("encoder.{level}"), level, current.map(|map| [Some(map), None]))?;
            if level + 1 < levels {
                skips.push(output);
                let input = output;
                let output = self.map(self.maps[input].place.channels, level + 1)?;
                self.steps.push(Step::Pool { input, output });
                current = Some(output);
            } else {
                current = Some(output);
            }
        }
        let mut current = current.unwrap_or_default();
        for (level, skip) in skips.into_iter().enumerate().rev() {
            let layer = self.affine(&format!("upsample.{level}"))?;
            let output = self.map(self.config.architecture.channels[level], level)?;
            self.steps.push(Step::Upsample { input: current, output, layer });
            current = self.block(&format!("decoder.{level}"), level, Some([Some(skip), Some(output)]))?;
        }
        let layer = self.affine("head")?;
        self.steps.push(Step::Head { input: current, layer });
        Ok(())
    }

    /// The convolutions of a level on one side; `None`: from the window itself.
    fn block(&mut self, name: &str, level: usize, sources: Option<[Option<usize>; 2]>) -> Result<usize> {
        let channels = self.config.architecture.channels[level];
        let (mut sources, mut output) = (sources, 0);
        for index in 0..self.config.architecture.convs_per_stage {
            let name = format!("{name}.{index}");
            let layer = self.affine(&format!("{name}.conv"))?;
            let norm = if self.config.architecture.norm.layers().contains(&name) {
                let tensors = self.parameters.index(&format!("{name}.norm.weight"))?;
                Some(Normalized { raw: self.map(channels, level)?, tensors, moments: Default::default() })
            } else {
                None
            };
            output = self.map(channels, level)?;
            if let Some(sources) = sources {
                let inputs = sources.map(|map| map.map_or(0, |map| self.maps[map].place.channels));
                let Place { shape, .. } = self.maps[output].place;
                let back =
                    inputs.iter().filter(|&&inputs| inputs > 0).map(|&inputs| Convolution::scratch_blocks(shape, [channels, 0], inputs));
                let needed = back.chain([Convolution::scratch_blocks(shape, inputs, channels)]).max();
                self.scratch = self.scratch.max(needed.unwrap_or(0));
            }
            self.steps.push(Step::Convolution { sources, output, layer, norm, packed: Box::default() });
            sources = Some([Some(output), None]);
        }
        Ok(output)
    }

    fn map(&mut self, channels: usize, level: usize) -> Result<usize> {
        self.maps.push(Map::new(channels, self.config.window.size.map(|n| n >> level), self.batch)?);
        Ok(self.maps.len() - 1)
    }

    /// Weight and bias of a layer.
    fn affine(&self, name: &str) -> Result<Affine> {
        Ok(Affine { weight: self.parameters.index(&format!("{name}.weight"))?, bias: self.parameters.index(&format!("{name}.bias"))? })
    }
}
