//! A 3×3×3 convolution by whichever method is fastest for its size.

use super::executor::Executor;
use super::kernels::{Block, PackedConvolution, PackedWinograd, Source, convolve, convolve_winograd, max_pool};
use super::method::Method;
use crate::engine::fold::Layer;
use crate::engine::plan::Place;
use crate::error::Result;

/// A convolution's weights, packed for the method that computes it.
#[derive(Debug)]
pub enum Convolution {
    /// By the formula.
    Direct(PackedConvolution),
    /// With fewer products.
    Winograd(PackedWinograd),
}

impl Convolution {
    /// Packs the weights of a convolution whose input comes from two places with this many channels each.
    ///
    /// # Errors
    /// [`InvalidModel`](crate::ErrorKind::InvalidModel) if the layer has another shape;
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn new(layer: &Layer, method: Method, inputs: [usize; 2], outputs: usize) -> Result<Self> {
        Ok(match method {
            Method::Direct => Convolution::Direct(PackedConvolution::new(layer, inputs, outputs)?),
            Method::Winograd(tile) => Convolution::Winograd(PackedWinograd::new(layer, tile, inputs, outputs)?),
        })
    }

    /// The same without activation, for training.
    #[cfg(feature = "trainer")]
    #[must_use]
    pub fn linear(self) -> Self {
        match self {
            Convolution::Direct(weights) => Convolution::Direct(weights.linear()),
            Convolution::Winograd(weights) => Convolution::Winograd(weights.linear()),
        }
    }

    /// Packs other weights of the same shape; Winograd's in the same memory and on all threads.
    ///
    /// # Errors
    /// As [`new`](Self::new), and whatever the executor's `check` returns.
    #[cfg(feature = "trainer")]
    pub fn repack(&mut self, executor: &Executor<'_>, layer: &Layer) -> Result<()> {
        match self {
            Convolution::Direct(weights) => weights.repack(layer),
            Convolution::Winograd(weights) => weights.repack(executor, layer),
        }
    }

    /// Bytes that the fastest method takes for a convolution of so many voxels, D, H, W, and channels.
    pub fn bytes(shape: [usize; 3], inputs: [usize; 2], outputs: usize) -> usize {
        match Method::fastest(shape, inputs, outputs) {
            Method::Direct => PackedConvolution::bytes(inputs[0] + inputs[1], outputs),
            Method::Winograd(tile) => PackedWinograd::bytes(tile, inputs, outputs),
        }
    }

    /// Blocks of scratch memory that the fastest method takes per thread.
    pub fn scratch_blocks(shape: [usize; 3], inputs: [usize; 2], outputs: usize) -> usize {
        match Method::fastest(shape, inputs, outputs) {
            Method::Direct => 0,
            Method::Winograd(tile) => PackedWinograd::scratch(tile, inputs, outputs),
        }
    }

    /// The method's name: "direct" or Winograd's tile.
    pub fn method(&self) -> String {
        match self {
            Convolution::Direct(_) => "direct".into(),
            Convolution::Winograd(weights) => format!("F({})", weights.tile().outputs().map(|n| n.to_string()).join("×")),
        }
    }

    /// Convolves one or two feature maps, taken as one after the other, into `output`, and its 2×2×2 maxima into `pooled`.
    ///
    /// # Errors
    /// Whatever the executor's `check` returns. Then `output` is half written.
    ///
    /// # Panics
    /// If a slice is not as long as its places, or places and weights differ in shape.
    pub fn convolve(
        &self,
        executor: &Executor<'_>,
        sources: [Option<Source<'_>>; 2],
        output: &mut [Block],
        place: &Place,
        pooled: Option<(&mut [Block], &Place)>,
    ) -> Result<()> {
        match self {
            Convolution::Direct(weights) => {
                convolve(executor, sources, weights, output, place)?;
                pooled.map_or(Ok(()), |(maxima, to)| max_pool(executor, output, place, maxima, to))
            }
            Convolution::Winograd(weights) => convolve_winograd(executor, sources, weights, output, place, pooled),
        }
    }
}
