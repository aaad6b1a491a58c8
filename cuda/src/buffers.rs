//! All memory for volumes of a size, taken once: one piece on the device, one piece pinned on the host.

use std::sync::Arc;

use candle_core::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::sys::CUevent_flags;
use candle_core::cuda_backend::cudarc::driver::{CudaEvent, CudaSlice, CudaStream, PinnedHostSlice, result};

use crate::device::{of_candle, pointer};
use crate::failure::{DEVICE_OUT_OF_MEMORY, Failure, OUT_OF_MEMORY, Result, While};
use crate::layout::{Layout, Network, Pinned, Place};
use crate::table::{self, Size};

/// The memory.
pub struct Buffers {
    pub size: Size,
    pub layout: Layout,
    pub pinned: Pinned,
    /// Kept, not looked at.
    _device: CudaSlice<u8>,
    /// Kept, not looked at.
    _host: PinnedHostSlice<u8>,
    base: u64,
    host: *mut u8,
    stream: Arc<CudaStream>,
    /// When each chunk of windows is done.
    pub chunks: Vec<CudaEvent>,
    /// When the results are in pinned memory.
    pub done: CudaEvent,
}

// SAFETY: memory that only the engine's owner uses, from whatever thread.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Takes the memory for a size, all 0.
    pub fn new(device: &CudaDevice, network: &Network, size: &Size, weights: u64) -> Result<Buffers> {
        let (layout, pinned) = (Layout::new(network, size, weights), Pinned::new(size));
        let stream = device.cuda_stream();
        let context = stream.context();
        // SAFETY: set to 0 below, before anything reads it.
        let memory = unsafe { device.alloc::<u8>(layout.bytes as usize) }.map_err(|error| of_candle(error, "memory for the volume"))?;
        let base = pointer(&memory, &stream);
        let full = |error| Failure::of_driver(error, "pinned memory for the volume", OUT_OF_MEMORY);
        // SAFETY: set to 0 below, before anything reads it. No flags: the host reads the results.
        let mut host_memory = unsafe { context.alloc_pinned_with_flags::<u8>(pinned.bytes as usize, 0) }.map_err(full)?;
        let host = host_memory.as_mut_ptr().map_err(full)?;
        // SAFETY: the memory was just taken, as long as it is set here.
        unsafe {
            std::ptr::write_bytes(host, 0, pinned.bytes as usize);
            result::memset_d8_async(base, 0, layout.bytes as usize, stream.cu_stream()).doing("memory for the volume")?;
        }
        let event = || {
            let event = context.new_event(Some(CUevent_flags::CU_EVENT_DISABLE_TIMING));
            event.map_err(|error| Failure::of_driver(error, "an event", DEVICE_OUT_OF_MEMORY))
        };
        let chunks = (0..layout.chunks(size.windows)).map(|_| event()).collect::<Result<_>>()?;
        let done = event()?;
        stream.synchronize().map_err(|error| Failure::of_driver(error, "memory for the volume", DEVICE_OUT_OF_MEMORY))?;
        Ok(Buffers { size: *size, layout, pinned, _device: memory, _host: host_memory, base, host, stream, chunks, done })
    }

    /// What the other side of the seam sees.
    pub fn table(&self) -> table::Buffers {
        table::Buffers {
            input: self.host_address(self.pinned.input).cast(),
            input_bytes: self.pinned.input.bytes,
            channels: self.host_address(self.pinned.channels).cast_const(),
            confidence: self.host_address(self.pinned.confidence).cast_const().cast(),
        }
    }

    /// The address of a place on the device.
    pub fn address(&self, place: Place) -> u64 {
        self.base + place.offset
    }

    /// The address of a place in pinned memory.
    pub fn host_address(&self, place: Place) -> *mut u8 {
        // SAFETY: every place lies within the memory.
        unsafe { self.host.add(place.offset as usize) }
    }

    /// Begins to copy the first bytes of a place up.
    pub fn up(&self, from: Place, to: Place, bytes: u64) -> Result<()> {
        let bytes = bytes.min(from.bytes).min(to.bytes) as usize;
        // SAFETY: both places have room; pinned memory stays as it is until the stream is done with it (`Engine::wait`).
        unsafe {
            let slice = std::slice::from_raw_parts(self.host_address(from), bytes);
            result::memcpy_htod_async(self.address(to), slice, self.stream.cu_stream()).doing("a copy to the GPU")
        }
    }

    /// Begins to copy bytes `begin` to `end` of a place down.
    pub fn down(&self, from: Place, to: Place, begin: u64, end: u64) -> Result<()> {
        let end = end.min(from.bytes).min(to.bytes);
        let begin = begin.min(end);
        // SAFETY: both places have room; nobody looks at the results before the stream is done.
        unsafe {
            let slice = std::slice::from_raw_parts_mut(self.host_address(to).add(begin as usize), (end - begin) as usize);
            result::memcpy_dtoh_async(slice, self.address(from) + begin, self.stream.cu_stream()).doing("a copy from the GPU")
        }
    }

    /// Begins to set bytes of a place.
    pub fn set(&self, place: Place, begin: u64, bytes: u64, value: u8) -> Result<()> {
        debug_assert!(begin + bytes <= place.bytes);
        // SAFETY: within the place.
        unsafe {
            result::memset_d8_async(self.address(place) + begin, value, bytes as usize, self.stream.cu_stream()).doing("the counters")
        }
    }
}
