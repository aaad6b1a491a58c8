//! The gradient of a convolution's weights: `g_w[o][i][tap] = Σ_voxels x[i][voxel + tap] · g_y[o][voxel]`, and in the same
//! way of a transposed convolution's, where the taps move through `g_y`.
//!
//! Layout: feature maps as `plan.rs` says. Blocking: for a run of voxels that stays in the first-level cache, every tap and
//! input of a block takes its products with one or two blocks of outputs in registers, and adds them to its sum when the run
//! is over: sums of sums, whose rounding grows slowly. Runs are joined to parts, and the parts, whose number depends on
//! sizes alone, are added up in their order: bits depend neither on threads nor on who was faster.

use std::marker::PhantomData;

use super::Block;
use super::lanes::Lanes;
use crate::engine::cpu::executor::{Executor, Shared};
use crate::engine::plan::{BLOCK, Place};
use crate::error::Result;

/// Parts per pair of blocks for which there is work for many threads.
const PIECES: usize = 32;
/// Voxels that a run has at least, where a plane has as many.
const RUN: usize = 64;

/// A run of voxels: `sums[input][block][16 outputs] += Σ_voxels input · outputs`.
pub(super) struct Run {
    /// The first voxel's first input; the others follow it. Numbers to the next voxel.
    input: *const f32,
    input_step: usize,
    inputs: usize,
    /// The first voxel's block of outputs; numbers to the next voxel and to the second block.
    output: *const f32,
    output_step: usize,
    output_volume: usize,
    blocks: usize,
    voxels: usize,
    sums: *mut f32,
}

/// The kernel: `B` blocks of outputs × `P0`, `P1` or one input at a time; a single block × `Q0`, `Q1` or one.
///
/// # Safety
/// As [`Run`] says, on a processor that has the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn run<L: Lanes, const B: usize, const P0: usize, const P1: usize, const Q0: usize, const Q1: usize>(run: &Run) {
    let mut input = 0;
    macro_rules! cover {
        ($($blocks:expr, $inputs:expr);+) => {
            $(#[allow(clippy::int_plus_one, reason = "the last tile is one input wide")]
            while input + $inputs <= run.inputs {
                // SAFETY: the inputs lie within the run's; the caller answers for the rest.
                unsafe { tile::<L, $blocks, $inputs>(run, input) };
                input += $inputs;
            })+
        };
    }
    if run.blocks == B {
        cover!(B, P0; B, P1; B, 1);
    } else {
        cover!(1, Q0; 1, Q1; 1, 1);
    }
}

/// `P` inputs × `B` blocks of outputs, in registers.
///
/// # Safety
/// As [`run`]; the run has at least `B` blocks.
#[inline(always)]
unsafe fn tile<L: Lanes, const B: usize, const P: usize>(run: &Run, input: usize) {
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[L::splat(0.0); B]; P];
        let (mut x, mut y) = (run.input.add(input), run.output);
        for _ in 0..run.voxels {
            let mut lanes = [L::splat(0.0); B];
            for (b, lanes) in lanes.iter_mut().enumerate() {
                *lanes = L::load(y.add(b * run.output_volume));
            }
            for (p, sum) in sums.iter_mut().enumerate() {
                let value = L::splat(*x.add(p));
                for b in 0..B {
                    sum[b] = sum[b].add_product(value, lanes[b]);
                }
            }
            (x, y) = (x.wrapping_add(run.input_step), y.wrapping_add(run.output_step));
        }
        let to = run.sums.add(input * run.blocks * BLOCK);
        for (p, sum) in sums.into_iter().enumerate() {
            for (b, lanes) in sum.into_iter().enumerate() {
                let to = to.add((p * run.blocks + b) * BLOCK);
                lanes.add(L::load(to)).store(to);
            }
        }
    }
}

/// A feature map as one side of the sum, in numbers (f32).
#[derive(Clone, Copy)]
struct Operand {
    /// The first voxel of the first block of the first window.
    first: *const f32,
    /// To the next voxel along W, H, D that the sum takes, to the next block and window.
    voxel: usize,
    row: usize,
    plane: usize,
    volume: usize,
    window: usize,
    channels: usize,
}

// SAFETY: what an operand points to is only read, while `Correlation` borrows it.
unsafe impl Sync for Operand {}

impl Operand {
    /// A place whose every `step`-th voxel is taken.
    fn of(blocks: &[Block], place: &Place, step: usize) -> Operand {
        let interior = place.plane() + place.row() + 1;
        Operand {
            first: blocks[interior..].as_ptr().cast(),
            voxel: step * BLOCK,
            row: step * place.row() * BLOCK,
            plane: step * place.plane() * BLOCK,
            volume: place.volume() * BLOCK,
            window: place.len() * BLOCK,
            channels: place.channels,
        }
    }
}

/// What a gradient of weights is summed up from.
pub struct Correlation<'a> {
    input: Operand,
    output: Operand,
    /// From a voxel to its partner under each tap, in numbers: of the input and of the output.
    taps: Vec<[isize; 2]>,
    /// Voxels along D, H, W that the sum runs over, and how many windows.
    shape: [usize; 3],
    windows: usize,
    /// Rows of a plane may be taken as one, because zeros stand between them.
    joined: bool,
    weights: Weights,
    borrowed: PhantomData<&'a [Block]>,
}

/// Where a weight lies in the model's tensor: `first + input · i + output · o + tap · t`, a place of its own for each.
#[derive(Clone, Copy, Debug)]
struct Weights {
    first: usize,
    input: usize,
    output: usize,
    tap: usize,
    /// Numbers of the tensor.
    all: usize,
}

/// Where the sums of a [`Correlation`] lie among its partial sums: \[part\]\[block of inputs\]\[block of outputs\]\[tap\]\[input\]\[16
/// outputs\].
#[derive(Clone, Copy, Debug)]
struct Sums {
    parts: usize,
    blocks: [usize; 2],
    taps: usize,
}

impl Sums {
    /// Blocks of one pair's sums.
    fn pair(&self) -> usize {
        self.taps * BLOCK
    }

    fn part(&self) -> usize {
        self.blocks[0] * self.blocks[1] * self.pair()
    }
}

impl<'a> Correlation<'a> {
    /// Of a 3×3×3 convolution of `input` whose result has the gradient `gradient`. `input` is the convolution's `first` and
    /// following ones of `all` input channels.
    ///
    /// # Panics
    /// If a slice does not hold whole places, or the shapes differ, or there are more inputs than `all`.
    pub fn convolution(input: &'a [Block], from: &Place, gradient: &'a [Block], to: &Place, [first, all]: [usize; 2]) -> Self {
        let windows = to.windows_in(gradient);
        assert!(from.windows_in(input) == windows && from.shape == to.shape, "the shape of the input");
        assert!(first + from.channels <= all, "input channels");
        let (input, output) = (Operand::of(input, from, 1), Operand::of(gradient, to, 1));
        let taps = neighbors([input.plane, input.row, input.voxel]).map(|offset| [offset, 0]).collect();
        let weights = Weights { first: first * 27, input: 27, output: all * 27, tap: 1, all: to.channels * all * 27 };
        Correlation { input, output, taps, shape: to.shape, windows, joined: true, weights, borrowed: PhantomData }
    }

    /// Of the first convolution, whose input are the voxels of windows, one after the other, each with a border of zeros. The
    /// three taps along W are its inputs, the nine others its taps.
    ///
    /// # Panics
    /// As [`convolution`](Self::convolution).
    pub fn stem(voxels: &'a [f32], gradient: &'a [Block], to: &Place) -> Self {
        let [depth, height, width] = to.shape.map(|n| n + 2);
        let windows = to.windows_in(gradient);
        assert!(voxels.len() == windows * depth * height * width, "the shape of the windows");
        let (row, plane) = (width, height * width);
        // The first of the three voxels of a row that a tap takes.
        let first = voxels[plane + row..].as_ptr();
        let input = Operand { first, voxel: 1, row, plane, volume: 0, window: depth * plane, channels: 3 };
        let taps = neighbors([plane, row, 1]).step_by(3).map(|offset| [offset + 1, 0]).collect();
        let output = Operand::of(gradient, to, 1);
        let weights = Weights { first: 0, input: 1, output: 27, tap: 3, all: to.channels * 27 };
        Correlation { input, output, taps, shape: to.shape, windows, joined: true, weights, borrowed: PhantomData }
    }

    /// Of a transposed convolution of `input` whose result, twice as fine, has the gradient `gradient`.
    ///
    /// # Panics
    /// As [`convolution`](Self::convolution).
    pub fn upsample(input: &'a [Block], from: &Place, gradient: &'a [Block], to: &Place) -> Self {
        let windows = to.windows_in(gradient);
        assert!(from.windows_in(input) == windows && from.shape.map(|n| n * 2) == to.shape, "twice the shape of the input");
        let (input, output) = (Operand::of(input, from, 1), Operand::of(gradient, to, 2));
        let steps = [output.plane, output.row, output.voxel].map(|step| (step / 2) as isize);
        let taps = (0..8).map(|tap| [0, tap / 4 * steps[0] + tap / 2 % 2 * steps[1] + tap % 2 * steps[2]]).collect();
        let weights = Weights { first: 0, input: to.channels * 8, output: 8, tap: 1, all: from.channels * to.channels * 8 };
        Correlation { input, output, taps, shape: from.shape, windows, joined: false, weights, borrowed: PhantomData }
    }

    fn sums(&self) -> Sums {
        let blocks = [self.input.channels.div_ceil(BLOCK), self.output.channels.div_ceil(BLOCK)];
        let parts = (PIECES / (blocks[0] * blocks[1])).clamp(1, self.windows * self.shape[0]);
        Sums { parts, blocks, taps: self.taps.len() }
    }

    /// Blocks of memory for the partial sums.
    pub fn partial(&self) -> usize {
        self.sums().parts * self.sums().part()
    }

    /// Sums up, into a tensor of the weight's shape in the model file. `partial` is memory for [`partial`](Self::partial)
    /// blocks.
    ///
    /// # Errors
    /// Whatever the executor's `check` returns.
    ///
    /// # Panics
    /// If `partial` is too small or `gradient` has another size.
    pub fn add_up(&self, executor: &Executor<'_>, partial: &mut [Block], gradient: &mut [f32]) -> Result<()> {
        assert!(gradient.len() == self.weights.all, "the size of the weight");
        let sums = self.sums();
        let parts = sums.parts;
        let partial = &mut partial[..parts * sums.part()];
        let [in_blocks, out_blocks] = sums.blocks;
        let group = executor.kernels.channel_blocks;
        let groups = out_blocks.div_ceil(group);
        let planes = self.windows * self.shape[0];
        let (shared, kernel) = (Shared::new(partial), executor.kernels.correlation);
        executor.each(sums.parts * in_blocks * groups, &|piece, _| {
            let (part, in_block, first) = (piece / (in_blocks * groups), piece / groups % in_blocks, piece % groups * group);
            let blocks = group.min(out_blocks - first);
            let at = part * sums.part() + (in_block * out_blocks + first) * sums.pair();
            // SAFETY: every piece has its own part and blocks.
            let sums = unsafe { shared.part(at..at + blocks * sums.pair()) };
            sums.fill(Block::default());
            for plane in planes * part / parts..planes * (part + 1) / parts {
                self.plane(kernel, plane, in_block, first, blocks, sums);
            }
        })?;
        let (gradient, partial) = (Shared::new(gradient), &*partial);
        executor.each(in_blocks * out_blocks, &|piece, _| {
            let (in_block, out_block) = (piece / out_blocks, piece % out_blocks);
            // A group's blocks lie side by side.
            let first = out_block / group * group;
            let blocks = group.min(out_blocks - first);
            let pair = (in_block * out_blocks + first) * sums.pair();
            for (tap, input) in (0..sums.taps).flat_map(|tap| (0..self.inputs(in_block)).map(move |input| (tap, input))) {
                let at = pair + (tap * BLOCK + input) * blocks + (out_block - first);
                let mut sum = Block::default();
                for part in 0..sums.parts {
                    sum.0.iter_mut().zip(partial[part * sums.part() + at].0).for_each(|(sum, value)| *sum += value);
                }
                let Weights { first, input: to_input, output: to_output, tap: to_tap, .. } = self.weights;
                let to = first + (in_block * BLOCK + input) * to_input + tap * to_tap;
                for (output, value) in (out_block * BLOCK..self.output.channels).zip(sum.0) {
                    let to = to + output * to_output;
                    // SAFETY: pieces differ in their inputs or outputs, and every input, output and tap has its own number.
                    unsafe { gradient.part(to..to + 1)[0] = value };
                }
            }
        })
    }

    /// Inputs of a block.
    fn inputs(&self, block: usize) -> usize {
        BLOCK.min(self.input.channels - block * BLOCK)
    }

    /// One plane of one window: `sums[tap][16 inputs][blocks][16 outputs]`.
    fn plane(&self, kernel: unsafe fn(&Run), plane: usize, in_block: usize, out_block: usize, blocks: usize, sums: &mut [Block]) {
        let [depth, height, width] = self.shape;
        let (window, d) = (plane / depth, plane % depth);
        let inputs = self.inputs(in_block);
        let start = |side: &Operand, block: usize| side.first.wrapping_add(window * side.window + block * side.volume + d * side.plane);
        let (x, y) = (start(&self.input, in_block), start(&self.output, out_block));
        let rows = if self.joined { RUN.div_ceil(width).min(height) } else { 1 };
        for first in (0..height).step_by(rows) {
            let rows = rows.min(height - first);
            // Between two rows stand the borders, where the gradient is 0.
            let voxels = (rows - 1) * (self.output.row / self.output.voxel) + width;
            for (&[to_x, to_y], sums) in self.taps.iter().zip(sums.chunks_exact_mut(BLOCK * blocks)) {
                let run = Run {
                    input: x.wrapping_add(first * self.input.row).wrapping_offset(to_x),
                    input_step: self.input.voxel,
                    inputs,
                    output: y.wrapping_add(first * self.output.row).wrapping_offset(to_y),
                    output_step: self.output.voxel,
                    output_volume: self.output.volume,
                    blocks,
                    voxels,
                    sums: sums.as_mut_ptr().cast(),
                };
                // SAFETY: both sides' rows with their neighbors under every tap lie within their places, border included, which
                // the constructors asserted; joined rows advance alike on both sides. `sums` holds 16 inputs × `blocks`.
                unsafe { kernel(&run) };
            }
        }
    }
}

/// The 27 offsets of a voxel's neighborhood, in the order of the weights.
fn neighbors(steps: [usize; 3]) -> impl Iterator<Item = isize> {
    let [plane, row, voxel] = steps.map(|step| step as isize);
    (0..27).map(move |tap| (tap / 9 - 1) * plane + (tap / 3 % 3 - 1) * row + (tap % 3 - 1) * voxel)
}
