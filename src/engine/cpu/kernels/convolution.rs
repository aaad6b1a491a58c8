//! 3×3×3 convolution, zero padding 1, bias, ReLU: `y[o] = max(0, b[o] + Σ_i Σ_taps w[o][i][tap] · x[i][voxel + tap])`; in
//! training also without ReLU.
//!
//! Layout: feature maps as `plan.rs` says; weights \[block of outputs\]\[block of inputs\]\[27 taps\]\[input\]\[16 outputs\].
//! Blocking: a register tile of output voxels along W × blocks of output channels takes every input channel and tap
//! before it is stored once; weights stream from L2, in order. The border of zeros makes every tap a plain load.

use std::marker::PhantomData;

use super::lanes::Lanes;
use super::{Block, pack_bias};
use crate::engine::cpu::executor::{Executor, Shared};
use crate::engine::fold::Layer;
use crate::engine::plan::{BLOCK, Place};
use crate::error::{Error, ErrorKind, Result, try_vec};

const TAPS: usize = 27;

/// A convolution's weights in the order in which the kernel reads them.
#[derive(Debug)]
pub struct PackedConvolution {
    /// Input channels per source.
    inputs: [usize; 2],
    outputs: usize,
    weight: Vec<Block>,
    bias: Vec<Block>,
    /// What a result is at least: 0, or −∞ without activation.
    floor: f32,
}

impl PackedConvolution {
    /// Packs the weights of a convolution whose input comes from two places with this many channels each.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] if the layer has another shape; [`ErrorKind::OutOfMemory`].
    pub fn new(layer: &Layer, inputs: [usize; 2], outputs: usize) -> Result<Self> {
        let all = inputs[0] + inputs[1];
        if layer.weight.len() != outputs * all * TAPS || layer.bias.len() != outputs {
            return Err(Error::new(ErrorKind::InvalidModel, format!("{} is no 3×3×3 convolution of {all} to {outputs}", layer.name)));
        }
        let blocks = outputs.div_ceil(BLOCK);
        let mut weight = try_vec(Block::default(), blocks * all * TAPS, "the packed weights")?;
        let mut packed = weight.iter_mut();
        for output_block in 0..blocks {
            for (first, count) in [(0, inputs[0]), (inputs[0], inputs[1])] {
                for start in (0..count).step_by(BLOCK) {
                    for tap in 0..TAPS {
                        for input in first + start..first + (start + BLOCK).min(count) {
                            let Some(block) = packed.next() else { continue };
                            for (output, lane) in (output_block * BLOCK..outputs).zip(&mut block.0) {
                                *lane = layer.weight[(output * all + input) * TAPS + tap];
                            }
                        }
                    }
                }
            }
        }
        Ok(PackedConvolution { inputs, outputs, weight, bias: pack_bias(&layer.bias)?, floor: 0.0 })
    }

    /// Packs other weights of the same shape.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    #[cfg(feature = "trainer")]
    pub fn repack(&mut self, layer: &Layer) -> Result<()> {
        *self = PackedConvolution { floor: self.floor, ..Self::new(layer, self.inputs, self.outputs)? };
        Ok(())
    }

    /// The same without activation, for training: what follows it there is a step of its own.
    #[cfg(feature = "trainer")]
    #[must_use]
    pub fn linear(self) -> Self {
        Self { floor: f32::NEG_INFINITY, ..self }
    }

    /// Bytes that a convolution of this size takes.
    pub fn bytes(inputs: usize, outputs: usize) -> usize {
        (inputs * TAPS + 1) * outputs.div_ceil(BLOCK) * size_of::<Block>()
    }
}

/// A feature map that a convolution reads.
#[derive(Clone, Copy)]
pub struct Source<'a> {
    /// Its blocks.
    pub blocks: &'a [Block],
    /// Its place.
    pub place: Place,
}

/// The window itself: one channel, \[D + 2\]\[H + 2\]\[W + 2\] with a border of zeros.
#[derive(Clone, Copy)]
pub struct Window<'a> {
    /// Its voxels.
    pub voxels: &'a [f32],
    /// Voxels along D, H, W, without the border.
    pub shape: [usize; 3],
}

/// What a kernel reads of a source, in numbers (f32) from `first`, which is tap (0, 0, 0) of the slab's first voxel.
#[derive(Clone, Copy)]
struct Taps<'a> {
    first: *const f32,
    source: PhantomData<&'a [f32]>,
    channels: usize,
    row: usize,
    plane: usize,
    volume: usize,
    window: usize,
}

// SAFETY: what a source points to is only read while it is borrowed.
unsafe impl Sync for Taps<'_> {}

/// One plane (H, W) of some blocks of output channels.
pub(super) struct Slab<'a> {
    sources: [Option<Taps<'a>>; 2],
    /// The weights of the slab's first block of outputs; `weight_step` blocks on, those of the next.
    weight: &'a [Block],
    weight_step: usize,
    bias: &'a [Block],
    floor: f32,
    /// Voxel (0, 0) of the plane in the slab's first block of outputs; `output_volume` and `output_row` numbers on, the
    /// next block and the next row.
    output: *mut f32,
    output_volume: usize,
    output_row: usize,
    height: usize,
    width: usize,
}

/// Convolves one or two feature maps, taken as one after the other, into `output`. The slices hold the feature maps of one
/// or more windows, one after the other.
///
/// # Errors
/// Whatever the executor's `check` returns: it is asked between planes. Then `output` is half written.
///
/// # Panics
/// If a slice is not as long as its place, or places and weights differ in shape.
pub fn convolve(
    executor: &Executor<'_>,
    sources: [Option<Source<'_>>; 2],
    weights: &PackedConvolution,
    output: &mut [Block],
    place: &Place,
) -> Result<()> {
    let windows = place.windows_in(output);
    for (source, channels) in sources.iter().zip(weights.inputs) {
        assert_eq!(source.map_or(0, |s| s.place.channels), channels, "input channels");
        assert!(source.is_none_or(|s| s.place.shape == place.shape && s.place.windows_in(s.blocks) == windows), "input shape");
    }
    let taps = sources.map(|source| {
        source.map(|Source { blocks, place }| Taps {
            first: blocks.as_ptr().cast(),
            source: PhantomData,
            channels: place.channels,
            row: place.row() * BLOCK,
            plane: place.plane() * BLOCK,
            volume: place.volume() * BLOCK,
            window: place.len() * BLOCK,
        })
    });
    // SAFETY: each source's slice covers its place, border included, as asserted above; so does the output, as `planes`
    // asserts.
    unsafe { planes(executor, executor.kernels.convolution, taps, weights, output, place) }
}

/// Convolves the window itself: the network's first layer.
///
/// # Errors
/// As [`convolve`].
///
/// # Panics
/// As [`convolve`].
pub fn stem(executor: &Executor<'_>, window: Window<'_>, weights: &PackedConvolution, output: &mut [Block], place: &Place) -> Result<()> {
    let [d, h, w] = window.shape.map(|n| n + 2);
    assert!(window.shape == place.shape && window.voxels.len() == d * h * w && weights.inputs == [1, 0], "window shape");
    assert!(place.windows_in(output) == 1, "one window");
    let (plane, volume) = (h * w, d * h * w);
    let taps = Taps { first: window.voxels.as_ptr(), source: PhantomData, channels: 1, row: w, plane, volume, window: volume };
    // SAFETY: the window's slice covers its shape with the border, as asserted above.
    unsafe { planes(executor, executor.kernels.stem, [Some(taps), None], weights, output, place) }
}

/// Runs a kernel over every plane of every window and every group of output channels.
///
/// # Safety
/// Every source can be read over the output's shape with a border of 1, for every window.
unsafe fn planes(
    executor: &Executor<'_>,
    kernel: unsafe fn(&Slab<'_>),
    sources: [Option<Taps<'_>>; 2],
    weights: &PackedConvolution,
    output: &mut [Block],
    place: &Place,
) -> Result<()> {
    assert!(place.channels == weights.outputs, "output channels");
    let [depth, height, width] = place.shape;
    let planes = place.windows_in(output) * depth;
    let weight_step = (weights.inputs[0] + weights.inputs[1]) * TAPS;
    let (blocks, group) = (weights.bias.len(), executor.kernels.channel_blocks);
    let output = Shared::new(output);
    // The planes of a group of channels in a row: its weights are read once.
    executor.each(blocks.div_ceil(group) * planes, &|piece, _| {
        let (first, window, d) = (piece / planes * group, piece % planes / depth, piece % depth);
        let last = (first + group).min(blocks);
        let voxel = window * place.len() + first * place.volume() + (d + 1) * place.plane() + place.row() + 1;
        let slab = Slab {
            sources: sources.map(|source| source.map(|s| Taps { first: s.first.wrapping_add(window * s.window + d * s.plane), ..s })),
            weight: &weights.weight[first * weight_step..last * weight_step],
            weight_step,
            bias: &weights.bias[first..last],
            floor: weights.floor,
            output: output.pointer(voxel).cast(),
            output_volume: place.volume() * BLOCK,
            output_row: place.row() * BLOCK,
            height,
            width,
        };
        // SAFETY: the sources by this function's contract; `weight`, `bias` and `output` hold the same blocks of outputs, and
        // pieces differ in their window, plane or blocks of outputs, of which the kernel writes no others.
        unsafe { kernel(&slab) };
    })
}

/// The kernel: `B` blocks of outputs in tiles of `P0`, `P1` and 1 voxels; a single block in tiles of `Q0`, `Q1` and 1.
/// `STRIDE` numbers lie between neighbors along W.
///
/// # Safety
/// As [`Slab`] says, on a processor that has the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn slab<
    L: Lanes,
    const B: usize,
    const P0: usize,
    const P1: usize,
    const Q0: usize,
    const Q1: usize,
    const STRIDE: usize,
>(
    slab: &Slab<'_>,
) {
    if slab.bias.len() == B {
        cover!(
            slab,
            row,
            column,
            P0 => tile::<L, B, P0, STRIDE>(slab, row, column),
            P1 => tile::<L, B, P1, STRIDE>(slab, row, column),
            1 => tile::<L, B, 1, STRIDE>(slab, row, column),
        );
    } else {
        cover!(
            slab,
            row,
            column,
            Q0 => tile::<L, 1, Q0, STRIDE>(slab, row, column),
            Q1 => tile::<L, 1, Q1, STRIDE>(slab, row, column),
            1 => tile::<L, 1, 1, STRIDE>(slab, row, column),
        );
    }
}

/// `P` voxels of a row × `B` blocks of output channels, in registers.
///
/// # Safety
/// As [`slab`]; `column + P` is at most the width, and the slab has at least `B` blocks of outputs.
#[inline(always)]
unsafe fn tile<L: Lanes, const B: usize, const P: usize, const STRIDE: usize>(slab: &Slab<'_>, row: usize, column: usize) {
    // SAFETY: every tap lies within its source, because the source has a border of 1 around the output's shape; the
    // weights hold `weight_step` blocks per block of outputs, read in the order in which they were packed.
    unsafe {
        let bias: *const f32 = slab.bias.as_ptr().cast();
        let mut sums = [[L::splat(0.0); B]; P];
        for sum in &mut sums {
            for (b, lanes) in sum.iter_mut().enumerate() {
                *lanes = L::load(bias.add(b * BLOCK));
            }
        }
        let mut weight: *const f32 = slab.weight.as_ptr().cast();
        let step = slab.weight_step * BLOCK;
        for source in slab.sources.iter().flatten() {
            let mut block = source.first.add(row * source.row + column * STRIDE);
            let mut left = source.channels;
            while left > 0 {
                let channels = left.min(BLOCK);
                for tap in 0..TAPS {
                    let x = block.add(tap / 9 * source.plane + tap / 3 % 3 * source.row + tap % 3 * STRIDE);
                    for channel in 0..channels {
                        let mut w = [L::splat(0.0); B];
                        for (b, lanes) in w.iter_mut().enumerate() {
                            *lanes = L::load(weight.add(b * step));
                        }
                        for (p, sum) in sums.iter_mut().enumerate() {
                            let value = L::splat(*x.add(p * STRIDE + channel));
                            for b in 0..B {
                                sum[b] = sum[b].add_product(value, w[b]);
                            }
                        }
                        weight = weight.add(BLOCK);
                    }
                }
                block = block.wrapping_add(source.volume);
                left -= channels;
            }
        }
        let output = slab.output.add(row * slab.output_row + column * BLOCK);
        for (p, sum) in sums.into_iter().enumerate() {
            for (b, lanes) in sum.into_iter().enumerate() {
                lanes.max(L::splat(slab.floor)).store(output.add(b * slab.output_volume + p * BLOCK));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kernels;
    use super::super::testing::{alone, assert_close, blocked, convolution, garbage, noise, place, plain};
    use super::*;

    fn layer(inputs: usize, outputs: usize) -> Layer {
        Layer { name: "test".into(), weight: noise(outputs * inputs * TAPS, 1), bias: noise(outputs, 2) }
    }

    #[test]
    fn every_instruction_set_gives_the_formula_on_odd_and_even_sizes_with_one_source_and_two() {
        for kernels in Kernels::available() {
            for (inputs, outputs, shape) in [
                ([1, 0], 1, [1, 1, 1]),
                ([3, 0], 5, [2, 3, 5]),
                ([16, 0], 32, [2, 2, 8]),
                ([17, 0], 33, [1, 2, 13]),
                ([8, 8], 16, [2, 2, 23]),
                ([20, 5], 48, [3, 1, 4]),
                ([32, 32], 40, [1, 3, 17]),
            ] {
                let all = inputs[0] + inputs[1];
                let (x, layer) = (noise(all * shape.iter().product::<usize>(), 3), layer(all, outputs));
                let split = inputs[0] * shape.iter().product::<usize>();
                let places = [place(inputs[0], shape), place(inputs[1], shape)];
                let blocks = [blocked(&x[..split], &places[0]), blocked(&x[split..], &places[1])];
                let source = |s: usize| (inputs[s] > 0).then_some(Source { blocks: &blocks[s], place: places[s] });
                let weights = PackedConvolution::new(&layer, inputs, outputs).unwrap();
                let target = place(outputs, shape);
                let mut output = garbage(&target);
                convolve(&alone(kernels), [source(0), source(1)], &weights, &mut output, &target).unwrap();
                let expected = convolution(&x, all, shape, &layer);
                assert_close(&plain(&output, &target), &expected, &format!("{} {inputs:?}→{outputs} {shape:?}", kernels.name));
            }
        }
    }

    #[test]
    fn what_is_not_a_number_is_not_hidden_by_the_activation() {
        for kernels in Kernels::available() {
            let (shape, outputs) = ([1, 1, 24], 48);
            let mut x = noise(24, 6);
            x[12] = f32::NAN;
            let from = place(1, shape);
            let weights = PackedConvolution::new(&layer(1, outputs), [1, 0], outputs).unwrap();
            let (input, target) = (blocked(&x, &from), place(outputs, shape));
            let mut output = vec![Block::default(); target.len()];
            convolve(&alone(kernels), [Some(Source { blocks: &input, place: from }), None], &weights, &mut output, &target).unwrap();
            for (at, value) in plain(&output, &target).into_iter().enumerate() {
                assert_eq!(value.is_nan(), (11..=13).contains(&(at % 24)), "{} at {at}", kernels.name);
            }
        }
    }

    #[test]
    fn the_stem_reads_the_window_as_it_lies() {
        for kernels in Kernels::available() {
            let (shape, outputs) = ([3, 5, 21], 20);
            let (x, layer) = (noise(shape.iter().product(), 4), layer(1, outputs));
            let mut voxels = vec![0.0; 5 * 7 * 23];
            for (v, &value) in x.iter().enumerate() {
                voxels[(v / 105 + 1) * 7 * 23 + (v / 21 % 5 + 1) * 23 + v % 21 + 1] = value;
            }
            let weights = PackedConvolution::new(&layer, [1, 0], outputs).unwrap();
            let target = place(outputs, shape);
            let mut output = vec![Block::default(); target.len()];
            stem(&alone(kernels), Window { voxels: &voxels, shape }, &weights, &mut output, &target).unwrap();
            assert_close(&plain(&output, &target), &convolution(&x, 1, shape, &layer), kernels.name);
        }
    }
}
