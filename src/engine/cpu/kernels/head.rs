//! The network's last step: 1×1×1 convolution to the classes, then softmax over them:
//! `p[k] = exp(z[k] − max z) / Σ exp(z − max z)` with `z[k] = b[k] + Σ_i w[k][i] · x[i]`.
//!
//! Layout: the feature map as `plan.rs` says; weights \[block of classes\]\[input\]\[16 classes\]; probabilities
//! \[class\]\[D\]\[H\]\[W\], without a border.

use super::lanes::Lanes;
use super::{Block, Kernels};
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
        let mut bias = try_vec(Block::default(), blocks, "the packed weights")?;
        for class in 0..classes {
            for input in 0..inputs {
                weight[class / BLOCK * inputs + input].0[class % BLOCK] = layer.weight[class * inputs + input];
            }
            bias[class / BLOCK].0[class % BLOCK] = layer.bias[class];
        }
        Ok(PackedHead { inputs, classes, weight, bias })
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
    weight: &'a [Block],
    bias: &'a [Block],
    /// The row's scores: \[block of classes\]\[voxel\].
    scores: &'a mut [Block],
    width: usize,
}

/// Probabilities of every voxel. `scores` is room for a row: as many blocks as the row has voxels, per 16 classes.
///
/// # Errors
/// Whatever `check` returns: it is asked between planes.
///
/// # Panics
/// If a slice is not as long as its place, or the weights are of another shape.
pub fn head(
    kernels: &Kernels,
    input: &[Block],
    from: &Place,
    weights: &PackedHead,
    scores: &mut [Block],
    probabilities: &mut [f32],
    check: &dyn Fn() -> Result<()>,
) -> Result<()> {
    let [depth, height, width] = from.shape;
    let voxels = depth * height * width;
    assert!(input.len() == from.len() && from.channels == weights.inputs, "a slice of its place");
    assert!(scores.len() == weights.bias.len() * width && probabilities.len() == weights.classes * voxels, "room for the result");
    for d in 0..depth {
        check()?;
        for h in 0..height {
            let first = (d + 1) * from.plane() + (h + 1) * from.row() + 1;
            let mut row = Row {
                input: input[first..].as_ptr().cast(),
                input_volume: from.volume() * BLOCK,
                inputs: weights.inputs,
                weight: &weights.weight,
                bias: &weights.bias,
                scores,
                width,
            };
            // SAFETY: the row lies within the input's place and `scores` holds a row, as asserted.
            unsafe { (kernels.head)(&mut row) };
            softmax(scores, weights.classes, width, &mut probabilities[(d * height + h) * width..], voxels);
        }
    }
    Ok(())
}

/// Softmax of a row of scores into planes of probabilities that lie `voxels` apart.
fn softmax(scores: &[Block], classes: usize, width: usize, probabilities: &mut [f32], voxels: usize) {
    for w in 0..width {
        let score = |class: usize| scores[class / BLOCK * width + w].0[class % BLOCK];
        let largest = (1..classes).map(score).fold(score(0), f32::max);
        let mut total = 0.0;
        for class in 0..classes {
            let value = (score(class) - largest).exp();
            probabilities[class * voxels + w] = value;
            total += value;
        }
        for class in 0..classes {
            probabilities[class * voxels + w] /= total;
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
    // SAFETY: voxels, blocks of inputs and scores lie within their slices by the contract.
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
        let scores = row.scores.as_mut_ptr().add(block * row.width + column);
        for (p, sum) in sums.into_iter().enumerate() {
            sum.store(scores.add(p).cast());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{assert_close, blocked, noise, place};
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
                let expected: Vec<f64> = (0..classes * voxels)
                    .map(|at| score(at / voxels, at % voxels) / (0..classes).map(|k| score(k, at % voxels)).sum::<f64>())
                    .collect();
                let weights = PackedHead::new(&layer, inputs, classes).unwrap();
                let mut scores = vec![Block::default(); classes.div_ceil(BLOCK) * shape[2]];
                let mut probabilities = vec![0.0; classes * voxels];
                head(kernels, &blocked(&x, &from), &from, &weights, &mut scores, &mut probabilities, &|| Ok(())).unwrap();
                assert_close(&probabilities, &expected, kernels.name);
            }
        }
    }

    #[test]
    fn large_scores_do_not_overflow() {
        let layer = Layer { name: "test".into(), weight: vec![1000.0, -1000.0], bias: vec![0.0; 2] };
        let (from, weights) = (place(1, [1; 3]), PackedHead::new(&layer, 1, 2).unwrap());
        let (mut scores, mut probabilities) = (vec![Block::default(); 1], vec![0.0; 2]);
        head(Kernels::best(), &blocked(&[1.0], &from), &from, &weights, &mut scores, &mut probabilities, &|| Ok(())).unwrap();
        assert_eq!(probabilities, [1.0, 0.0]);
    }
}
