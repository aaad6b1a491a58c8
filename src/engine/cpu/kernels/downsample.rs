//! The gradient of a transposed convolution's input: `g_x[i][voxel] = Σ_o Σ_taps w[i][o][tap] · g_y[o][2·voxel + tap]`.
//!
//! A 2×2×2 convolution of stride 2. Layout: feature maps as `plan.rs` says; weights \[block of inputs\]\[8 taps\]\[output\]\[16
//! inputs\].

use super::Block;
use super::lanes::Lanes;
use crate::engine::cpu::executor::{Executor, Shared};
use crate::engine::plan::{BLOCK, Place};
use crate::error::{Result, try_vec};

const TAPS: usize = 8;

/// A transposed convolution's weights in the order in which the kernel reads them.
#[derive(Debug)]
pub struct PackedDownsample {
    inputs: usize,
    outputs: usize,
    weight: Vec<Block>,
}

impl PackedDownsample {
    /// Packs the weight [inputs, outputs, 2, 2, 2] of a transposed convolution.
    ///
    /// # Errors
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
    ///
    /// # Panics
    /// If the weight has another size.
    pub fn new(weight: &[f32], inputs: usize, outputs: usize) -> Result<Self> {
        assert!(weight.len() == inputs * outputs * TAPS, "the size of the weight");
        let mut packed = try_vec(Block::default(), inputs.div_ceil(BLOCK) * TAPS * outputs, "the packed weights")?;
        for (index, block) in packed.iter_mut().enumerate() {
            let (input_block, tap, output) = (index / (TAPS * outputs), index / outputs % TAPS, index % outputs);
            for (input, lane) in (input_block * BLOCK..inputs).zip(&mut block.0) {
                *lane = weight[(input * outputs + output) * TAPS + tap];
            }
        }
        Ok(PackedDownsample { inputs, outputs, weight: packed })
    }
}

/// One plane of the coarse map, some of its blocks of channels.
pub(super) struct Slab<'a> {
    /// The first tap of the first voxel in the first block of the fine map; numbers to the next row and plane, of taps, and
    /// to the next block.
    fine: *const f32,
    fine_row: usize,
    fine_plane: usize,
    fine_volume: usize,
    outputs: usize,
    weight: &'a [Block],
    blocks: usize,
    /// The first voxel of the coarse plane in its first block; numbers to the next row and block.
    coarse: *mut f32,
    coarse_row: usize,
    coarse_volume: usize,
    height: usize,
    width: usize,
}

/// From the gradient of the fine map, `fine`, to that of the coarse one, for every window that the slices hold.
///
/// # Errors
/// Whatever the executor's `check` returns: it is asked between planes.
///
/// # Panics
/// If a slice is not as long as its place, or the fine map is not twice the coarse one, or the weights are of another shape.
pub fn downsample(
    executor: &Executor<'_>,
    fine: &[Block],
    from: &Place,
    weights: &PackedDownsample,
    coarse: &mut [Block],
    to: &Place,
) -> Result<()> {
    let windows = to.windows_in(coarse);
    assert!(from.windows_in(fine) == windows && to.shape.map(|n| n * 2) == from.shape, "twice the shape");
    assert!(to.channels == weights.inputs && from.channels == weights.outputs, "channels of the weights");
    let (blocks, group, depth) = (to.channel_blocks(), executor.kernels.channel_blocks, to.shape[0]);
    let planes = windows * depth;
    let coarse = Shared::new(coarse);
    executor.each(blocks.div_ceil(group) * planes, &|piece, _| {
        let (first, window, d) = (piece / planes * group, piece % planes / depth, piece % depth);
        let last = (first + group).min(blocks);
        let voxel = window * to.len() + first * to.volume() + (d + 1) * to.plane() + to.row() + 1;
        let slab = Slab {
            fine: fine[window * from.len() + (2 * d + 1) * from.plane() + from.row() + 1..].as_ptr().cast(),
            fine_row: from.row() * BLOCK,
            fine_plane: from.plane() * BLOCK,
            fine_volume: from.volume() * BLOCK,
            outputs: weights.outputs,
            weight: &weights.weight[first * TAPS * weights.outputs..last * TAPS * weights.outputs],
            blocks: last - first,
            coarse: coarse.pointer(voxel).cast(),
            coarse_row: to.row() * BLOCK,
            coarse_volume: to.volume() * BLOCK,
            height: to.shape[1],
            width: to.shape[2],
        };
        // SAFETY: both slices cover their places and one is twice the other, as asserted; `weight` and `coarse` hold the same
        // blocks, and pieces differ in their window, plane or blocks of channels, of which the kernel writes no others.
        unsafe { (executor.kernels.downsample)(&slab) };
    })
}

/// The kernel; tiles as in `convolution.rs`.
///
/// # Safety
/// As [`Slab`] says, on a processor that has the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn slab<L: Lanes, const B: usize, const P0: usize, const P1: usize, const Q0: usize, const Q1: usize>(slab: &Slab<'_>) {
    if slab.blocks == B {
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

/// `P` voxels of a row × `B` blocks of channels, in registers.
///
/// # Safety
/// As [`slab`]; `column + P` is at most the width, and the slab has at least `B` blocks.
#[inline(always)]
unsafe fn tile<L: Lanes, const B: usize, const P: usize>(slab: &Slab<'_>, row: usize, column: usize) {
    // SAFETY: the voxels lie within the coarse plane and their taps within the fine map; the weights hold 8 taps of `outputs`
    // blocks per block.
    unsafe {
        let mut sums = [[L::splat(0.0); B]; P];
        let step = TAPS * slab.outputs * BLOCK;
        let mut weight: *const f32 = slab.weight.as_ptr().cast();
        let corner = slab.fine.add(2 * row * slab.fine_row + 2 * column * BLOCK);
        for tap in 0..TAPS {
            let x = corner.add(tap / 4 * slab.fine_plane + tap / 2 % 2 * slab.fine_row + tap % 2 * BLOCK);
            for output in 0..slab.outputs {
                let mut w = [L::splat(0.0); B];
                for (b, lanes) in w.iter_mut().enumerate() {
                    *lanes = L::load(weight.add(b * step));
                }
                let x = x.add(output / BLOCK * slab.fine_volume + output % BLOCK);
                for (p, sum) in sums.iter_mut().enumerate() {
                    let value = L::splat(*x.add(2 * p * BLOCK));
                    for b in 0..B {
                        sum[b] = sum[b].add_product(value, w[b]);
                    }
                }
                weight = weight.add(BLOCK);
            }
        }
        let to = slab.coarse.add(row * slab.coarse_row + column * BLOCK);
        for (p, sum) in sums.into_iter().enumerate() {
            for (b, lanes) in sum.into_iter().enumerate() {
                lanes.store(to.add(b * slab.coarse_volume + p * BLOCK));
            }
        }
    }
}
