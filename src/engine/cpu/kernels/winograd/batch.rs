//! A batch of tiles: input transform, one small matrix product per point, output transform.
//!
//! The data of a batch stay in the second-level cache from one stage to the next, where the channels are few. Along D the
//! output transform is taken right behind the products, out of the first-level cache; along H and W when all products are
//! there. The products keep the processor busy and memory idle: meanwhile the next batch's input and the lines that this
//! batch will write are asked for, a few at a time.

#![allow(clippy::needless_range_loop, reason = "the loops run over constant lengths, so that their arrays stay in registers")]

use std::mem::MaybeUninit;

use super::super::lanes::Lanes;
use super::axis::{Axis, POINTS};
use crate::engine::plan::BLOCK;

/// A feature map as the kernel reads or writes it, in numbers (f32).
#[derive(Clone, Copy, Debug)]
pub struct Map<P> {
    /// A voxel of the first block of channels of the first window.
    pub first: P,
    /// Numbers to the next voxel along W is [`BLOCK`]; to the next along H,
    pub row: usize,
    /// along D,
    pub plane: usize,
    /// to the next block of channels,
    pub volume: usize,
    /// and to the next window.
    pub window: usize,
    /// Blocks of channels.
    pub blocks: usize,
}

/// Blocks of outputs whose weights lie side by side.
pub const PAIR: usize = 2;

/// Inputs whose weights are asked for ahead of the products, at most.
const AHEAD: usize = 128;

/// Up to so many input channels, the next batch's input has room in the second-level cache beside this one's data.
const FEW: usize = 64;
/// Beyond so many input channels, this batch's transformed input has none.
const MANY: usize = 128;

/// What a batch of tiles needs.
#[derive(Debug)]
pub struct Batch {
    /// Tap (0, 0, 0) of the first voxel; the channels of the second follow those of the first.
    pub sources: [Option<Map<*const f32>>; 2],
    /// Voxels along D, H, W.
    pub shape: [usize; 3],
    /// Tiles along D, H, W.
    pub tiles: [usize; 3],
    /// The first tile of the batch, counted over all windows.
    pub first: usize,
    /// Tiles of the batch.
    pub count: usize,
    /// Tiles that follow the batch and are likely to be next.
    pub following: usize,
    /// \[point along H, W\]\[pair of blocks of outputs\]\[point along D\]\[input\]\[32 outputs\].
    pub weight: *const f32,
    /// Pairs from one point along H and W to the next.
    pub pairs: usize,
    /// Biases.
    pub bias: *const f32,
    /// What a result is at least.
    pub floor: f32,
    /// The first voxel of the result.
    pub output: Map<*mut f32>,
    /// The first voxel of the result's 2×2×2 maxima.
    pub pooled: Option<Map<*mut f32>>,
    /// Room for [`Layout::scratch`] numbers.
    pub scratch: *mut f32,
}

/// The kernel for one tile size: computes the tiles of a batch.
///
/// # Safety
/// Every pointer is valid for what [`Batch`] says of it, on a processor that has the kernel's instruction set.
pub type Kernel = unsafe fn(&Batch);

/// How a batch lies in its scratch memory, in numbers.
#[derive(Clone, Copy, Debug)]
pub struct Layout {
    /// Input channels, whole blocks.
    inputs: usize,
    /// Points along H and W.
    columns: usize,
    /// \[point along H, W\]\[point along D\]\[tile\]\[input\]: from a point to the next.
    point: usize,
    /// \[tile\]\[block of outputs\]\[output along D\]\[point along H, W\]\[16 outputs\]: from a block to the next.
    block: usize,
    /// Where the products begin.
    products: usize,
    /// Where the products of one point along H and W begin: \[point along D\]\[tile\]\[block\]\[16 outputs\].
    column: usize,
    /// Numbers in all.
    pub scratch: usize,
}

impl Layout {
    /// The layout of a batch of this many tiles and blocks of channels.
    pub const fn new(points: [usize; 3], depth_outputs: usize, tiles: usize, inputs: usize, outputs: usize) -> Layout {
        let columns = points[1] * points[2];
        // Odd numbers of cache lines: neighbors do not fall into the same set.
        let point = ((tiles * inputs) | 1) * BLOCK;
        let block = ((depth_outputs * columns) | 1) * BLOCK;
        let products = columns * points[0] * point;
        let column = products + tiles * outputs * block;
        Layout { inputs: inputs * BLOCK, columns, point, block, products, column, scratch: column + points[0] * tiles * PAIR * BLOCK }
    }
}

impl Batch {
    /// The window of a tile of the batch, and the tile's first voxel.
    #[inline(always)]
    fn origin<Z: Axis, Y: Axis, X: Axis>(&self, index: usize) -> (usize, [usize; 3]) {
        let [planes, rows, columns] = self.tiles;
        let tile = self.first + index;
        let start = [tile / (rows * columns) % planes * Z::OUTPUTS, tile / columns % rows * Y::OUTPUTS, tile % columns * X::OUTPUTS];
        (tile / (planes * rows * columns), start)
    }
}

impl<P> Map<P> {
    /// Numbers from the first voxel to this one.
    #[inline(always)]
    fn offset(&self, window: usize, [d, h, w]: [usize; 3]) -> usize {
        window * self.window + d * self.plane + h * self.row + w * BLOCK
    }
}

/// Computes the tiles of a batch. `B` blocks of outputs are taken together, `P0`, `P1`, `P2` or one tile at a time; what
/// is left of an odd number of blocks is taken alone.
///
/// # Safety
/// Every pointer is valid for what [`Batch`] says of it, on a processor that has the instruction set of `L`.
#[inline(always)]
pub unsafe fn batch<L: Lanes, Z: Axis, Y: Axis, X: Axis, const B: usize, const P0: usize, const P1: usize, const P2: usize>(batch: &Batch) {
    let inputs = batch.sources.iter().flatten().map(|source| source.blocks).sum();
    let layout = Layout::new([Z::POINTS, Y::POINTS, X::POINTS], Z::OUTPUTS, batch.count, inputs, batch.output.blocks);
    // SAFETY: the caller's; tiles of the batch are tiles of the output.
    unsafe {
        for index in 0..batch.count {
            tile::<L, Z, Y, X>(batch, &layout, index);
        }
        for column in 0..layout.columns {
            let mut block = 0;
            while block < batch.output.blocks {
                let pair = (column * batch.pairs + block / PAIR) * Z::POINTS * layout.inputs * PAIR;
                let weight = batch.weight.add((pair + block % PAIR) * BLOCK);
                if block + B <= batch.output.blocks {
                    products::<L, Z, Y, X, B, P0, P1, P2>(batch, &layout, weight, column, block);
                    block += B;
                } else {
                    products::<L, Z, Y, X, 1, P0, P1, P2>(batch, &layout, weight, column, block);
                    block += 1;
                }
            }
        }
        for index in 0..batch.count {
            let (window, start) = batch.origin::<Z, Y, X>(index);
            let whole = start[0] + Z::OUTPUTS <= batch.shape[0]
                && start[1] + Y::OUTPUTS <= batch.shape[1]
                && start[2] + X::OUTPUTS <= batch.shape[2];
            for block in 0..batch.output.blocks {
                let from = batch.scratch.add(layout.products + (index * batch.output.blocks + block) * layout.block);
                if whole {
                    output::<L, Z, Y, X, true>(batch, from, block, window, start);
                } else {
                    output::<L, Z, Y, X, false>(batch, from, block, window, start);
                }
            }
        }
    }
}

/// Input transform of a tile, block after block.
///
/// # Safety
/// As [`batch`].
#[inline(always)]
unsafe fn tile<L: Lanes, Z: Axis, Y: Axis, X: Axis>(batch: &Batch, layout: &Layout, index: usize) {
    let (window, start) = batch.origin::<Z, Y, X>(index);
    let left: [usize; 3] = std::array::from_fn(|axis| batch.shape[axis] + 2 - start[axis]);
    let whole = left[0] >= Z::POINTS && left[1] >= Y::POINTS && left[2] >= X::POINTS;
    // SAFETY: the caller's; what is beyond the source's border is not read.
    unsafe {
        let mut to = batch.scratch.add(index * layout.inputs);
        for source in batch.sources.iter().flatten() {
            let mut from = source.first.add(source.offset(window, start));
            for _ in 0..source.blocks {
                if whole {
                    input::<L, Z, Y, X>(from, source.row, source.plane, to, layout.point);
                } else {
                    let mut copy = [0.0; POINTS * POINTS * POINTS * BLOCK];
                    overhanging::<L, Z, Y, X>(from, source.row, source.plane, left, copy.as_mut_ptr());
                    input::<L, Z, Y, X>(copy.as_ptr(), POINTS * BLOCK, POINTS * POINTS * BLOCK, to, layout.point);
                }
                to = to.add(BLOCK);
                from = from.wrapping_add(source.volume);
            }
        }
    }
}

/// Input transform of one tile and block of channels, whose first voxel, border included, is `from`.
///
/// # Safety
/// As [`batch`].
#[inline(always)]
unsafe fn input<L: Lanes, Z: Axis, Y: Axis, X: Axis>(from: *const f32, row: usize, plane: usize, to: *mut f32, point: usize) {
    let mut planes = MaybeUninit::<[[[L; POINTS]; POINTS]; POINTS]>::uninit();
    let planes: *mut L = planes.as_mut_ptr().cast();
    // SAFETY: the caller's.
    unsafe {
        for z in 0..Z::POINTS {
            let plane = from.add(z * plane);
            half_plane::<L, Y, X, false>(plane, row, planes.add(z));
            half_plane::<L, Y, X, true>(plane, row, planes.add(z));
        }
        for y in 0..Y::POINTS {
            for x in 0..X::POINTS {
                let mut line = [L::splat(0.0); POINTS];
                for z in 0..Z::POINTS {
                    line[z] = planes.add((y * POINTS + x) * POINTS + z).read();
                }
                let line = Z::input(&line);
                for z in 0..Z::POINTS {
                    line[z].store(to.add(((y * X::POINTS + x) * Z::POINTS + z) * point));
                }
            }
        }
    }
}

/// Input transform along W and H of one plane of a tile, for the lower or `UPPER` half of the points along W.
///
/// # Safety
/// As [`batch`].
#[inline(always)]
unsafe fn half_plane<L: Lanes, Y: Axis, X: Axis, const UPPER: bool>(from: *const f32, row: usize, to: *mut L) {
    // SAFETY: the caller's.
    unsafe {
        let mut halves = [[L::splat(0.0); POINTS / 2]; POINTS];
        for y in 0..Y::POINTS {
            let mut line = [L::splat(0.0); POINTS];
            for x in 0..X::POINTS {
                let address = from.add(y * row + x * BLOCK);
                line[x] = L::load(address);
                // The right neighbor's, which is most often next.
                if UPPER && x >= X::POINTS - X::OUTPUTS {
                    L::prefetch(address.wrapping_add(X::OUTPUTS * BLOCK));
                }
            }
            halves[y] = X::input_half::<L, UPPER>(&line);
        }
        for half in 0..X::POINTS / 2 {
            let line: [L; POINTS] = std::array::from_fn(|y| halves[y][half]);
            let line = Y::input(&line);
            let x = half + if UPPER { X::POINTS / 2 } else { 0 };
            for y in 0..Y::POINTS {
                to.add((y * POINTS + x) * POINTS).write(line[y]);
            }
        }
    }
}

/// A copy of a tile that overhangs: what lies beyond the border is not there to be read, and goes only into outputs that
/// are not kept.
///
/// # Safety
/// As [`batch`].
#[inline(never)]
unsafe fn overhanging<L: Lanes, Z: Axis, Y: Axis, X: Axis>(from: *const f32, row: usize, plane: usize, left: [usize; 3], to: *mut f32) {
    // SAFETY: the caller's.
    unsafe {
        for z in 0..Z::POINTS {
            for y in 0..Y::POINTS {
                for x in 0..X::POINTS {
                    let there = z < left[0] && y < left[1] && x < left[2];
                    let value = if there { L::load(from.add(z * plane + y * row + x * BLOCK)) } else { L::splat(0.0) };
                    value.store(to.add(((z * POINTS + y) * POINTS + x) * BLOCK));
                }
            }
        }
    }
}

/// Asks for one row of some tiles of the next batch: the `piece`th of as many pieces as there are points.
#[inline(always)]
unsafe fn ask_for_input<L: Lanes, Z: Axis, Y: Axis, X: Axis>(batch: &Batch, piece: usize) {
    let (row, part) = (piece % (Z::POINTS * Y::POINTS), piece / (Z::POINTS * Y::POINTS));
    let share = batch.following.div_ceil(X::POINTS);
    for index in part * share..((part + 1) * share).min(batch.following) {
        let (window, [d, h, w]) = batch.origin::<Z, Y, X>(batch.count + index);
        for source in batch.sources.iter().flatten() {
            let offset = source.offset(window, [d + row / Y::POINTS, h + row % Y::POINTS, w]);
            let mut from = source.first.wrapping_add(offset);
            for _ in 0..source.blocks {
                for x in X::POINTS - X::OUTPUTS..X::POINTS {
                    // SAFETY: the address need not be readable.
                    unsafe { L::prefetch_far(from.wrapping_add(x * BLOCK)) };
                }
                from = from.wrapping_add(source.volume);
            }
        }
    }
}

/// Asks for one row of the result of some tiles of this batch, to be written soon: the `piece`th of as many pieces as
/// there are points.
#[inline(always)]
unsafe fn ask_for_output<L: Lanes, Z: Axis, Y: Axis, X: Axis>(batch: &Batch, piece: usize) {
    let rows = Z::OUTPUTS * Y::OUTPUTS;
    let (row, part) = (piece % rows, piece / rows);
    // The pieces that make a whole part.
    let parts = Z::POINTS * Y::POINTS * X::POINTS / rows;
    let share = batch.count.div_ceil(parts);
    for index in part * share..((part + 1) * share).min(batch.count) {
        let (window, [d, h, w]) = batch.origin::<Z, Y, X>(index);
        let offset = batch.output.offset(window, [d + row / Y::OUTPUTS, h + row % Y::OUTPUTS, w]);
        let mut to = batch.output.first.wrapping_add(offset);
        for _ in 0..batch.output.blocks {
            for x in 0..X::OUTPUTS {
                // SAFETY: the address need not be writable.
                unsafe { L::prefetch_to_write(to.wrapping_add(x * BLOCK)) };
            }
            to = to.wrapping_add(batch.output.volume);
        }
    }
}

/// The products of one point along H and W for `B` blocks of outputs, and their output transform along D.
///
/// # Safety
/// As [`batch`].
#[inline(always)]
unsafe fn products<L: Lanes, Z: Axis, Y: Axis, X: Axis, const B: usize, const P0: usize, const P1: usize, const P2: usize>(
    batch: &Batch,
    layout: &Layout,
    weight: *const f32,
    column: usize,
    block: usize,
) {
    // SAFETY: the caller's.
    unsafe {
        let (inputs, count) = (layout.inputs, batch.count);
        let column_products = batch.scratch.add(layout.column);
        for z in 0..Z::POINTS {
            let point = column * Z::POINTS + z;
            if block == 0 {
                if inputs <= FEW {
                    ask_for_input::<L, Z, Y, X>(batch, point);
                }
                ask_for_output::<L, Z, Y, X>(batch, point);
            }
            let values = batch.scratch.add(point * layout.point);
            let weight = weight.add(z * inputs * PAIR * BLOCK);
            let to = column_products.add(z * count * B * BLOCK);
            // The first blocks of outputs bring the input's next point along for all.
            let next = if block == 0 && inputs > MANY { layout.point } else { 0 };
            let mut tile = 0;
            // The widest register tile first.
            macro_rules! cover {
                ($($tiles:tt),+) => {
                    $(#[allow(clippy::int_plus_one, reason = "the last is one tile wide")]
                    while tile + $tiles <= count {
                        product::<L, B, $tiles>(values.add(tile * inputs), inputs, weight, to.add(tile * B * BLOCK), next);
                        tile += $tiles;
                    })+
                };
            }
            cover!(P0, P1, P2, 1);
        }
        for tile in 0..count {
            for b in 0..B {
                let mut line = [L::splat(0.0); POINTS];
                for z in 0..Z::POINTS {
                    line[z] = L::load(column_products.add(((z * count + tile) * B + b) * BLOCK));
                }
                Z::output(&mut line);
                let kept = batch.scratch.add(layout.products + (tile * batch.output.blocks + block + b) * layout.block + column * BLOCK);
                for z in 0..Z::OUTPUTS {
                    line[z].store(kept.add(z * layout.columns * BLOCK));
                }
            }
        }
    }
}

/// `P` tiles × `B` blocks of outputs, in registers. The numbers `next` further on are asked for, unless it is 0.
///
/// # Safety
/// As [`batch`].
#[inline(always)]
unsafe fn product<L: Lanes, const B: usize, const P: usize>(
    values: *const f32,
    inputs: usize,
    weight: *const f32,
    to: *mut f32,
    next: usize,
) {
    // Weights are asked for so far ahead.
    let ahead = (2 * inputs).min(AHEAD) * PAIR * BLOCK;
    // SAFETY: the caller's.
    unsafe {
        let mut sums = [[L::splat(0.0); B]; P];
        for first in (0..inputs).step_by(BLOCK) {
            if next > 0 {
                for p in 0..P {
                    L::prefetch(values.wrapping_add(next + p * inputs + first));
                }
            }
            for input in first..first + BLOCK {
                let mut w = [L::splat(0.0); B];
                for b in 0..B {
                    let line = weight.add((input * PAIR + b) * BLOCK);
                    w[b] = L::load(line);
                    L::prefetch(line.wrapping_add(ahead));
                }
                for p in 0..P {
                    let value = L::splat(*values.add(p * inputs + input));
                    for b in 0..B {
                        sums[p][b] = sums[p][b].add_product(value, w[b]);
                    }
                }
            }
        }
        for p in 0..P {
            for b in 0..B {
                sums[p][b].store(to.add((p * B + b) * BLOCK));
            }
        }
    }
}

/// Output transform along H and W of one tile and block of outputs, bias, ReLU, maxima. A tile that is not `WHOLE`
/// overhangs the result.
///
/// # Safety
/// As [`batch`].
#[inline(always)]
unsafe fn output<L: Lanes, Z: Axis, Y: Axis, X: Axis, const WHOLE: bool>(
    batch: &Batch,
    from: *const f32,
    block: usize,
    window: usize,
    start: [usize; 3],
) {
    // SAFETY: the caller's.
    unsafe {
        let bias = L::load(batch.bias.add(block * BLOCK));
        let (zero, floor) = (L::splat(0.0), L::splat(batch.floor));
        let Map { first, row, plane, volume, .. } = batch.output;
        let to = first.add(block * volume + batch.output.offset(window, start));
        let left: [usize; 3] = std::array::from_fn(|axis| batch.shape[axis] - start[axis]);
        for z in 0..Z::OUTPUTS {
            if !WHOLE && z >= left[0] {
                break;
            }
            let plane_from = from.add(z * Y::POINTS * X::POINTS * BLOCK);
            let mut values = [[zero; POINTS]; POINTS];
            for x in 0..X::POINTS {
                let mut line = [zero; POINTS];
                for y in 0..Y::POINTS {
                    line[y] = L::load(plane_from.add((y * X::POINTS + x) * BLOCK));
                }
                Y::output(&mut line);
                for y in 0..Y::OUTPUTS {
                    values[y][x] = line[y];
                }
            }
            for y in 0..Y::OUTPUTS {
                X::output(&mut values[y]);
                for x in 0..X::OUTPUTS {
                    if WHOLE || (y < left[1] && x < left[2]) {
                        values[y][x].add(bias).max(floor).store(to.add(z * plane + y * row + x * BLOCK));
                    }
                }
            }
        }
        if let Some(pooled) = &batch.pooled {
            let maxima = pooled.first.add(block * pooled.volume + pooled.offset(window, start.map(|n| n / 2)));
            // Out of the first-level cache. Voxels without a partner are not pooled.
            let [depth, height, width]: [usize; 3] =
                if WHOLE { [Z::OUTPUTS / 2, Y::OUTPUTS / 2, X::OUTPUTS / 2] } else { pooled_part::<Z, Y, X>(left) };
            for z in 0..depth {
                for y in 0..height {
                    for x in 0..width {
                        let corner = to.add(2 * (z * plane + y * row + x * BLOCK));
                        let mut largest = L::load(corner);
                        for (d, h, w) in [(0, 0, 1), (0, 1, 0), (0, 1, 1), (1, 0, 0), (1, 0, 1), (1, 1, 0), (1, 1, 1)] {
                            largest = largest.max(L::load(corner.add(d * plane + h * row + w * BLOCK)));
                        }
                        largest.store(maxima.add(z * pooled.plane + y * pooled.row + x * BLOCK));
                    }
                }
            }
        }
    }
}

/// The maxima of a tile that overhangs, of which so many voxels are left.
#[inline(always)]
fn pooled_part<Z: Axis, Y: Axis, X: Axis>(left: [usize; 3]) -> [usize; 3] {
    [Z::OUTPUTS.min(left[0]) / 2, Y::OUTPUTS.min(left[1]) / 2, X::OUTPUTS.min(left[2]) / 2]
}
