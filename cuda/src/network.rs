//! The network's steps as launches, and a network out of the table's data.

use std::ffi::c_void;

use crate::buffers::Buffers;
use crate::failure::{Failure, INVALID_MODEL, Result, UNSUPPORTED, launched};
use crate::launch::{self, Extent, Stream};
use crate::layout::Network;
use crate::table::{CONVOLUTION, Model, NONE, STEM, UPSAMPLE};
use crate::weights::Weights;

/// A network out of the table's data, checked.
///
/// # Safety
/// The model's pointers lead to as many maps and steps as it says.
pub unsafe fn network_of(model: &Model) -> Result<Network> {
    if model.maps.is_null() || model.steps.is_null() || model.step_count == 0 {
        return Err(Failure::new(INVALID_MODEL, "a network without steps"));
    }
    // SAFETY: the caller's promise.
    let (maps, steps) = unsafe {
        (
            std::slice::from_raw_parts(model.maps, model.map_count).to_vec(),
            std::slice::from_raw_parts(model.steps, model.step_count).to_vec(),
        )
    };
    let network = Network { precision: model.precision, classes: model.classes, window: model.window, maps, steps };
    if let Some(contradiction) = network.contradiction() {
        return Err(Failure::new(INVALID_MODEL, contradiction));
    }
    if network.steps.iter().any(|step| step.kind == STEM && step.pooled != NONE) {
        return Err(Failure::new(
            UNSUPPORTED,
            "one convolution per level: the GPU's first layer does not pool; use two or more, or the CPU",
        ));
    }
    Ok(network)
}

/// Windows of a chunk, and the grid that they are in.
#[derive(Clone, Copy)]
pub struct Chunk {
    /// The first window's number.
    pub first: u64,
    pub windows: u64,
    pub grid: [i32; 3],
    pub outside: f32,
}

/// Enqueues every step for the windows of a chunk: from the whitened grid to probabilities.
pub fn enqueue(network: &Network, weights: &Weights, buffers: &Buffers, chunk: Chunk, stream: Stream) -> Result<()> {
    let layout = &buffers.layout;
    let precision = network.precision;
    let windows = chunk.windows as i32;
    let map = |number: i32| usize::try_from(number).ok().and_then(|number| Some((network.maps.get(number)?, layout.maps.get(number)?)));
    let address = |number: i32| map(number).map_or(0, |(_, &place)| buffers.address(place)) as *mut c_void;
    let channels = |number: i32| map(number).map_or(0, |(map, _)| map.channels);
    let shape = |number: i32| Extent::from(map(number).map_or([0; 3], |(map, _)| map.shape));
    for (step, &[packed, bias]) in network.steps.iter().zip(&weights.steps) {
        let (packed, bias) = (packed as *const c_void, bias as *const f32);
        // SAFETY, of every launch: `Network::contradiction` saw shapes that fit each other, `Layout` gave every map and the
        // probabilities a place for a whole chunk, `Weights` packed each step's weights.
        match step.kind {
            STEM => {
                let arguments = launch::Stem {
                    precision,
                    whitened: buffers.address(layout.whitened) as *const f32,
                    grid: chunk.grid.into(),
                    outside: chunk.outside,
                    starts: (buffers.address(layout.windows) + 12 * chunk.first) as *const i32,
                    windows,
                    window: network.window.into(),
                    outputs: channels(step.output),
                    packed,
                    bias,
                    output: address(step.output),
                };
                launched("the first layer", unsafe { launch::spinect_stem(&arguments, stream) })?;
            }
            CONVOLUTION => {
                let arguments = launch::Convolution {
                    precision,
                    windows,
                    shape: shape(step.output),
                    first_channels: channels(step.input),
                    second_channels: channels(step.second),
                    outputs: channels(step.output),
                    first: address(step.input),
                    second: address(step.second),
                    packed,
                    bias,
                    output: address(step.output),
                    pooled: address(step.pooled),
                };
                launched("a convolution", unsafe { launch::spinect_convolution(&arguments, stream) })?;
            }
            UPSAMPLE => {
                let arguments = launch::Upsample {
                    precision,
                    windows,
                    shape: shape(step.input),
                    inputs: channels(step.input),
                    outputs: channels(step.output),
                    input: address(step.input),
                    packed,
                    bias,
                    output: address(step.output),
                };
                launched("a transposed convolution", unsafe { launch::spinect_upsample(&arguments, stream) })?;
            }
            _ => {
                let arguments = launch::Head {
                    precision,
                    windows,
                    shape: shape(step.input),
                    inputs: channels(step.input),
                    classes: network.classes,
                    input: address(step.input),
                    weight: packed.cast(),
                    bias,
                    probabilities: buffers.address(layout.probabilities) as *mut f32,
                };
                launched("the head", unsafe { launch::spinect_head(&arguments, stream) })?;
            }
        }
    }
    Ok(())
}
