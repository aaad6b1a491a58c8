//! What the kernels share: the number types, the way into candle's storage, the checks, one matrix product.

use candle_core::backend::BackendStorage;
use candle_core::{CpuStorage, DType, Layout, Tensor, WithDType};
use ndarray::linalg::general_mat_mul;
use ndarray::{ArrayView2, ArrayViewMut2, Axis, LinalgScalar, ShapeBuilder};
use rayon::prelude::*;

use crate::error::{Error, ErrorKind, Result, try_vec};

/// What the kernels compute in: f32, and f64 for checks.
pub(super) trait Float: WithDType + LinalgScalar {}

impl Float for f32 {}
impl Float for f64 {}

/// Calls a generic function with the number type of a storage.
macro_rules! with_float {
    ($name:expr, $storage:expr, $T:ident => $call:expr) => {
        match candle_core::backend::BackendStorage::dtype($storage) {
            candle_core::DType::F32 => {
                type $T = f32;
                $call
            }
            candle_core::DType::F64 => {
                type $T = f64;
                $call
            }
            other => Err(candle_core::Error::UnsupportedDTypeForOp(other, $name).bt()),
        }
    };
}
pub(super) use with_float;

/// The values of a contiguous tensor, wherever in its storage they start.
pub(super) fn values<'a, T: Float>(name: &'static str, storage: &'a CpuStorage, layout: &Layout) -> candle_core::Result<&'a [T]> {
    let (start, end) = layout.contiguous_offsets().ok_or(candle_core::Error::RequiresContiguous { op: name })?;
    if storage.dtype() != T::DTYPE {
        return Err(candle_core::Error::DTypeMismatchBinaryOp { lhs: T::DTYPE, rhs: storage.dtype(), op: name }.bt());
    }
    let all = T::cpu_storage_as_slice(storage)?;
    all.get(start..end).ok_or_else(|| candle_core::Error::Msg(format!("{name}: a tensor's layout exceeds its storage")).bt())
}

/// Packs an error of ours into candle's, so that `Error::from` finds it again.
pub(super) fn through_candle(name: &'static str) -> impl Fn(Error) -> candle_core::Error {
    move |error| candle_core::Error::WrappedContext { wrapped: Box::new(error), context: name.to_owned() }
}

/// An error about an argument of the operation `name`.
pub(super) fn invalid(name: &str, message: std::fmt::Arguments<'_>) -> Error {
    Error::new(ErrorKind::InvalidArgument, format!("{name}: {message}"))
}

/// The five sizes of an argument that has none of them 0, is f32 or f64, and lies on the CPU.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`], or [`ErrorKind::Unsupported`] for another device.
pub(super) fn five_sizes(name: &str, argument: &str, tensor: &Tensor) -> Result<[usize; 5]> {
    if !tensor.device().is_cpu() {
        let device = tensor.device().location();
        return Err(Error::new(ErrorKind::Unsupported, format!("{name} has no kernel for {device:?}: move {argument} to the CPU")));
    }
    if !matches!(tensor.dtype(), DType::F32 | DType::F64) {
        return Err(invalid(name, format_args!("{argument} is {:?}: convert it to f32 or f64", tensor.dtype())));
    }
    match *tensor.dims() {
        [a, b, c, d, e] if ![a, b, c, d, e].contains(&0) => Ok([a, b, c, d, e]),
        ref dims => Err(invalid(name, format_args!("{argument} has the shape {dims:?}: give it five sizes, none of them 0"))),
    }
}

/// That `other` computes in the same numbers as `x`.
pub(super) fn same_dtype(name: &str, x: &Tensor, argument: &str, other: &Tensor) -> Result<()> {
    if x.dtype() == other.dtype() {
        return Ok(());
    }
    Err(invalid(name, format_args!("the input is {:?} but {argument} is {:?}: convert one of them", x.dtype(), other.dtype())))
}

/// `x + bias`, a bias per channel; checked.
pub(super) fn add_bias(name: &str, x: &Tensor, bias: Option<&Tensor>) -> Result<Tensor> {
    let Some(bias) = bias else { return Ok(x.clone()) };
    let channels = x.dim(1)?;
    same_dtype(name, x, "the bias", bias)?;
    if bias.dims() != [channels] {
        return Err(invalid(
            name,
            format_args!("the bias has the shape {:?}: give it one value for each of {channels} output channels", bias.dims()),
        ));
    }
    Ok(x.broadcast_add(&bias.reshape((1, channels, 1, 1, 1))?)?)
}

/// A matrix in a slice: `rows` rows of `columns` values, the rows `stride` values apart.
pub(super) fn matrix<T>(values: &[T], rows: usize, columns: usize, stride: usize) -> candle_core::Result<ArrayView2<'_, T>> {
    ArrayView2::from_shape((rows, columns).strides((stride, 1)), values).map_err(candle_core::Error::wrap)
}

/// As [`matrix`], to write to, the rows directly behind one another.
pub(super) fn matrix_mut<T>(values: &mut [T], rows: usize, columns: usize) -> candle_core::Result<ArrayViewMut2<'_, T>> {
    ArrayViewMut2::from_shape((rows, columns), values).map_err(candle_core::Error::wrap)
}

/// sum += a · b, the sum row major: a fixed number of rows per task, so that threads change nothing in the result.
pub(super) fn add_product<T: Float>(sum: &mut [T], a: ArrayView2<'_, T>, b: ArrayView2<'_, T>) -> candle_core::Result<()> {
    const ROWS: usize = 64;
    let columns = b.ncols();
    sum.par_chunks_mut(ROWS * columns).zip(a.axis_chunks_iter(Axis(0), ROWS).collect::<Vec<_>>()).try_for_each(|(sum, a)| {
        general_mat_mul(T::one(), &a, &b, T::one(), &mut matrix_mut(sum, a.nrows(), columns)?);
        Ok(())
    })
}

/// Zeros for a result or an intermediate of `name`.
pub(super) fn zeros<T: Float>(name: &'static str, len: usize) -> candle_core::Result<Vec<T>> {
    try_vec(T::zero(), len, "a tensor").map_err(through_candle(name))
}
