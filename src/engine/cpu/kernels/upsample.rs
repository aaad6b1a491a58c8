//! 2×2×2 transposed convolution of stride 2 with bias: `y[o][2·voxel + tap] = b[o] + Σ_i w[i][o][tap] · x[i][voxel]`.
//!
//! A 1×1×1 convolution to eight times the outputs, whose results are dealt out. Layout: feature maps as `plan.rs` says;
//! weights \[block of outputs\]\[8 taps\]\[input\]\[16 outputs\].

use super::lanes::Lanes;
use super::{Block, pack_bias};
use crate::engine::cpu::executor::{Executor, Shared};
use crate::engine::fold::Layer;
use crate::engine::plan::{BLOCK, Place};
use crate::error::{Error, ErrorKind, Result, try_vec};

const TAPS: usize = 8;

/// The weights in the order in which the kernel reads them.
#[derive(Debug)]
pub struct PackedUpsample {
    inputs: usize,
    outputs: usize,
    weight: Vec<Block>,
    bias: Vec<Block>,
}

impl PackedUpsample {
    /// Packs the weights of a transposed convolution.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] if the layer has another shape; [`ErrorKind::OutOfMemory`].
    pub fn new(layer: &Layer, inputs: usize, outputs: usize) -> Result<Self> {
        if layer.weight.len() != inputs * outputs * TAPS || layer.bias.len() != outputs {
            let message = format!("{} is no 2×2×2 transposed convolution of {inputs} to {outputs}", layer.name);
            return Err(Error::new(ErrorKind::InvalidModel, message));
        }
        let blocks = outputs.div_ceil(BLOCK);
        let mut weight = try_vec(Block::default(), blocks * TAPS * inputs, "the packed weights")?;
        for (index, block) in weight.iter_mut().enumerate() {
            let (output_block, tap, input) = (index / (TAPS * inputs), index / inputs % TAPS, index % inputs);
            for (output, lane) in (output_block * BLOCK..outputs).zip(&mut block.0) {
                *lane = layer.weight[(input * outputs + output) * TAPS + tap];
            }
        }
        Ok(PackedUpsample { inputs, outputs, weight, bias: pack_bias(&layer.bias)? })
    }

    /// Bytes that a transposed convolution of this size takes.
    pub fn bytes(inputs: usize, outputs: usize) -> usize {
        (inputs * TAPS + 1) * outputs.div_ceil(BLOCK) * size_of::<Block>()
    }
}

/// One plane of the input, one tap, some blocks of output channels.
pub(super) struct Slab<'a> {
    /// The first voxel of the input's plane in its first block of channels, and numbers to the next row and block.
    input: *const f32,
    input_row: usize,
    input_volume: usize,
    inputs: usize,
    /// The weights of this tap for the first block of outputs; `weight_step` blocks on, for the next.
    weight: &'a [Block],
    weight_step: usize,
    bias: &'a [Block],
    /// The output voxel of this tap for the first input voxel, and numbers to the next output row and block.
    output: *mut f32,
    output_row: usize,
    output_volume: usize,
    height: usize,
    width: usize,
}

/// Doubles the feature map of every window that the slices hold, one after the other.
///
/// # Errors
/// Whatever the executor's `check` returns: it is asked between planes.
///
/// # Panics
/// If a slice is not as long as its place, or the output is not twice the input, or the weights are of another shape.
pub fn upsample(
    executor: &Executor<'_>,
    input: &[Block],
    from: &Place,
    weights: &PackedUpsample,
    output: &mut [Block],
    to: &Place,
) -> Result<()> {
    let windows = from.windows_in(input);
    assert!(to.windows_in(output) == windows, "as many windows");
    assert!(from.shape.map(|n| n * 2) == to.shape, "twice the shape");
    assert!(from.channels == weights.inputs && to.channels == weights.outputs, "channels of the weights");
    let weight_step = TAPS * weights.inputs;
    let (blocks, group, depth) = (weights.bias.len(), executor.kernels.channel_blocks, from.shape[0]);
    let planes = windows * depth;
    let output = Shared::new(output);
    // The planes of a group of channels in a row: its weights are read once.
    executor.each(blocks.div_ceil(group) * planes, &|piece, _| {
        let (first, window, d) = (piece / planes * group, piece % planes / depth, piece % depth);
        let last = (first + group).min(blocks);
        for tap in 0..TAPS {
            let [z, r, c] = [tap / 4, tap / 2 % 2, tap % 2];
            let voxel = window * to.len() + first * to.volume() + (2 * d + z + 1) * to.plane() + (r + 1) * to.row() + c + 1;
            let slab = Slab {
                input: input[window * from.len() + (d + 1) * from.plane() + from.row() + 1..].as_ptr().cast(),
                input_row: from.row() * BLOCK,
                input_volume: from.volume() * BLOCK,
                inputs: weights.inputs,
                weight: &weights.weight[first * weight_step + tap * weights.inputs..last * weight_step],
                weight_step,
                bias: &weights.bias[first..last],
                output: output.pointer(voxel).cast(),
                output_row: 2 * to.row() * BLOCK,
                output_volume: to.volume() * BLOCK,
                height: from.shape[1],
                width: from.shape[2],
            };
            // SAFETY: input and output cover their places and the output is twice the input, as asserted; `weight`, `bias`
            // and `output` hold the same blocks of outputs, and pieces differ in their window, their two planes or their blocks of outputs, of
            // which the kernel writes no others.
            unsafe { (executor.kernels.upsample)(&slab) };
        }
    })
}

/// The kernel; tiles as in `convolution.rs`.
///
/// # Safety
/// As [`Slab`] says, on a processor that has the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn slab<L: Lanes, const B: usize, const P0: usize, const P1: usize, const Q0: usize, const Q1: usize>(slab: &Slab<'_>) {
    if slab.bias.len() == B {
        cover!(
            slab,
            row,
            column,
            P0 => tile::<L, B, P0>(slab, row, column),
            P1 => tile::<L, B, P1>(slab, row, column),
            1 => tile::<L, B, 1>(slab, row, column),
        );
    } else {
        cover!(
            slab,
            row,
            column,
            Q0 => tile::<L, 1, Q0>(slab, row, column),
            Q1 => tile::<L, 1, Q1>(slab, row, column),
            1 => tile::<L, 1, 1>(slab, row, column),
        );
    }
}

/// `P` voxels of a row × `B` blocks of output channels, in registers.
///
/// # Safety
/// As [`slab`]; `column + P` is at most the width, and the slab has at least `B` blocks of outputs.
#[inline(always)]
unsafe fn tile<L: Lanes, const B: usize, const P: usize>(slab: &Slab<'_>, row: usize, column: usize) {
    // SAFETY: the voxels lie within the input's plane and, doubled, within the output's; the weights hold `inputs` blocks
    // per block of outputs.
    unsafe {
        let bias: *const f32 = slab.bias.as_ptr().cast();
        let mut sums = [[L::splat(0.0); B]; P];
        for sum in &mut sums {
            for (b, lanes) in sum.iter_mut().enumerate() {
                *lanes = L::load(bias.add(b * BLOCK));
            }
        }
        let weight: *const f32 = slab.weight.as_ptr().cast();
        let x = slab.input.add(row * slab.input_row + column * BLOCK);
        for input in 0..slab.inputs {
            let mut w = [L::splat(0.0); B];
            for (b, lanes) in w.iter_mut().enumerate() {
                *lanes = L::load(weight.add((b * slab.weight_step + input) * BLOCK));
            }
            let x = x.add(input / BLOCK * slab.input_volume + input % BLOCK);
            for (p, sum) in sums.iter_mut().enumerate() {
                let value = L::splat(*x.add(p * BLOCK));
                for b in 0..B {
                    sum[b] = sum[b].add_product(value, w[b]);
                }
            }
        }
        let output = slab.output.add(row * slab.output_row + 2 * column * BLOCK);
        for (p, sum) in sums.into_iter().enumerate() {
            for (b, lanes) in sum.into_iter().enumerate() {
                lanes.store(output.add(b * slab.output_volume + 2 * p * BLOCK));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kernels;
    use super::super::testing::{alone, assert_close, blocked, garbage, noise, place, plain};
    use super::*;

    #[test]
    fn every_instruction_set_gives_the_formula() {
        for kernels in Kernels::available() {
            for (inputs, outputs, [d, h, w]) in [(1, 1, [1, 1, 1]), (5, 3, [2, 1, 3]), (32, 16, [1, 2, 16]), (33, 40, [2, 3, 11])] {
                let layer = Layer { name: "test".into(), weight: noise(inputs * outputs * TAPS, 1), bias: noise(outputs, 2) };
                let (from, to) = (place(inputs, [d, h, w]), place(outputs, [2 * d, 2 * h, 2 * w]));
                let x = noise(inputs * d * h * w, 3);
                let mut expected = Vec::new();
                for o in 0..outputs {
                    for v in 0..8 * d * h * w {
                        let [z, r, c] = [v / (4 * h * w), v / (2 * w) % (2 * h), v % (2 * w)];
                        let tap = z % 2 * 4 + r % 2 * 2 + c % 2;
                        let product = |i: usize| {
                            f64::from(x[((i * d + z / 2) * h + r / 2) * w + c / 2])
                                * f64::from(layer.weight[(i * outputs + o) * TAPS + tap])
                        };
                        expected.push(f64::from(layer.bias[o]) + (0..inputs).map(product).sum::<f64>());
                    }
                }
                let weights = PackedUpsample::new(&layer, inputs, outputs).unwrap();
                let mut output = garbage(&to);
                upsample(&alone(kernels), &blocked(&x, &from), &from, &weights, &mut output, &to).unwrap();
                assert_close(&plain(&output, &to), &expected, &format!("{} {inputs}→{outputs}", kernels.name));
            }
        }
    }
}
