//! 3×3×3 convolution with fewer multiplications: Winograd's minimal filtering in three dimensions, F(m₁ m₂ m₃, 3³).
//!
//! A tile of m₁ × m₂ × m₃ outputs takes (m₁ + 2)(m₂ + 2)(m₃ + 2) products per pair of channels instead of 27 per output:
//! 3.4 times fewer for F(2³), 6 times for F(2 × 4²), 8 times for F(4³). The products of one point of all tiles are a
//! matrix product, \[tiles\]\[inputs\] × \[inputs\]\[outputs\]. Weights are transformed once, when the network is packed.

mod axis;
mod batch;

use axis::Axis;
pub(super) use axis::{F2, F4};
pub(super) use batch::{Batch, Kernel, batch as kernel};
use batch::{Layout, Map, PAIR};

use super::{Block, Source, pack_bias};
use crate::engine::cpu::executor::{Executor, Shared};
use crate::engine::fold::Layer;
use crate::engine::plan::{BLOCK, Place};
use crate::error::{Error, ErrorKind, Result, try_vec};

const TAPS: usize = 27;

/// Blocks of transformed input that are worth keeping few: some 1.4 MB, a second-level cache and a little of the third.
const CACHE: usize = 22_000;

/// The outputs of a tile along D, H, W.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tile {
    /// F(2 × 2 × 2).
    F222,
    /// F(2 × 4 × 4).
    F244,
    /// F(4 × 4 × 4).
    F444,
}

/// Compiles the kernels of every tile size for an instruction set, in the order of [`Tile`].
macro_rules! tiles {
    ($lanes:ty, $(#[$features:meta])?, $blocks:literal by [$p0:literal, $p1:literal, $p2:literal]) => {{
        use crate::engine::cpu::kernels::winograd::{Batch, F2, F4, kernel};
        // SAFETY (of every function): `Kernels` is handed out only where the processor has the instruction set.
        $(#[$features])?
        unsafe fn f222(batch: &Batch) {
            unsafe { kernel::<$lanes, F2, F2, F2, $blocks, $p0, $p1, $p2>(batch) }
        }
        $(#[$features])?
        unsafe fn f244(batch: &Batch) {
            unsafe { kernel::<$lanes, F2, F4, F4, $blocks, $p0, $p1, $p2>(batch) }
        }
        $(#[$features])?
        unsafe fn f444(batch: &Batch) {
            unsafe { kernel::<$lanes, F4, F4, F4, $blocks, $p0, $p1, $p2>(batch) }
        }
        [f222, f244, f444]
    }};
}
pub(super) use tiles;

impl Tile {
    /// Every tile size.
    pub const ALL: [Tile; 3] = [Tile::F222, Tile::F244, Tile::F444];

    /// Outputs along D, H, W.
    pub fn outputs(self) -> [usize; 3] {
        match self {
            Tile::F222 => [F2::OUTPUTS; 3],
            Tile::F244 => [F2::OUTPUTS, F4::OUTPUTS, F4::OUTPUTS],
            Tile::F444 => [F4::OUTPUTS; 3],
        }
    }

    /// Products along D, H, W.
    fn points(self) -> [usize; 3] {
        self.outputs().map(|outputs| outputs + 2)
    }

    /// G along D, H, W.
    fn filters(self) -> [&'static [[f64; 3]]; 3] {
        self.outputs().map(|outputs| if outputs == F2::OUTPUTS { F2::FILTER } else { F4::FILTER })
    }

    /// Tiles that go through the three stages together, a multiple of every register tile: few, whose data stay in the
    /// second-level cache, as long as that is possible; else more, so that the weights are read less often.
    fn batch(self, inputs: usize) -> usize {
        let per_tile = self.points().iter().product::<usize>() * inputs;
        if 12 * per_tile <= CACHE { 12 } else { 36 }
    }

    fn layout(self, tiles: usize, inputs: usize, outputs: usize) -> Layout {
        Layout::new(self.points(), self.outputs()[0], tiles, inputs, outputs)
    }
}

/// A convolution's weights, transformed, in the order in which the kernel reads them.
#[derive(Debug)]
pub struct PackedWinograd {
    tile: Tile,
    /// Input channels per source.
    inputs: [usize; 2],
    outputs: usize,
    /// \[point along H, W\]\[pair of blocks of outputs\]\[point along D\]\[input\]\[32 outputs\]; the inputs of each source are
    /// filled up to whole blocks.
    weight: Vec<Block>,
    bias: Vec<Block>,
    /// What a result is at least: 0, the activation, or −∞ without one.
    floor: f32,
}

impl PackedWinograd {
    /// Transforms the weights of a convolution whose input comes from two places with this many channels each.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] if the layer has another shape; [`ErrorKind::OutOfMemory`].
    pub fn new(layer: &Layer, tile: Tile, inputs: [usize; 2], outputs: usize) -> Result<Self> {
        let all = inputs[0] + inputs[1];
        if layer.weight.len() != outputs * all * TAPS || layer.bias.len() != outputs {
            return Err(Error::new(ErrorKind::InvalidModel, format!("{} is no 3×3×3 convolution of {all} to {outputs}", layer.name)));
        }
        let points = tile.points().iter().product::<usize>();
        let pairs = outputs.div_ceil(BLOCK * PAIR);
        let weight = try_vec(Block::default(), points * pairs * blocks(inputs) * BLOCK * PAIR, "the packed weights")?;
        let mut packed = PackedWinograd { tile, inputs, outputs, weight, bias: pack_bias(&layer.bias)?, floor: 0.0 };
        let mut weight = std::mem::take(&mut packed.weight);
        let to = Shared::new(&mut weight);
        for block in 0..outputs.div_ceil(BLOCK) {
            packed.transform(&layer.weight, block, &to);
        }
        packed.weight = weight;
        Ok(packed)
    }

    /// Packs other weights of the same shape in the same memory, on all threads.
    ///
    /// # Errors
    /// Whatever the executor's `check` returns.
    ///
    /// # Panics
    /// If the layer has another shape.
    #[cfg(feature = "trainer")]
    pub fn repack(&mut self, executor: &Executor<'_>, layer: &Layer) -> Result<()> {
        let all = self.inputs[0] + self.inputs[1];
        assert!(layer.weight.len() == self.outputs * all * TAPS && layer.bias.len() == self.outputs, "the same shape");
        super::set_bias(&mut self.bias, &layer.bias);
        let mut weight = std::mem::take(&mut self.weight);
        let to = Shared::new(&mut weight);
        let packed = &*self;
        let done = executor.each(self.outputs.div_ceil(BLOCK), &|block, _| packed.transform(&layer.weight, block, &to));
        self.weight = weight;
        done
    }

    /// Transforms the weights of a block of outputs.
    fn transform(&self, weight: &[f32], block: usize, to: &Shared<'_, Block>) {
        let (inputs, all, first) = (self.inputs, self.inputs[0] + self.inputs[1], block * BLOCK);
        let [depth, _, width] = self.tile.points();
        let (filters, rows, pairs) = (self.tile.filters(), blocks(inputs) * BLOCK, self.outputs.div_ceil(BLOCK * PAIR));
        let lanes = BLOCK.min(self.outputs - first);
        let (pair, half) = (block / PAIR, block % PAIR);
        for input in 0..all {
            // The second source begins with a block of its own.
            let row = if input < inputs[0] { input } else { input - inputs[0] + inputs[0].next_multiple_of(BLOCK) };
            let mut taps = [[0.0f64; BLOCK]; TAPS];
            for lane in 0..lanes {
                let from = ((first + lane) * all + input) * TAPS;
                for (tap, &value) in taps.iter_mut().zip(&weight[from..from + TAPS]) {
                    tap[lane] = f64::from(value);
                }
            }
            transform(&taps, filters, |[z, y, x], values| {
                let column = (y * width + x) * pairs + pair;
                let at = ((column * depth + z) * rows + row) * PAIR + half;
                // SAFETY: every block of outputs, input and point has its own place.
                unsafe { to.part(at..at + 1)[0] = Block(values.map(|value| value as f32)) };
            });
        }
    }

    /// The same without activation, for training: what follows it there is a step of its own.
    #[cfg(feature = "trainer")]
    #[must_use]
    pub fn linear(self) -> Self {
        Self { floor: f32::NEG_INFINITY, ..self }
    }

    /// The tile.
    pub fn tile(&self) -> Tile {
        self.tile
    }

    /// Bytes that a convolution of this size takes.
    pub fn bytes(tile: Tile, inputs: [usize; 2], outputs: usize) -> usize {
        let points: usize = tile.points().iter().product();
        let weights = points * outputs.div_ceil(BLOCK * PAIR) * PAIR * blocks(inputs) * BLOCK;
        (weights + outputs.div_ceil(BLOCK)) * size_of::<Block>()
    }

    /// Blocks of scratch memory that a convolution of this size takes.
    pub fn scratch(tile: Tile, inputs: [usize; 2], outputs: usize) -> usize {
        let inputs = blocks(inputs);
        tile.layout(tile.batch(inputs), inputs, outputs.div_ceil(BLOCK)).scratch.div_ceil(BLOCK)
    }
}

/// Blocks of input channels: each source has whole ones.
fn blocks(inputs: [usize; 2]) -> usize {
    inputs[0].div_ceil(BLOCK) + inputs[1].div_ceil(BLOCK)
}

/// G g Gᵀ in three dimensions, of 16 filters at a time: `result(point, values)`.
fn transform(taps: &[[f64; BLOCK]; TAPS], [depth, height, width]: [&[[f64; 3]]; 3], mut result: impl FnMut([usize; 3], [f64; BLOCK])) {
    let product = |row: &[f64; 3], values: [&[f64; BLOCK]; 3]| -> [f64; BLOCK] {
        std::array::from_fn(|lane| row[0] * values[0][lane] + row[1] * values[1][lane] + row[2] * values[2][lane])
    };
    for (z, row) in depth.iter().enumerate() {
        let plane: [[f64; BLOCK]; 9] = std::array::from_fn(|tap| product(row, [&taps[tap], &taps[tap + 9], &taps[tap + 18]]));
        for (y, row) in height.iter().enumerate() {
            let line: [[f64; BLOCK]; 3] = std::array::from_fn(|tap| product(row, [&plane[tap], &plane[tap + 3], &plane[tap + 6]]));
            for (x, row) in width.iter().enumerate() {
                result([z, y, x], product(row, [&line[0], &line[1], &line[2]]));
            }
        }
    }
}

/// Convolves one or two feature maps, taken as one after the other, into `output`, and its 2×2×2 maxima into `pooled`. The
/// slices hold the feature maps of one or more windows, one after the other.
///
/// # Errors
/// Whatever the executor's `check` returns: it is asked between batches of tiles. Then `output` is half written.
///
/// # Panics
/// If a slice is not as long as its places, or places and weights differ in shape.
pub fn convolve(
    executor: &Executor<'_>,
    sources: [Option<Source<'_>>; 2],
    weights: &PackedWinograd,
    output: &mut [Block],
    place: &Place,
    pooled: Option<(&mut [Block], &Place)>,
) -> Result<()> {
    let windows = place.windows_in(output);
    for (source, channels) in sources.iter().zip(weights.inputs) {
        assert_eq!(source.map_or(0, |s| s.place.channels), channels, "input channels");
        assert!(source.is_none_or(|s| s.place.shape == place.shape && s.place.windows_in(s.blocks) == windows), "input shape");
    }
    assert!(place.channels == weights.outputs, "output channels");
    if let Some((blocks, pooled)) = &pooled {
        assert!(pooled.windows_in(blocks) == windows && pooled.channels == place.channels, "pooled channels");
        assert!(pooled.shape == place.shape.map(|n| n / 2), "pooled shape");
    }
    let (inputs, outputs) = (blocks(weights.inputs), weights.bias.len());
    let tile = weights.tile;
    let per_axis = tile.outputs();
    let tiles: [usize; 3] = std::array::from_fn(|axis| place.shape[axis].div_ceil(per_axis[axis]));
    let count = windows * tiles.iter().product::<usize>();
    let at_once = tile.batch(inputs);
    let (batches, pairs) = (count.div_ceil(at_once), weights.outputs.div_ceil(BLOCK * PAIR));
    // Threads that share a window share the outputs of a layer of few tiles.
    let groups = executor.threads().div_ceil(batches).min(pairs);
    let points = tile.points().iter().product::<usize>();
    assert!(weights.weight.len() == points * pairs * PAIR * inputs * BLOCK, "weights");

    let output = Shared::new(output);
    let pooled = pooled.map(|(blocks, place)| (Shared::new(blocks), place));
    executor.each(batches * groups, &|piece, scratch| {
        let (first, group) = (piece / groups * at_once, piece % groups);
        // Whole pairs of blocks of outputs.
        let block = (pairs * group / groups * PAIR).min(outputs);
        let end = (pairs * (group + 1) / groups * PAIR).min(outputs);
        let tiles_of_batch = at_once.min(count - first);
        assert!(scratch.len() * BLOCK >= tile.layout(tiles_of_batch, inputs, end - block).scratch, "scratch memory");
        let to = |output: &Shared<'_, Block>, place: &Place| {
            map(place, output.pointer(block * place.volume() + place.plane() + place.row() + 1).cast(), end - block)
        };
        let batch = Batch {
            sources: sources.map(|source| source.map(|s| map(&s.place, s.blocks.as_ptr().cast(), s.place.channel_blocks()))),
            shape: place.shape,
            tiles,
            first,
            count: tiles_of_batch,
            following: at_once.min(count - first - tiles_of_batch),
            weight: weights.weight[block * tile.points()[0] * inputs * BLOCK..].as_ptr().cast(),
            pairs,
            bias: weights.bias[block..end].as_ptr().cast(),
            floor: weights.floor,
            output: to(&output, place),
            pooled: pooled.as_ref().map(|(pooled, place)| to(pooled, place)),
            scratch: scratch.as_mut_ptr().cast(),
        };
        // SAFETY: sources, output and maxima cover their places, which have the same shape (or half of it), as asserted;
        // weights, bias and scratch are as large as the kernel takes them to be, as asserted; pieces differ in their tiles or
        // their blocks of outputs, of which the kernel writes no others.
        unsafe { (executor.kernels.winograd[tile as usize])(&batch) };
    })
}

/// A place as the kernel sees it, from `first` on.
fn map<P>(place: &Place, first: P, blocks: usize) -> Map<P> {
    let [row, plane, volume, window] = [place.row(), place.plane(), place.volume(), place.len()].map(|n| n * BLOCK);
    Map { first, row, plane, volume, window, blocks }
}

#[cfg(test)]
mod tests {
    use super::super::Kernels;
    use super::super::testing::{alone, assert_within, blocked, convolution, garbage, noise, place, plain};
    use super::*;
    use crate::engine::cpu::executor::Scratch;
    use crate::threads::Pool;

    fn layer(inputs: usize, outputs: usize) -> Layer {
        Layer { name: "test".into(), weight: noise(outputs * inputs * TAPS, 1), bias: noise(outputs, 2) }
    }

    #[test]
    fn every_instruction_set_and_tile_gives_the_formula_whether_tiles_fit_or_overhang() {
        for (inputs, outputs, shape) in [
            ([1, 0], 1, [1, 1, 1]),
            ([3, 0], 5, [2, 3, 5]),
            ([16, 0], 32, [4, 8, 8]),
            ([17, 0], 33, [5, 6, 7]),
            ([20, 5], 48, [3, 9, 4]),
            ([32, 32], 40, [4, 3, 17]),
            ([8, 8], 16, [8, 12, 16]),
        ] {
            let all = inputs[0] + inputs[1];
            let voxels = shape.iter().product::<usize>();
            let (x, layer) = (noise(all * voxels, 3), layer(all, outputs));
            let places = [place(inputs[0], shape), place(inputs[1], shape)];
            let maps = [blocked(&x[..inputs[0] * voxels], &places[0]), blocked(&x[inputs[0] * voxels..], &places[1])];
            let source = |s: usize| (inputs[s] > 0).then_some(Source { blocks: &maps[s], place: places[s] });
            let (to, half) = (place(outputs, shape), place(outputs, shape.map(|n| n / 2)));
            let expected = convolution(&x, all, shape, &layer);
            for (kernels, tile) in Kernels::available().flat_map(|kernels| Tile::ALL.map(|tile| (kernels, tile))) {
                let context = format!("{} {tile:?} {inputs:?}→{outputs} {shape:?}", kernels.name);
                let weights = PackedWinograd::new(&layer, tile, inputs, outputs).unwrap();
                let mut output = garbage(&to);
                let mut maxima = garbage(&half);
                let pooled = shape.iter().all(|n| n % 2 == 0).then_some((&mut maxima[..], &half));
                let pools = pooled.is_some();
                convolve(&alone(kernels), [source(0), source(1)], &weights, &mut output, &to, pooled).unwrap();
                let output = plain(&output, &to);
                assert_within(&output, &expected, 1e-4, &context);
                if pools {
                    let [d, h, w] = shape;
                    let largest = |at: usize| {
                        let [c, z, y, x] = [at / (d * h * w / 8), at / (h * w / 4) % (d / 2), at / (w / 2) % (h / 2), at % (w / 2)];
                        let voxel = |i: usize| output[((c * d + 2 * z + i / 4) * h + 2 * y + i / 2 % 2) * w + 2 * x + i % 2];
                        (0..8).map(voxel).fold(0.0, f32::max)
                    };
                    let maxima = plain(&maxima, &half);
                    assert!((0..maxima.len()).all(|at| maxima[at] == largest(at)), "{context}: maxima");
                }
            }
        }
    }

    #[test]
    fn threads_that_share_a_layer_give_the_bits_of_one() {
        let (shape, outputs) = ([2, 8, 8], 112);
        let x = noise(24 * 128, 3);
        let (from, to) = (place(24, shape), place(outputs, shape));
        let map = blocked(&x, &from);
        let source = [Some(Source { blocks: &map, place: from }), None];
        let weights = PackedWinograd::new(&layer(24, outputs), Tile::F244, [24, 0], outputs).unwrap();
        let mut results = Vec::new();
        for threads in 1..=5 {
            let pool = Pool::new(threads, None).unwrap();
            let scratch: Vec<Scratch> = (0..threads)
                .map(|_| vec![Block::default(); PackedWinograd::scratch(Tile::F244, [24, 0], outputs)].into())
                .map(|memory: std::sync::Mutex<_>| memory.into())
                .collect();
            let executor = Executor { pool: Some(&pool), scratch: &scratch, ..alone(Kernels::best()) };
            let mut output = vec![Block::default(); to.len()];
            convolve(&executor, source, &weights, &mut output, &to, None).unwrap();
            results.push(output);
        }
        assert!(results.iter().all(|result| *result == results[0]));
    }

    #[test]
    fn what_is_not_a_number_is_not_hidden_by_the_activation() {
        for (kernels, tile) in Kernels::available().flat_map(|kernels| Tile::ALL.map(|tile| (kernels, tile))) {
            let shape = [2, 4, 8];
            let mut x = noise(64, 6);
            x[20] = f32::NAN;
            let (from, to) = (place(1, shape), place(BLOCK, shape));
            let map = blocked(&x, &from);
            let weights = PackedWinograd::new(&layer(1, BLOCK), tile, [1, 0], BLOCK).unwrap();
            let mut output = vec![Block::default(); to.len()];
            convolve(&alone(kernels), [Some(Source { blocks: &map, place: from }), None], &weights, &mut output, &to, None).unwrap();
            let y = plain(&output, &to);
            let taps = [0, 1].into_iter().flat_map(|d| (1..=3).flat_map(move |h| (3..=5).map(move |w| (d * 4 + h) * 8 + w)));
            assert!(taps.into_iter().all(|at| y[at].is_nan()), "{} {tile:?}", kernels.name);
        }
    }
}
