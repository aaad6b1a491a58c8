//! The network's layers as candle operations with gradients: for training, and as the reference of the engines.
//!
//! candle 0.11 has no 3D convolution, pooling or transposed convolution on any device. They stand here as custom
//! operations on the CPU, one per file: formula, kernel, public function, tests. f32 and f64; any layout of the
//! arguments (a strided one is copied first). Every sum has one fixed order, so results do not depend on the number of
//! threads or the run.
//!
//! All return this crate's [`Result`](crate::Result). An error of candle becomes an [`Error`] by `?`; inside candle
//! (a `backward`) an error of ours travels wrapped, and comes out again with its own kind.

mod conv3d;
mod conv_transpose3d;
mod kernel;
mod max_pool3d;
#[cfg(test)]
mod testing;
pub mod unet3d;

pub use conv_transpose3d::conv_transpose3d;
pub use conv3d::conv3d;
pub use max_pool3d::max_pool3d;

use crate::error::{Error, ErrorKind};

impl From<candle_core::Error> for Error {
    /// What candle refuses is an argument it cannot take, unless a device failed or was not built in.
    fn from(error: candle_core::Error) -> Self {
        use candle_core::Error as Candle;
        match error {
            Candle::WithBacktrace { inner, .. } => Error::from(*inner),
            Candle::Context { inner, context } => Error::from(*inner).context(context),
            Candle::WrappedContext { wrapped, context } => match wrapped.downcast::<Error>() {
                Ok(ours) => ours.context(context),
                Err(other) => Error::new(ErrorKind::InvalidArgument, format!("{context}: {other}")),
            },
            Candle::Io(error) => Error::new(ErrorKind::Io, format!("reading or writing a tensor failed: {error}")),
            Candle::NotCompiledWithCudaSupport | Candle::NotCompiledWithMetalSupport => {
                Error::new(ErrorKind::Unsupported, format!("{error}; use the CPU"))
            }
            Candle::Cuda(_) | Candle::Metal(_) => Error::new(ErrorKind::DeviceFailed, format!("the device failed: {error}")),
            other => Error::new(ErrorKind::InvalidArgument, format!("a tensor operation refused its arguments: {other}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use candle_core::{Device, Tensor};

    use super::*;

    #[test]
    fn an_error_of_ours_keeps_its_kind_and_message_on_its_way_through_candle() {
        let ours = Error::out_of_memory("a test", 12);
        let back = Error::from(kernel::through_candle("conv3d")(ours.clone()).context("backward"));
        assert_eq!(back.kind(), ErrorKind::OutOfMemory);
        assert_eq!(back.message(), format!("backward: conv3d: {}", ours.message()));
    }

    #[test]
    fn a_mistake_in_shapes_that_candle_finds_is_an_invalid_argument() {
        let a = Tensor::zeros((2, 3), candle_core::DType::F32, &Device::Cpu).unwrap();
        assert_eq!(Error::from(a.matmul(&a).unwrap_err()).kind(), ErrorKind::InvalidArgument);
    }

    #[test]
    fn a_device_that_is_not_built_in_is_unsupported() {
        assert_eq!(Error::from(candle_core::Error::NotCompiledWithCudaSupport).kind(), ErrorKind::Unsupported);
    }
}
