//! A network's weights on the device, packed for the kernels that read them.

use std::ffi::c_void;

use candle_core::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::{CudaSlice, result};

use crate::device::{of_candle, pointer};
use crate::failure::{Failure, INVALID_MODEL, OUT_OF_MEMORY, Result, While};
use crate::launch;
use crate::layout::{Network, Place, padded};
use crate::table::{CONVOLUTION, HEAD, Layer, STEM, Step, UPSAMPLE};

/// Where each step's weights lie.
#[derive(Clone, Debug)]
pub struct Places {
    /// Of every step: packed weight, bias.
    steps: Vec<[Place; 2]>,
    pub bytes: u64,
}

/// Weights on the device.
pub struct Weights {
    /// Kept, not looked at.
    _memory: CudaSlice<u8>,
    /// Of every step: the addresses of packed weight and bias.
    pub steps: Vec<[u64; 2]>,
    pub bytes: u64,
}

/// Channels that a step reads, first and second source, and makes.
fn channels(network: &Network, step: &Step) -> [i32; 3] {
    let of = |map: i32| usize::try_from(map).ok().and_then(|map| network.maps.get(map)).map_or(0, |map| map.channels);
    [of(step.input), of(step.second), if step.kind == HEAD { network.classes } else { of(step.output) }]
}

impl Places {
    /// Where the weights of a network lie.
    pub fn new(network: &Network) -> Places {
        let mut end = 0u64;
        let mut place = |bytes: u64| {
            let place = Place { offset: end, bytes };
            end = place.end().next_multiple_of(256);
            place
        };
        let steps = network.steps.iter().map(|step| {
            let [first, second, outputs] = channels(network, step);
            let packed = match step.kind {
                STEM => launch::spinect_stem_bytes(network.precision, outputs) as u64,
                CONVOLUTION => launch::spinect_convolution_bytes(network.precision, first, second, outputs) as u64,
                UPSAMPLE => launch::spinect_upsample_bytes(network.precision, first, outputs) as u64,
                _ => 4 * outputs.unsigned_abs() as u64 * padded(first),
            };
            let bias = if step.kind == HEAD { outputs.unsigned_abs().into() } else { padded(outputs) };
            [place(packed), place(4 * bias)]
        });
        let steps = steps.collect();
        Places { steps, bytes: end }
    }
}

/// The numbers of a layer.
///
/// # Safety
/// The layer's pointers lead to as many numbers as it says.
unsafe fn numbers<'a>(layer: &Layer) -> Result<(&'a [f32], &'a [f32])> {
    if layer.weight.is_null() || layer.bias.is_null() {
        return Err(Failure::new(INVALID_MODEL, "a layer without weights"));
    }
    // SAFETY: the caller's promise.
    Ok(unsafe { (std::slice::from_raw_parts(layer.weight, layer.weight_count), std::slice::from_raw_parts(layer.bias, layer.bias_count)) })
}

/// A step's packed weight and its bias, padded, into host memory that is all 0.
fn pack(network: &Network, step: &Step, weight: &[f32], bias: &[f32], packed: &mut [u128], biases: &mut [f32]) -> Result<()> {
    let [first, second, outputs] = channels(network, step);
    let inputs = if step.kind == STEM { 1 } else { first as usize + second as usize };
    let taps = [27, 27, 8, 1][step.kind.clamp(0, 3) as usize];
    if weight.len() != inputs * outputs as usize * taps || bias.len() != outputs as usize {
        return Err(Failure::new(INVALID_MODEL, format_args!("a layer of {} weights does not fit its step", weight.len())));
    }
    biases[..bias.len()].copy_from_slice(bias);
    let (from, to) = (weight.as_ptr(), packed.as_mut_ptr().cast::<c_void>());
    // SAFETY: as many weights as the shapes say, checked above; room for what the kernels' own `…_bytes` said (`Places`).
    unsafe {
        match step.kind {
            STEM => launch::spinect_stem_pack(network.precision, outputs, from, to),
            CONVOLUTION => launch::spinect_convolution_pack(network.precision, first, second, outputs, from, to),
            UPSAMPLE => launch::spinect_upsample_pack(network.precision, first, outputs, from, to),
            _ => {
                // Rows of padded length, in f32.
                for (row, weights) in weight.chunks_exact(inputs).enumerate() {
                    let to = to.cast::<f32>().add(row * padded(first) as usize);
                    std::ptr::copy_nonoverlapping(weights.as_ptr(), to, inputs);
                }
            }
        }
    }
    Ok(())
}

/// Host memory, all 0, taken without aborting.
fn zeros<T: Clone>(zero: T, count: usize) -> Result<Vec<T>> {
    let mut memory = Vec::new();
    memory.try_reserve_exact(count).map_err(|_| Failure::new(OUT_OF_MEMORY, "no memory for packed weights"))?;
    memory.resize(count, zero);
    Ok(memory)
}

impl Weights {
    /// Packs the weights of a network and takes them to the device.
    ///
    /// # Safety
    /// The layers' pointers lead to as many numbers as they say.
    pub unsafe fn new(device: &CudaDevice, network: &Network, layers: &[Layer]) -> Result<Weights> {
        let places = Places::new(network);
        let stream = device.cuda_stream();
        // SAFETY: uninitialized memory, all of whose parts that are read are written below.
        let memory = unsafe { device.alloc::<u8>(places.bytes as usize) }.map_err(|error| of_candle(error, "the weights"))?;
        let base = pointer(&memory, &stream);
        for (step, [packed_place, bias_place]) in network.steps.iter().zip(&places.steps) {
            let layer = usize::try_from(step.layer).ok().and_then(|layer| layers.get(layer));
            let layer = layer.ok_or_else(|| Failure::new(INVALID_MODEL, "a step without a layer"))?;
            // SAFETY: the caller's promise.
            let (weight, bias) = unsafe { numbers(layer) }?;
            // In units that are aligned for any vector of the kernels' packing.
            let mut packed = zeros(0u128, (packed_place.bytes as usize).div_ceil(size_of::<u128>()))?;
            let mut biases = zeros(0f32, bias_place.bytes as usize / size_of::<f32>())?;
            pack(network, step, weight, bias, &mut packed, &mut biases)?;
            // SAFETY: places within the memory; initialized bytes of living vectors; the copies are waited for.
            unsafe {
                let bytes = std::slice::from_raw_parts(packed.as_ptr().cast::<u8>(), packed_place.bytes as usize);
                result::memcpy_htod_async(base + packed_place.offset, bytes, stream.cu_stream()).doing("the weights")?;
                result::memcpy_htod_async(base + bias_place.offset, &biases, stream.cu_stream()).doing("the weights")?;
            }
            stream.synchronize().doing("the weights")?;
        }
        let steps = places.steps.iter().map(|step| step.map(|place| base + place.offset)).collect();
        Ok(Weights { _memory: memory, steps, bytes: places.bytes })
    }
}
