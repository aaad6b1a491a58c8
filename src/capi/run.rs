//! `spinect_run`: how one segmentation runs, and the progress callback.

use std::cell::Cell;
use std::ffi::{CStr, c_char, c_void};
use std::ops::ControlFlow;
use std::time::Duration;

use super::cancel::spinect_cancel;
use super::handle::{Shared, enter};
use super::status::fail;
use super::structs::layout;
use crate::error::Result;
use crate::float_state::FloatState;
use crate::segmentation::Warnings;
use crate::session::{RegionOfInterest, Run, Stage};

/// Told how far a run is. Declared in `cbindgen.toml`: in C++ it is `noexcept`, which cbindgen cannot say.
pub type spinect_progress_fn = Option<unsafe extern "C" fn(fraction: f64, stage: *const c_char, user_data: *mut c_void) -> i32>;

/// Only the windows that touch the box `roi_min`, `roi_max` are computed; in it, the result is that of the whole volume.
pub const SPINECT_RUN_ROI: u32 = 1;
/// Identical windows are computed again too: worst-case timing.
pub const SPINECT_RUN_ALL_WINDOWS: u32 = 2;

/// How one segmentation runs. Set it to zero, then fill it in: zero is the default everywhere.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct spinect_run {
    /// sizeof(spinect_run).
    pub struct_size: u32,
    /// SPINECT_RUN_* or 0. Other bits must be 0.
    pub flags: u32,
    /// Stops the run; NULL: nothing does. May be shared by several runs.
    pub cancel: *const spinect_cancel,
    /// Told how far the run is; NULL: nobody is. Never called after the call has returned.
    pub progress: spinect_progress_fn,
    /// Handed to `progress`; the library does not look at it.
    pub user_data: *mut c_void,
    /// The smallest coordinates of the box in mm, in the volume's world. Only read with SPINECT_RUN_ROI.
    pub roi_min: [f64; 3],
    /// The largest coordinates of the box in mm, in the volume's world.
    pub roi_max: [f64; 3],
    /// The run fails with SPINECT_ERROR_DEADLINE once so many seconds have passed; 0: never.
    pub deadline_seconds: f64,
    /// Receives the result's SPINECT_WARNING_* bits when the run succeeds. May be NULL.
    pub warnings: *mut u64,
}
layout!(spinect_run, 96, {
    struct_size: 0, flags: 4, cancel: 8, progress: 16, user_data: 24, roi_min: 32, roi_max: 56, deadline_seconds: 80,
    warnings: 88,
});

/// A longer deadline is none: about 31 years.
const LONGEST_DEADLINE_SECONDS: f64 = 1e9;

thread_local! {
    /// How many progress callbacks of this thread have not returned yet.
    static CALLBACKS: Cell<u32> = const { Cell::new(0) };
}

/// Whether this thread is in a progress callback: a session in use may be its own.
pub(super) fn in_callback() -> bool {
    CALLBACKS.get() > 0
}

/// Makes this thread's storage exist.
pub(super) fn touch_thread() {
    CALLBACKS.set(CALLBACKS.get());
}

/// A `spinect_run` whose values are fine, with its request to stop kept alive.
pub(super) struct Values {
    raw: spinect_run,
    cancel: Option<Shared<spinect_cancel>>,
    roi: Option<RegionOfInterest>,
    deadline: Option<Duration>,
}

/// Looks the run's request to stop up.
///
/// # Errors
/// `InvalidHandle`, `Forked`.
pub(super) fn cancel_of(raw: &spinect_run) -> Result<Option<Shared<spinect_cancel>>> {
    if raw.cancel.is_null() { Ok(None) } else { enter(raw.cancel).map(Some) }
}

impl Values {
    /// Checks the values.
    ///
    /// # Errors
    /// `InvalidArgument`.
    pub(super) fn of(raw: spinect_run, cancel: Option<Shared<spinect_cancel>>) -> Result<Values> {
        if raw.flags & !(SPINECT_RUN_ROI | SPINECT_RUN_ALL_WINDOWS) != 0 {
            return Err(fail!(InvalidArgument, "flags are {:#x}: only SPINECT_RUN_ROI and SPINECT_RUN_ALL_WINDOWS are known", raw.flags));
        }
        let seconds = raw.deadline_seconds;
        if !(seconds >= 0.0 && seconds.is_finite()) {
            return Err(fail!(InvalidArgument, "deadline_seconds is {seconds}: it must be 0 (none) or a positive number"));
        }
        let deadline = (seconds > 0.0 && seconds < LONGEST_DEADLINE_SECONDS).then(|| Duration::from_secs_f64(seconds));
        let mut roi = None;
        if raw.flags & SPINECT_RUN_ROI != 0 {
            let (min, max) = (raw.roi_min, raw.roi_max);
            // Also false for a NaN.
            if !(0..3).all(|axis| min[axis] <= max[axis] && min[axis].is_finite() && max[axis].is_finite()) {
                return Err(fail!(InvalidArgument, "the region of interest {min:?} to {max:?} must be finite, with min <= max"));
            }
            roi = Some(RegionOfInterest { min, max });
        }
        Ok(Values { raw, cancel, roi, deadline })
    }

    /// Calls `work` with the run that the structure describes. `callers` is the floating-point mode of the caller, in
    /// which its callback runs.
    pub(super) fn with<T>(&self, callers: FloatState, work: impl FnOnce(Run<'_>) -> Result<T>) -> Result<T> {
        let mut progress = self.raw.progress.map(|function| {
            let user_data = self.raw.user_data;
            move |fraction: f64, stage: Stage| {
                let _mode = callers.for_scope();
                CALLBACKS.set(CALLBACKS.get() + 1);
                // SAFETY: the caller gave a function of this type for the time of the call.
                let answer = unsafe { function(fraction, name(stage).as_ptr(), user_data) };
                CALLBACKS.set(CALLBACKS.get() - 1);
                if answer == 0 { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            }
        });
        work(Run {
            roi: self.roi,
            all_windows: self.raw.flags & SPINECT_RUN_ALL_WINDOWS != 0,
            cancel: self.cancel.as_deref(),
            progress: progress.as_mut().map(|progress| progress as &mut dyn FnMut(f64, Stage) -> ControlFlow<()>),
            deadline: self.deadline,
        })
    }

    /// Hands the warnings of a successful run to the caller, if it wants them.
    ///
    /// # Safety
    /// The structure's `warnings` is NULL or leads to a place for a number.
    pub(super) unsafe fn report(&self, warnings: Warnings) {
        if !self.raw.warnings.is_null() {
            // SAFETY: not NULL, and the caller's promise.
            unsafe { self.raw.warnings.write_unaligned(warnings.0) };
        }
    }
}

/// A stage for the callback.
fn name(stage: Stage) -> &'static CStr {
    match stage {
        Stage::Prepare => c"prepare",
        Stage::Network => c"network",
        Stage::Restore => c"restore",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn raw() -> spinect_run {
        spinect_run {
            struct_size: 96,
            flags: 0,
            cancel: std::ptr::null(),
            progress: None,
            user_data: std::ptr::null_mut(),
            roi_min: [f64::NAN; 3],
            roi_max: [0.0; 3],
            deadline_seconds: 0.0,
            warnings: std::ptr::null_mut(),
        }
    }

    fn kind(change: impl FnOnce(&mut spinect_run)) -> Option<ErrorKind> {
        let mut raw = raw();
        change(&mut raw);
        Values::of(raw, None).err().map(|error| error.kind())
    }

    #[test]
    fn the_region_is_only_read_with_its_flag() {
        assert_eq!(kind(|_| ()), None);
        assert_eq!(kind(|raw| raw.flags = SPINECT_RUN_ROI), Some(ErrorKind::InvalidArgument));
        let swapped = |raw: &mut spinect_run| (raw.flags, raw.roi_min) = (SPINECT_RUN_ROI, [1.0, 0.0, 0.0]);
        assert_eq!(kind(swapped), Some(ErrorKind::InvalidArgument));
        assert_eq!(kind(|raw| (raw.flags, raw.roi_min) = (SPINECT_RUN_ROI, [0.0; 3])), None);
    }

    #[test]
    fn unknown_flags_and_impossible_deadlines_are_refused() {
        assert_eq!(kind(|raw| raw.flags = 4), Some(ErrorKind::InvalidArgument));
        for seconds in [-1.0, f64::NAN, f64::INFINITY] {
            assert_eq!(kind(|raw| raw.deadline_seconds = seconds), Some(ErrorKind::InvalidArgument));
        }
        for seconds in [1e-9, 1e300] {
            assert_eq!(kind(|raw| raw.deadline_seconds = seconds), None);
        }
    }

    #[test]
    fn the_callback_gets_its_data_and_a_non_zero_answer_cancels() {
        unsafe extern "C" fn callback(fraction: f64, stage: *const c_char, user_data: *mut c_void) -> i32 {
            // SAFETY: the library's text, and the test's own number.
            unsafe {
                assert_eq!(CStr::from_ptr(stage), c"network");
                *user_data.cast::<f64>() = fraction;
            }
            assert!(in_callback());
            i32::from(fraction > 0.5)
        }
        let mut seen = 0.0f64;
        let mut raw = raw();
        raw.progress = Some(callback);
        raw.user_data = (&raw mut seen).cast();
        let values = Values::of(raw, None).unwrap();
        let answers = values.with(FloatState::current(), |run| {
            let progress = run.progress.unwrap();
            Ok([0.25, 0.75].map(|fraction| progress(fraction, Stage::Network).is_break()))
        });
        assert_eq!((answers.unwrap(), seen, in_callback()), ([false, true], 0.75, false));
    }
}
