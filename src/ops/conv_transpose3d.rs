//! Transposed 3D convolution with kernel 2³ and stride 2: the way to the next finer level.
//!
//! y[n,o,2d+a,2h+b,2w+c] = bias[o] + Σ_i weight[i,o,a,b,c] · x[n,i,d,h,w], a, b, c ∈ {0, 1}.
//!
//! Every output voxel has one tap, so an item is one matrix product with the weight as it lies in memory, W [inputs,
//! outputs·8], and x [inputs, voxels]:
//!
//! Y = Wᵀ·x, [outputs·8, voxels];
//!
//! then each group of 8 rows, one per tap, is interleaved to the finer grid. With the result's gradient G taken apart
//! in the same way, the input's gradient is W·G, and the weight's Σ_n x·Gᵀ, the items in their order.

use candle_core::{CpuStorage, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::kernel::{Float, add_bias, add_product, five_sizes, invalid, matrix, same_dtype, values, with_float, zeros};
use crate::error::Result;

const NAME: &str = "conv_transpose3d";
const TAPS: usize = 8;

/// Doubles the resolution of `x` [N, inputs, D, H, W] with `weight` [inputs, outputs, 2, 2, 2] and adds `bias`
/// \[outputs\]. The result is [N, outputs, 2·D, 2·H, 2·W]. All f32 or all f64, on the CPU.
///
/// The gradients of all arguments are those of the formula above; an argument that tracks no gradient costs nothing.
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for shapes or number types that do not fit,
/// [`Unsupported`](crate::ErrorKind::Unsupported) for a device other than the CPU,
/// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
pub fn conv_transpose3d(x: &Tensor, weight: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let [_, channels, ..] = five_sizes(NAME, "the input", x)?;
    let [inputs, _, kernel @ ..] = five_sizes(NAME, "the weight", weight)?;
    same_dtype(NAME, x, "the weight", weight)?;
    if kernel != [2; 3] {
        return Err(invalid(NAME, format_args!("the kernel is {kernel:?}: give a weight of 2×2×2 taps")));
    }
    if inputs != channels {
        return Err(invalid(NAME, format_args!("the weight takes {inputs} channels but the input has {channels}")));
    }
    add_bias(NAME, &x.contiguous()?.apply_op2(&weight.contiguous()?, Upsampling)?, bias)
}

/// The forward direction.
struct Upsampling;
/// From the result's gradient and the weight to the input's gradient.
struct InputGradient;
/// From the input and the result's gradient to the weight's gradient.
struct WeightGradient;

impl CustomOp2 for Upsampling {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, weight: &CpuStorage, wl: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        with_float!(NAME, x, T => upsample::<T>(x, xl, weight, wl))
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
        let of_weight = weight.track_op().then(|| x.apply_op2_no_bwd(&gradient, &WeightGradient)).transpose()?;
        Ok((of_x, of_weight))
    }
}

impl CustomOp2 for InputGradient {
    fn name(&self) -> &'static str {
        "conv_transpose3d-input-gradient"
    }

    fn cpu_fwd(&self, gradient: &CpuStorage, gl: &Layout, weight: &CpuStorage, wl: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        with_float!(NAME, gradient, T => input_gradient::<T>(gradient, gl, weight, wl))
    }
}

impl CustomOp2 for WeightGradient {
    fn name(&self) -> &'static str {
        "conv_transpose3d-weight-gradient"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, gradient: &CpuStorage, gl: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        with_float!(NAME, x, T => weight_gradient::<T>(x, xl, gradient, gl))
    }
}

fn upsample<T: Float>(
    x: &CpuStorage,
    x_layout: &Layout,
    weight: &CpuStorage,
    weight_layout: &Layout,
) -> candle_core::Result<(CpuStorage, Shape)> {
    let (items, inputs, depth, height, width) = x_layout.shape().dims5()?;
    let outputs = weight_layout.shape().dims5()?.1;
    let (x, weight) = (values::<T>(NAME, x, x_layout)?, values::<T>(NAME, weight, weight_layout)?);
    let (rows, voxels) = (outputs * TAPS, depth * height * width);
    let mut apart = zeros(NAME, items * rows * voxels)?;
    for (sum, x) in apart.chunks_mut(rows * voxels).zip(x.chunks(inputs * voxels)) {
        add_product(sum, matrix(weight, inputs, rows, rows)?.t(), matrix(x, inputs, voxels, voxels)?)?;
    }
    let mut fine = zeros(NAME, apart.len())?;
    fine.par_chunks_mut(TAPS * voxels).zip(apart.par_chunks(TAPS * voxels)).for_each(|(fine, apart)| {
        for (at, line) in fine_lines([depth, height, width]).zip(apart.chunks(width)) {
            for (place, &value) in fine[at..].iter_mut().step_by(2).zip(line) {
                *place = value;
            }
        }
    });
    Ok((T::to_cpu_storage_owned(fine), Shape::from((items, outputs, 2 * depth, 2 * height, 2 * width))))
}

fn input_gradient<T: Float>(
    gradient: &CpuStorage,
    gradient_layout: &Layout,
    weight: &CpuStorage,
    weight_layout: &Layout,
) -> candle_core::Result<(CpuStorage, Shape)> {
    let (items, outputs, depth, height, width) = coarse(gradient_layout)?;
    let inputs = weight_layout.shape().dims5()?.0;
    let weight = values::<T>(NAME, weight, weight_layout)?;
    let (rows, voxels) = (outputs * TAPS, depth * height * width);
    let apart = take_apart(values::<T>(NAME, gradient, gradient_layout)?, [depth, height, width])?;
    let mut result = zeros(NAME, items * inputs * voxels)?;
    for (sum, apart) in result.chunks_mut(inputs * voxels).zip(apart.chunks(rows * voxels)) {
        add_product(sum, matrix(weight, inputs, rows, rows)?, matrix(apart, rows, voxels, voxels)?)?;
    }
    Ok((T::to_cpu_storage_owned(result), Shape::from((items, inputs, depth, height, width))))
}

fn weight_gradient<T: Float>(
    x: &CpuStorage,
    x_layout: &Layout,
    gradient: &CpuStorage,
    gradient_layout: &Layout,
) -> candle_core::Result<(CpuStorage, Shape)> {
    let (_, outputs, depth, height, width) = coarse(gradient_layout)?;
    let inputs = x_layout.shape().dims5()?.1;
    let x = values::<T>(NAME, x, x_layout)?;
    let (rows, voxels) = (outputs * TAPS, depth * height * width);
    let apart = take_apart(values::<T>(NAME, gradient, gradient_layout)?, [depth, height, width])?;
    let mut result = zeros(NAME, inputs * rows)?;
    for (x, apart) in x.chunks(inputs * voxels).zip(apart.chunks(rows * voxels)) {
        add_product(&mut result, matrix(x, inputs, voxels, voxels)?, matrix(apart, rows, voxels, voxels)?.t())?;
    }
    Ok((T::to_cpu_storage_owned(result), Shape::from((inputs, outputs, 2, 2, 2))))
}

/// Items, channels and the coarse sizes of a tensor on the fine grid.
fn coarse(fine: &Layout) -> candle_core::Result<(usize, usize, usize, usize, usize)> {
    let (items, channels, depth, height, width) = fine.shape().dims5()?;
    Ok((items, channels, depth / 2, height / 2, width / 2))
}

/// Fine maps [2·D, 2·H, 2·W] as 8 coarse maps each, one per tap.
fn take_apart<T: Float>(fine: &[T], size: [usize; 3]) -> candle_core::Result<Vec<T>> {
    let map = TAPS * size.iter().product::<usize>();
    let mut apart = zeros(NAME, fine.len())?;
    apart.par_chunks_mut(map).zip(fine.par_chunks(map)).for_each(|(apart, fine)| {
        for (at, line) in fine_lines(size).zip(apart.chunks_mut(size[2])) {
            for (place, &value) in line.iter_mut().zip(fine[at..].iter().step_by(2)) {
                *place = value;
            }
        }
    });
    Ok(apart)
}

/// Where each line of the 8 coarse maps begins on the fine map; its voxels are every other one from there.
fn fine_lines([depth, height, width]: [usize; 3]) -> impl Iterator<Item = usize> {
    (0..TAPS).flat_map(move |tap| {
        let (a, b, c) = (tap / 4, tap / 2 % 2, tap % 2);
        (0..depth).flat_map(move |d| (0..height).map(move |h| ((2 * d + a) * 2 * height + 2 * h + b) * 2 * width + c))
    })
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::super::testing::{assert_gradients, bits, difference, flat, random, strided_copies};
    use super::*;
    use crate::ErrorKind;

    /// The formula, loop by loop, from the output's side.
    fn plain(x: &Tensor, weight: &Tensor, bias: &Tensor) -> Vec<f64> {
        let (n, ci, d, h, w) = x.dims5().unwrap();
        let co = weight.dim(1).unwrap();
        let (x, weight, bias) = (flat(x), flat(weight), flat(bias));
        let mut result = Vec::new();
        for n in 0..n {
            for o in 0..co {
                for (z, y, c) in (0..8 * d * h * w).map(|i| (i / (4 * h * w), i / (2 * w) % (2 * h), i % (2 * w))) {
                    let tap = z % 2 * 4 + y % 2 * 2 + c % 2;
                    let product = |i| weight[(i * co + o) * 8 + tap] * x[(((n * ci + i) * d + z / 2) * h + y / 2) * w + c / 2];
                    result.push(bias[o] + (0..ci).map(product).sum::<f64>());
                }
            }
        }
        result
    }

    #[test]
    fn agrees_with_the_plain_loop_for_odd_sizes_and_channels() {
        for (n, ci, co, [d, h, w]) in [(1, 1, 1, [1, 1, 1]), (2, 4, 3, [2, 3, 5]), (2, 5, 1, [4, 4, 4]), (1, 2, 9, [3, 1, 2])] {
            for (dtype, bound) in [(DType::F32, 1e-6), (DType::F64, 1e-14)] {
                let x = random((n, ci, d, h, w), 1, dtype);
                let weight = random((ci, co, 2, 2, 2), 2, dtype);
                let bias = random(co, 3, dtype);
                let result = conv_transpose3d(&x, &weight, Some(&bias)).unwrap();
                assert_eq!((result.dims(), result.dtype()), ([n, co, 2 * d, 2 * h, 2 * w].as_slice(), dtype));
                let error = difference(&flat(&result), &plain(&x, &weight, &bias));
                assert!(error < bound, "{n} items of {ci}→{co} channels, {d}×{h}×{w}, {dtype:?}: {error:e}");
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for (n, ci, co, [d, h, w]) in [(2, 2, 3, [2, 1, 3]), (1, 1, 1, [1, 1, 1]), (2, 3, 1, [1, 3, 2])] {
            let inputs = [random((n, ci, d, h, w), 4, DType::F64), random((ci, co, 2, 2, 2), 5, DType::F64), random(co, 6, DType::F64)];
            assert_gradients(&inputs, |t| conv_transpose3d(&t[0], &t[1], Some(&t[2])));
        }
    }

    #[test]
    fn strided_arguments_give_what_their_contiguous_copies_give() {
        let (x, weight) = (random((2, 3, 4, 5, 2), 7, DType::F32), random((3, 2, 2, 2, 2), 8, DType::F32));
        let expected = bits(&conv_transpose3d(&x, &weight, None).unwrap());
        for x in strided_copies(&x) {
            for weight in strided_copies(&weight) {
                assert_eq!(bits(&conv_transpose3d(&x, &weight, None).unwrap()), expected);
            }
        }
    }

    #[test]
    fn the_number_of_threads_changes_no_bit_of_result_or_gradients() {
        let run = || {
            // 13·8 rows and 70 input channels: more than one task in each direction.
            let x = Var::from_tensor(&random((2, 70, 3, 7, 5), 9, DType::F32)).unwrap();
            let weight = Var::from_tensor(&random((70, 13, 2, 2, 2), 10, DType::F32)).unwrap();
            let y = conv_transpose3d(&x, &weight, None).unwrap();
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
            (zeros(&[3, 2, 2, 2, 2], DType::F32), None, "3 channels"),
            (zeros(&[2, 4, 3, 3, 3], DType::F32), None, "[3, 3, 3]"),
            (zeros(&[2, 4, 2, 2], DType::F32), None, "[2, 4, 2, 2]"),
            (zeros(&[2, 4, 2, 2, 2], DType::F64), None, "F64"),
            (zeros(&[2, 4, 2, 2, 2], DType::F32), Some(zeros(&[2], DType::F32)), "4 output channels"),
        ];
        for (weight, bias, names) in cases {
            let error = conv_transpose3d(&x, &weight, bias.as_ref()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
            assert!(error.message().contains(names), "{error}");
        }
    }
}
