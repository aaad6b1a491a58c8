//! Model + engine + pipeline = segment. Read from top to bottom: `Session::run` is the method.

use std::mem::MaybeUninit;
use std::ops::ControlFlow;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::Instant;

use crate::engine::control::Fraction;
use crate::engine::{Backend, Control, Engine, Job, Source};
pub use crate::engine::{Device, Precision};
use crate::error::{Error, ErrorKind, Result};
use crate::float_state::FloatState;
use crate::geometry::Geometry;
use crate::model::{Config, Model};
use crate::pipeline::Region;
use crate::pipeline::grid::{GridMap, model_dims};
use crate::pipeline::pieces::Pieces;
use crate::pipeline::restore::{LabelMap, Tallies, restore};
use crate::pipeline::window::Windows;
use crate::segmentation::{Label, Prepared, Segmentation, Statistics, Timings, Warnings};
use crate::threads::{self, Pool};
use crate::volume::Volume;

mod fingerprint;
mod loaded;
mod region;
mod run;

use self::loaded::Loaded;
pub use self::loaded::{MemoryEstimate, ModelInfo};
pub use self::region::RegionOfInterest;
use self::run::Reporter;
pub use self::run::{Cancel, Progress, Run, RunReport, Stage};

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

/// Everything that one segmentation at a time works with.
struct Work {
    pool: Pool,
    engine: Option<(Arc<Loaded>, Box<dyn Engine>)>,
    map: GridMap,
    windows: Windows,
    tallies: Tallies,
    pieces: Pieces,
}

/// One model, one device, all its buffers and threads. Shared by reference between threads; one segmentation at a
/// time, a second caller gets [`ErrorKind::Busy`].
pub struct Session {
    config: SessionConfig,
    backend: Backend,
    threads: usize,
    loaded: RwLock<Option<Arc<Loaded>>>,
    work: Mutex<Work>,
    progress: Fraction,
    closing: AtomicBool,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("config", &self.config).field("threads", &self.threads).finish_non_exhaustive()
    }
}

/// The most threads that a session may have.
pub const MAX_THREADS: usize = 1024;

impl Session {
    /// A session without a model. Its worker threads are started here and joined when it is dropped.
    ///
    /// # Errors
    /// Those of [`Backend::choose`]: [`ErrorKind::DeviceUnavailable`] for CUDA where it does not work, with the reason;
    /// [`ErrorKind::Unsupported`] for a precision that the device has not. [`ErrorKind::InvalidArgument`] for more than [`MAX_THREADS`] threads or cores that do
    /// not exist; [`ErrorKind::Thread`] if the system refuses a thread.
    pub fn new(config: &SessionConfig) -> Result<Session> {
        let threads = match config.threads {
            0 => config.cpus.as_ref().map_or_else(threads::available, |cpus| cpus.len().max(1)).min(MAX_THREADS),
            threads => threads,
        };
        if threads > MAX_THREADS {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{threads} threads: the most is {MAX_THREADS}")));
        }
        let backend = Backend::choose(config.device, config.device_index, config.precision)?;
        let work = Work {
            pool: Pool::new(threads, config.cpus.as_deref())?,
            engine: None,
            map: GridMap::default(),
            windows: Windows::default(),
            tallies: Tallies::default(),
            pieces: Pieces::default(),
        };
        Ok(Session {
            config: config.clone(),
            backend,
            threads,
            loaded: RwLock::new(None),
            work: Mutex::new(work),
            progress: Fraction::default(),
            closing: AtomicBool::new(false),
        })
    }

    /// Where it computes: what [`Device::Auto`] became.
    pub fn device(&self) -> Device {
        self.backend.device()
    }

    /// What there is to know about the device: the GPU's name, or why [`Device::Auto`] became the CPU.
    pub fn device_note(&self) -> Option<&str> {
        match &self.backend {
            Backend::Cuda(gpu) => Some(&gpu.name),
            Backend::Cpu(instead) => instead.as_ref().map(Error::message),
        }
    }

    /// Threads that a segmentation runs on, the caller's among them.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Loads a model file. A failed load keeps the previous model.
    ///
    /// # Errors
    /// Those of [`Model::from_file`]; [`ErrorKind::OutOfMemory`] also where the session's limit does not allow the
    /// model; [`ErrorKind::Busy`].
    pub fn load_weights(&self, path: &Path) -> Result<()> {
        let work = self.begin()?;
        self.load(work, Model::from_file(path)?)
    }

    /// Loads a model file that is already in memory. A failed load keeps the previous model.
    ///
    /// # Errors
    /// Those of [`Model::from_bytes`], and as [`load_weights`](Self::load_weights).
    pub fn load_weights_from_memory(&self, bytes: &[u8]) -> Result<()> {
        let work = self.begin()?;
        self.load(work, Model::from_bytes(bytes)?)
    }

    fn load(&self, mut work: MutexGuard<'_, Work>, model: Model) -> Result<()> {
        let _float_state = FloatState::default_for_scope();
        let plan = self.backend.plan(&model)?;
        let memory = self.backend.memory(&plan, self.threads)?;
        let needed = memory.loading_bytes();
        if let Some(limit) = self.config.memory_limit.filter(|&limit| needed > limit) {
            let message = format!("the model takes {needed} bytes on {} threads, the session's limit is {limit}", self.threads);
            return Err(Error::new(ErrorKind::OutOfMemory, message));
        }
        let loaded = Arc::new(Loaded::new(&model, memory, self.backend.device(), self.config.precision));
        drop(model);
        let engine = self.backend.engine(plan, self.threads)?;
        work.engine = Some((Arc::clone(&loaded), engine));
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Some(loaded);
        Ok(())
    }

    /// What the session knows about its model. From any thread, at any time.
    ///
    /// # Errors
    /// [`ErrorKind::NoModel`].
    pub fn model_info(&self) -> Result<ModelInfo> {
        Ok(self.loaded()?.info.clone())
    }

    /// The value of a label by its name. From any thread, at any time.
    ///
    /// # Errors
    /// [`ErrorKind::NoModel`]; [`ErrorKind::UnknownLabel`], naming the labels that there are.
    pub fn find_label(&self, name: &str) -> Result<u8> {
        let loaded = self.loaded()?;
        let labels = &loaded.config.labels;
        labels.iter().find(|label| label.name == name).map(|label| label.value).ok_or_else(|| {
            let names: Vec<_> = labels.iter().map(|label| label.name.as_str()).collect();
            Error::new(ErrorKind::UnknownLabel, format!("the model has no label {name:?}; it has {}", names.join(", ")))
        })
    }

    /// Memory that segmenting a volume of this shape takes. From any thread, at any time. Takes nothing.
    ///
    /// # Errors
    /// [`ErrorKind::NoModel`]; [`ErrorKind::VolumeTooLarge`] for a model grid that cannot be addressed.
    pub fn estimate_memory(&self, like: &Volume<'_>) -> Result<MemoryEstimate> {
        let loaded = self.loaded()?;
        Ok(MemoryEstimate { host_bytes: loaded.host_bytes(like)?, device_bytes: loaded.device_bytes(like)? })
    }

    /// Takes all memory for volumes of this shape now: later ones that are no larger along any axis, on the input grid
    /// and on the model grid, allocate nothing in `segment_into` and `segment_again`.
    ///
    /// # Errors
    /// [`ErrorKind::NoModel`]; [`ErrorKind::VolumeTooLarge`] beyond the session's memory limit;
    /// [`ErrorKind::OutOfMemory`]; [`ErrorKind::Busy`].
    pub fn prepare(&self, like: &Volume<'_>) -> Result<()> {
        let mut work = self.begin()?;
        let loaded = work.loaded()?;
        self.reserve_work(&mut work, &loaded, like)
    }

    /// Segments a volume.
    ///
    /// # Errors
    /// [`ErrorKind::NoModel`], [`ErrorKind::Busy`], [`ErrorKind::Cancelled`], [`ErrorKind::Deadline`],
    /// [`ErrorKind::VolumeTooLarge`], [`ErrorKind::OutOfMemory`]; [`ErrorKind::NullArgument`] for a volume without
    /// voxels; [`ErrorKind::InvalidArgument`] for a region of interest that is no box or lies outside the volume.
    pub fn segment(&self, volume: &Volume<'_>, run: Run<'_>) -> Result<Segmentation> {
        let started = Instant::now();
        let mut work = self.begin()?;
        let mut segmentation = self.reserve(volume)?;
        self.segment_to(&mut work, volume, run, started, &mut segmentation)?;
        Ok(segmentation)
    }

    /// Segments a volume into the caller's label map (packed, i fastest), which stays untouched on failure.
    ///
    /// # Errors
    /// As [`segment`](Self::segment); [`ErrorKind::BufferTooSmall`] if `labels` holds fewer elements than the volume.
    pub fn segment_into(&self, volume: &Volume<'_>, run: Run<'_>, labels: &mut [u8]) -> Result<RunReport> {
        // SAFETY: `MaybeUninit<u8>` has the layout of `u8`, and only initialized values are written through it.
        let labels = unsafe { &mut *(std::ptr::from_mut(labels) as *mut [MaybeUninit<u8>]) };
        self.segment_into_uninitialized(volume, run, labels)
    }

    /// As [`segment_into`](Self::segment_into), for memory that has not been written to yet.
    ///
    /// # Errors
    /// As [`segment_into`](Self::segment_into).
    pub fn segment_into_uninitialized(&self, volume: &Volume<'_>, run: Run<'_>, labels: &mut [MaybeUninit<u8>]) -> Result<RunReport> {
        let (count, given) = (volume.geometry().voxel_count(), labels.len());
        let Some(labels) = labels.get_mut(..count) else {
            return Err(Error::new(ErrorKind::BufferTooSmall, format!("room for {given} labels, the volume has {count} voxels")));
        };
        let started = Instant::now();
        let mut work = self.begin()?;
        let outcome = self.run(&mut work, volume, run, started, |work, region| work.restore_labels(volume.geometry(), region, labels))?;
        Ok(outcome.report)
    }

    /// Segments a volume into an existing result, which stays as it was on failure.
    ///
    /// # Errors
    /// As [`segment`](Self::segment).
    pub fn segment_again(&self, volume: &Volume<'_>, run: Run<'_>, target: &mut Segmentation) -> Result<()> {
        let started = Instant::now();
        self.segment_to(&mut *self.begin()?, volume, run, started, target)
    }

    fn segment_to(&self, work: &mut Work, volume: &Volume<'_>, run: Run<'_>, started: Instant, target: &mut Segmentation) -> Result<()> {
        let loaded = work.loaded()?;
        let geometry = *volume.geometry();
        self.check_limit(&loaded, volume)?;
        target.reserve(geometry.dims, model_dims(&geometry, loaded.config.preprocess.spacing_mm)?.iter().product())?;
        let mut fingerprint = [0; 64];
        if volume.has_voxels() {
            fingerprint::sha256_hex(volume, &mut fingerprint);
        }
        let outcome = self.run(work, volume, run, started, |work, region| {
            let labels = &mut target.labels;
            labels.resize(geometry.voxel_count(), 0);
            // SAFETY: as in `segment_into`.
            let labels = unsafe { &mut *(std::ptr::from_mut(labels.as_mut_slice()) as *mut [MaybeUninit<u8>]) };
            work.restore_labels(&geometry, region, labels)?;
            let (_, engine) = work.engine.as_ref().ok_or_else(no_model)?;
            target.confidence.values.clear();
            target.confidence.values.extend_from_slice(engine.winners().confidence);
            for (to, from) in target.confidence.offsets.iter_mut().zip(work.map.offsets()) {
                to.clear();
                to.extend_from_slice(from);
            }
            Ok(())
        })?;
        target.geometry = geometry;
        target.placement = volume.placement().copied();
        target.examined = outcome.region;
        if target.provenance.model_sha256 != loaded.info.sha256 {
            target.table = loaded.config.labels.iter().map(Label::new).collect();
            target.provenance = loaded.provenance();
        }
        for (channel, label) in target.table.iter_mut().enumerate() {
            label.statistics = Statistics::of(&work.tallies.of(channel), &geometry);
        }
        target.provenance.input_sha256.clear();
        target.provenance.input_sha256.extend(fingerprint.map(char::from));
        target.provenance.warnings = outcome.report.warnings;
        target.timings = outcome.report.timings;
        target.prepared = Prepared::default();
        Ok(())
    }

    /// A result of this shape in which nothing has been examined yet, for [`segment_again`](Self::segment_again).
    ///
    /// # Errors
    /// [`ErrorKind::NoModel`], [`ErrorKind::VolumeTooLarge`], [`ErrorKind::OutOfMemory`].
    pub fn reserve(&self, like: &Volume<'_>) -> Result<Segmentation> {
        let loaded = self.loaded()?;
        self.check_limit(&loaded, like)?;
        let model_voxels = model_dims(like.geometry(), loaded.config.preprocess.spacing_mm)?.iter().product();
        Segmentation::empty(like.geometry(), model_voxels, &loaded.config.labels, loaded.provenance())
    }

    /// How far the current or last run is, 0 to 1. From any thread, at any time.
    pub fn progress(&self) -> f64 {
        self.progress.get()
    }

    /// Cancels the call that is running and every later one: the session is about to be freed. From any thread.
    pub fn close(&self) {
        self.closing.store(true, Ordering::Release);
    }

    /// The method: model grid, windows, network, sum, and back. `deliver` writes the result, once nothing can fail or
    /// cancel it any more.
    fn run(
        &self,
        work: &mut Work,
        volume: &Volume<'_>,
        run: Run<'_>,
        started: Instant,
        deliver: impl FnOnce(&mut Work, &Region) -> Result<()>,
    ) -> Result<Outcome> {
        let _float_state = FloatState::default_for_scope();
        let loaded = work.loaded()?;
        let (geometry, config) = (volume.geometry(), &loaded.config);
        let region = RegionOfInterest::voxels(run.roi.as_ref(), geometry)?;
        let cancels = [run.cancel.map(|cancel| &cancel.0), Some(&self.closing)];
        let deadline = run.deadline.and_then(|duration| started.checked_add(duration));
        let control = Control { cancels, deadline, stopped: AtomicBool::new(false) };
        self.progress.reset();
        let mut reporter = Reporter { fraction: &self.progress, progress: run.progress };

        reporter.tell(&control, 0.0, Stage::Prepare)?;
        self.reserve_work(work, &loaded, volume)?;
        work.map.set(geometry, config.preprocess.spacing_mm)?;
        let grid = work.map.dims;
        work.windows.set(grid, config.window.size, config.window.stride, &work.map.model_region(&region))?;
        let Work { pool, engine, map, windows, .. } = &mut *work;
        let (_, engine) = engine.as_mut().ok_or_else(no_model)?;
        let (preprocess, covered) = (&config.preprocess, windows.covered(grid));
        engine.fill(&Source { volume, map, preprocess, region: &covered, pool, control: &control })?;
        let prepared = Instant::now();

        reporter.tell(&control, PREPARED, Stage::Network)?;
        let job = Job { windows, all_windows: run.all_windows, pool, control: &control };
        let report = engine.run(&job, &mut |share| {
            let told = reporter.tell(&control, PREPARED + share * (COMBINED - PREPARED), Stage::Network);
            if told.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let intensities = engine.intensities();
        let computed = Instant::now();

        // From here on nothing is asked any more: what was cancelled now would be half a result.
        reporter.tell(&control, 1.0, Stage::Restore)?;
        deliver(work, &region)?;
        let restored = Instant::now();

        let mut warnings = Warnings::of_geometry(geometry) | Warnings::of_intensities(&intensities, run.roi.is_none());
        for channel in 1..loaded.values.len() {
            warnings |= Warnings::of_structure(&work.tallies.of(channel), &region);
        }
        if work.is_fragmented(&loaded.config, &region) {
            warnings |= Warnings::FRAGMENTED;
        }
        if !loaded.clinical {
            warnings |= Warnings::MODEL_NOT_CLINICAL;
        }
        let engine_seconds = (computed - prepared).as_secs_f64();
        let mut timings = Timings {
            prepare: (prepared - started).as_secs_f64(),
            network: engine_seconds * (1.0 - report.combine_share),
            combine: engine_seconds * report.combine_share,
            restore: (restored - computed).as_secs_f64(),
            total: 0.0,
            windows: work.windows.len() as u64,
            windows_computed: report.windows_computed as u64,
        };
        timings.total = timings.prepare + timings.network + timings.combine + timings.restore;
        Ok(Outcome { report: RunReport { warnings, timings }, region })
    }

    /// The session's work, if nobody else is at it.
    fn begin(&self) -> Result<MutexGuard<'_, Work>> {
        match self.work.try_lock() {
            Ok(work) => Ok(work),
            // A panic left it: every buffer is written before it is read.
            Err(TryLockError::Poisoned(poisoned)) => Ok(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => {
                Err(Error::new(ErrorKind::Busy, "the session is at work for another caller: wait for it, or use a session of your own"))
            }
        }
    }

    fn loaded(&self) -> Result<Arc<Loaded>> {
        self.loaded.read().unwrap_or_else(PoisonError::into_inner).clone().ok_or_else(no_model)
    }

    fn check_limit(&self, loaded: &Loaded, volume: &Volume<'_>) -> Result<()> {
        let needed = loaded.host_bytes(volume)?;
        match self.config.memory_limit {
            Some(limit) if needed > limit => Err(Error::new(
                ErrorKind::VolumeTooLarge,
                format!("a volume of {:?} voxels takes {needed} bytes, the session's limit is {limit}", volume.geometry().dims),
            )),
            _ => Ok(()),
        }
    }

    /// Takes the memory for a volume like this one, unless it is there.
    fn reserve_work(&self, work: &mut Work, loaded: &Loaded, like: &Volume<'_>) -> Result<()> {
        self.check_limit(loaded, like)?;
        let (dims, window) = (like.geometry().dims, &loaded.config.window);
        let size = loaded.size(like)?;
        work.map.reserve(dims, size.grid)?;
        work.windows.reserve(size.grid, window.size, window.stride)?;
        work.tallies.reserve(dims[2], loaded.values.len())?;
        if loaded.counts_pieces() {
            work.pieces.reserve(size.grid)?;
        }
        let (_, engine) = work.engine.as_mut().ok_or_else(no_model)?;
        engine.prepare(&size)
    }
}

/// The share of a run's progress at which the grid is filled, and at which the windows are combined.
const PREPARED: f64 = 0.02;
/// See [`PREPARED`].
const COMBINED: f64 = 0.98;

/// A finished run, and the input voxels that it examined.
struct Outcome {
    report: RunReport,
    region: Region,
}

impl Work {
    fn loaded(&self) -> Result<Arc<Loaded>> {
        self.engine.as_ref().map(|(loaded, _)| Arc::clone(loaded)).ok_or_else(no_model)
    }

    /// Whether a structure is in more large pieces than the model says it has.
    fn is_fragmented(&mut self, config: &Config, region: &Region) -> bool {
        let Some((_, engine)) = &self.engine else { return false };
        let (grid, region, winners) = (self.map.dims, self.map.model_region(region), engine.winners());
        config.labels.iter().enumerate().any(|(channel, label)| {
            let count = |pieces: &mut Pieces| pieces.count_large(winners.channels, grid, &region, channel as u8);
            label.pieces.is_some_and(|most| count(&mut self.pieces).is_none_or(|pieces| pieces > most as usize))
        })
    }

    fn restore_labels(&mut self, geometry: &Geometry, examined: &Region, labels: &mut [MaybeUninit<u8>]) -> Result<()> {
        let (loaded, engine) = self.engine.as_ref().ok_or_else(no_model)?;
        let map = LabelMap { dims: geometry.dims, offsets: self.map.offsets(), examined, values: &loaded.values, labels };
        restore(engine.winners(), map, &mut self.tallies, &self.pool)
    }
}

fn no_model() -> Error {
    Error::new(ErrorKind::NoModel, "the session has no model: load weights first")
}
