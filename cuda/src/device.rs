//! GPUs: whether one works, and the context that every call works in.

use std::ffi::{c_char, c_void};
use std::sync::{Arc, Mutex, PoisonError};

use candle_core::CudaDevice;
use candle_core::cuda_backend::cudarc::driver::sys::{CUcontext, CUresult};
use candle_core::cuda_backend::cudarc::driver::{CudaContext, DriverError, result};

use crate::failure::{DEVICE_FAILED, DEVICE_OUT_OF_MEMORY, DEVICE_UNAVAILABLE, Failure, Result, UNSUPPORTED, While, launched};
use crate::launch::{self, Extent, spinect_fill};
use crate::table::Gpu;

/// The oldest GPUs that the kernels are built for: Ampere.
const OLDEST: (i32, i32) = (8, 0);

/// Contexts that have been seen to work, kept so that the next session need not wait for one.
static CONTEXTS: Mutex<Vec<Arc<CudaContext>>> = Mutex::new(Vec::new());

fn contexts() -> std::sync::MutexGuard<'static, Vec<Arc<CudaContext>>> {
    CONTEXTS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets go of a context in which something failed: the next session gets a new one once every engine in it is freed.
pub fn forget(ordinal: usize) {
    contexts().retain(|context| context.ordinal() != ordinal);
}

/// The calling thread works in a context; what it worked in before comes back at the end, for a host with CUDA of its own.
pub struct Bound {
    before: CUcontext,
}

impl Bound {
    /// Remembers what the thread works in.
    pub fn nowhere() -> Result<Bound> {
        result::init().map_err(unavailable)?;
        let before = result::ctx::get_current().doing("the thread's context")?;
        Ok(Bound { before: before.unwrap_or(std::ptr::null_mut()) })
    }

    /// Binds the thread to a context.
    pub fn to(context: &Arc<CudaContext>) -> Result<Bound> {
        let bound = Self::nowhere()?;
        context.bind_to_thread().doing("the GPU's context")?;
        Ok(bound)
    }
}

impl Drop for Bound {
    fn drop(&mut self) {
        // SAFETY: the thread's own context from before, or none. A failure leaves the thread bound to ours.
        let _ = unsafe { result::ctx::set_current(self.before) };
    }
}

fn unavailable(error: DriverError) -> Failure {
    let Failure { text, .. } = Failure::of_driver(error, "the driver", DEVICE_OUT_OF_MEMORY);
    Failure::new(DEVICE_UNAVAILABLE, text)
}

/// The context of a GPU that exists.
fn context(ordinal: i32) -> Result<Arc<CudaContext>> {
    let count = result::device::get_count().map_err(unavailable)?;
    let index = usize::try_from(ordinal).ok().filter(|_| ordinal < count);
    let index = index.ok_or_else(|| Failure::new(DEVICE_UNAVAILABLE, format_args!("there is no GPU {ordinal}: there are {count}")))?;
    if let Some(context) = contexts().iter().find(|context| context.ordinal() == index) {
        return Ok(Arc::clone(context));
    }
    CudaContext::new(index).map_err(unavailable)
}

/// Whether a GPU works, shown by the whitening of one voxel on it, and what it is.
pub fn probe(ordinal: i32, precision: i32, gpu: &mut Gpu) -> Result<()> {
    if !(0..=1).contains(&precision) {
        return Err(Failure::new(UNSUPPORTED, "a GPU computes in f32 or f16"));
    }
    let _bound = Bound::nowhere()?;
    let context = context(ordinal)?;
    context.bind_to_thread().map_err(unavailable)?;
    let capability = context.compute_capability().map_err(unavailable)?;
    let name = context.name().map_err(unavailable)?;
    if capability < OLDEST {
        let (major, minor) = capability;
        let text = format_args!("{name} has compute capability {major}.{minor}; the least is {}.{}", OLDEST.0, OLDEST.1);
        return Err(Failure::new(DEVICE_UNAVAILABLE, text));
    }
    works(&context)?;
    gpu.memory = context.total_mem().map_err(unavailable)? as u64;
    gpu.name = [0; 128];
    for (to, from) in gpu.name[..127].iter_mut().zip(name.bytes()) {
        *to = from as c_char;
    }
    let mut contexts = contexts();
    if !contexts.iter().any(|other| other.ordinal() == context.ordinal()) {
        contexts.push(context);
    }
    Ok(())
}

/// Has the GPU whiten one voxel.
fn works(context: &Arc<CudaContext>) -> Result<()> {
    let stream = context.new_stream().map_err(unavailable)?;
    let memory = stream.alloc_zeros::<u64>(8).map_err(unavailable)?;
    let base = pointer(&memory, &stream);
    // The voxel, an index of 0, the counters, the result: all 0.
    let fill = launch::Fill {
        voxel_type: 2,
        voxels: base as *const c_void,
        element: [(base + 8) as *const u64; 3],
        grid: Extent { d: 1, h: 1, w: 1 },
        first: Extent::default(),
        last: Extent { d: 1, h: 1, w: 1 },
        slope: 1.0,
        intercept: 7.0,
        clip_low: -1024.0,
        clip_high: 3071.0,
        mean: 1.0,
        deviation: 2.0,
        whitened: (base + 16) as *mut f32,
        saturated: (base + 24) as *mut u64,
        range: (base + 32) as *mut u32,
    };
    // SAFETY: device memory of 64 bytes, all of which is initialized.
    let launched = launched("a first kernel", unsafe { spinect_fill(&fill, stream.cu_stream().cast()) });
    launched.map_err(|failure| Failure { status: DEVICE_UNAVAILABLE, ..failure })?;
    let values = stream.clone_dtoh(&memory).map_err(unavailable)?;
    stream.synchronize().map_err(unavailable)?;
    let whitened = f32::from_bits(values[2] as u32);
    if whitened != 3.0 {
        return Err(Failure::new(DEVICE_UNAVAILABLE, format_args!("a first kernel gave {whitened} for 3")));
    }
    Ok(())
}

/// The address of device memory.
pub fn pointer<T>(
    memory: &candle_core::cuda_backend::cudarc::driver::CudaSlice<T>,
    stream: &candle_core::cuda_backend::cudarc::driver::CudaStream,
) -> u64 {
    use candle_core::cuda_backend::cudarc::driver::DevicePtr;
    memory.device_ptr(stream).0
}

/// candle's device on a GPU: its context, a stream of its own, its memory.
pub fn open(ordinal: i32) -> Result<CudaDevice> {
    // That there is one, and that it is kept.
    let index = context(ordinal)?.ordinal();
    let device = CudaDevice::new_with_stream(index).map_err(|error| of_candle(error, "the GPU"))?;
    // SAFETY: everything happens on the device's one stream.
    unsafe { device.disable_event_tracking() };
    Ok(device)
}

/// A failure of candle's, of which the driver's is kept apart.
pub fn of_candle(error: candle_core::Error, doing: &str) -> Failure {
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(&error);
    while let Some(error) = cause {
        if let Some(&driver) = error.downcast_ref::<DriverError>() {
            return Failure::of_driver(driver, doing, DEVICE_OUT_OF_MEMORY);
        }
        cause = error.source();
    }
    // Behind the first line is where it happened, for whoever asked for backtraces.
    let text = error.to_string();
    let text = text.lines().next().unwrap_or_default();
    let full = text.contains(&format!("{:?}", CUresult::CUDA_ERROR_OUT_OF_MEMORY));
    Failure::new(if full { DEVICE_OUT_OF_MEMORY } else { DEVICE_FAILED }, format_args!("{doing}: {text}"))
}
