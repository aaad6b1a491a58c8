//! Stopping a run from outside, and telling the outside how far it is.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Instant;

use crate::error::{Error, ErrorKind, Result};

/// A number between 0 and 1 that only grows until it is reset.
#[derive(Debug, Default)]
pub struct Fraction(AtomicU64);

impl Fraction {
    /// The number.
    pub fn get(&self) -> f64 {
        f64::from_bits(self.0.load(Ordering::Acquire))
    }

    /// Raises the number to `value`, if that is larger.
    pub fn raise(&self, value: f64) {
        // Positive floating-point numbers are ordered as their bits are.
        self.0.fetch_max(value.clamp(0.0, 1.0).to_bits(), Ordering::AcqRel);
    }

    /// Back to 0.
    pub fn reset(&self) {
        self.0.store(0, Ordering::Release);
    }
}

/// Told how far a run is, on the calling thread.
pub type Observer<'a> = &'a mut (dyn FnMut(f64) -> ControlFlow<()> + 'a);

/// What can stop a run, looked at between pieces of work by every thread.
#[derive(Debug)]
pub struct Control<'a> {
    /// The caller's requests to stop.
    pub cancels: [Option<&'a AtomicBool>; 2],
    /// When the run's time is over.
    pub deadline: Option<Instant>,
    /// Set once any thread has given up, so that the others do.
    pub stopped: AtomicBool,
}

impl Control<'_> {
    /// Whether the run may go on.
    ///
    /// # Errors
    /// [`ErrorKind::Cancelled`] or [`ErrorKind::Deadline`].
    pub fn check(&self) -> Result<()> {
        if self.stopped.load(Ordering::Relaxed) || self.cancels.iter().flatten().any(|cancel| cancel.load(Ordering::Acquire)) {
            return Err(Self::cancelled());
        }
        if self.deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(Error::new(ErrorKind::Deadline, "the run's deadline passed before it was done; nothing was changed"));
        }
        Ok(())
    }

    /// The failure of a run that was asked to stop.
    pub fn cancelled() -> Error {
        Error::new(ErrorKind::Cancelled, "the run was cancelled; nothing was changed")
    }

    /// Makes every thread stop at its next look.
    pub fn stop(&self) {
        self.stopped.store(true, Ordering::Relaxed);
    }
}
