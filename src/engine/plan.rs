//! A model as plain data: a flat list of steps over places in one arena. Every engine carries the same plan out.
//!
//! Windows can be taken in groups: then the levels of few voxels, whose time goes into reading weights, take the windows of
//! a group together ([`Plan::deep`]), and the levels above one window after the other.
//!
//! A place holds a feature map in blocks of 16 channels: \[channels / 16\]\[D + 2\]\[H + 2\]\[W + 2\]\[16\], with a border of
//! zeros, which is the convolutions' padding. Places share memory only with places of the same channels and shape: so the
//! borders, once zero, stay zero. The concatenation of a decoder level is never made: its first convolution
//! reads from two places, skip first.

use std::ops::Range;

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
    /// Windows of a group that have a feature map of their own here, one after the other; 1: all use the same.
    pub windows: usize,
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

    /// Blocks of one window.
    pub fn len(&self) -> usize {
        self.channel_blocks() * self.volume()
    }

    /// How many windows a slice holds.
    ///
    /// # Panics
    /// If it does not hold whole ones.
    pub fn windows_in<T>(&self, slice: &[T]) -> usize {
        assert!(!slice.is_empty() && slice.len().is_multiple_of(self.len()), "a slice holds whole places");
        slice.len() / self.len()
    }

    /// Whether the place holds nothing.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The blocks of the arena that this place takes.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.windows * self.len()
    }

    /// The blocks of the arena that these windows of a group take, of which there is one where all use the same.
    pub fn range_of(&self, windows: &Range<usize>) -> Range<usize> {
        if self.windows == 1 {
            return self.range();
        }
        self.offset + windows.start * self.len()..self.offset + windows.end * self.len()
    }
}

/// One step. `layer` is an index into [`Plan::layers`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// 3×3×3 convolution of the window itself (one channel), bias, ReLU.
    Stem {
        /// Where the result goes.
        output: Place,
        /// Where its 2×2×2 maxima (stride 2) go, if a level follows.
        pooled: Option<Place>,
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
        /// Where its 2×2×2 maxima (stride 2) go, if a level follows.
        pooled: Option<Place>,
        /// Which weights.
        layer: usize,
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

/// How an engine takes windows together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grouping {
    /// Windows of a group, at most.
    pub windows: usize,
    /// Levels of so many voxels per window or fewer take a group together.
    pub voxels: usize,
}

/// A model, ready to be carried out.
#[derive(Clone, Debug, PartialEq)]
pub struct Plan {
    /// Voxels of the window, D, H, W.
    pub window: [usize; 3],
    /// Output channels.
    pub classes: usize,
    /// Windows of a group, at most.
    pub group: usize,
    /// What to do, in order.
    pub steps: Vec<Step>,
    /// The steps that take all windows of a group together. Those before and behind take them one by one.
    pub deep: Range<usize>,
    /// Folded weights.
    pub layers: Vec<Layer>,
    /// Blocks of the arena.
    pub arena: usize,
}

/// A feature map before it has a place: which steps it lives through.
struct Lifetime {
    channels: usize,
    shape: [usize; 3],
    windows: usize,
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
    Stem { output: usize, pooled: Option<usize>, layer: usize },
    Convolution { input: usize, second: Option<usize>, output: usize, pooled: Option<usize>, layer: usize },
    Upsample { input: usize, output: usize, layer: usize },
    Head { input: usize, layer: usize },
}

impl Draft<'_> {
    /// A new feature map, made by the next step.
    fn map(&mut self, channels: usize, shape: [usize; 3]) -> usize {
        let step = self.steps.len();
        self.maps.push(Lifetime { channels, shape, windows: 1, first: step, last: step });
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

    /// A block of convolutions at this level; `input` of `None` is the window itself. Returns its result and, if asked to
    /// `pool`, the result's maxima.
    fn block(
        &mut self,
        name: &str,
        level: usize,
        input: Option<usize>,
        second: Option<usize>,
        pool: bool,
    ) -> Result<(usize, Option<usize>)> {
        let config = self.model.config();
        let (channels, count) = (config.architecture.channels[level], config.architecture.convs_per_stage);
        let (mut input, mut second) = (input, second);
        let mut result = (0, None);
        for index in 0..count {
            let layer = fold::convolution(self.model, &format!("{name}.{index}"))?;
            let layer = self.layer(layer);
            let output = self.map(channels, config.window.size.map(|n| n >> level));
            let pooled = (pool && index + 1 == count).then(|| self.map(channels, config.window.size.map(|n| n >> (level + 1))));
            let step = match input {
                None => DraftStep::Stem { output, pooled, layer },
                Some(map) => {
                    let second = second.take().map(|second| self.read(second));
                    DraftStep::Convolution { input: self.read(map), second, output, pooled, layer }
                }
            };
            self.steps.push(step);
            input = Some(output);
            result = (output, pooled);
        }
        Ok(result)
    }

    /// Lets what is kept from a pass over a group's windows to the next pass live through both of them, for every window.
    fn keep_groups(&mut self, deep: &Range<usize>, group: usize) {
        for map in &mut self.maps {
            let (made_above, read_above) = (map.first < deep.start, map.last >= deep.end);
            let deep_or_kept = map.first < deep.end && map.last >= deep.start;
            if group > 1 && deep_or_kept {
                map.windows = group;
                map.first = if made_above { 0 } else { map.first };
                map.last = if read_above { self.steps.len() } else { map.last };
            }
        }
    }

    /// A place in the arena for every feature map: first fit among those alive at the same time and those of another shape.
    fn places(&self) -> Result<(Vec<Place>, usize)> {
        let mut places: Vec<Place> = Vec::with_capacity(self.maps.len());
        let mut arena = 0;
        for (index, map) in self.maps.iter().enumerate() {
            let mut place = Place { offset: 0, channels: map.channels, shape: map.shape, windows: map.windows };
            let apart = |other: &Lifetime| {
                let alive = other.first <= map.last && map.first <= other.last;
                alive || other.channels != map.channels || other.shape != map.shape
            };
            let mut taken: Vec<_> = (0..index).filter(|&other| apart(&self.maps[other])).map(|other| places[other].range()).collect();
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
    pub fn new(model: &Model, grouping: Grouping) -> Result<Plan> {
        match model.config().architecture.kind {
            ArchitectureKind::Unet3d => Self::unet3d(model, grouping),
        }
    }

    /// The 3D U-Net of method.md 2.
    fn unet3d(model: &Model, grouping: Grouping) -> Result<Plan> {
        let config = model.config();
        let channels = &config.architecture.channels;
        let shape = |level: usize| config.window.size.map(|n| n >> level);
        // The first level that takes a group together; beyond the last if none does.
        let together = (1..channels.len()).find(|&level| shape(level).iter().product::<usize>() <= grouping.voxels);
        let group = if together.is_some() { grouping.windows } else { 1 };
        let together = together.unwrap_or(channels.len());
        let mut draft = Draft { model, steps: Vec::new(), maps: Vec::new(), layers: Vec::new() };

        let mut deep = 0..0;
        let (mut skips, mut current) = (Vec::new(), None);
        for level in 0..channels.len() {
            if level == together {
                deep.start = draft.steps.len();
            }
            let pool = level + 1 < channels.len();
            let (output, pooled) = draft.block(&format!("encoder.{level}"), level, current, None, pool)?;
            skips.push(output);
            current = pooled;
        }
        let mut current = skips.pop().ok_or_else(|| Error::new(ErrorKind::InvalidModel, "architecture.channels is empty"))?;
        for (level, skip) in skips.into_iter().enumerate().rev() {
            if level + 1 == together {
                deep.end = draft.steps.len();
            }
            let layer = draft.layer(fold::plain(model, &format!("upsample.{level}"))?);
            let (input, output) = (draft.read(current), draft.map(channels[level], shape(level)));
            draft.steps.push(DraftStep::Upsample { input, output, layer });
            current = draft.block(&format!("decoder.{level}"), level, Some(skip), Some(output), false)?.0;
        }
        let layer = draft.layer(fold::plain(model, "head")?);
        let input = draft.read(current);
        draft.steps.push(DraftStep::Head { input, layer });

        draft.keep_groups(&deep, group);
        let (places, arena) = draft.places()?;
        let steps = draft
            .steps
            .iter()
            .map(|step| match *step {
                DraftStep::Stem { output, pooled, layer } => {
                    Step::Stem { output: places[output], pooled: pooled.map(|map| places[map]), layer }
                }
                DraftStep::Convolution { input, second, output, pooled, layer } => Step::Convolution {
                    input: places[input],
                    second: second.map(|map| places[map]),
                    output: places[output],
                    pooled: pooled.map(|map| places[map]),
                    layer,
                },
                DraftStep::Upsample { input, output, layer } => Step::Upsample { input: places[input], output: places[output], layer },
                DraftStep::Head { input, layer } => Step::Head { input: places[input], layer },
            })
            .collect();
        Ok(Plan { window: config.window.size, classes: config.labels.len(), group, steps, deep, layers: draft.layers, arena })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Config;

    /// What a step reads and what it writes.
    fn places_of(step: &Step) -> (Vec<Place>, Vec<Place>) {
        match *step {
            Step::Stem { output, pooled, .. } => (vec![], std::iter::once(output).chain(pooled).collect()),
            Step::Convolution { input, second, output, pooled, .. } => {
                (std::iter::once(input).chain(second).collect(), std::iter::once(output).chain(pooled).collect())
            }
            Step::Upsample { input, output, .. } => (vec![input], vec![output]),
            Step::Head { input, .. } => (vec![input], vec![]),
        }
    }

    #[test]
    fn nothing_that_is_still_to_be_read_is_overwritten() {
        let mut config = Config::spinect(&[3, 5, 20, 33]);
        config.window.size = [16, 8, 24];
        config.window.stride = [8, 8, 8];
        let model = Model::untrained(config, 1).unwrap();
        // None together; the deepest; two of four, one group of one; all but the first.
        for (grouping, deep, group) in [((3, 1), 0..0, 1), ((3, 6), 6..8, 3), ((1, 48), 4..11, 1), ((4, 384), 2..14, 4)] {
            let plan = Plan::new(&model, Grouping { windows: grouping.0, voxels: grouping.1 }).unwrap();
            assert_eq!((plan.deep.clone(), plan.group), (deep, group));
            // The steps in the order in which they are done, with the windows they are done for.
            let passes = |steps: Range<usize>| (0..group).flat_map(move |window| steps.clone().map(move |step| (step, window..window + 1)));
            let together = plan.deep.clone().map(|step| (step, 0..group));
            let order = passes(0..plan.deep.start).chain(together).chain(passes(plan.deep.end..plan.steps.len()));

            let mut owner = vec![None; plan.arena];
            for (number, windows) in order {
                let (inputs, outputs) = places_of(&plan.steps[number]);
                for (input, window) in inputs.iter().flat_map(|input| windows.clone().map(move |window| (input, window))) {
                    let makes = |step: &Step| places_of(step).1.contains(input);
                    let maker = plan.steps[..number].iter().rposition(makes).expect("read before it is made");
                    let mut owners = owner[input.range_of(&(window..window + 1))].iter();
                    assert!(owners.all(|&o| o == Some((maker, window))), "step {number} reads what was overwritten");
                }
                for (output, window) in outputs.iter().flat_map(|output| windows.clone().map(move |window| (output, window))) {
                    let places = &mut owner[output.range_of(&(window..window + 1))];
                    assert!(places.iter().all(|&o| o != Some((number, window))), "step {number} overwrites its own result");
                    places.fill(Some((number, window)));
                }
            }
        }
    }

    #[test]
    fn the_border_of_a_place_is_never_anothers_inside() {
        let model = Model::untrained(Config::spinect(&[3, 5, 20, 33]), 1).unwrap();
        for windows in [1, 3] {
            let plan = Plan::new(&model, Grouping { windows, voxels: 2048 }).unwrap();
            let places: Vec<Place> = plan.steps.iter().flat_map(|step| places_of(step).1).collect();
            for (a, b) in places.iter().flat_map(|a| places.iter().map(move |b| (a, b))) {
                let apart = a.range().end <= b.offset || b.range().end <= a.offset;
                assert!(apart || ((a.channels, a.shape) == (b.channels, b.shape) && a.offset.abs_diff(b.offset) % a.len() == 0));
            }
        }
    }

    #[test]
    fn the_paper_preset_has_23_steps_and_shares_its_arena() {
        let mut config = Config::spinect(&[32, 64, 128, 256, 512]);
        // Few numbers, the same steps.
        config.architecture.channels = vec![1, 2, 3, 4, 5];
        let plan = Plan::new(&Model::untrained(config, 1).unwrap(), Grouping { windows: 1, voxels: 0 }).unwrap();
        // 18 convolutions, of which 4 pool, 4 transposed convolutions, the head.
        assert_eq!(plan.steps.len(), 23);
        let separate: usize = plan.steps.iter().flat_map(|step| places_of(step).1).map(|place| place.len()).sum();
        assert!(plan.arena < separate * 2 / 3, "{} of {separate}", plan.arena);
    }
}
