//! Batches of patches, drawn ahead by threads of their own so that the network never waits, and always the same ones.
//!
//! Patch p of iteration i under a seed depends on these three numbers alone (and on the cases and options): not on the number
//! of threads, and not on where training was interrupted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::JoinHandle;

use crossbeam::channel::{Receiver, Sender, bounded};
use rand::RngExt;

use crate::error::{Error, ErrorKind, Result, try_vec};
use crate::float_state::FloatState;
use crate::model::Preprocess;
use crate::threads::{BlockedSignals, panic_text};

use super::Dataset;
use super::case::{Whitening, check_spacing};
use super::patch::{Augmentation, Recipe, draw};
use super::random::{Purpose, generator};

/// How patches are drawn.
#[derive(Clone, Debug, PartialEq)]
pub struct Sampling {
    /// Patches per batch.
    pub batch: usize,
    /// Voxels of a patch along D, H, W.
    pub window: [usize; 3],
    /// The model's preprocessing, with the training set's mean and standard deviation.
    pub preprocess: Preprocess,
    /// How patches are varied.
    pub augmentation: Augmentation,
    /// The same seed draws the same patches.
    pub seed: u64,
}

/// What one iteration trains on.
#[derive(Clone, Debug, PartialEq)]
pub struct Batch {
    /// Which iteration.
    pub iteration: u64,
    /// Whitened voxels: patch, D, H, W, the last fastest.
    pub voxels: Vec<f32>,
    /// Their classes in the same order; [`PADDING`](super::PADDING) does not count.
    pub classes: Vec<u8>,
}

/// Batches that each thread may be ahead of the network, beside the one that it works on.
const AHEAD: usize = 2;

/// The most threads that draw.
const MAX_WORKERS: usize = 64;

/// Batches in the order of their iterations. Its threads are joined when it is dropped.
#[derive(Debug)]
pub struct Batches {
    /// One channel per thread; thread n of N makes batches n, n + N, n + 2N …: their order needs no sorting.
    channels: Vec<Receiver<Result<Batch>>>,
    recycled: Sender<Batch>,
    workers: Vec<JoinHandle<()>>,
    next: usize,
    failed: Option<Error>,
}

impl Batches {
    /// Starts `workers` threads that draw batches from `cases` (indices into the dataset; each is as likely as the next),
    /// from iteration `first_iteration` on.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for no case, a case that is not there, no thread, an empty batch or window, or numbers
    /// that [`Augmentation::check`] or [`Whitening::new`] refuse; [`ErrorKind::InvalidGeometry`] for a spacing that no volume
    /// has; [`ErrorKind::Thread`] if the system refuses a thread.
    pub fn start(dataset: &Arc<Dataset>, cases: &[usize], sampling: &Sampling, first_iteration: u64, workers: usize) -> Result<Batches> {
        let work = Arc::new(Work::new(dataset, cases, sampling)?);
        if !(1..=MAX_WORKERS).contains(&workers) {
            return Err(Error::new(
                ErrorKind::InvalidArgument,
                format!("{workers} threads to draw patches: accepted are 1 to {MAX_WORKERS}"),
            ));
        }
        let (recycled, free) = bounded(workers * (AHEAD + 1));
        let mut batches = Batches { channels: Vec::new(), recycled, workers: Vec::new(), next: 0, failed: None };
        // The host's signals are for the host's threads.
        let _signals = BlockedSignals::new();
        for worker in 0..workers {
            let (sender, receiver) = bounded(AHEAD);
            let (work, free) = (Arc::clone(&work), Receiver::clone(&free));
            let first = first_iteration.checked_add(worker as u64);
            let iterations = std::iter::successors(first, move |iteration| iteration.checked_add(workers as u64));
            let thread = std::thread::Builder::new()
                .name(format!("spinect-patch-{worker}"))
                .spawn(move || work.deliver(iterations, &sender, &free))
                .map_err(|error| {
                    Error::new(ErrorKind::Thread, format!("cannot start thread {worker} of {workers} for patches: {error}"))
                })?;
            batches.channels.push(receiver);
            batches.workers.push(thread);
        }
        Ok(batches)
    }

    /// The batch of the next iteration; waits if it is not ready.
    ///
    /// # Errors
    /// What went wrong when it was drawn, for example a case whose file has vanished; from then on always the same.
    /// [`ErrorKind::Panic`] for a defect of this library.
    #[allow(clippy::should_implement_trait, reason = "an endless iterator of results invites adapters that hide the first error")]
    pub fn next(&mut self) -> Result<Batch> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        let gone = || Err(Error::new(ErrorKind::Panic, "a defect of this library, please report it: a thread that draws patches is gone"));
        let result = self.channels.get(self.next).map_or_else(gone, |channel| channel.recv().unwrap_or_else(|_| gone()));
        self.next = (self.next + 1) % self.channels.len().max(1);
        self.failed = result.as_ref().err().cloned();
        result
    }

    /// Gives a batch's memory back, to be filled again.
    pub fn recycle(&self, batch: Batch) {
        // If the threads have enough already, it is freed.
        let _ = self.recycled.try_send(batch);
    }
}

impl Drop for Batches {
    fn drop(&mut self) {
        // A thread whose receiver is gone ends with the batch at hand.
        self.channels.clear();
        for worker in self.workers.drain(..) {
            // Panics were caught in there.
            let _ = worker.join();
        }
    }
}

/// What every thread knows.
struct Work {
    dataset: Arc<Dataset>,
    cases: Vec<usize>,
    recipe: Recipe,
    batch: usize,
    seed: u64,
}

impl Work {
    fn new(dataset: &Arc<Dataset>, cases: &[usize], sampling: &Sampling) -> Result<Work> {
        let fail = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
        let Sampling { batch, window, ref preprocess, ref augmentation, seed } = *sampling;
        if cases.is_empty() {
            return fail("no case to draw patches from: give at least one".into());
        }
        if let Some(case) = cases.iter().find(|&&case| case >= dataset.len()) {
            return fail(format!("case number {case} is not in the dataset, which has {}", dataset.len()));
        }
        let voxels = window.iter().try_fold(batch, |product, &n| product.checked_mul(n));
        if voxels.is_none_or(|n| n == 0 || n > isize::MAX as usize / 4) {
            return fail(format!("batches of {batch} patches of {window:?} voxels: neither may be empty, nor larger than memory"));
        }
        check_spacing(preprocess.spacing_mm)?;
        augmentation.check()?;
        let recipe = Recipe {
            window,
            spacing_mm: preprocess.spacing_mm,
            whitening: Whitening::new(preprocess)?,
            augmentation: augmentation.clone(),
        };
        Ok(Work { dataset: Arc::clone(dataset), cases: cases.to_vec(), recipe, batch, seed })
    }

    /// Draws and delivers batches until nobody wants them anymore, or one fails.
    fn deliver(&self, iterations: impl Iterator<Item = u64>, to: &Sender<Result<Batch>>, free: &Receiver<Batch>) {
        let _float_state = FloatState::default_for_scope();
        for iteration in iterations {
            let drawn = catch_unwind(AssertUnwindSafe(|| self.draw(iteration, free.try_recv().ok())));
            let batch = drawn.unwrap_or_else(|payload| {
                let text = panic_text(payload.as_ref());
                Err(Error::new(ErrorKind::Panic, format!("a defect of this library, please report it: {text}")))
            });
            let failed = batch.is_err();
            if to.send(batch).is_err() || failed {
                return;
            }
        }
    }

    fn draw(&self, iteration: u64, memory: Option<Batch>) -> Result<Batch> {
        let patch: usize = self.recipe.window.iter().product();
        let count = self.batch * patch;
        let mut batch = match memory {
            Some(batch) if batch.voxels.len() == count && batch.classes.len() == count => Batch { iteration, ..batch },
            _ => Batch { iteration, voxels: try_vec(0.0, count, "a batch")?, classes: try_vec(0, count, "a batch's classes")? },
        };
        for (number, (voxels, classes)) in batch.voxels.chunks_exact_mut(patch).zip(batch.classes.chunks_exact_mut(patch)).enumerate() {
            let mut random = generator(self.seed, Purpose::Patch { iteration, patch: number as u64 });
            let case = self.cases[random.random_range(0..self.cases.len())];
            draw(&*self.dataset.case(case)?, &self.recipe, &mut random, voxels, classes);
        }
        Ok(batch)
    }
}

#[cfg(test)]
mod tests {
    use super::super::{Case, Classes};
    use super::*;
    use crate::model::Config;

    fn dataset() -> Arc<Dataset> {
        let case = |first: i16| Case::new([6, 9, 9], [1.0; 3], (0..486).map(|n| first + n).collect(), vec![1; 486]).unwrap();
        let cases = [("a", 0), ("b", 500), ("c", 1000)].map(|(id, first)| (id.to_owned(), case(first)));
        Arc::new(Dataset::from_cases(Classes::spinect(), cases.into()).unwrap())
    }

    fn sampling(seed: u64) -> Sampling {
        let preprocess = Config::spinect(&[2]).preprocess;
        Sampling { batch: 3, window: [4, 8, 8], preprocess, augmentation: Augmentation::default(), seed }
    }

    fn take(cases: &[usize], sampling: &Sampling, first: u64, workers: usize, count: usize) -> Vec<Batch> {
        let mut batches = Batches::start(&dataset(), cases, sampling, first, workers).unwrap();
        (0..count).map(|_| batches.next().unwrap()).collect()
    }

    #[test]
    fn the_same_batches_come_in_order_for_any_number_of_threads_and_from_wherever_training_resumes() {
        let expected = take(&[0, 1, 2], &sampling(5), 0, 1, 12);
        assert!(expected.iter().enumerate().all(|(n, batch)| batch.iteration == n as u64));
        for workers in [2, 3, 5] {
            assert!(take(&[0, 1, 2], &sampling(5), 0, workers, 12) == expected, "{workers} threads");
            assert!(take(&[0, 1, 2], &sampling(5), 7, workers, 5) == expected[7..], "resumed with {workers} threads");
        }
    }

    #[test]
    fn seeds_iterations_and_patches_all_differ() {
        let batches = [take(&[0, 1, 2], &sampling(5), 0, 1, 4), take(&[0, 1, 2], &sampling(6), 0, 1, 4)].concat();
        let patches: Vec<_> = batches.iter().flat_map(|batch| batch.voxels.chunks(256)).collect();
        assert_eq!(patches.len(), 24);
        assert!((0..24).all(|a| (0..a).all(|b| patches[a] != patches[b])));
    }

    #[test]
    fn the_cases_asked_for_are_drawn_alike_and_no_other_ever() {
        let plain = Sampling { augmentation: Augmentation::NONE, batch: 4, ..sampling(1) };
        let batches = take(&[2, 0], &plain, 0, 2, 150);
        let (mean, std) = (plain.preprocess.mean as f32, plain.preprocess.std as f32);
        let cases: Vec<i32> = batches.iter().flat_map(|b| b.voxels.chunks(256)).map(|p| (p[0] * std + mean).round() as i32 / 500).collect();
        let first = cases.iter().filter(|&&case| case == 0).count();
        assert!(cases.iter().all(|&case| case != 1) && first.abs_diff(300) < 62, "{first} of {}", cases.len());
    }

    #[test]
    fn memory_that_comes_back_is_used_and_leaves_no_trace() {
        let expected = take(&[0, 1, 2], &sampling(5), 0, 1, 30);
        let mut batches = Batches::start(&dataset(), &[0, 1, 2], &sampling(5), 0, 2).unwrap();
        let mut addresses = std::collections::BTreeSet::new();
        for expected in expected {
            let mut batch = batches.next().unwrap();
            assert!(batch == expected);
            addresses.insert(batch.voxels.as_ptr() as usize);
            batch.voxels.fill(f32::NAN);
            batch.classes.fill(9);
            batches.recycle(batch);
        }
        // What can be under way at once: one in each channel's place, in each thread's hands and in the network's.
        assert!(addresses.len() <= 2 * (AHEAD + 1) + 1, "{}", addresses.len());
        batches.recycle(Batch { iteration: 0, voxels: vec![0.0; 7], classes: Vec::new() });
        assert!((0..8).all(|_| batches.next().unwrap().voxels.len() == 768));
    }

    #[test]
    fn dropping_at_any_time_joins_the_threads() {
        let dataset = dataset();
        for taken in [0, 1, 2, 9] {
            for workers in [1, 3] {
                let mut batches = Batches::start(&dataset, &[0], &sampling(0), 0, workers).unwrap();
                (0..taken).for_each(|_| drop(batches.next().unwrap()));
                drop(batches);
                // Every thread held the dataset.
                assert_eq!(Arc::strong_count(&dataset), 1);
            }
        }
    }

    #[test]
    fn the_last_iteration_there_can_be_is_drawn() {
        let last = take(&[0], &sampling(0), u64::MAX - 1, 1, 1);
        assert_eq!(last[0].iteration, u64::MAX - 1);
    }

    #[test]
    fn what_cannot_be_drawn_is_refused_before_a_thread_starts() {
        let dataset = dataset();
        let start =
            |cases: &[usize], sampling: &Sampling, workers| Batches::start(&dataset, cases, sampling, 0, workers).unwrap_err().kind();
        assert_eq!(start(&[], &sampling(0), 1), ErrorKind::InvalidArgument);
        assert_eq!(start(&[3], &sampling(0), 1), ErrorKind::InvalidArgument);
        assert_eq!(start(&[0], &sampling(0), 0), ErrorKind::InvalidArgument);
        assert_eq!(start(&[0], &Sampling { batch: 0, ..sampling(0) }, 1), ErrorKind::InvalidArgument);
        assert_eq!(start(&[0], &Sampling { window: [usize::MAX, 2, 2], ..sampling(0) }, 1), ErrorKind::InvalidArgument);
        let preprocess = Preprocess { spacing_mm: [1.0, 0.0, 1.0], ..sampling(0).preprocess };
        assert_eq!(start(&[0], &Sampling { preprocess, ..sampling(0) }, 1), ErrorKind::InvalidGeometry);
        let augmentation = Augmentation { noise: f64::NAN, ..Augmentation::NONE };
        assert_eq!(start(&[0], &Sampling { augmentation, ..sampling(0) }, 1), ErrorKind::InvalidArgument);
    }
}
