//! Who carries out the pieces of a step: one worker alone, or every thread of the pool together.

use std::marker::PhantomData;
use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crossbeam::utils::CachePadded;

use super::kernels::{Block, Kernels};
use crate::error::{Error, Result};
use crate::threads::{Pool, lock};

/// Memory for what a piece of a step computes on the way, one per thread, each on cache lines of its own.
pub type Scratch = CachePadded<Mutex<Vec<Block>>>;

/// How a window's steps are carried out. The result has the same bits either way: every piece is computed whole.
#[derive(Clone, Copy)]
pub struct Executor<'a> {
    /// The instruction set's kernels.
    pub kernels: &'static Kernels,
    /// The threads that share the pieces; `None`: the calling thread does them all.
    pub pool: Option<&'a Pool>,
    /// The memory of each thread.
    pub scratch: &'a [Scratch],
    /// Asked before every piece whether to go on.
    pub check: &'a (dyn Fn() -> Result<()> + Sync),
    /// Told, for benchmarks, how long each stage of the network took.
    pub observe: Option<&'a dyn Fn(usize, Duration)>,
}

impl Executor<'_> {
    /// The number of threads that share the pieces.
    pub fn threads(&self) -> usize {
        self.pool.map_or(1, Pool::threads)
    }

    /// Calls `piece` with 0 to `count` − 1, each once, in any order and on any of the threads, and with the thread's
    /// scratch memory.
    ///
    /// # Errors
    /// Whatever `check` or a piece returns first; then pieces are missing.
    ///
    /// # Panics
    /// If there are fewer scratch memories than threads.
    pub fn each(&self, count: usize, piece: &(dyn Fn(usize, &mut [Block]) + Sync)) -> Result<()> {
        let Some(pool) = self.pool else {
            let mut scratch = lock(&self.scratch[0]);
            return (0..count).try_for_each(|index| {
                (self.check)()?;
                piece(index, &mut scratch);
                Ok(())
            });
        };
        let (next, failure) = (AtomicUsize::new(0), Mutex::new(None::<Error>));
        pool.run(|thread| {
            let mut scratch = lock(&self.scratch[thread]);
            loop {
                let index = next.fetch_add(1, Ordering::Relaxed);
                if index >= count {
                    break;
                }
                if let Err(error) = (self.check)() {
                    lock(&failure).get_or_insert(error);
                    next.store(count, Ordering::Relaxed);
                    break;
                }
                piece(index, &mut scratch);
            }
        })?;
        failure.into_inner().unwrap_or_else(PoisonError::into_inner).map_or(Ok(()), Err)
    }
}

/// What is done with a chunk of two slices, given its number.
#[cfg(feature = "trainer")]
pub type PieceOfPair<'a, A, B> = dyn Fn(usize, &mut [A], &mut [B]) + Sync + 'a;

#[cfg(feature = "trainer")]
impl Executor<'_> {
    /// Calls `piece` with every chunk of `a` and the chunk of `b` with the same number, each once, in any order and on any of
    /// the threads. A `b_length` of 0: nothing of `b`.
    ///
    /// # Errors
    /// Whatever `check` returns; then pieces are missing.
    ///
    /// # Panics
    /// If `a_length` is 0, `a` does not consist of whole chunks, or `b` has fewer.
    pub fn each_pair<A: Send, B: Send>(
        &self,
        a: &mut [A],
        a_length: usize,
        b: &mut [B],
        b_length: usize,
        piece: &PieceOfPair<'_, A, B>,
    ) -> Result<()> {
        let count = a.len() / a_length;
        assert!(a.len() == count * a_length && b.len() >= count * b_length, "chunks side by side");
        let (a, b) = (Shared::new(a), Shared::new(b));
        self.each(count, &|index, _| {
            // SAFETY: every piece has its own chunk of either.
            let (a, b) = unsafe { (a.part(index * a_length..(index + 1) * a_length), b.part(index * b_length..(index + 1) * b_length)) };
            piece(index, a, b);
        })
    }
}

/// A slice whose parts are written by different threads at the same time.
pub(super) struct Shared<'a, T> {
    first: *mut T,
    len: usize,
    slice: PhantomData<&'a mut [T]>,
}

// SAFETY: `part`'s contract keeps the parts that threads hold at the same time apart.
unsafe impl<T: Send> Sync for Shared<'_, T> {}

impl<'a, T> Shared<'a, T> {
    pub fn new(slice: &'a mut [T]) -> Self {
        Shared { first: slice.as_mut_ptr(), len: slice.len(), slice: PhantomData }
    }

    /// The address of element `first`, for kernels whose writes interleave with those of others.
    ///
    /// # Panics
    /// If there is no such element.
    pub fn pointer(&self, first: usize) -> *mut T {
        assert!(first < self.len, "{first} of {}", self.len);
        self.first.wrapping_add(first)
    }

    /// A part of the slice.
    ///
    /// # Panics
    /// If the range is not within the slice.
    ///
    /// # Safety
    /// No element of the range is read or written through another part while this one is in use.
    #[allow(clippy::mut_from_ref, reason = "the contract takes the borrow checker's place")]
    pub unsafe fn part(&self, range: Range<usize>) -> &mut [T] {
        assert!(range.start <= range.end && range.end <= self.len, "{range:?} of {}", self.len);
        // SAFETY: within the slice, as asserted, which is borrowed mutably for 'a; no other part overlaps by contract.
        unsafe { std::slice::from_raw_parts_mut(self.first.add(range.start), range.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn every_piece_is_done_once_alone_and_together() {
        let pool = Pool::new(3, None).unwrap();
        let scratch: [Scratch; 3] = Default::default();
        for pool in [None, Some(&pool)] {
            let done: Vec<AtomicUsize> = (0..100).map(|_| AtomicUsize::new(0)).collect();
            let executor = Executor { kernels: Kernels::best(), pool, scratch: &scratch, check: &|| Ok(()), observe: None };
            executor
                .each(100, &|piece, _| {
                    done[piece].fetch_add(1, Ordering::Relaxed);
                })
                .unwrap();
            assert!(done.iter().all(|count| count.load(Ordering::Relaxed) == 1));
        }
    }

    #[test]
    fn a_request_to_stop_is_heard_before_the_next_piece() {
        let pool = Pool::new(3, None).unwrap();
        let scratch: [Scratch; 3] = Default::default();
        for pool in [None, Some(&pool)] {
            let (asked, done) = (AtomicUsize::new(0), AtomicUsize::new(0));
            let check = || match asked.fetch_add(1, Ordering::Relaxed) {
                0..5 => Ok(()),
                _ => Err(Error::new(ErrorKind::Cancelled, "stop here")),
            };
            let executor = Executor { kernels: Kernels::best(), pool, scratch: &scratch, check: &check, observe: None };
            let piece = |_, _: &mut [Block]| {
                done.fetch_add(1, Ordering::Relaxed);
            };
            assert_eq!(executor.each(100, &piece).unwrap_err().kind(), ErrorKind::Cancelled);
            assert_eq!(done.into_inner(), 5);
        }
    }
}
