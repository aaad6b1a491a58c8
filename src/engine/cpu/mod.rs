//! The CPU engine: the model grid, every window of it through the network, and the winners.

#[cfg(test)]
mod accuracy;
pub mod convolution;
pub mod executor;
pub mod identical;
pub mod kernels;
pub mod method;
pub mod network;
pub mod sweep;
#[cfg(feature = "trainer")]
pub mod training;
pub mod turns;

use self::identical::Actions;
use self::kernels::Kernels;
use self::sweep::Sweep;
use super::plan::{Grouping, Plan};
use super::{Engine, Job, Memory, Observer, Report, Size, Source};
use crate::error::{Result, try_vec};
use crate::pipeline::combine::{Combination, Winners, WinnersBuffer};
use crate::pipeline::grid::{Grid, Intensities};

/// One model on the CPU.
#[derive(Debug)]
pub struct CpuEngine {
    grid: Grid,
    intensities: Intensities,
    sweep: Sweep,
    winners: WinnersBuffer,
}

impl CpuEngine {
    /// How windows are taken together.
    pub const GROUPING: Grouping = Sweep::GROUPING;

    /// Takes the memory for a plan on this many threads and packs its weights for these kernels.
    ///
    /// # Errors
    /// Those of [`Sweep::new`].
    pub fn new(plan: Plan, threads: usize, kernels: &'static Kernels) -> Result<Self> {
        let sweep = Sweep::new(plan, threads, kernels)?;
        Ok(CpuEngine { grid: Grid::default(), intensities: Intensities::NONE, sweep, winners: WinnersBuffer::default() })
    }

    /// The memory that [`new`](Self::new) and [`prepare`](Engine::prepare) take.
    pub fn memory(plan: &Plan, threads: usize) -> CpuMemory {
        CpuMemory {
            loading: Sweep::loading_bytes(plan) as u64,
            fixed: Sweep::fixed_bytes(plan, threads) as u64,
            per_voxel: (size_of::<f32>() + WinnersBuffer::BYTES) as u64,
            per_plane_voxel: Combination::bytes_per_plane_voxel(plan.classes, plan.window) as u64,
            per_window: Actions::BYTES as u64,
        }
    }
}

/// Host memory of the CPU engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuMemory {
    /// Bytes while a model is loaded, before any of the others are taken.
    loading: u64,
    /// Bytes that do not depend on the volume: weights, arenas.
    fixed: u64,
    /// Bytes per voxel of the grid: the grid itself, the winners.
    per_voxel: u64,
    /// Bytes per voxel of a plane (H, W) of the grid.
    per_plane_voxel: u64,
    /// Bytes per window.
    per_window: u64,
}

impl Memory for CpuMemory {
    fn host_bytes(&self, size: &Size) -> u64 {
        let [_, height, width] = size.grid.map(|n| n as u64);
        let grid = self.per_voxel.saturating_mul(size.voxels() as u64);
        let sums = self.per_plane_voxel.saturating_mul(height.saturating_mul(width));
        let windows = self.per_window.saturating_mul(size.windows() as u64);
        let running = self.fixed.saturating_add(sums).saturating_add(windows);
        running.max(self.loading).saturating_add(grid)
    }

    fn loading_bytes(&self) -> u64 {
        self.fixed.max(self.loading)
    }

    fn device_bytes(&self, _: &Size) -> u64 {
        0
    }
}

impl Engine for CpuEngine {
    fn prepare(&mut self, size: &Size) -> Result<()> {
        let voxels = size.voxels();
        if self.grid.voxels.capacity() < voxels {
            self.grid.voxels = Vec::new();
            self.grid.voxels = try_vec(0.0, voxels, "the model grid")?;
        }
        self.winners.resize(voxels)?;
        self.sweep.reserve(size.grid, size.windows())
    }

    fn fill(&mut self, source: &Source<'_>) -> Result<()> {
        let Source { volume, map, preprocess, region, pool, .. } = *source;
        self.intensities = self.grid.fill(volume, map, preprocess, region, pool)?;
        Ok(())
    }

    fn run(&mut self, job: &Job<'_>, observer: Observer<'_>) -> Result<Report> {
        self.winners.resize(self.grid.voxels.len())?;
        self.sweep.run(&self.grid, job, &mut self.winners, observer)
    }

    fn winners(&self) -> Winners<'_> {
        self.winners.winners()
    }

    fn intensities(&self) -> Intensities {
        self.intensities
    }
}
