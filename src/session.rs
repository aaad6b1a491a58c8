//! Model + engine + pipeline = segment.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use crate::error::{Error, ErrorKind, Result};
use crate::segmentation::{Segmentation, Timings, Warnings};
use crate::volume::Volume;

/// Where the network runs. The numbers are those of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
pub enum Device {
    /// CUDA where it works, else the CPU.
    #[default]
    Auto = 0,
    /// The CPU.
    Cpu = 1,
    /// An NVIDIA GPU.
    Cuda = 2,
}

/// The precision of the network's arithmetic. The numbers are those of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
pub enum Precision {
    /// 32-bit floating point throughout.
    #[default]
    F32 = 0,
    /// 16-bit inputs, 32-bit sums.
    F16 = 1,
    /// bfloat16 inputs, 32-bit sums.
    Bf16 = 2,
}

/// How a session works.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SessionConfig {
    /// Where the network runs.
    pub device: Device,
    /// Which of several devices.
    pub device_index: i32,
    /// The precision of the arithmetic.
    pub precision: Precision,
    /// Threads; 0: one per core the caller may use; 1: the calling thread alone.
    pub threads: usize,
    /// Host bytes that the session may take; `None`: no limit.
    pub memory_limit: Option<u64>,
    /// Cores for the workers; `None`: the caller's.
    pub cpus: Option<Vec<usize>>,
}

/// What a session knows about its model.
#[derive(Clone, Debug, PartialEq)]
pub struct ModelInfo {
    /// The model's name.
    pub name: String,
    /// The model's version.
    pub version: String,
    /// SHA-256 of the model file, 64 hexadecimal digits.
    pub sha256: String,
    /// Parameters as the paper counts them.
    pub parameters: u64,
    /// Output channels.
    pub classes: usize,
    /// Voxels of the window, D, H, W.
    pub window: [usize; 3],
    /// Steps from window to window, D, H, W.
    pub stride: [usize; 3],
    /// Spacing of the model grid in mm, D, H, W.
    pub spacing_mm: [f64; 3],
    /// The device in use: what AUTO became.
    pub device: Device,
    /// The precision in use.
    pub precision: Precision,
}

/// Memory that a segmentation takes, at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MemoryEstimate {
    /// Bytes on the host, with the result, without the caller's volume.
    pub host_bytes: u64,
    /// Bytes on the device; 0 on the CPU.
    pub device_bytes: u64,
}

/// A request to stop, set from any thread, any number of times; it outlives the calls it cancels.
#[derive(Debug, Default)]
pub struct Cancel(AtomicBool);

impl Cancel {
    /// A request that is not set.
    pub const fn new() -> Self {
        Cancel(AtomicBool::new(false))
    }

    /// Asks every run that holds this to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Takes the request back.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// Whether the request stands.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Orientation, resampling, whitening.
    Prepare,
    /// The network, window by window.
    Network,
    /// Back to the input grid.
    Restore,
}

/// A box in the volume's world (mm): only the windows that touch it are computed, and inside it the result is that of
/// the whole volume.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RegionOfInterest {
    /// The smallest coordinates.
    pub min: [f64; 3],
    /// The largest coordinates.
    pub max: [f64; 3],
}

/// Told how far a run is (0 to 1) and what it is doing, on the calling thread; `Break` cancels.
pub type Progress<'a> = &'a mut dyn FnMut(f64, Stage) -> ControlFlow<()>;

/// How one segmentation runs.
#[derive(Default)]
pub struct Run<'a> {
    /// Only this region.
    pub roi: Option<RegionOfInterest>,
    /// Compute identical windows again too: worst-case timing.
    pub all_windows: bool,
    /// Stops the run from another thread.
    pub cancel: Option<&'a Cancel>,
    /// Told how far the run is.
    pub progress: Option<Progress<'a>>,
    /// The run fails with [`ErrorKind::Deadline`] once this has passed.
    pub deadline: Option<Duration>,
}

/// What a finished run says about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunReport {
    /// What to know before relying on the result.
    pub warnings: Warnings,
    /// Seconds per stage.
    pub timings: Timings,
}

/// One model, one device, all its buffers and threads. Shared by reference between threads; one segmentation at a
/// time, a second caller gets [`ErrorKind::Busy`].
#[derive(Debug)]
pub struct Session {}

impl Session {
    /// A session without a model. Its worker threads are started here and joined when it is dropped.
    pub fn new(config: &SessionConfig) -> Result<Session> {
        let _ = config;
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// Loads a model file. A failed load keeps the previous model.
    pub fn load_weights(&self, path: &Path) -> Result<()> {
        let _ = path;
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// Loads a model file that is already in memory. A failed load keeps the previous model.
    pub fn load_weights_from_memory(&self, bytes: &[u8]) -> Result<()> {
        let _ = bytes;
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// What the session knows about its model. From any thread, at any time.
    pub fn model_info(&self) -> Result<ModelInfo> {
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// The value of a label by its name. From any thread, at any time.
    pub fn find_label(&self, name: &str) -> Result<u8> {
        let _ = name;
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// Memory that segmenting a volume of this shape takes. From any thread, at any time. Takes nothing.
    pub fn estimate_memory(&self, like: &Volume<'_>) -> Result<MemoryEstimate> {
        let _ = like;
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// Takes all memory for volumes of this shape, or smaller, now.
    pub fn prepare(&self, like: &Volume<'_>) -> Result<()> {
        let _ = like;
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// Segments a volume.
    pub fn segment(&self, volume: &Volume<'_>, run: Run<'_>) -> Result<Segmentation> {
        let _ = (volume, run);
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// Segments a volume into the caller's label map (packed, i fastest), which stays untouched on failure.
    pub fn segment_into(&self, volume: &Volume<'_>, run: Run<'_>, labels: &mut [u8]) -> Result<RunReport> {
        let _ = (volume, run, labels);
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// Segments a volume into an existing result, which stays as it was on failure.
    pub fn segment_again(&self, volume: &Volume<'_>, run: Run<'_>, target: &mut Segmentation) -> Result<()> {
        let _ = (volume, run, target);
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// A result of this shape in which nothing has been examined yet, for [`segment_again`](Self::segment_again).
    pub fn reserve(&self, like: &Volume<'_>) -> Result<Segmentation> {
        let _ = like;
        Err(Error::new(ErrorKind::Unsupported, "not yet"))
    }

    /// How far the current or last run is, 0 to 1. From any thread, at any time.
    pub fn progress(&self) -> f64 {
        0.0
    }

    /// Cancels the call that is running, if any. From any thread, at any time.
    pub fn interrupt(&self) {}
}
