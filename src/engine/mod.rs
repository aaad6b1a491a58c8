//! The network over every window, fast: a volume in, winning channel and confidence per voxel of the model grid out.
//!
//! Model grid, windows, network and combination are inside the seam, because a GPU does all of them without leaving the
//! device.

pub mod backend;
pub mod control;
pub mod cpu;
pub mod cuda;
mod device;
pub mod fold;
pub mod plan;

use std::fmt::Debug;

pub use backend::Backend;
pub use control::{Control, Observer};
pub use device::{Device, Precision};

use crate::error::Result;
use crate::model::Preprocess;
use crate::pipeline::Region;
use crate::pipeline::combine::Winners;
use crate::pipeline::grid::{GridMap, Intensities};
use crate::pipeline::window::Windows;
use crate::threads::Pool;
use crate::volume::Volume;

/// The seam: an engine holds one model and carries it out over whole volumes. `prepare` once, then `fill`, `run`, and a look
/// at [`winners`](Self::winners) and [`intensities`](Self::intensities) for every volume.
pub trait Engine: Send {
    /// Takes all memory for volumes of this size or smaller.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory) and
    /// [`ErrorKind::DeviceOutOfMemory`](crate::ErrorKind::DeviceOutOfMemory); it can be asked again.
    fn prepare(&mut self, size: &Size) -> Result<()>;

    /// Fills the model grid from a volume, or begins to. Allocates nothing for what has been prepared for.
    ///
    /// # Errors
    /// [`ErrorKind::NullArgument`](crate::ErrorKind::NullArgument) if the volume has no voxels; those of
    /// [`prepare`](Self::prepare) for a volume that is larger than prepared for; those of [`run`](Self::run).
    fn fill(&mut self, source: &Source<'_>) -> Result<()>;

    /// Carries out a job on the grid that was filled last, and leaves the winners of every voxel that its windows cover.
    /// `observer` is told, on the calling thread, the share of the windows that is done. Allocates nothing.
    ///
    /// # Errors
    /// Those of [`Control::check`]; [`ErrorKind::InvalidModel`](crate::ErrorKind::InvalidModel) if the network's values
    /// outgrow its numbers; [`ErrorKind::DeviceFailed`](crate::ErrorKind::DeviceFailed): from then on every call says that.
    fn run(&mut self, job: &Job<'_>, observer: Observer<'_>) -> Result<Report>;

    /// What the last run found, for the grid of its fill.
    fn winners(&self) -> Winners<'_>;

    /// What the last run's grid was made from.
    fn intensities(&self) -> Intensities;
}

/// How large a volume is, as far as engines care.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size {
    /// Voxels of the volume along i, j, k.
    pub input: [usize; 3],
    /// Bytes of one of them.
    pub voxel_bytes: usize,
    /// Voxels of the model grid along D, H, W.
    pub grid: [usize; 3],
    /// Starts of windows along D, H, W.
    pub starts: [usize; 3],
}

impl Size {
    /// Voxels of the model grid.
    pub fn voxels(&self) -> usize {
        self.grid.iter().product()
    }

    /// How many windows there are.
    pub fn windows(&self) -> usize {
        self.starts.iter().product()
    }
}

/// What a model grid is filled from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    /// The voxels.
    pub volume: &'a Volume<'a>,
    /// Where every voxel of the grid comes from.
    pub map: &'a GridMap,
    /// Clipping and whitening.
    pub preprocess: &'a Preprocess,
    /// The part of the grid that is needed.
    pub region: &'a Region,
    /// The session's threads.
    pub pool: &'a Pool,
    /// What can stop it.
    pub control: &'a Control<'a>,
}

/// What an engine is to do.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The windows to compute.
    pub windows: &'a Windows,
    /// Compute identical windows again too.
    pub all_windows: bool,
    /// The session's threads.
    pub pool: &'a Pool,
    /// What can stop the job.
    pub control: &'a Control<'a>,
}

/// What an engine takes, to be told before it is taken: from any thread, at any time.
pub trait Memory: Debug + Send + Sync {
    /// Bytes on the host while the model is loaded, before any of the others are taken, and for a volume of this size.
    fn host_bytes(&self, size: &Size) -> u64;

    /// The most bytes on the host while a model is loaded, whatever the volume.
    fn loading_bytes(&self) -> u64;

    /// Bytes on the device for a volume of this size; 0 on the CPU.
    fn device_bytes(&self, size: &Size) -> u64;
}

/// What an engine says about a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Windows that went through the network.
    pub windows_computed: usize,
    /// The share of the run that was spent on combination, 0 to 1; 0 where that is not known.
    pub combine_share: f64,
}
