//! The worker threads of a session: started once, joined when it ends, quiet in between.
//!
//! Workers block every signal, leave the creator's real-time scheduling, start from the default floating-point state,
//! and never outlive their pool. Handing them work allocates nothing.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::error::{Error, ErrorKind, Result};
use crate::float_state::FloatState;

mod stack;

pub(crate) use stack::{require_stack, with_enough_stack};

/// Locks a mutex. What a panicking thread left behind is still good here: every user restores its data first.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The cores that this thread may use; at least 1.
pub fn available() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// A job as the workers see it: called once per thread with the thread's number.
type Job = *const (dyn Fn(usize) + Sync);

/// A job pointer that may travel to the workers.
#[derive(Clone, Copy)]
struct SharedJob(Job);

// SAFETY: the job is `Sync`, and `Pool::run` keeps it alive until every worker is done with it.
unsafe impl Send for SharedJob {}

#[derive(Default)]
struct State {
    /// Counts jobs, so that a worker knows a new one from the last.
    job_number: u64,
    job: Option<SharedJob>,
    /// Workers that have not finished the job (or not started yet).
    busy: usize,
    /// A worker panicked during the job.
    panicked: bool,
    /// Why a worker could not start.
    refused: Option<String>,
    quit: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// A job is there, or the end.
    work: Condvar,
    /// A worker has finished.
    done: Condvar,
    /// `state.job_number` and `state.busy`, to be looked at without the lock.
    posted: AtomicU64,
    working: AtomicUsize,
}

/// How often a thread looks for what it waits for before it sleeps: some twenty microseconds, in which threads that share
/// a window's steps meet again, and which a waiting session does not feel.
const LOOKS: usize = 2000;

/// Waits a little until `ready`, without sleeping.
fn look_for(ready: impl Fn() -> bool) {
    for _ in 0..LOOKS {
        if ready() {
            return;
        }
        std::hint::spin_loop();
    }
}

/// A fixed set of threads, of which the caller of [`run`](Self::run) is number 0.
pub struct Pool {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").field("threads", &self.threads()).finish()
    }
}

impl Pool {
    /// Starts `threads` − 1 workers, on the cores `cpus` or, if `None`, on the caller's.
    ///
    /// # Errors
    /// [`ErrorKind::Thread`] if the system refuses a thread; [`ErrorKind::InvalidArgument`] if it refuses the cores. No
    /// worker is left behind.
    pub fn new(threads: usize, cpus: Option<&[usize]>) -> Result<Pool> {
        let mut pool = Pool { shared: Arc::default(), workers: Vec::new() };
        let count = threads.saturating_sub(1);
        crate::error::try_reserve(&mut pool.workers, count, "the list of workers")?;
        lock(&pool.shared.state).busy = count;
        let signals = BlockedSignals::new();
        for number in 1..=count {
            let shared = Arc::clone(&pool.shared);
            let cpus = cpus.map(<[usize]>::to_vec);
            let spawned = std::thread::Builder::new()
                .name(format!("spinect-{number}"))
                .spawn(move || worker(&shared, number, cpus.as_deref()))
                .map_err(|error| Error::new(ErrorKind::Thread, format!("cannot start worker {number} of {count}: {error}")));
            match spawned {
                Ok(handle) => pool.workers.push(handle),
                Err(error) => {
                    // Those that run already are joined when `pool` drops.
                    lock(&pool.shared.state).busy -= count - pool.workers.len();
                    return Err(error);
                }
            }
        }
        drop(signals);
        let state = pool.wait_until_idle();
        match state.refused.clone() {
            Some(reason) => {
                drop(state);
                Err(Error::new(ErrorKind::InvalidArgument, reason))
            }
            None => {
                drop(state);
                Ok(pool)
            }
        }
    }

    /// The number of threads, the caller of [`run`](Self::run) among them.
    pub fn threads(&self) -> usize {
        self.workers.len() + 1
    }

    /// Calls `job` once on every thread, with the thread's number (0 is the caller), and returns when all are done.
    /// One call at a time: a session's lock sees to that.
    ///
    /// # Errors
    /// [`ErrorKind::Panic`] if the job panicked on any thread.
    pub fn run(&self, job: impl Fn(usize) + Sync) -> Result<()> {
        self.run_beside(&job, || job(0))
    }

    /// Calls `job` once on every worker, with the worker's number (from 1), and `own` on the calling thread meanwhile;
    /// returns when all are done.
    ///
    /// # Errors
    /// [`ErrorKind::Panic`] if a job panicked on any thread.
    pub fn run_beside(&self, job: &(dyn Fn(usize) + Sync), own: impl FnOnce()) -> Result<()> {
        if !self.workers.is_empty() {
            // SAFETY: only the lifetime is erased. The workers use the pointer only until `busy` is 0 again, and this
            // function does not return, nor unwind, before that.
            let erased: Job = unsafe { std::mem::transmute::<*const (dyn Fn(usize) + Sync + '_), Job>(job) };
            let mut state = lock(&self.shared.state);
            state.job = Some(SharedJob(erased));
            state.job_number += 1;
            state.busy = self.workers.len();
            state.panicked = false;
            self.shared.working.store(state.busy, Ordering::Release);
            self.shared.posted.store(state.job_number, Ordering::Release);
            drop(state);
            self.shared.work.notify_all();
        }
        let own = catch_unwind(AssertUnwindSafe(own));
        look_for(|| self.shared.working.load(Ordering::Acquire) == 0);
        let mut state = self.wait_until_idle();
        state.job = None;
        if state.panicked || own.is_err() {
            let text = own.err().as_deref().map_or_else(|| "in a worker".to_string(), panic_text);
            return Err(Error::new(ErrorKind::Panic, format!("a defect of this library, please report it: {text}")));
        }
        Ok(())
    }

    fn wait_until_idle(&self) -> MutexGuard<'_, State> {
        let mut state = lock(&self.shared.state);
        while state.busy > 0 {
            state = self.shared.done.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        state
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        lock(&self.shared.state).quit = true;
        self.shared.work.notify_all();
        for worker in self.workers.drain(..) {
            // A worker catches every panic of a job, so there is nothing to pass on.
            let _ = worker.join();
        }
    }
}

/// What a panic said.
pub(crate) fn panic_text(payload: &(dyn Any + Send)) -> String {
    let text = payload.downcast_ref::<&str>().map(ToString::to_string);
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".into())
}

fn worker(shared: &Shared, number: usize, cpus: Option<&[usize]>) {
    let _float_state = FloatState::default_for_scope();
    leave_real_time_scheduling();
    let refused = cpus.and_then(|cpus| use_cores(cpus).err());
    let mut last = 0;
    let mut state = lock(&shared.state);
    if refused.is_some() {
        state.refused = refused;
    }
    loop {
        state.busy -= 1;
        shared.working.store(state.busy, Ordering::Release);
        shared.done.notify_all();
        drop(state);
        look_for(|| shared.posted.load(Ordering::Acquire) != last);
        state = lock(&shared.state);
        while !state.quit && state.job_number == last {
            state = shared.work.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        if state.quit {
            return;
        }
        last = state.job_number;
        let job = state.job;
        drop(state);
        let panicked = job.is_some_and(|SharedJob(job)| {
            // SAFETY: `Pool::run` keeps the job alive until this worker has counted itself out of `busy`.
            let job = unsafe { &*job };
            catch_unwind(AssertUnwindSafe(|| job(number))).is_err()
        });
        state = lock(&shared.state);
        state.panicked |= panicked;
    }
}

/// Blocks every signal in the calling thread, and so in the threads it starts, until dropped.
pub(crate) struct BlockedSignals {
    #[cfg(unix)]
    before: libc::sigset_t,
}

#[cfg(unix)]
impl BlockedSignals {
    pub(crate) fn new() -> Self {
        // SAFETY: `sigset_t` is plain data; both sets are initialized by the calls before they are read.
        unsafe {
            let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
            libc::sigfillset(&mut all);
            libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before);
            BlockedSignals { before }
        }
    }
}

#[cfg(unix)]
impl Drop for BlockedSignals {
    fn drop(&mut self) {
        // SAFETY: `before` is the mask that `pthread_sigmask` gave.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &self.before, std::ptr::null_mut()) };
    }
}

#[cfg(not(unix))]
impl BlockedSignals {
    pub(crate) fn new() -> Self {
        BlockedSignals {}
    }
}

/// A thread inherits its creator's scheduling; a robot's real-time priority is not for seconds of arithmetic. Policies
/// that are no real-time ones (batch, idle) stay.
#[cfg(target_os = "linux")]
fn leave_real_time_scheduling() {
    // SAFETY: `sched_param` is plain data; both calls concern the calling thread only.
    unsafe {
        let policy = libc::sched_getscheduler(0) & !libc::SCHED_RESET_ON_FORK;
        if [libc::SCHED_FIFO, libc::SCHED_RR, libc::SCHED_DEADLINE].contains(&policy) {
            let parameters: libc::sched_param = std::mem::zeroed();
            // A thread may always give up its priority, so there is no failure to tell of.
            libc::sched_setscheduler(0, libc::SCHED_OTHER, &parameters);
        }
    }
}

#[cfg(not(target_os = "linux"))]
fn leave_real_time_scheduling() {}

#[cfg(target_os = "linux")]
fn use_cores(cpus: &[usize]) -> std::result::Result<(), String> {
    // SAFETY: `cpu_set_t` is plain data, for which all zeros is the empty set.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for &cpu in cpus {
        if cpu >= libc::CPU_SETSIZE as usize {
            return Err(format!("core {cpu} is not one of this machine's"));
        }
        // SAFETY: `cpu` lies within the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    // SAFETY: the set is initialized and its size is given; the call concerns the calling thread only.
    let refused = unsafe { libc::sched_setaffinity(0, size_of::<libc::cpu_set_t>(), &set) } != 0;
    if refused {
        return Err(format!("workers cannot use cores {cpus:?}: {}", std::io::Error::last_os_error()));
    }
    Ok(())
}

#[cfg(not(target_os = "linux"))]
fn use_cores(_: &[usize]) -> std::result::Result<(), String> {
    Err("choosing cores is built in on Linux only: leave the list of cores empty".into())
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_thread_runs_the_job_once_and_the_caller_is_number_0() {
        let pool = Pool::new(4, None).unwrap();
        let caller = std::thread::current().id();
        for _ in 0..100 {
            let seen: [AtomicUsize; 4] = Default::default();
            pool.run(|number| {
                assert_eq!(number == 0, std::thread::current().id() == caller);
                seen[number].fetch_add(1, Ordering::Relaxed);
            })
            .unwrap();
            assert!(seen.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn a_panic_on_any_thread_is_an_error_and_the_pool_works_on() {
        let pool = Pool::new(3, None).unwrap();
        for thread in 0..3 {
            let error = pool.run(|number| assert!(number != thread, "on purpose")).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Panic);
        }
        pool.run(|_| ()).unwrap();
    }

    #[test]
    fn cores_that_do_not_exist_are_refused_and_those_that_do_are_used() {
        assert_eq!(Pool::new(2, Some(&[1_000_000])).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert!(Pool::new(2, Some(&[0])).is_ok());
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn workers_stay_on_the_cores_that_the_caller_may_use() {
        let allowed = || {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap().trim().to_owned()
        };
        // A thread of its own, so that no other test is bound.
        std::thread::spawn(move || {
            let first = allowed().split([',', '-']).next().unwrap().parse().unwrap();
            use_cores(&[first]).unwrap();
            assert_eq!(available(), 1);
            let pool = Pool::new(3, None).unwrap();
            pool.run(|_| assert_eq!(allowed(), first.to_string())).unwrap();
        })
        .join()
        .unwrap();
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn workers_block_every_signal() {
        let pool = Pool::new(2, None).unwrap();
        let blocked = AtomicUsize::new(0);
        pool.run(|number| {
            let status = std::fs::read_to_string("/proc/thread-self/status").unwrap();
            let mask = status.lines().find_map(|line| line.strip_prefix("SigBlk:")).unwrap().trim();
            let mask = u64::from_str_radix(mask, 16).unwrap();
            // SIGINT, SIGTERM, SIGPROF.
            if number == 1 && [2, 15, 27].iter().all(|signal| mask & (1 << (signal - 1)) != 0) {
                blocked.fetch_add(1, Ordering::Relaxed);
            }
        })
        .unwrap();
        assert_eq!(blocked.into_inner(), 1);
    }
}
