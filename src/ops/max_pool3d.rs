//! 2×2×2 max pooling with stride 2: the way to the next coarser level.
//!
//! y[n,c,d,h,w] = max over a, b, c' ∈ {0, 1} of x[n,c,2d+a,2h+b,2w+c'].
//!
//! The gradient goes to one voxel of the eight: the first maximum in scan order (d, then h, then w), which is PyTorch's
//! rule. Ties are the rule rather than the exception, because the zeros behind a ReLU tie. A NaN counts as the maximum.

use candle_core::{CpuStorage, CustomOp1, CustomOp2, Layout, Shape, Tensor};
use rayon::prelude::*;

use super::kernel::{Float, five_sizes, invalid, values, with_float, zeros};
use crate::error::Result;

const NAME: &str = "max_pool3d";

/// Halves the resolution of `x` [N, C, D, H, W], f32 or f64, on the CPU, by the maximum of each 2×2×2 voxels. The
/// result is [N, C, D/2, H/2, W/2].
///
/// # Errors
/// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for another shape or number type, odd sizes among them (no
/// voxel is dropped silently); [`Unsupported`](crate::ErrorKind::Unsupported) for a device other than the CPU;
/// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
pub fn max_pool3d(x: &Tensor) -> Result<Tensor> {
    let [_, _, size @ ..] = five_sizes(NAME, "the input", x)?;
    if size.iter().any(|size| size % 2 != 0) {
        return Err(invalid(NAME, format_args!("a volume of {size:?} voxels cannot be halved: pad it to even sizes")));
    }
    Ok(x.contiguous()?.apply_op1(MaxPool)?)
}

/// The forward direction.
struct MaxPool;
/// From the input and the result's gradient to the input's gradient.
struct InputGradient;

impl CustomOp1 for MaxPool {
    fn name(&self) -> &'static str {
        NAME
    }

    fn cpu_fwd(&self, x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        with_float!(NAME, x, T => pool::<T>(x, layout))
    }

    fn bwd(&self, x: &Tensor, _result: &Tensor, gradient: &Tensor) -> candle_core::Result<Option<Tensor>> {
        x.track_op().then(|| x.apply_op2_no_bwd(&gradient.contiguous()?, &InputGradient)).transpose()
    }
}

impl CustomOp2 for InputGradient {
    fn name(&self) -> &'static str {
        "max_pool3d-gradient"
    }

    fn cpu_fwd(&self, x: &CpuStorage, xl: &Layout, gradient: &CpuStorage, gl: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
        with_float!(NAME, x, T => unpool::<T>(x, xl, gradient, gl))
    }
}

fn pool<T: Float>(x: &CpuStorage, layout: &Layout) -> candle_core::Result<(CpuStorage, Shape)> {
    let (items, channels, depth, height, width) = layout.shape().dims5()?;
    let x = values::<T>(NAME, x, layout)?;
    let size = [depth / 2, height / 2, width / 2];
    let [d, h, w] = size;
    let mut result = zeros::<T>(NAME, x.len() / 8)?;
    result.par_chunks_mut(d * h * w).zip(x.par_chunks(8 * d * h * w)).for_each(|(result, x)| {
        for (place, first) in result.iter_mut().zip(windows(size)) {
            *place = first_maximum(x, first, size).1;
        }
    });
    Ok((T::to_cpu_storage_owned(result), Shape::from((items, channels, d, h, w))))
}

fn unpool<T: Float>(
    x: &CpuStorage,
    x_layout: &Layout,
    gradient: &CpuStorage,
    gradient_layout: &Layout,
) -> candle_core::Result<(CpuStorage, Shape)> {
    let (_, _, d, h, w) = gradient_layout.shape().dims5()?;
    let (x, gradient) = (values::<T>(NAME, x, x_layout)?, values::<T>(NAME, gradient, gradient_layout)?);
    let (size, voxels) = ([d, h, w], d * h * w);
    let mut result = zeros::<T>(NAME, x.len())?;
    let maps = result.par_chunks_mut(8 * voxels).zip(x.par_chunks(8 * voxels)).zip(gradient.par_chunks(voxels));
    maps.for_each(|((result, x), gradient)| {
        for (&gradient, first) in gradient.iter().zip(windows(size)) {
            result[first_maximum(x, first, size).0] = gradient;
        }
    });
    Ok((T::to_cpu_storage_owned(result), x_layout.shape().clone()))
}

/// Where the 2×2×2 voxels of each voxel of the coarse map begin on the fine map.
fn windows([depth, height, width]: [usize; 3]) -> impl Iterator<Item = usize> {
    (0..depth).flat_map(move |d| (0..height).flat_map(move |h| (0..width).map(move |w| ((2 * d * 2 * height) + 2 * h) * 2 * width + 2 * w)))
}

/// Place and value of the first maximum of the 2×2×2 voxels that begin at `first`; `size` is the coarse map's.
#[inline]
fn first_maximum<T: Float>(x: &[T], first: usize, [_, height, width]: [usize; 3]) -> (usize, T) {
    let (line, plane) = (2 * width, 4 * height * width);
    let mut best = (first, x[first]);
    for offset in [1, line, line + 1, plane, plane + 1, plane + line, plane + line + 1] {
        let value = x[first + offset];
        // The first NaN wins.
        #[expect(clippy::eq_op, reason = "a NaN is the only value unequal to itself")]
        if value > best.1 || (value != value && best.1 == best.1) {
            best = (first + offset, value);
        }
    }
    best
}

#[cfg(test)]
mod tests {
    use candle_core::{DType, Device, Var};

    use super::super::testing::{assert_gradients, bits, flat, random, strided_copies};
    use super::*;
    use crate::ErrorKind;

    fn gradient_of_sum(x: Vec<f32>) -> Vec<f64> {
        let x = Var::from_vec(x, (1, 1, 2, 2, 2), &Device::Cpu).unwrap();
        flat(max_pool3d(&x).unwrap().sum_all().unwrap().backward().unwrap().get(&x).unwrap())
    }

    #[test]
    fn agrees_with_the_plain_loop() {
        for (n, c, [d, h, w]) in [(1, 1, [1, 1, 1]), (2, 3, [2, 3, 5]), (2, 5, [4, 1, 2])] {
            for dtype in [DType::F32, DType::F64] {
                let tensor = random((n, c, 2 * d, 2 * h, 2 * w), 1, dtype);
                let x = flat(&tensor);
                let mut expected = Vec::new();
                for (map, z, y, v) in (0..n * c * d * h * w).map(|i| (i / (d * h * w), i / (h * w) % d, i / w % h, i % w)) {
                    let value = |tap: usize| {
                        let (z, y, v) = (2 * z + tap / 4, 2 * y + tap / 2 % 2, 2 * v + tap % 2);
                        x[((map * 2 * d + z) * 2 * h + y) * 2 * w + v]
                    };
                    expected.push((0..8).map(value).fold(f64::NEG_INFINITY, f64::max));
                }
                let result = max_pool3d(&tensor).unwrap();
                assert_eq!((result.dims(), result.dtype()), ([n, c, d, h, w].as_slice(), dtype));
                assert_eq!(flat(&result), expected);
            }
        }
    }

    #[test]
    fn gradients_agree_with_finite_differences() {
        for shape in [(2, 2, 2, 4, 6), (1, 1, 2, 2, 2), (1, 3, 4, 2, 2)] {
            assert_gradients(&[random(shape, 2, DType::F64)], |t| max_pool3d(&t[0]));
        }
    }

    #[test]
    fn among_equals_the_first_in_scan_order_gets_the_whole_gradient() {
        assert_eq!(gradient_of_sum(vec![0.0; 8]), [1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
        assert_eq!(gradient_of_sum(vec![0.0, 1.0, 3.0, 2.0, 3.0, 3.0, -1.0, 3.0]), [0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.0, 0.0]);
    }

    #[test]
    fn a_nan_is_the_maximum_wherever_it_stands() {
        for place in 0..8 {
            let mut x = vec![1.0_f32; 8];
            x[place] = f32::NAN;
            let pooled = max_pool3d(&Tensor::from_vec(x.clone(), (1, 1, 2, 2, 2), &Device::Cpu).unwrap()).unwrap();
            assert!(flat(&pooled)[0].is_nan());
            assert_eq!(gradient_of_sum(x)[place], 1.0);
        }
    }

    #[test]
    fn strided_arguments_give_what_their_contiguous_copies_give() {
        let x = random((2, 3, 4, 6, 2), 3, DType::F32);
        let expected = bits(&max_pool3d(&x).unwrap());
        for x in strided_copies(&x) {
            assert_eq!(bits(&max_pool3d(&x).unwrap()), expected);
        }
    }

    #[test]
    fn odd_sizes_and_other_shapes_are_refused() {
        for shape in [&[1, 1, 2, 3, 2][..], &[1, 1, 1, 1, 1], &[1, 2, 2, 2], &[0, 1, 2, 2, 2]] {
            let error = max_pool3d(&Tensor::zeros(shape, DType::F32, &Device::Cpu).unwrap()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::InvalidArgument);
        }
        let error = max_pool3d(&Tensor::zeros((1, 1, 2, 2, 2), DType::U8, &Device::Cpu).unwrap()).unwrap_err();
        assert!(error.message().contains("U8"), "{error}");
    }
}
