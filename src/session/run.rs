//! How one segmentation runs: what the caller asks for, and what it is told meanwhile.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use super::RegionOfInterest;
use crate::engine::Control;
use crate::engine::control::Fraction;
use crate::error::Result;
use crate::segmentation::{Timings, Warnings};

/// A request to stop, set from any thread, any number of times; it outlives the calls it cancels.
#[derive(Debug, Default)]
pub struct Cancel(pub(super) AtomicBool);

impl Cancel {
    /// A request that is not set.
    pub const fn new() -> Self {
        Cancel(AtomicBool::new(false))
    }

    /// Asks every run that holds this to stop.
    pub fn set(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Takes the request back.
    pub fn reset(&self) {
        self.0.store(false, Ordering::Release);
    }

    /// What engines look at.
    #[cfg(feature = "trainer")]
    pub(crate) fn flag(&self) -> &AtomicBool {
        &self.0
    }

    /// Whether the request stands.
    pub fn is_set(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What a run is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// Orientation, resampling, whitening.
    Prepare,
    /// The network, window by window.
    Network,
    /// Back to the input grid.
    Restore,
}

/// Told how far a run is (0 to 1) and what it is doing, on the calling thread; `Break` cancels.
pub type Progress<'a> = &'a mut dyn FnMut(f64, Stage) -> ControlFlow<()>;

/// How one segmentation runs.
#[derive(Default)]
pub struct Run<'a> {
    /// Only this region.
    pub roi: Option<RegionOfInterest>,
    /// Compute identical windows again too: worst-case timing.
    pub all_windows: bool,
    /// Stops the run from another thread.
    pub cancel: Option<&'a Cancel>,
    /// Told how far the run is.
    pub progress: Option<Progress<'a>>,
    /// The run fails with [`ErrorKind::Deadline`](crate::ErrorKind::Deadline) once this has passed.
    pub deadline: Option<Duration>,
}

/// What a finished run says about itself.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RunReport {
    /// What to know before relying on the result.
    pub warnings: Warnings,
    /// Seconds per stage.
    pub timings: Timings,
}

/// Tells the caller and other threads how far a run is, and the run whether it may go on.
pub(super) struct Reporter<'f, 'p> {
    pub fraction: &'f Fraction,
    pub progress: Option<Progress<'p>>,
}

impl Reporter<'_, '_> {
    /// Tells how far the run is.
    ///
    /// # Errors
    /// Those of [`Control::check`]; [`ErrorKind::Cancelled`](crate::ErrorKind::Cancelled) if the caller's callback says so.
    pub fn tell(&mut self, control: &Control<'_>, fraction: f64, stage: Stage) -> Result<()> {
        self.fraction.raise(fraction);
        if let Some(progress) = &mut self.progress
            && progress(fraction, stage).is_break()
        {
            return Err(Control::cancelled());
        }
        control.check()
    }
}
