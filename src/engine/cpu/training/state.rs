//! The steps of a network in training, forward and backward.

use super::pointwise::{Moments, Normalization, activate_back, head_back, moments, normalize, normalize_back, pool_back, sum_gradient};
use super::{Affine, Map, Normalized, Parameters, Step};
use crate::engine::cpu::convolution::Convolution;
use crate::engine::cpu::executor::Executor;
use crate::engine::cpu::kernels::{
    Block, Correlation, PackedConvolution, PackedDownsample, PackedHead, PackedUpsample, Source, Window, downsample, head, max_pool, stem,
    upsample,
};
use crate::engine::cpu::method::Method;
use crate::engine::fold::Layer;
use crate::error::{Error, ErrorKind, Result, try_reserve};

/// The share of a batch's statistics in the running ones (method.md 5; 0.99 in Keras' terms).
const MOMENTUM: f64 = 0.01;

/// Everything that steps read and write.
#[derive(Debug)]
pub(super) struct State {
    /// Voxels of the window, D, H, W.
    pub window: [usize; 3],
    pub classes: usize,
    /// ε of batch normalization.
    pub eps: f64,
    pub maps: Vec<Map>,
    pub parameters: Parameters,
    pub gradients: Vec<Vec<f32>>,
    /// The batch's voxels, each window with a border of zeros.
    pub voxels: Vec<f32>,
    /// Probabilities, then the gradients of the logits: `[window][D][class][H][W]`.
    pub logits: Vec<f32>,
    /// Memory for the sums of weights' gradients.
    pub partial: Vec<Block>,
    /// Memory for the weights of a layer.
    pub layer: Layer,
}

impl State {
    /// Numbers of a window with its border.
    fn bordered(&self) -> usize {
        self.window.map(|n| n + 2).iter().product()
    }

    /// Copies the voxels of a batch into the windows with borders.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for another number of voxels.
    pub fn set_voxels(&mut self, voxels: &[f32]) -> Result<()> {
        let [depth, height, width] = self.window;
        let (bordered, expected) = (self.bordered(), self.voxels.len() / self.bordered() * depth * height * width);
        if voxels.len() != expected {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("a batch of {} voxels: this network takes {expected}", voxels.len()),
            ));
        }
        for (row, voxels) in voxels.chunks_exact(width).enumerate() {
            let (window, d, h) = (row / (depth * height), row / height % depth, row % height);
            let at = window * bordered + ((d + 1) * (height + 2) + h + 1) * (width + 2) + 1;
            self.voxels[at..at + width].copy_from_slice(voxels);
        }
        Ok(())
    }

    pub fn forward(&mut self, executor: &Executor<'_>, step: &mut Step) -> Result<()> {
        match step {
            Step::Convolution { sources, output, layer, norm, packed } => {
                let to = norm.as_ref().map_or(*output, |norm| norm.raw);
                self.convolve(executor, *sources, to, *layer, norm.is_some(), &mut packed.forward)?;
                norm.as_mut().map_or(Ok(()), |norm| self.normalize(executor, norm, *output))
            }
            Step::Pool { input, output } => {
                let [input, output] = disjoint(&mut self.maps, [*input, *output])?;
                max_pool(executor, &input.values, &input.place, &mut output.values, &output.place)
            }
            Step::Upsample { input, output, layer } => {
                let [input, output] = disjoint(&mut self.maps, [*input, *output])?;
                let weights =
                    PackedUpsample::new(tensors(&self.parameters, *layer, &mut self.layer)?, input.place.channels, output.place.channels)?;
                upsample(executor, &input.values, &input.place, &weights, &mut output.values, &output.place)
            }
            Step::Head { input, layer } => {
                let Map { place, values, .. } = &self.maps[*input];
                let weights = PackedHead::new(tensors(&self.parameters, *layer, &mut self.layer)?, place.channels, self.classes)?;
                let per_window = self.classes * self.window.iter().product::<usize>();
                let windows = values.chunks_exact(place.len()).zip(self.logits.chunks_exact_mut(per_window));
                windows.into_iter().try_for_each(|(values, logits)| head(executor, values, place, &weights, logits))
            }
        }
    }

    /// A 3×3×3 convolution; linear where a normalization stands before its activation.
    fn convolve(
        &mut self,
        executor: &Executor<'_>,
        sources: Option<[Option<usize>; 2]>,
        to: usize,
        layer: Affine,
        linear: bool,
        packed: &mut Option<Convolution>,
    ) -> Result<()> {
        let (bordered, window) = (self.bordered(), self.window);
        let layer = tensors(&self.parameters, layer, &mut self.layer)?;
        let Some([first, second]) = sources else {
            let Map { place, values, .. } = &mut self.maps[to];
            let weights = PackedConvolution::new(layer, [1, 0], place.channels)?;
            let weights = if linear { weights.linear() } else { weights };
            let windows = values.chunks_exact_mut(place.len()).zip(self.voxels.chunks_exact(bordered));
            return windows
                .into_iter()
                .try_for_each(|(values, voxels)| stem(executor, Window { voxels, shape: window }, &weights, values, place));
        };
        let (output, sources) = match (first, second) {
            (Some(first), Some(second)) => {
                let [output, first, second] = disjoint(&mut self.maps, [to, first, second])?;
                (output, [Some(first.source()), Some(second.source())])
            }
            (Some(first), None) | (None, Some(first)) => {
                let [output, first] = disjoint(&mut self.maps, [to, first])?;
                (output, [Some(first.source()), None])
            }
            (None, None) => return Err(defect()),
        };
        let inputs = sources.map(|source| source.map_or(0, |source| source.place.channels));
        let (shape, channels) = (output.place.shape, output.place.channels);
        pack(packed, executor, layer, shape, inputs, channels, linear)?.convolve(executor, sources, &mut output.values, &output.place, None)
    }

    /// Normalization by the batch's statistics, which the running ones follow.
    fn normalize(&mut self, executor: &Executor<'_>, norm: &mut Normalized, output: usize) -> Result<()> {
        let [raw, output] = disjoint(&mut self.maps, [norm.raw, output])?;
        norm.moments = moments(executor, raw)?;
        normalize(executor, raw, output, &norm.moments, normalization(&self.parameters, norm.tensors, self.eps)?)?;
        let Moments { mean, variance, voxels } = &norm.moments;
        // The running variance is unbiased.
        let unbiased = *voxels as f64 / (*voxels as f64 - 1.0).max(1.0);
        let running = self.parameters.values_mut().get_mut(norm.tensors + 2..norm.tensors + 4);
        let Some([running_mean, running_variance]) = running else { return Err(defect()) };
        let follow = |running: &mut f32, value: f64| *running = (f64::from(*running) * (1.0 - MOMENTUM) + value * MOMENTUM) as f32;
        running_mean.iter_mut().zip(mean).for_each(|(running, &mean)| follow(running, mean));
        running_variance.iter_mut().zip(variance).for_each(|(running, &variance)| follow(running, variance * unbiased));
        Ok(())
    }

    pub fn backward(&mut self, executor: &Executor<'_>, step: &mut Step) -> Result<()> {
        match step {
            Step::Convolution { sources, output, layer, norm, packed } => {
                // From here on, the gradient of the output holds that of the convolution's result.
                match norm {
                    Some(norm) => {
                        let [raw, output] = disjoint(&mut self.maps, [norm.raw, *output])?;
                        let parameters = normalization(&self.parameters, norm.tensors, self.eps)?;
                        let gradient = normalize_back(executor, raw, output, &norm.moments, parameters)?;
                        store(&mut self.gradients[norm.tensors], &gradient.scale);
                        store(&mut self.gradients[norm.tensors + 1], &gradient.shift);
                        // The mean takes the bias away again.
                        self.gradients[layer.bias].fill(0.0);
                    }
                    None => store(&mut self.gradients[layer.bias], &activate_back(executor, &mut self.maps[*output])?),
                }
                let Some(sources) = sources else {
                    let Map { place, gradient, .. } = &self.maps[*output];
                    let weights = Correlation::stem(&self.voxels, gradient, place);
                    return weights.add_up(executor, &mut self.partial, &mut self.gradients[layer.weight]);
                };
                let all = sources.iter().flatten().map(|&map| self.maps[map].place.channels).sum();
                let mut first = 0;
                for (&source, packed) in sources.iter().flatten().zip(&mut packed.back) {
                    let [output, source] = disjoint(&mut self.maps, [*output, source])?;
                    let weights = Correlation::convolution(&source.values, &source.place, &output.gradient, &output.place, [first, all]);
                    weights.add_up(executor, &mut self.partial, &mut self.gradients[layer.weight])?;
                    let (outputs, inputs, shape) = (output.place.channels, source.place.channels, source.place.shape);
                    turned(&self.parameters.values()[layer.weight], outputs, all, first..first + inputs, &mut self.layer)?;
                    let gradient = Source { blocks: &output.gradient, place: output.place };
                    pack(packed, executor, &self.layer, shape, [outputs, 0], inputs, true)?.convolve(
                        executor,
                        [Some(gradient), None],
                        &mut source.gradient,
                        &source.place,
                        None,
                    )?;
                    first += inputs;
                }
                Ok(())
            }
            Step::Pool { input, output } => {
                let [input, output] = disjoint(&mut self.maps, [*input, *output])?;
                pool_back(executor, output, input)
            }
            Step::Upsample { input, output, layer } => {
                let [input, output] = disjoint(&mut self.maps, [*input, *output])?;
                store(&mut self.gradients[layer.bias], &sum_gradient(executor, output)?);
                let weights = Correlation::upsample(&input.values, &input.place, &output.gradient, &output.place);
                weights.add_up(executor, &mut self.partial, &mut self.gradients[layer.weight])?;
                let weights = &self.parameters.values()[layer.weight];
                let weights = PackedDownsample::new(weights, input.place.channels, output.place.channels)?;
                downsample(executor, &output.gradient, &output.place, &weights, &mut input.gradient, &input.place)
            }
            Step::Head { input, layer } => {
                let weight = &self.parameters.values()[layer.weight];
                let (of_weight, of_bias) = head_back(executor, &self.logits, &mut self.maps[*input], weight, self.classes)?;
                store(&mut self.gradients[layer.weight], &of_weight);
                store(&mut self.gradients[layer.bias], &of_bias);
                Ok(())
            }
        }
    }

    /// Blocks of memory that the sums of a step's weights take.
    pub fn partial_sums(&self, step: &Step) -> usize {
        let correlation = |input: &Map, output: &Map| {
            Correlation::convolution(&input.values, &input.place, &output.gradient, &output.place, [0, input.place.channels]).partial()
        };
        match step {
            Step::Convolution { sources: None, output, .. } => {
                Correlation::stem(&self.voxels, &self.maps[*output].gradient, &self.maps[*output].place).partial()
            }
            Step::Convolution { sources: Some(sources), output, .. } => {
                sources.iter().flatten().map(|&map| correlation(&self.maps[map], &self.maps[*output])).max().unwrap_or(0)
            }
            Step::Upsample { input, output, .. } => {
                let (input, output) = (&self.maps[*input], &self.maps[*output]);
                Correlation::upsample(&input.values, &input.place, &output.gradient, &output.place).partial()
            }
            Step::Pool { .. } | Step::Head { .. } => 0,
        }
    }
}

fn disjoint<const N: usize>(maps: &mut [Map], indices: [usize; N]) -> Result<[&mut Map; N]> {
    maps.get_disjoint_mut(indices).map_err(|_| defect())
}

fn defect() -> Error {
    Error::new(ErrorKind::Panic, "the training network contradicts itself: a defect of this library, please report it")
}

fn store(gradient: &mut [f32], sums: &[f64]) {
    gradient.iter_mut().zip(sums).for_each(|(to, &sum)| *to = sum as f32);
}

/// Fills a vector anew, in the memory that it has.
fn refill(vector: &mut Vec<f32>, count: usize, values: impl Iterator<Item = f32>) -> Result<()> {
    vector.clear();
    try_reserve(vector, count, "a layer's weights")?;
    vector.extend(values);
    Ok(())
}

/// The tensors of a layer, in `memory`.
fn tensors<'m>(parameters: &Parameters, layer: Affine, memory: &'m mut Layer) -> Result<&'m Layer> {
    memory.name.clone_from(&parameters.specs()[layer.weight].name);
    let [weight, bias] = [layer.weight, layer.bias].map(|tensor| &parameters.values()[tensor]);
    refill(&mut memory.weight, weight.len(), weight.iter().copied())?;
    refill(&mut memory.bias, bias.len(), bias.iter().copied())?;
    Ok(memory)
}

/// A layer's weights, packed where they were packed for the last batch.
fn pack<'p>(
    packed: &'p mut Option<Convolution>,
    executor: &Executor<'_>,
    layer: &Layer,
    shape: [usize; 3],
    inputs: [usize; 2],
    outputs: usize,
    linear: bool,
) -> Result<&'p Convolution> {
    if let Some(packed) = packed {
        packed.repack(executor, layer)?;
        return Ok(packed);
    }
    let new = Convolution::new(layer, Method::fastest(shape, inputs, outputs), inputs, outputs)?;
    Ok(packed.insert(if linear { new.linear() } else { new }))
}

fn normalization(parameters: &Parameters, first: usize, eps: f64) -> Result<Normalization<'_>> {
    let Some([scale, shift, ..]) = parameters.values().get(first..) else { return Err(defect()) };
    Ok(Normalization { scale, shift, eps })
}

/// The weight [outputs, all, 3, 3, 3] of a convolution as that of the way back to some of its inputs, in `memory`: inputs and
/// outputs exchanged, and every kernel turned around.
fn turned(weight: &[f32], outputs: usize, all: usize, inputs: std::ops::Range<usize>, memory: &mut Layer) -> Result<()> {
    const TAPS: usize = 27;
    let filter = |input: usize, output: usize| weight[(output * all + input) * TAPS..][..TAPS].iter().rev().copied();
    let filters = inputs.clone().flat_map(|input| (0..outputs).flat_map(move |output| filter(input, output)));
    refill(&mut memory.weight, inputs.len() * outputs * TAPS, filters)?;
    refill(&mut memory.bias, inputs.len(), inputs.map(|_| 0.0))
}
