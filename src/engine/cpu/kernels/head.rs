//! The network's last step: 1×1×1 convolution to the classes, then softmax over them:
//! `p[k] = exp(z[k] − max z) / Σ exp(z − max z)` with `z[k] = b[k] + Σ_i w[k][i] · x[i]`.
//!
//! Layout: the feature map as `plan.rs` says; weights \[block of classes\]\[input\]\[16 classes\]; probabilities
//! \[D\]\[class\]\[H\]\[W\], without a border.

use super::lanes::Lanes;
use super::{Block, pack_bias};
use crate::engine::cpu::executor::{Executor, Shared};
use crate::engine::fold::Layer;
use crate::engine::plan::{BLOCK, Place};
use crate::error::{Error, ErrorKind, Result, try_vec};

/// The weights in the order in which the kernel reads them.
#[derive(Debug)]
pub struct PackedHead {
    inputs: usize,
    classes: usize,
    weight: Vec<Block>,
    bias: Vec<Block>,
}

impl PackedHead {
    /// Packs the weights of the head.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] if the layer has another shape; [`ErrorKind::OutOfMemory`].
    pub fn new(layer: &Layer, inputs: usize, classes: usize) -> Result<Self> {
        if layer.weight.len() != inputs * classes || layer.bias.len() != classes {
            let message = format!("{} is no 1×1×1 convolution of {inputs} to {classes}", layer.name);
            return Err(Error::new(ErrorKind::InvalidModel, message));
        }
        let blocks = classes.div_ceil(BLOCK);
        let mut weight = try_vec(Block::default(), blocks * inputs, "the packed weights")?;
        for class in 0..classes {
            for input in 0..inputs {
                weight[class / BLOCK * inputs + input].0[class % BLOCK] = layer.weight[class * inputs + input];
            }
        }
        Ok(PackedHead { inputs, classes, weight, bias: pack_bias(&layer.bias)? })
    }

    /// Output channels.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Bytes that a head of this size takes.
    pub fn bytes(inputs: usize, classes: usize) -> usize {
        (inputs + 1) * classes.div_ceil(BLOCK) * size_of::<Block>()
    }
}

/// One row of voxels.
pub(super) struct Row<'a> {
    /// The row's first voxel in the first block of channels, and numbers to the next block.
    input: *const f32,
    input_volume: usize,
    inputs: usize,
    classes: usize,
    weight: &'a [Block],
    bias: &'a [Block],
    /// The row's scores, class after class, `plane` numbers apart.
    scores: &'a mut [f32],
    plane: usize,
    width: usize,
}

/// Probabilities of every voxel.
///
/// # Errors
/// Whatever the executor's `check` returns: it is asked between planes.
///
/// # Panics
/// If a slice is not as long as its place, or the weights are of another shape.
pub fn head(executor: &Executor<'_>, input: &[Block], from: &Place, weights: &PackedHead, probabilities: &mut [f32]) -> Result<()> {
    let [depth, height, width] = from.shape;
    let (plane, classes) = (height * width, weights.classes);
    assert!(input.len() == from.len() && from.channels == weights.inputs, "a slice of its place");
    assert!(probabilities.len() == classes * depth * plane, "room for the result");
    let probabilities = Shared::new(probabilities);
    executor.each(depth, &|d, _| {
        // SAFETY: every piece has a plane of its own.
        let probabilities = unsafe { probabilities.part(d * classes * plane..(d + 1) * classes * plane) };
        for h in 0..height {
            let first = (d + 1) * from.plane() + (h + 1) * from.row() + 1;
            let mut row = Row {
                input: input[first..].as_ptr().cast(),
                input_volume: from.volume() * BLOCK,
                inputs: weights.inputs,
                classes,
                weight: &weights.weight,
                bias: &weights.bias,
                scores: &mut probabilities[h * width..],
                plane,
                width,
            };
            // SAFETY: the row lies within the input's place and `scores` holds it for every class, as asserted.
            unsafe { (executor.kernels.head)(&mut row) };
        }
    })
}

/// The kernel: scores in tiles of `P` voxels, then of single ones; then their softmax.
///
/// # Safety
/// As [`Row`] says, on a processor that has the instruction set of `L`.
#[inline(always)]
pub(super) unsafe fn row<L: Lanes, const P: usize>(row: &mut Row<'_>) {
    for block in 0..row.bias.len() {
        let mut column = 0;
        // SAFETY (of both calls): the tile lies within the row.
        while column + P <= row.width {
            unsafe { tile::<L, P>(row, block, column) };
            column += P;
        }
        while column < row.width {
            unsafe { tile::<L, 1>(row, block, column) };
            column += 1;
        }
    }
    let mut column = 0;
    while column + BLOCK <= row.width {
        softmax::<BLOCK>(&mut row.scores[column..], row.classes, row.plane);
        column += BLOCK;
    }
    while column < row.width {
        softmax::<1>(&mut row.scores[column..], row.classes, row.plane);
        column += 1;
    }
}

/// Scores of `N` voxels to probabilities, in place. Classes lie `plane` numbers apart. Plain loops over `N` numbers, which
/// the compiler turns into the vectors of whichever instruction set it is inlined for.
#[inline(always)]
fn softmax<const N: usize>(scores: &mut [f32], classes: usize, plane: usize) {
    let at = |class: usize| class * plane..class * plane + N;
    let mut largest = [f32::MIN; N];
    for class in 0..classes {
        for (largest, &score) in largest.iter_mut().zip(&scores[at(class)]) {
            *largest = if score > *largest { score } else { *largest };
        }
    }
    let mut total = [0.0; N];
    for class in 0..classes {
        for ((score, largest), total) in scores[at(class)].iter_mut().zip(&largest).zip(&mut total) {
            *score = exp(*score - largest);
            *total += *score;
        }
    }
    for class in 0..classes {
        for (score, total) in scores[at(class)].iter_mut().zip(&total) {
            *score /= total;
        }
    }
}

/// eˣ for x ≤ 0, within 2 units in the last place; 0 below −87; what is not a number stays so.
///
/// x = n·ln 2 + r with |r| ≤ ½ ln 2; eʳ is its Taylor polynomial of degree 7, 2ⁿ is put together from bits. The library's
/// function is exact to the last bit and takes one number at a time.
#[inline(always)]
fn exp(x: f32) -> f32 {
    // Added to a small number, it leaves that number rounded in its own last bits.
    const ROUND: f32 = 12_582_912.0;
    // ln 2 in two parts: n times the first is exact.
    const LN_2: [f32; 2] = [0.693_359_4, -2.121_944_4e-4];
    let shifted = x * std::f32::consts::LOG2_E + ROUND;
    let n = shifted - ROUND;
    let r = (x - n * LN_2[0]) - n * LN_2[1];
    let mut power = 1.0 / 5040.0;
    for coefficient in [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0] {
        power = power * r + coefficient;
    }
    let two_to_n = f32::from_bits((shifted.to_bits() << 23).wrapping_add(0x3f80_0000));
    if x < -87.0 { 0.0 } else { power * two_to_n }
}

/// `P` voxels × one block of classes, in registers.
///
/// # Safety
/// As [`row`]; `column + P` is at most the width, and `block` is one of the weights'.
#[inline(always)]
unsafe fn tile<L: Lanes, const P: usize>(row: &mut Row<'_>, block: usize, column: usize) {
    let mut scores = [Block::default(); P];
    // SAFETY: voxels and blocks of inputs lie within their slices by the contract; `scores` holds P blocks.
    unsafe {
        let mut sums = [L::load(row.bias.as_ptr().add(block).cast()); P];
        let weight = row.weight.as_ptr().add(block * row.inputs);
        for input in 0..row.inputs {
            let w = L::load(weight.add(input).cast());
            let x = row.input.add(input / BLOCK * row.input_volume + column * BLOCK + input % BLOCK);
            for (p, sum) in sums.iter_mut().enumerate() {
                *sum = sum.add_product(L::splat(*x.add(p * BLOCK)), w);
            }
        }
        for (score, sum) in scores.iter_mut().zip(sums) {
            sum.store(score.0.as_mut_ptr());
        }
    }
    for class in block * BLOCK..row.classes.min((block + 1) * BLOCK) {
        let first = class * row.plane + column;
        for (to, score) in row.scores[first..first + P].iter_mut().zip(&scores) {
            *to = score.0[class % BLOCK];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Kernels;
    use super::super::testing::{alone, assert_close, blocked, noise, place};
    use super::*;

    #[test]
    fn every_instruction_set_gives_softmax_of_the_scores() {
        for kernels in Kernels::available() {
            for (inputs, classes, shape) in [(1, 2, [1, 1, 1]), (8, 3, [2, 3, 18]), (33, 20, [1, 2, 5])] {
                let voxels: usize = shape.iter().product();
                let layer = Layer { name: "test".into(), weight: noise(inputs * classes, 1), bias: noise(classes, 2) };
                let (from, x) = (place(inputs, shape), noise(inputs * voxels, 3));
                let score = |class: usize, v: usize| {
                    let products = (0..inputs).map(|i| f64::from(x[i * voxels + v]) * f64::from(layer.weight[class * inputs + i]));
                    (f64::from(layer.bias[class]) + products.sum::<f64>()).exp()
                };
                let plane = shape[1] * shape[2];
                let expected: Vec<f64> = (0..classes * voxels)
                    .map(|at| {
                        let (class, voxel) = (at / plane % classes, at / (classes * plane) * plane + at % plane);
                        score(class, voxel) / (0..classes).map(|k| score(k, voxel)).sum::<f64>()
                    })
                    .collect();
                let weights = PackedHead::new(&layer, inputs, classes).unwrap();
                let mut probabilities = vec![0.0; classes * voxels];
                head(&alone(kernels), &blocked(&x, &from), &from, &weights, &mut probabilities).unwrap();
                assert_close(&probabilities, &expected, kernels.name);
            }
        }
    }

    #[test]
    fn the_exponential_is_within_two_units_in_the_last_place() {
        for step in 0..=870_000 {
            let x = step as f32 * -1e-4;
            let (value, exact) = (f64::from(exp(x)), f64::from(x).exp());
            assert!((value - exact).abs() <= 2.0 * f64::from(f32::EPSILON) * exact, "exp({x}) = {value}");
        }
        assert_eq!((exp(-100.0), exp(f32::NEG_INFINITY)), (0.0, 0.0));
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let layer = Layer { name: "test".into(), weight: vec![1000.0, -1000.0], bias: vec![0.0; 2] };
        let (from, weights) = (place(1, [1; 3]), PackedHead::new(&layer, 1, 2).unwrap());
        let mut probabilities = vec![0.0; 2];
        head(&alone(Kernels::best()), &blocked(&[1.0], &from), &from, &weights, &mut probabilities).unwrap();
        assert_eq!(probabilities, [1.0, 0.0]);
    }
}
