//! The network in training: forward and backward over a batch of windows on the engine's kernels, in memory taken once.
//!
//! The arithmetic is that of `ops::unet3d` with batch statistics, and its gradients are tested against candle's automatic ones
//! there. Automatic differentiation is not used here, because candle allocates and clears every gradient, one thread at a
//! time. Feature maps lie as `plan.rs` says, so that a convolution, its input's gradient (a convolution with the kernel
//! turned around) and its weights' (a correlation) all are kernels of the engine. Nothing depends on the number of threads.

mod draft;
mod parameters;
mod pointwise;
mod state;
#[cfg(test)]
mod tests;

use std::sync::Mutex;

use self::draft::Draft;
pub use self::parameters::Parameters;
use self::pointwise::Moments;
use self::state::State;
use super::convolution::Convolution;
use super::executor::{Executor, Scratch};
use super::kernels::{Block, Kernels, Source};
use crate::engine::fold::Layer;
use crate::engine::plan::Place;
use crate::error::{Result, try_reserve, try_vec};
use crate::float_state::FloatState;
use crate::model::{Config, Norm};
use crate::threads::Pool;

/// A feature map of a batch, one window after the other, and its gradient.
#[derive(Debug)]
struct Map {
    place: Place,
    values: Vec<Block>,
    gradient: Vec<Block>,
}

impl Map {
    fn new(channels: usize, shape: [usize; 3], windows: usize) -> Result<Map> {
        let place = Place { offset: 0, channels, shape, windows: 1 };
        let take = |what| try_vec(Block::default(), windows.saturating_mul(place.len()), what);
        Ok(Map { place, values: take("a feature map")?, gradient: take("the gradient of a feature map")? })
    }

    fn source(&self) -> Source<'_> {
        Source { blocks: &self.values, place: self.place }
    }
}

/// A layer's tensors, as indices into [`Parameters`].
#[derive(Clone, Copy, Debug)]
struct Affine {
    weight: usize,
    bias: usize,
}

/// A batch normalization: what it reads, and what it takes from the last batch.
#[derive(Debug)]
struct Normalized {
    /// The map before it.
    raw: usize,
    /// The first of its four tensors: scale, shift, running mean, running variance.
    tensors: usize,
    moments: Moments,
}

/// A convolution's weights as its kernels read them, from the first batch on: for the way forward, and for the way back to
/// each of its sources.
#[derive(Debug, Default)]
struct Packed {
    forward: Option<Convolution>,
    back: [Option<Convolution>; 2],
}

/// A step of the forward pass. Maps are indices into the state's.
#[derive(Debug)]
enum Step {
    /// 3×3×3 convolution of the window itself or of one or two maps, normalization if there is one, activation.
    Convolution { sources: Option<[Option<usize>; 2]>, output: usize, layer: Affine, norm: Option<Normalized>, packed: Box<Packed> },
    /// 2×2×2 maxima.
    Pool { input: usize, output: usize },
    /// 2×2×2 transposed convolution.
    Upsample { input: usize, output: usize, layer: Affine },
    /// 1×1×1 convolution to the classes, softmax.
    Head { input: usize, layer: Affine },
}

/// A network that can be trained: its parameters, their gradients, and the memory for a batch.
#[derive(Debug)]
pub struct TrainingNetwork {
    steps: Vec<Step>,
    state: State,
    kernels: &'static Kernels,
    pool: Pool,
    /// One per thread.
    scratch: Vec<Scratch>,
}

impl TrainingNetwork {
    /// Takes the memory for batches of so many windows of the model's size.
    ///
    /// # Errors
    /// [`InvalidModel`](crate::ErrorKind::InvalidModel) if `parameters` are not those of the configuration;
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory); [`Thread`](crate::ErrorKind::Thread).
    pub fn new(config: &Config, parameters: Parameters, batch: usize, threads: usize) -> Result<TrainingNetwork> {
        Self::with_kernels(config, parameters, batch, threads, Kernels::best())
    }

    /// As [`new`](Self::new), with the kernels of one's choice.
    ///
    /// # Errors
    /// As [`new`](Self::new).
    pub fn with_kernels(
        config: &Config,
        parameters: Parameters,
        batch: usize,
        threads: usize,
        kernels: &'static Kernels,
    ) -> Result<TrainingNetwork> {
        let Draft { steps, maps, scratch: blocks, .. } = Draft::new(config, &parameters, batch)?;
        let Norm::Batch { eps, .. } = config.architecture.norm;
        let (window, classes) = (config.window.size, config.labels.len());
        let mut scratch: Vec<Scratch> = Vec::new();
        try_reserve(&mut scratch, threads, "scratch memory")?;
        for _ in 0..threads {
            scratch.push(Mutex::new(try_vec(Block::default(), blocks, "scratch memory")?).into());
        }
        let mut state = State {
            window,
            classes,
            eps,
            maps,
            gradients: parameters.zeros()?,
            parameters,
            voxels: try_vec(0.0, batch * window.map(|n| n + 2).iter().product::<usize>(), "a batch")?,
            logits: try_vec(0.0, batch * classes * window.iter().product::<usize>(), "a batch's logits")?,
            partial: Vec::new(),
            layer: Layer::default(),
        };
        let partial = steps.iter().map(|step| state.partial_sums(step)).max().unwrap_or(0);
        state.partial = try_vec(Block::default(), partial, "sums of gradients")?;
        Ok(TrainingNetwork { steps, state, kernels, pool: Pool::new(threads, None)?, scratch })
    }

    /// The parameters.
    pub fn parameters(&self) -> &Parameters {
        &self.state.parameters
    }

    /// The gradients of the last [`step`](Self::step), tensor by tensor; those of running statistics are 0.
    pub fn gradients(&self) -> &[Vec<f32>] {
        &self.state.gradients
    }

    /// The parameters, to change, with the gradients of the last [`step`](Self::step).
    pub fn parameters_and_gradients(&mut self) -> (&mut Parameters, &[Vec<f32>]) {
        (&mut self.state.parameters, &self.state.gradients)
    }

    /// Forward, loss and backward over a batch. `voxels` are whitened, `[window][D][H][W]`. `loss` is handed the probabilities,
    /// `[window][D][class][H][W]`, turns them into its gradient by the *logits*, and says the loss. Running statistics
    /// follow the batch's.
    ///
    /// # Errors
    /// [`InvalidArgument`](crate::ErrorKind::InvalidArgument) for voxels that are no batch; whatever `loss` returns;
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn step<T>(&mut self, voxels: &[f32], loss: impl FnOnce(&mut [f32]) -> Result<T>) -> Result<T> {
        let _float_state = FloatState::default_for_scope();
        let TrainingNetwork { steps, state, kernels, pool, scratch } = self;
        let executor = Executor { kernels, pool: Some(pool), scratch, check: &|| Ok(()), observe: None };
        state.set_voxels(voxels)?;
        for step in steps.iter_mut() {
            state.forward(&executor, step)?;
        }
        let loss = loss(&mut state.logits)?;
        for step in steps.iter_mut().rev() {
            state.backward(&executor, step)?;
        }
        Ok(loss)
    }
}
