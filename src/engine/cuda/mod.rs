//! The CUDA engine: volume up, winners down, everything between on the device. Its kernels are in a library of their own,
//! opened when somebody asks for a GPU, because it needs the driver's and CUDA's libraries and this one must load without.
//!
//! Here is what needs no GPU: finding the library, the plan as plain data, packing voxels into pinned memory, and what stops a
//! run. `docs/cuda.md` has the rest.

mod gpu;
mod library;
mod network;
mod pack;
mod place;
mod poll;
pub mod table;

use std::ffi::c_void;

pub use gpu::{CudaMemory, Gpu};
pub use network::Network;

use self::pack::Packing;
use self::poll::Asking;
use super::plan::{Grouping, Plan};
use super::{Control, Engine, Job, Observer, Report, Size, Source};
use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::pipeline::Region;
use crate::pipeline::combine::Winners;
use crate::pipeline::grid::{GridMap, Intensities, Whitening};
use crate::threads::{BlockedSignals, require_stack, with_enough_stack};
use crate::volume::Volume;

/// One model on a GPU.
#[derive(Debug)]
pub struct CudaEngine {
    gpu: Gpu,
    memory: CudaMemory,
    handle: Handle,
    /// What memory is taken for.
    prepared: table::Size,
    /// Voxels of the largest volume that memory is taken for.
    input: usize,
    buffers: Buffers,
    /// For D, H, W: [`table::Fill::element`].
    element: [Vec<u64>; 3],
    /// For D, H, W: [`table::Run::starts`].
    starts: [Vec<i32>; 3],
    /// Voxels along D, H, W of the grid that was filled last.
    grid: [usize; 3],
    intensities: Intensities,
    /// Why the engine does not work any more.
    failed: Option<Error>,
}

/// An engine of the library's.
#[derive(Debug)]
struct Handle {
    table: &'static table::Table,
    engine: *mut c_void,
}

// SAFETY: the library takes calls from any thread, one at a time, which `&mut` sees to.
unsafe impl Send for Handle {}

impl Drop for Handle {
    fn drop(&mut self) {
        // SAFETY: the library made it, and nobody uses it any more.
        unsafe { (self.table.free)(self.engine) }
    }
}

/// Pinned memory of the library's, valid until the engine is prepared again.
#[derive(Debug)]
struct Buffers(table::Buffers);

// SAFETY: memory that only the engine's owner uses.
unsafe impl Send for Buffers {}

impl Buffers {
    /// No memory.
    const NONE: Buffers = Buffers(table::Buffers {
        input: std::ptr::dangling_mut(),
        input_bytes: 0,
        channels: std::ptr::dangling(),
        confidence: std::ptr::dangling(),
    });
}

fn signed<const N: usize>(values: [usize; N]) -> [i32; N] {
    // A grid's voxels are fewer than 2³², and so is the length of an axis; beyond 2³¹ the library refuses what it gets.
    values.map(|value| i32::try_from(value).unwrap_or(-1))
}

impl CudaEngine {
    /// How windows are taken together: as many as fit, by the library itself.
    pub const GROUPING: Grouping = Grouping { windows: 1, voxels: 0 };

    /// The memory for a plan.
    ///
    /// # Errors
    /// Those of [`Network::new`].
    pub fn memory(plan: &Plan, gpu: &Gpu) -> Result<CudaMemory> {
        let folded = plan.layers.iter().map(|layer| (layer.weight.len() + layer.bias.len()) * size_of::<f32>()).sum::<usize>();
        Ok(CudaMemory::new(gpu.clone(), Network::new(plan, gpu.precision)?, folded as u64))
    }

    /// Takes a plan's weights to the device.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceOutOfMemory`]; what the GPU says.
    pub fn new(plan: &Plan, gpu: &Gpu) -> Result<Self> {
        let memory = Self::memory(plan, gpu)?;
        let network = Network::new(plan, gpu.precision)?;
        let handle = with_enough_stack(|| {
            let _signals = BlockedSignals::new();
            let (model, layers, mut engine) = (network.model(), Network::layers(plan), std::ptr::null_mut());
            gpu.library.call("the model on the GPU", |table, message| {
                // SAFETY: the lists live until the call has returned; room for a handle and a message.
                unsafe { (table.create)(gpu.index, &model, layers.as_ptr(), layers.len(), &mut engine, message) }
            })?;
            Ok(Handle { table: gpu.library.table, engine })
        })?;
        Ok(CudaEngine {
            gpu: gpu.clone(),
            memory,
            handle,
            prepared: table::Size::default(),
            input: 0,
            buffers: Buffers::NONE,
            element: Default::default(),
            starts: Default::default(),
            grid: [0; 3],
            intensities: Intensities::NONE,
            failed: None,
        })
    }

    /// Calls the library, unless it has failed before. A device that fails does not come back.
    fn call(&mut self, doing: &str, call: impl FnOnce(&table::Table, *mut c_void, table::Message) -> i32) -> Result<()> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let engine = self.handle.engine;
        let result = self.gpu.library.call(doing, |table, message| call(table, engine, message));
        if let Err(error) = &result
            && error.kind() == ErrorKind::DeviceFailed
        {
            self.failed = Some(error.clone());
        }
        result
    }

    /// Takes memory for a size, for fewer windows together where others have taken the GPU's.
    fn take(&mut self, mut size: table::Size) -> Result<()> {
        (self.prepared, self.input, self.buffers, self.grid) = (table::Size::default(), 0, Buffers::NONE, [0; 3]);
        loop {
            let taken = with_enough_stack(|| {
                let mut buffers = Buffers::NONE;
                self.call("memory on the GPU", |table, engine, message| {
                    // SAFETY: a living engine; room for the buffers and a message.
                    unsafe { (table.prepare)(engine, &size, &mut buffers.0, message) }
                })?;
                Ok(buffers)
            });
            match taken {
                Ok(buffers) => {
                    (self.prepared, self.buffers) = (size, buffers);
                    return Ok(());
                }
                Err(error) => {
                    let bytes = self.memory.on_device(&size)?;
                    let smaller = table::Size { limit: bytes / 2, ..size };
                    let is_smaller = self.memory.on_device(&smaller)? < bytes;
                    if error.kind() != ErrorKind::DeviceOutOfMemory || !is_smaller {
                        return Err(error);
                    }
                    size = smaller;
                }
            }
        }
    }

    /// Waits until the pinned memory for voxels may be written to.
    fn wait(&mut self, control: &Control<'_>) -> Result<()> {
        let mut ask = |_| control.check();
        let mut asking = Asking::new(&mut ask);
        let poll = asking.poll();
        let result = self.call("waiting for the GPU", |table, engine, message| {
            // SAFETY: a living engine; what is asked lives until the call has returned; room for a message.
            unsafe { (table.wait)(engine, poll, message) }
        });
        asking.outcome(result)
    }

    /// Fills a part of the grid (D, H, W).
    fn fill_part(&mut self, source: &Source<'_>, packing: &Packing, part: &Region, first_part: bool) -> Result<()> {
        let Source { volume, map, preprocess, pool, control, .. } = *source;
        self.wait(control)?;
        let bytes = packing.bytes();
        // SAFETY: pinned memory with room for `input_bytes`, no fewer than `bytes` (`parts`), that nobody else uses now.
        let input = unsafe { std::slice::from_raw_parts_mut(self.buffers.0.input, bytes) };
        packing.copy(volume, input, pool)?;
        for (axis, element) in self.element.iter_mut().enumerate() {
            packing.places(map, axis, part, element);
        }
        let whitening = Whitening::new(volume.rescale(), preprocess);
        let fill = table::Fill {
            voxel_type: volume.voxel_type() as i32,
            first_part: i32::from(first_part),
            input_bytes: bytes as u64,
            element: [0, 1, 2].map(|axis: usize| self.element[axis].as_ptr()),
            grid: signed(map.dims),
            first: signed([0, 1, 2].map(|axis: usize| part[axis].start)),
            last: signed([0, 1, 2].map(|axis: usize| part[axis].end)),
            slope: whitening.slope,
            intercept: whitening.intercept,
            clip_low: whitening.low,
            clip_high: whitening.high,
            mean: whitening.mean,
            deviation: whitening.std,
            outside: whitening.outside(),
        };
        self.call("the volume on the GPU", |table, engine, message| {
            // SAFETY: a living engine; the lists are as long as the grid and live until the call has returned.
            unsafe { (table.fill)(engine, &fill, message) }
        })
    }
}

/// The first planes (D) of a part of the grid whose voxels fit into so many bytes: all, or a half, or a quarter, but one at
/// least.
fn first_planes(volume: &Volume<'_>, map: &GridMap, part: &Region, capacity: u64) -> (Region, Packing) {
    let mut planes = part[0].len();
    loop {
        let first = [part[0].start..part[0].start + planes, part[1].clone(), part[2].clone()];
        let packing = Packing::of(volume, map, &first);
        if packing.bytes() as u64 <= capacity || planes <= 1 {
            return (first, packing);
        }
        planes /= 2;
    }
}

/// The larger of each.
fn both(a: table::Size, b: table::Size) -> table::Size {
    table::Size {
        input_bytes: a.input_bytes.max(b.input_bytes),
        voxels: a.voxels.max(b.voxels),
        indices: a.indices.max(b.indices),
        starts: a.starts.max(b.starts),
        windows: a.windows.max(b.windows),
        limit: b.limit,
    }
}

impl Engine for CudaEngine {
    fn prepare(&mut self, size: &Size) -> Result<()> {
        for (element, &n) in self.element.iter_mut().zip(&size.grid) {
            element.clear();
            try_reserve(element, n, "the resampling tables")?;
        }
        for (starts, &n) in self.starts.iter_mut().zip(&size.starts) {
            starts.clear();
            try_reserve(starts, n, "the list of windows")?;
        }
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let (mut wanted, input) = (self.memory.size(size), size.input.iter().product::<usize>());
        if input <= self.input {
            // No larger, whatever its voxels' type.
            wanted.input_bytes = wanted.input_bytes.min(self.prepared.input_bytes.max(CudaMemory::least_input(size)));
        }
        let (wanted, input) = (both(self.prepared, wanted), input.max(self.input));
        if (table::Size { limit: self.prepared.limit, ..wanted }) != self.prepared {
            self.take(wanted)?;
        }
        self.input = input;
        Ok(())
    }

    fn fill(&mut self, source: &Source<'_>) -> Result<()> {
        let Source { volume, map, region, .. } = *source;
        volume.require_voxels()?;
        require_stack()?;
        let mut rest = region.clone();
        while !rest[0].is_empty() {
            let (part, packing) = first_planes(volume, map, &rest, self.buffers.0.input_bytes);
            if packing.bytes() as u64 > self.buffers.0.input_bytes || map.dims.iter().product::<usize>() as u64 > self.prepared.voxels {
                return Err(Error::new(ErrorKind::Panic, "a volume larger than prepared for: a defect of this library, please report it"));
            }
            self.fill_part(source, &packing, &part, rest[0].start == region[0].start)?;
            rest[0].start = part[0].end;
        }
        self.grid = map.dims;
        Ok(())
    }

    fn run(&mut self, job: &Job<'_>, observer: Observer<'_>) -> Result<Report> {
        require_stack()?;
        let Job { windows, control, .. } = *job;
        let covered = windows.covered(self.grid);
        for (to, from) in self.starts.iter_mut().zip(windows.starts()) {
            to.clear();
            to.extend(from.iter().map(|&start| signed([start])[0]));
        }
        let run = table::Run {
            starts: [0, 1, 2].map(|axis: usize| self.starts[axis].as_ptr()),
            count: signed([0, 1, 2].map(|axis: usize| self.starts[axis].len())),
            first: signed([0, 1, 2].map(|axis: usize| covered[axis].start)),
            last: signed([0, 1, 2].map(|axis: usize| covered[axis].end)),
        };
        let (mut told, mut outcome) = (0.0, table::Outcome::default());
        let mut ask = |share: f64| {
            control.check()?;
            if share > told {
                told = share;
                if observer(share.min(1.0)).is_break() {
                    // The deadline may be why.
                    return Err(control.check().err().unwrap_or_else(Control::cancelled));
                }
            }
            Ok(())
        };
        let mut asking = Asking::new(&mut ask);
        let poll = asking.poll();
        let result = self.call("the network on the GPU", |table, engine, message| {
            // SAFETY: a living engine; the lists and what is asked live until the call has returned; room for the answer.
            unsafe { (table.run)(engine, &run, poll, &mut outcome, message) }
        });
        asking.outcome(result)?;
        self.intensities = Intensities { saturated: outcome.saturated, min: outcome.min, max: outcome.max };
        Ok(Report { windows_computed: windows.len(), combine_share: 0.0 })
    }

    fn winners(&self) -> Winners<'_> {
        let table::Buffers { channels, confidence, .. } = self.buffers.0;
        let voxels = self.grid.iter().product();
        // SAFETY: pinned memory for as many voxels as were prepared for, no fewer than were filled; it stays until the engine
        // is prepared again, and nothing is under way when a run has returned.
        unsafe {
            Winners { channels: std::slice::from_raw_parts(channels, voxels), confidence: std::slice::from_raw_parts(confidence, voxels) }
        }
    }

    fn intensities(&self) -> Intensities {
        self.intensities
    }
}
