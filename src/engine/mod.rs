//! The network over every window, fast: model grid in, winning channel and confidence per voxel out.
//!
//! Windows, network and combination are inside the seam, because a GPU does all three without leaving the device.

pub mod control;
pub mod cpu;
mod device;
pub mod fold;
pub mod plan;

pub use control::{Control, Observer};
pub use device::{Device, Precision};

use crate::error::Result;
use crate::pipeline::combine::Winners;
use crate::pipeline::grid::Grid;
use crate::pipeline::window::Windows;
use crate::threads::Pool;

/// The seam: an engine holds one model and carries it out over whole grids.
pub trait Engine: Send {
    /// Takes all memory for grids of these dimensions (D, H, W) and this many windows, or smaller.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory); the engine can still run what it could before.
    fn prepare(&mut self, grid: [usize; 3], windows: usize) -> Result<()>;

    /// Carries out a job and leaves the winners of every voxel that its windows cover. `observer` is told, on the calling
    /// thread, the share of the windows that is done. Allocates nothing for what has been prepared for.
    ///
    /// # Errors
    /// Those of [`Control::check`]; [`ErrorKind::OutOfMemory`](crate::ErrorKind::OutOfMemory) for a grid that is larger
    /// than prepared for.
    fn run(&mut self, job: &Job<'_>, winners: &mut Winners, observer: Observer<'_>) -> Result<Report>;
}

/// What an engine is to do.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The network's input.
    pub grid: &'a Grid,
    /// The windows to compute.
    pub windows: &'a Windows,
    /// Compute identical windows again too.
    pub all_windows: bool,
    /// The session's threads.
    pub pool: &'a Pool,
    /// What can stop the job.
    pub control: &'a Control<'a>,
}

/// Host memory of an engine, to be told before it is taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Bytes on the host while a model is loaded, before any of the others are taken.
    pub loading: u64,
    /// Bytes on the host that do not depend on the volume: weights, arenas.
    pub fixed: u64,
    /// Bytes on the host per voxel of a plane (H, W) of the grid.
    pub per_plane_voxel: u64,
    /// Bytes on the host per window.
    pub per_window: u64,
}

impl Memory {
    /// Bytes on the host for a grid of these dimensions (D, H, W) with this many windows.
    pub fn host_bytes(&self, grid: [usize; 3], windows: usize) -> u64 {
        let plane = (grid[1] as u64).saturating_mul(grid[2] as u64);
        let sums = self.per_plane_voxel.saturating_mul(plane);
        let running = self.fixed.saturating_add(sums).saturating_add(self.per_window.saturating_mul(windows as u64));
        running.max(self.loading)
    }
}

/// What an engine says about a run.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Report {
    /// Windows that went through the network.
    pub windows_computed: usize,
    /// The share of the run that was spent on combination, 0 to 1.
    pub combine_share: f64,
}
