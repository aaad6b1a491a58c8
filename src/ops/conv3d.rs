//! 3D convolution of stride 1, kernel 3³ with zero padding 1 or kernel 1³.
//!
//! y[n,o,d,h,w] = bias[o] + Σ_i Σ_{a,b,c} weight[o,i,a,b,c] · x[n,i,d+a−r,h+b−r,w+c−r], zero outside, r = (k−1)/2.
//!
//! Layout. A batch [N,C,D,H,W] is copied to a *flat grid*: per channel one long row, every line of W voxels followed by
//! r zeros, every plane by r lines of zeros, every item by r planes of zeros, and a margin of zeros at both ends. The
//! zeros behind one line are the zeros before the next, so every voxel's neighborhood is complete, and a tap of the kernel
//! is nothing but a constant offset along the row. A convolution thus becomes one matrix product per tap,
//!
//! Y[o, p] += W_tap[o, i] · X[i, p + offset(tap)],
//!
//! accumulated over the taps on blocks of columns that stay in the cache. The gradient of the input is the same product
//! with the taps in reverse order and each W_tap transposed; the gradient of the weights is
//!
//! W_tap[o, i] = Σ_p G[o, p] · X[i, p + offset(tap)]
//!
//! with the result's gradient G on the same grid. Blocks and taps are the units of parallel work, whatever the number of
//! threads: the order of every sum is fixed.

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use ndarray::linalg::general_mat_mul;
use rayon::prelude::*;

use super::kernel::{Float, add_bias, five_sizes, invalid, matrix, matrix_mut, same_dtype, values, with_float, zeros};
use crate::error::Result;

const NAME: &str = "conv3d";
/// Columns of a block: 1024 columns of 64 channels are 256 KiB of f32.
const BLOCK: usize = 1024;

/// Convolves `x` [N, inputs, D, H, W] with `weight` [outputs, inputs, k, k, k], k = 3 (zero padding 1) or k = 1,
/// and adds `bias` \[outputs\]. The result is [N, outputs, D, H, W]. All f32 or all f64, on the CPU.
///
/// The gradients of all arguments are those of the formula above; an argument that tracks no gradient costs nothing.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for shapes or number types that do not fit,
/// [`Unsupported`](crate::ErrorKind::Unsupported) for a device other than the CPU,
/// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
pub fn conv3d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let [_, channels, ..] = five_sizes(NAME, "the input", x)?;
    let [_, inputs, kernel @ ..] = five_sizes(NAME, "the weight", weight)?;
    same_dtype(NAME, x, "the weight", weight)?;
    if kernel != [1; 3] && kernel != [3; 3] {
        return Err(invalid(NAME, format_args!("the kernel is {kernel:?}: give a weight of 1×1×1 or 3×3×3 taps")));
    }
    if inputs != channels {
        return Err(invalid(NAME, format_args!("the weight takes {inputs} channels but the input has {channels}")));
    }
    add_bias(NAME, &x.contiguous()?.apply_op2(&weight.contiguous()?, Convolution)?, bias)
}

/// The forward direction.
struct Convolution;
/// From the result's gradient and the weight to the input's gradient.
struct InputGradient;
/// From the input and the result's gradient to the weight's gradient, for this many taps along each axis.
struct WeightGradient {
    kernel: usize,
}

impl CustomOp2 for Convolution {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, weight: &CpuStorage, wl: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        with_float!(NAME, x, T => convolve::<T>(x, xl, weight, wl, Direction::Forward))
    }

    fn bwd(
        &self,
        x: &Tensor,
        weight: &Tensor,
        _result: &Tensor,
        gradient: &Tensor,
    ) -> candle_core::Result<(Option<Tensor>, Option<Tensor>)> {
        let gradient = gradient.contiguous()?;
        let of_x = x.track_op().then(|| gradient.apply_op2_no_bwd(weight, &InputGradient)).transpose()?;
        let kernel = weight.dim(2)?;
        let of_weight = weight.track_op().then(|| x.apply_op2_no_bwd(&gradient, &WeightGradient { kernel })).transpose()?;
        Ok((of_x, of_weight))
    }
}

impl CustomOp2 for InputGradient {
    fn name(&self) -> &'static str {
        "conv3d-input-gradient"
    }

    fn cpu_fwd(&self, gradient: &CpuStorage, gl: &Layout, weight: &CpuStorage, wl: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        with_float!(NAME, gradient, T => convolve::<T>(gradient, gl, weight, wl, Direction::Backward))
    }
}

impl CustomOp2 for WeightGradient {
    fn name(&self) -> &'static str {
        "conv3d-weight-gradient"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, gradient: &CpuStorage, gl: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        with_float!(NAME, x, T => correlate::<T>(x, xl, gradient, gl, self.kernel))
    }
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Forward,
    Backward,
}

/// Where the voxels of a batch lie on the flat grid.
struct FlatGrid {
    items: usize,
    size: [usize; 3],
    /// r: zeros behind each line, lines of zeros behind each plane, planes of zeros behind each item.
    border: usize,
}

impl FlatGrid {
    fn new(items: usize, size: [usize; 3], kernel: usize) -> Self {
        FlatGrid { items, size, border: kernel / 2 }
    }

    /// Length of a line and of a plane.
    fn strides(&self) -> [usize; 2] {
        let [_, height, width] = self.size;
        let line = width + self.border;
        [line, line * (height + self.border)]
    }

    /// Length of a row without its margins.
    fn len(&self) -> usize {
        self.items * (self.size[0] + self.border) * self.strides()[1]
    }

    /// Zeros at either end of a row: the farthest a tap reaches.
    fn margin(&self) -> usize {
        let [line, plane] = self.strides();
        self.border * (plane + line + 1)
    }

    /// Where the shifted row of each tap begins within the row with its margins; taps in the weight's order.
    fn taps(&self) -> impl Iterator<Item = usize> + use<> {
        let ([line, plane], kernel) = (self.strides(), 2 * self.border + 1);
        (0..kernel.pow(3)).map(move |tap| tap / (kernel * kernel) * plane + tap / kernel % kernel * line + tap % kernel)
    }

    /// Where the lines of an item begin, in the order of the tensor.
    fn lines(&self, item: usize) -> impl Iterator<Item = usize> + use<> {
        let ([line, plane], [depth, height, _]) = (self.strides(), self.size);
        let first = item * (depth + self.border) * plane;
        (0..depth).flat_map(move |d| (0..height).map(move |h| first + d * plane + h * line))
    }

    /// A tensor on the flat grid: [channels][margin + len + margin].
    fn spread<T: Float>(&self, tensor: &[T], channels: usize, margin: usize) -> candle_core::Result<Vec<T>> {
        let row = self.len() + 2 * margin;
        let (width, voxels) = (self.size[2], self.size.iter().product::<usize>());
        let mut flat = zeros(NAME, channels * row)?;
        flat.par_chunks_mut(row).enumerate().for_each(|(channel, row)| {
            for (item, values) in tensor.chunks(voxels).skip(channel).step_by(channels).enumerate() {
                for (line, values) in self.lines(item).zip(values.chunks(width)) {
                    row[margin + line..][..width].copy_from_slice(values);
                }
            }
        });
        Ok(flat)
    }

    /// The blocks that a row is worked on in: whole lines, about [`BLOCK`] columns.
    fn block(&self) -> usize {
        let [line, _] = self.strides();
        BLOCK.div_ceil(line) * line
    }

    /// Back to a tensor from [blocks][channels][columns of the block].
    fn collect<T: Float>(&self, blocks: &[T], channels: usize) -> candle_core::Result<Vec<T>> {
        let (block, len) = (self.block(), self.len());
        let (width, voxels) = (self.size[2], self.size.iter().product::<usize>());
        let mut tensor = zeros(NAME, self.items * channels * voxels)?;
        tensor.par_chunks_mut(voxels).enumerate().for_each(|(map, values)| {
            let (item, channel) = (map / channels, map % channels);
            for (line, values) in self.lines(item).zip(values.chunks_mut(width)) {
                let start = line / block * block;
                let columns = block.min(len - start);
                values.copy_from_slice(&blocks[start * channels + channel * columns + (line - start)..][..width]);
            }
        });
        Ok(tensor)
    }
}

/// The weight as one matrix per tap, `[taps][outputs][inputs]` of the direction.
fn matrices_by_tap<T: Float>(weight: &[T], [rows, columns]: [usize; 2], taps: usize, direction: Direction) -> candle_core::Result<Vec<T>> {
    let mut matrices = zeros(NAME, weight.len())?;
    for (element, weights) in weight.chunks(taps).enumerate() {
        let (row, column) = (element / columns, element % columns);
        for (tap, &weight) in weights.iter().enumerate() {
            let place = match direction {
                Direction::Forward => (tap * rows + row) * columns + column,
                Direction::Backward => ((taps - 1 - tap) * columns + column) * rows + row,
            };
            matrices[place] = weight;
        }
    }
    Ok(matrices)
}

/// Forward: x and weight to y. Backward: the gradient of y and the weight to the gradient of x.
fn convolve<T: Float>(
    x: &CpuStorage,
    x_layout: &Layout,
    weight: &CpuStorage,
    weight_layout: &Layout,
    direction: Direction,
) -> candle_core::Result<(CpuStorage, Shape)> {
    let (items, _, depth, height, width) = x_layout.shape().dims5()?;
    let (rows, columns, kernel, _, _) = weight_layout.shape().dims5()?;
    let (x, weight) = (values::<T>(NAME, x, x_layout)?, values::<T>(NAME, weight, weight_layout)?);
    let (outputs, inputs) = match direction {
        Direction::Forward => (rows, columns),
        Direction::Backward => (columns, rows),
    };
    let grid = FlatGrid::new(items, [depth, height, width], kernel);
    let matrices = matrices_by_tap(weight, [rows, columns], kernel.pow(3), direction)?;
    let flat = grid.spread(x, inputs, grid.margin())?;
    let row = grid.len() + 2 * grid.margin();
    let mut blocks = zeros(NAME, outputs * grid.len())?;
    blocks.par_chunks_mut(outputs * grid.block()).enumerate().try_for_each(|(block, sum)| {
        let columns = sum.len() / outputs;
        let mut sum = matrix_mut(sum, outputs, columns)?;
        for (tap, weights) in grid.taps().zip(matrices.chunks(outputs * inputs)) {
            let shifted = matrix(&flat[block * grid.block() + tap..], inputs, columns, row)?;
            general_mat_mul(T::one(), &matrix(weights, outputs, inputs, inputs)?, &shifted, T::one(), &mut sum);
        }
        Ok::<_, candle_core::Error>(())
    })?;
    drop(flat);
    let result = grid.collect(&blocks, outputs)?;
    Ok((T::to_cpu_storage_owned(result), Shape::from((items, outputs, depth, height, width))))
}

/// x and the gradient of y to the gradient of the weight.
fn correlate<T: Float>(
    x: &CpuStorage,
    x_layout: &Layout,
    gradient: &CpuStorage,
    gradient_layout: &Layout,
    kernel: usize,
) -> candle_core::Result<(CpuStorage, Shape)> {
    let (items, inputs, depth, height, width) = x_layout.shape().dims5()?;
    let outputs = gradient_layout.shape().dims5()?.1;
    let (x, gradient) = (values::<T>(NAME, x, x_layout)?, values::<T>(NAME, gradient, gradient_layout)?);
    let grid = FlatGrid::new(items, [depth, height, width], kernel);
    let (margin, len) = (grid.margin(), grid.len());
    let flat = grid.spread(x, inputs, margin)?;
    let gradient = grid.spread(gradient, outputs, 0)?;
    let taps: Vec<usize> = grid.taps().collect();
    let mut matrices = zeros::<T>(NAME, taps.len() * outputs * inputs)?;
    matrices.par_chunks_mut(outputs * inputs).zip(&taps).try_for_each(|(sum, &tap)| {
        let shifted = matrix(&flat[tap..], inputs, len, len + 2 * margin)?;
        general_mat_mul(T::one(), &matrix(&gradient, outputs, len, len)?, &shifted.t(), T::one(), &mut matrix_mut(sum, outputs, inputs)?);
        Ok::<_, candle_core::Error>(())
    })?;
    let mut weight = zeros(NAME, matrices.len())?;
    for (tap, matrix) in matrices.chunks(outputs * inputs).enumerate() {
        for (place, &value) in weight.iter_mut().skip(tap).step_by(taps.len()).zip(matrix) {
            *place = value;
        }
    }
    Ok((T::to_cpu_storage_owned(weight), Shape::from((outputs, inputs, kernel, kernel, kernel))))
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device};

    use super::super::testing::{assert_gradients, bits, difference, flat, random, strided_copies};
    use super::*;
    use crate::ErrorKind;

    /// The formula, loop by loop.
    fn plain(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Vec<f64> {
        let (n, ci, d, h, w) = x.dims5().unwrap();
        let (co, _, k, _, _) = weight.dims5().unwrap();
        let (x, weight, bias) = (flat(x), flat(weight), bias.map(flat));
        let inside = |at: usize, tap: usize, size: usize| (at + tap).checked_sub(k / 2).filter(|&i| i < size);
        let mut result = Vec::new();
        for (n, o, z, y, c) in indices([n, co, d, h, w]) {
            let mut sum = bias.as_ref().map_or(0.0, |bias| bias[o]);
            for (i, a, b, e, _) in indices([ci, k, k, k, 1]) {
                if let (Some(z), Some(y), Some(c)) = (inside(z, a, d), inside(y, b, h), inside(c, e, w)) {
                    sum += weight[(((o * ci + i) * k + a) * k + b) * k + e] * x[(((n * ci + i) * d + z) * h + y) * w + c];
                }
            }
            result.push(sum);
        }
        result
    }

    fn indices([a, b, c, d, e]: [usize; 5]) -> impl Iterator<Item = (usize, usize, usize, usize, usize)> {
        (0..a * b * c * d * e).map(move |i| (i / (b * c * d * e), i / (c * d * e) % b, i / (d * e) % c, i / e % d, i % e))
    }

    #[test]
    fn agrees_with_the_plain_loop_for_odd_sizes_and_channels() {
        // The last two span several blocks, one of them with lines longer than a block.
        let cases = [
            (1, 1, 1, [1, 1, 1]),
            (2, 2, 3, [2, 3, 5]),
            (2, 5, 4, [4, 4, 4]),
            (1, 3, 1, [1, 7, 2]),
            (2, 4, 5, [5, 1, 1]),
            (2, 3, 2, [3, 19, 23]),
            (1, 1, 2, [2, 2, 1500]),
        ];
        for (n, ci, co, [d, h, w]) in cases {
            for k in [1, 3] {
                for (dtype, bound) in [(DType::F32, 1e-5), (DType::F64, 1e-13)] {
                    let x = random((n, ci, d, h, w), 1, dtype);
                    let weight = random((co, ci, k, k, k), 2, dtype);
                    let bias = random(co, 3, dtype);
                    let result = conv3d(&x, &weight, Some(&bias)).unwrap();
                    assert_eq!((result.dims(), result.dtype()), ([n, co, d, h, w].as_slice(), dtype));
                    let error = difference(&flat(&result), &plain(&x, &weight, Some(&bias)));
                    assert!(error < bound, "{n} items of {ci}→{co} channels, {d}×{h}×{w}, kernel {k}, {dtype:?}: {error:e}");
                    let without = conv3d(&x, &weight, None).unwrap();
                    assert!(difference(&flat(&without), &plain(&x, &weight, None)) < bound);
                }
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for (n, ci, co, k, [d, h, w]) in
            [(2, 2, 3, 3, [2, 3, 4]), (1, 1, 1, 3, [1, 1, 1]), (2, 3, 2, 1, [2, 1, 3]), (1, 3, 1, 3, [3, 2, 1])]
        {
            let inputs = [random((n, ci, d, h, w), 4, DType::F64), random((co, ci, k, k, k), 5, DType::F64), random(co, 6, DType::F64)];
            assert_gradients(&inputs, |t| conv3d(&t[0], &t[1], Some(&t[2])));
        }
    }

    #[test]
    fn gradients_across_several_blocks_agree_with_their_adjoints() {
        // ⟨conv(x, w), g⟩ = ⟨x, ∂x⟩ = ⟨w, ∂w⟩: the operation is linear in either argument.
        let x = candle_core::Var::from_tensor(&random((2, 3, 4, 18, 21), 1, DType::F64)).unwrap();
        let weight = candle_core::Var::from_tensor(&random((2, 3, 3, 3, 3), 2, DType::F64)).unwrap();
        let g = random((2, 2, 4, 18, 21), 3, DType::F64);
        let loss = (conv3d(&x, &weight, None).unwrap() * g).unwrap().sum_all().unwrap();
        let gradients = loss.backward().unwrap();
        for variable in [&x, &weight] {
            let product = (variable.as_tensor() * gradients.get(variable).unwrap()).unwrap().sum_all().unwrap();
            assert!(difference(&flat(&product), &flat(&loss)) < 1e-11);
        }
    }

    #[test]
    fn an_input_without_a_gradient_gets_none() {
        let weight = candle_core::Var::from_tensor(&random((1, 1, 3, 3, 3), 1, DType::F32)).unwrap();
        let x = random((1, 1, 2, 2, 2), 2, DType::F32);
        let gradients = conv3d(&x, &weight, None).unwrap().sum_all().unwrap().backward().unwrap();
        assert!(gradients.get(&weight).is_some());
        assert!(gradients.get(&x).is_none());
    }

    #[test]
    fn strided_arguments_give_what_their_contiguous_copies_give() {
        let (x, weight) = (random((2, 3, 4, 5, 2), 7, DType::F32), random((2, 3, 3, 3, 3), 8, DType::F32));
        let expected = bits(&conv3d(&x, &weight, None).unwrap());
        for x in strided_copies(&x) {
            for weight in strided_copies(&weight) {
                assert_eq!(bits(&conv3d(&x, &weight, None).unwrap()), expected);
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit_of_result_or_gradients() {
        let run = || {
            let x = candle_core::Var::from_tensor(&random((2, 5, 6, 20, 21), 9, DType::F32)).unwrap();
            let weight = candle_core::Var::from_tensor(&random((7, 5, 3, 3, 3), 10, DType::F32)).unwrap();
            let y = conv3d(&x, &weight, None).unwrap();
            let gradients = y.sqr().unwrap().sum_all().unwrap().backward().unwrap();
            [bits(&y), bits(gradients.get(&x).unwrap()), bits(gradients.get(&weight).unwrap())]
        };
        let with_threads = |n| rayon::ThreadPoolBuilder::new().num_threads(n).build().unwrap().install(run);
        let expected = with_threads(1);
        assert_eq!(with_threads(3), expected);
        assert_eq!(run(), expected);
    }

    #[test]
    fn arguments_that_do_not_fit_are_refused() {
        let zeros = |shape: &[usize], dtype| Tensor::zeros(shape, dtype, &Device::Cpu).unwrap();
        let x = zeros(&[1, 2, 3, 3, 3], DType::F32);
        let cases = [
            (zeros(&[4, 3, 3, 3, 3], DType::F32), None, "3 channels"),
            (zeros(&[4, 2, 5, 5, 5], DType::F32), None, "[5, 5, 5]"),
            (zeros(&[4, 2, 3, 3, 1], DType::F32), None, "[3, 3, 1]"),
            (zeros(&[4, 2, 3, 3], DType::F32), None, "[4, 2, 3, 3]"),
            (zeros(&[0, 2, 3, 3, 3], DType::F32), None, "[0, 2, 3, 3, 3]"),
            (zeros(&[4, 2, 3, 3, 3], DType::F64), None, "F64"),
            (zeros(&[4, 2, 3, 3, 3], DType::F32), Some(zeros(&[3], DType::F32)), "4 output channels"),
            (zeros(&[4, 2, 3, 3, 3], DType::F32), Some(zeros(&[4], DType::F64)), "the bias is F64"),
        ];
        for (weight, bias, names) in cases {
            let error = conv3d(&x, &weight, bias.as_ref()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains(names), "{error}");
        }
        let integers = zeros(&[1, 2, 3, 3, 3], DType::U32);
        assert!(conv3d(&integers, &integers, None).unwrap_err().message().contains("U32"));
    }
}
