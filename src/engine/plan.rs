//! A model as plain data: a flat list of steps over places in one arena. Every engine carries the same plan out.
//!
//! A place holds a feature map in blocks of 16 channels: \[channels / 16\]\[D + 2\]\[H + 2\]\[W + 2\]\[16\], with a border of
//! zeros, which is the convolutions' padding. The concatenation of a decoder level is never made: its first convolution
//! reads from two places, skip first.

use super::fold::{self, Layer};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{ArchitectureKind, Model};

/// Channels per block, and the unit of places: one block of one voxel.
pub const BLOCK: usize = 16;

/// Where a feature map lies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// The first block of the arena.
    pub offset: usize,
    /// Channels.
    pub channels: usize,
    /// Voxels along D, H, W, without the border.
    pub shape: [usize; 3],
}

impl Place {
    /// Blocks of channels.
    pub fn channel_blocks(&self) -> usize {
        self.channels.div_ceil(BLOCK)
    }

    /// Blocks from a row (W) to the next.
    pub fn row(&self) -> usize {
        self.shape[2] + 2
    }

    /// Blocks from a plane (H, W) to the next.
    pub fn plane(&self) -> usize {
        (self.shape[1] + 2) * self.row()
    }

    /// Blocks from a block of channels to the next.
    pub fn volume(&self) -> usize {
        (self.shape[0] + 2) * self.plane()
    }

    /// Blocks in all.
    pub fn len(&self) -> usize {
        self.channel_blocks() * self.volume()
    }

    /// Whether the place holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The blocks of the arena that this place takes.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// One step. `layer` is an index into [`Plan::layers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// 3×3×3 convolution of the window itself (one channel), bias, ReLU.
    Stem {
        /// Where the result goes.
        output: Place,
        /// Which weights.
        layer: usize,
    },
    /// 3×3×3 convolution of one or two places, bias, ReLU.
    Convolution {
        /// The first channels of the input.
        input: Place,
        /// The channels that follow them: the concatenation, never made.
        second: Option<Place>,
        /// Where the result goes.
        output: Place,
        /// Which weights.
        layer: usize,
    },
    /// 2×2×2 max pooling.
    MaxPool {
        /// Read from here.
        input: Place,
        /// Where the result goes.
        output: Place,
    },
    /// 2×2×2 transposed convolution of stride 2, bias.
    Upsample {
        /// Read from here.
        input: Place,
        /// Where the result goes.
        output: Place,
        /// Which weights.
        layer: usize,
    },
    /// 1×1×1 convolution to the classes, softmax.
    Head {
        /// Read from here.
        input: Place,
        /// Which weights.
        layer: usize,
    },
}

/// A model, ready to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Voxels of the window, D, H, W.
    pub window: [usize; 3],
    /// Output channels.
    pub classes: usize,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// Folded weights.
    pub layers: Vec<Layer>,
    /// Blocks of the arena.
    pub arena: usize,
}

/// A feature map before it has a place: which steps it lives through.
struct Lifetime {
    channels: usize,
    shape: [usize; 3],
    first: usize,
    last: usize,
}

/// The steps of a network while it is being drawn up; feature maps are numbers.
struct Draft<'m> {
    model: &'m Model,
    steps: Vec<DraftStep>,
    maps: Vec<Lifetime>,
    layers: Vec<Layer>,
}

enum DraftStep {
    Stem { output: usize, layer: usize },
    Convolution { input: usize, second: Option<usize>, output: usize, layer: usize },
    MaxPool { input: usize, output: usize },
    Upsample { input: usize, output: usize, layer: usize },
    Head { input: usize, layer: usize },
}

impl Draft<'_> {
    /// A new feature map, made by the next step.
    fn map(&mut self, channels: usize, shape: [usize; 3]) -> usize {
        let step = self.steps.len();
        self.maps.push(Lifetime { channels, shape, first: step, last: step });
        self.maps.len() - 1
    }

    /// The next step reads this feature map.
    fn read(&mut self, map: usize) -> usize {
        self.maps[map].last = self.steps.len();
        map
    }

    fn layer(&mut self, layer: Layer) -> usize {
        self.layers.push(layer);
        self.layers.len() - 1
    }

    /// A block of convolutions; `input` of `None` is the window itself.
    fn block(&mut self, name: &str, input: Option<usize>, second: Option<usize>, channels: usize, shape: [usize; 3]) -> Result<usize> {
        let (mut input, mut second) = (input, second);
        let mut output = 0;
        for index in 0..self.model.config().architecture.convs_per_stage {
            let layer = fold::convolution(self.model, &format!("{name}.{index}"))?;
            let layer = self.layer(layer);
            output = self.map(channels, shape);
            let step = match input {
                None => DraftStep::Stem { output, layer },
                Some(map) => {
                    let second = second.take().map(|second| self.read(second));
                    DraftStep::Convolution { input: self.read(map), second, output, layer }
                }
            };
            self.steps.push(step);
            input = Some(output);
        }
        Ok(output)
    }

    /// A place in the arena for every feature map: first fit among those alive at the same time.
    fn places(&self) -> Result<(Vec<Place>, usize)> {
        let mut places: Vec<Place> = Vec::with_capacity(self.maps.len());
        let mut arena = 0;
        for (index, map) in self.maps.iter().enumerate() {
            let mut place = Place { offset: 0, channels: map.channels, shape: map.shape };
            let alive = |other: &Lifetime| other.first <= map.last && map.first <= other.last;
            let mut taken: Vec<_> = (0..index).filter(|&other| alive(&self.maps[other])).map(|other| places[other].range()).collect();
            taken.sort_by_key(|range| range.start);
            for range in taken {
                if range.start < place.range().end && place.offset < range.end {
                    place.offset = range.end;
                }
            }
            arena = arena.max(place.range().end);
            places.push(place);
        }
        if arena > isize::MAX as usize / size_of::<[f32; BLOCK]>() {
            return Err(Error::new(ErrorKind::InvalidModel, "the network's feature maps are larger than memory can be"));
        }
        Ok((places, arena))
    }
}

impl Plan {
    /// The plan of a model.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] if the model lacks a tensor; [`ErrorKind::OutOfMemory`].
    pub fn new(model: &Model) -> Result<Plan> {
        match model.config().architecture.kind {
            ArchitectureKind::Unet3d => Self::unet3d(model),
        }
    }

    /// The 3D U-Net of method.md 2.
    fn unet3d(model: &Model) -> Result<Plan> {
        let config = model.config();
        let channels = &config.architecture.channels;
        let shape = |level: usize| config.window.size.map(|n| n >> level);
        let mut draft = Draft { model, steps: Vec::new(), maps: Vec::new(), layers: Vec::new() };

        let mut skips = Vec::new();
        let mut current = None;
        for (level, &channels) in channels.iter().enumerate() {
            if let Some(finer) = current {
                let (input, output) = (draft.read(finer), draft.map(draft.maps[finer].channels, shape(level)));
                draft.steps.push(DraftStep::MaxPool { input, output });
                current = Some(output);
            }
            let output = draft.block(&format!("encoder.{level}"), current, None, channels, shape(level))?;
            skips.push(output);
            current = Some(output);
        }
        let mut current = skips.pop().ok_or_else(|| Error::new(ErrorKind::InvalidModel, "architecture.channels is empty"))?;
        for (level, skip) in skips.into_iter().enumerate().rev() {
            let layer = draft.layer(fold::plain(model, &format!("upsample.{level}"))?);
            let (input, output) = (draft.read(current), draft.map(channels[level], shape(level)));
            draft.steps.push(DraftStep::Upsample { input, output, layer });
            current = draft.block(&format!("decoder.{level}"), Some(skip), Some(output), channels[level], shape(level))?;
        }
        let layer = draft.layer(fold::plain(model, "head")?);
        let input = draft.read(current);
        draft.steps.push(DraftStep::Head { input, layer });

        let (places, arena) = draft.places()?;
        let steps = draft
            .steps
            .iter()
            .map(|step| match *step {
                DraftStep::Stem { output, layer } => Step::Stem { output: places[output], layer },
                DraftStep::Convolution { input, second, output, layer } => {
                    Step::Convolution { input: places[input], second: second.map(|map| places[map]), output: places[output], layer }
                }
                DraftStep::MaxPool { input, output } => Step::MaxPool { input: places[input], output: places[output] },
                DraftStep::Upsample { input, output, layer } => Step::Upsample { input: places[input], output: places[output], layer },
                DraftStep::Head { input, layer } => Step::Head { input: places[input], layer },
            })
            .collect();
        Ok(Plan { window: config.window.size, classes: config.labels.len(), steps, layers: draft.layers, arena })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Config;

    fn places_of(step: &Step) -> (Vec<Place>, Option<Place>) {
        match *step {
            Step::Stem { output, .. } => (vec![], Some(output)),
            Step::Convolution { input, second, output, .. } => (std::iter::once(input).chain(second).collect(), Some(output)),
            Step::MaxPool { input, output } | Step::Upsample { input, output, .. } => (vec![input], Some(output)),
            Step::Head { input, .. } => (vec![input], None),
        }
    }

    #[test]
    fn nothing_that_is_still_to_be_read_is_overwritten() {
        let mut config = Config::spinect(&[3, 5, 20, 33]);
        config.window.size = [16, 8, 24];
        config.window.stride = [8, 8, 8];
        let plan = Plan::new(&Model::untrained(config, 1).unwrap()).unwrap();
        let mut owner = vec![usize::MAX; plan.arena];
        let mut made: Vec<(Place, usize)> = Vec::new();
        for (number, step) in plan.steps.iter().enumerate() {
            let (inputs, output) = places_of(step);
            for input in inputs {
                let maker = made.iter().rev().find(|(place, _)| *place == input).expect("read before it is made").1;
                assert!(owner[input.range()].iter().all(|&o| o == maker), "step {number} reads what was overwritten");
            }
            if let Some(output) = output {
                owner[output.range()].fill(number);
                made.push((output, number));
            }
        }
    }

    #[test]
    fn the_paper_preset_has_27_steps_and_shares_its_arena() {
        let mut config = Config::spinect(&[32, 64, 128, 256, 512]);
        // Few numbers, the same steps.
        config.architecture.channels = vec![1, 2, 3, 4, 5];
        let plan = Plan::new(&Model::untrained(config, 1).unwrap()).unwrap();
        // 18 convolutions, 4 poolings, 4 transposed convolutions, the head.
        assert_eq!(plan.steps.len(), 27);
        let separate: usize = plan.steps.iter().filter_map(|step| places_of(step).1).map(|place| place.len()).sum();
        assert!(plan.arena < separate * 2 / 3, "{} of {separate}", plan.arena);
    }
}
