//! Every window of a grid through the network: groups of windows in parallel, each through the network in one worker's
//! arena, added up in their order. The last windows, if they are fewer than the threads, are each shared by all threads.

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crossbeam::utils::CachePadded;

use super::executor::{Executor, Scratch};
use super::identical::{Action, Actions, KEPT};
use super::kernels::Kernels;
use super::network::{Network, Workspace};
use super::turns::{Ready, Turns};
use crate::engine::plan::{Grouping, Plan};
use crate::engine::{Control, Job, Observer, Report};
use crate::error::{Error, Result, try_reserve, try_vec};
use crate::pipeline::combine::{Combination, WinnersBuffer};
use crate::pipeline::grid::Grid;
use crate::pipeline::window::Windows;
use crate::threads::{Pool, lock};

/// Windows that a thread takes together, so that the weights of the deep levels, some 330 MB for the paper's network, are
/// read from memory once for all of them.
const GROUP: usize = 4;
/// Slots for results per thread: a group being computed, a group waiting for its turn.
const SLOTS_PER_THREAD: usize = 2 * GROUP;

/// Bytes that no buffer accounts for: code and tables that are paged in, strings and lists.
const OVERHEAD: usize = 4 << 20;
/// The same per thread: its stack as far as it is used, the allocator's rounding.
const OVERHEAD_PER_THREAD: usize = 512 << 10;

/// One model on the CPU, with all memory that does not depend on the grid.
#[derive(Debug)]
pub struct Sweep {
    shared: Shared,
    sums: Sums,
}

/// What every thread of a run works with.
#[derive(Debug)]
struct Shared {
    network: Network,
    kernels: &'static Kernels,
    /// One per thread, each on cache lines of its own.
    workspaces: Vec<CachePadded<Mutex<Workspace>>>,
    /// One per thread.
    scratch: Vec<Scratch>,
    /// Probabilities of windows that are computed or wait for their turn.
    slots: Vec<CachePadded<Mutex<Vec<f32>>>>,
    turns: Turns,
    actions: Actions,
}

/// What one thread at a time writes to.
#[derive(Debug)]
struct Sums {
    combination: Combination,
    /// Probabilities of windows that others are identical to.
    kept: Vec<Vec<f32>>,
}

/// What every thread of a run works on.
#[derive(Clone, Copy)]
struct Task<'a> {
    grid: &'a Grid,
    job: &'a Job<'a>,
}

/// What the thread whose turn it is adds to.
struct Adding<'a> {
    sums: &'a mut Sums,
    winners: &'a mut WinnersBuffer,
    /// Windows that have been added.
    added: usize,
    /// Seconds spent on adding.
    seconds: f64,
}

/// Stops the other threads when one unwinds.
struct StopOnPanic<'a>(&'a Control<'a>);

impl Drop for StopOnPanic<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.stop();
        }
    }
}

impl Sweep {
    /// How windows are taken together: at levels of 8×16×16 voxels and below.
    pub const GROUPING: Grouping = Grouping { windows: GROUP, voxels: 2048 };

    /// Takes the memory for a plan on this many threads and packs its weights for these kernels.
    ///
    /// # Errors
    /// [`InvalidModel`](crate::ErrorKind::InvalidModel) if the plan contradicts its weights;
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn new(plan: Plan, threads: usize, kernels: &'static Kernels) -> Result<Self> {
        let network = Network::new(plan)?;
        let (mut workspaces, mut scratch, mut slots, mut kept) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        try_reserve(&mut workspaces, threads, "the workers' memory")?;
        try_reserve(&mut scratch, threads, "the workers' memory")?;
        for _ in 0..threads {
            workspaces.push(CachePadded::new(Mutex::new(Workspace::new(&network)?)));
            scratch.push(network.scratch()?);
        }
        let count = threads * SLOTS_PER_THREAD;
        try_reserve(&mut slots, count, "the windows' probabilities")?;
        for _ in 0..count {
            let slot = try_vec(0.0, network.probability_count(), "the windows' probabilities")?;
            slots.push(CachePadded::new(Mutex::new(slot)));
        }
        for _ in 0..KEPT {
            kept.push(try_vec(0.0, network.probability_count(), "the windows' probabilities")?);
        }
        let combination = Combination::new(network.classes, network.window);
        let turns = Turns::new(count)?;
        let shared = Shared { network, kernels, workspaces, scratch, slots, turns, actions: Actions::default() };
        Ok(Sweep { shared, sums: Sums { combination, kept } })
    }

    /// Bytes that [`new`](Self::new) takes while the plan's folded weights are still there.
    pub fn loading_bytes(plan: &Plan) -> usize {
        let weights = Network::weight_bytes(plan);
        let folded = plan.layers.iter().map(|layer| (layer.weight.len() + layer.bias.len()) * size_of::<f32>()).sum::<usize>();
        // The file and its tensors, the tensors and the plan, the plan and the packed weights: two at a time.
        folded + weights.max(folded) + OVERHEAD
    }

    /// Bytes that [`new`](Self::new) leaves taken.
    pub fn fixed_bytes(plan: &Plan, threads: usize) -> usize {
        let probabilities = plan.classes * plan.window.iter().product::<usize>() * size_of::<f32>();
        let worker = Workspace::bytes(plan) + SLOTS_PER_THREAD * probabilities + OVERHEAD_PER_THREAD;
        Network::weight_bytes(plan) + threads * worker + KEPT * probabilities + OVERHEAD
    }

    /// Takes the memory for grids of these dimensions (D, H, W) and this many windows, or smaller.
    ///
    /// # Errors
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub fn reserve(&mut self, grid: [usize; 3], windows: usize) -> Result<()> {
        self.sums.combination.reserve(grid[1] * grid[2])?;
        self.shared.actions.reserve(windows)
    }

    /// Carries out a job on a grid. `observer` is told, on the calling thread, the share of the windows that is done.
    /// Allocates nothing for what has been reserved.
    ///
    /// # Errors
    /// Those of [`Control::check`]; [`OutOfMemory`](crate::ErrorKind::OutOfMemory) for a grid that is larger than reserved
    /// for; [`InvalidModel`](crate::ErrorKind::InvalidModel) if the network's values outgrow f32.
    pub fn run(&mut self, grid: &Grid, job: &Job<'_>, winners: &mut WinnersBuffer, observer: Observer<'_>) -> Result<Report> {
        let started = Instant::now();
        let Job { windows, pool, control, .. } = *job;
        self.reserve(grid.dims, windows.len())?;
        self.shared.actions.find(grid, windows, job.all_windows, pool)?;
        self.shared.turns.begin();
        self.sums.combination.begin(grid.dims, windows.covered(grid.dims));
        let Sweep { shared, sums } = self;
        let shared = &*shared;
        let task = Task { grid, job };
        let adding = Mutex::new(Adding { sums, winners, added: 0, seconds: 0.0 });
        let failure = Mutex::new(None::<Error>);
        // A window per thread as long as that keeps every thread busy; then all threads on one window.
        let computed = shared.actions.computed();
        let tail = if pool.threads() > 1 { shared.actions.tail(computed % pool.threads()) } else { windows.len() };
        let work = |thread: usize, observer: Option<Observer<'_>>| {
            let _guard = StopOnPanic(control);
            if let Err(error) = shared.work(thread, tail, None, task, &adding, observer) {
                // The first failure is the cause; the others stop because of it.
                lock(&failure).get_or_insert(error);
                control.stop();
            }
        };
        let finished = pool
            .run_beside(&|thread| work(thread, None), || work(0, Some(&mut *observer)))
            .and_then(|()| lock(&failure).take().map_or(Ok(()), Err))
            .and_then(|()| shared.work(0, windows.len(), Some(pool), task, &adding, Some(observer)));
        let Adding { sums, winners, mut seconds, .. } = adding.into_inner().unwrap_or_else(PoisonError::into_inner);
        finished?;
        let finishing = Instant::now();
        sums.combination.finish(winners)?;
        // Finishing holds every thread up.
        seconds += finishing.elapsed().as_secs_f64() * pool.threads() as f64;
        let busy = started.elapsed().as_secs_f64() * pool.threads() as f64;
        Ok(Report { windows_computed: computed, combine_share: (seconds / busy.max(f64::MIN_POSITIVE)).min(1.0) })
    }
}

impl Shared {
    /// One thread's share of a run: windows until all below `end` are given out. With a `team`, its threads share each.
    fn work(
        &self,
        thread: usize,
        end: usize,
        team: Option<&Pool>,
        task: Task<'_>,
        adding: &Mutex<Adding<'_>>,
        mut observer: Option<Observer<'_>>,
    ) -> Result<()> {
        let Task { grid, job: &Job { windows, control, pool, .. } } = task;
        let count = windows.len();
        let check = || control.check();
        let scratch = if team.is_some() { &self.scratch[..] } else { &self.scratch[thread..=thread] };
        let executor = Executor { kernels: self.kernels, pool: team, scratch, check: &check, observe: None };
        let mut workspace = lock(&self.workspaces[thread]);
        let threads = if team.is_some() { 1 } else { pool.threads() };
        let mut group = [(0, 0); GROUP];
        loop {
            let taken = self.turns.take(end, threads, &self.actions, &mut group[..self.network.group], &check)?;
            if taken == 0 {
                return Ok(());
            }
            let starts = group.map(|(window, _)| windows.start(window));
            self.network.encode(&executor, grid, &starts[..taken], &mut workspace)?;
            for (index, &(window, slot)) in group[..taken].iter().enumerate() {
                self.network.decode(&executor, index, &mut workspace, &mut lock(&self.slots[slot]))?;
                self.turns.deliver(window, slot, count, &self.actions, &mut |window, ready| {
                    lock(adding).add(window, ready, self, windows);
                });
                if let Some(observe) = &mut observer {
                    let added = lock(adding).added;
                    if observe(added as f64 / count as f64).is_break() {
                        // The deadline may be why.
                        return Err(control.check().err().unwrap_or_else(Control::cancelled));
                    }
                }
            }
        }
    }
}

impl Adding<'_> {
    /// Adds a window's probabilities, and keeps them if other windows are identical.
    fn add(&mut self, window: usize, ready: Ready, shared: &Shared, windows: &Windows) {
        let started = Instant::now();
        let Adding { sums: Sums { combination, kept }, winners, added, seconds } = self;
        match ready {
            Ready::Kept(place) => combination.add(windows.start(window), &kept[place], winners),
            Ready::Slot(slot) => {
                let probabilities = lock(&shared.slots[slot]);
                combination.add(windows.start(window), &probabilities, winners);
                if let Action::ComputeAndKeep(place) = shared.actions.of(window) {
                    kept[place].copy_from_slice(&probabilities);
                }
            }
        }
        *added += 1;
        *seconds += started.elapsed().as_secs_f64();
    }
}
