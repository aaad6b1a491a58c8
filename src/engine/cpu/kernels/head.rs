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
    executor.each(depth, &|d| {
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
            softmax(row.scores, classes, plane, width);
        }
    })
}

/// Scores of a row to probabilities, in place. Classes lie `plane` numbers apart.
fn softmax(row: &mut [f32], classes: usize, plane: usize, width: usize) {
    for w in 0..width {
        let largest = (1..classes).map(|class| row[class * plane + w]).fold(row[w], f32::max);
        let mut total = 0.0;
        for class in 0..classes {
            let value = (row[class * plane + w] - largest).exp();
            row[class * plane + w] = value;
            total += value;
        }
        for class in 0..classes {
            row[class * plane + w] /= total;
        }
    }
}

/// The kernel: tiles of `P` voxels, then single ones.
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
    fn large_scores_do_not_overflow() {
        let layer = Layer { name: "test".into(), weight: vec![1000.0, -1000.0], bias: vec![0.0; 2] };
        let (from, weights) = (place(1, [1; 3]), PackedHead::new(&layer, 1, 2).unwrap());
        let mut probabilities = vec![0.0; 2];
        head(&alone(Kernels::best()), &blocked(&[1.0], &from), &from, &weights, &mut probabilities).unwrap();
        assert_eq!(probabilities, [1.0, 0.0]);
    }
}
