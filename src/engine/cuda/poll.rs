//! What the library asks between pieces of work: whether to go on. No panic crosses into it.

use std::ffi::c_void;
use std::panic::{AssertUnwindSafe, catch_unwind};

use super::table::Poll;
use crate::error::{Error, ErrorKind, Result};
use crate::threads::panic_text;

/// A question, and why the answer was to stop.
pub struct Asking<'a> {
    ask: &'a mut dyn FnMut(f64) -> Result<()>,
    stopped: Option<Error>,
}

impl<'a> Asking<'a> {
    /// A question that is asked with the share of the windows that is done.
    pub fn new(ask: &'a mut dyn FnMut(f64) -> Result<()>) -> Self {
        Asking { ask, stopped: None }
    }

    /// For the library; valid until `self` is moved or used otherwise.
    pub fn poll(&mut self) -> Poll {
        Poll { ask, context: std::ptr::from_mut(self).cast() }
    }

    /// What the call came to: why it was stopped, if it was, else its own result.
    ///
    /// # Errors
    /// As above.
    pub fn outcome(self, result: Result<()>) -> Result<()> {
        match self.stopped {
            // What failed while it was being stopped is worth more than that it was stopped.
            Some(stopped) if result.as_ref().map_or_else(|error| error.kind() == ErrorKind::Cancelled, |()| true) => Err(stopped),
            _ => result,
        }
    }
}

/// Asks once; 0 is to go on.
unsafe extern "C" fn ask(context: *mut c_void, share: f64) -> i32 {
    // SAFETY: the library hands back what it was given, on the thread that gave it, during the call it was given for.
    let asking = unsafe { &mut *context.cast::<Asking<'_>>() };
    if asking.stopped.is_some() {
        return 1;
    }
    let answer = catch_unwind(AssertUnwindSafe(|| (asking.ask)(share)));
    let answer = answer.unwrap_or_else(|payload| {
        Err(Error::new(ErrorKind::Panic, format!("a defect of this library, please report it: {}", panic_text(payload.as_ref()))))
    });
    asking.stopped = answer.err();
    i32::from(asking.stopped.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(mut ask: impl FnMut(f64) -> Result<()>, result: Result<()>) -> ([i32; 2], Result<()>) {
        let mut asking = Asking::new(&mut ask);
        let poll = asking.poll();
        // SAFETY: as the library calls it.
        let answers = [0.25, 0.5].map(|share| unsafe { (poll.ask)(poll.context, share) });
        (answers, asking.outcome(result))
    }

    #[test]
    fn the_reason_to_stop_comes_back_and_nothing_is_asked_after_it() {
        let cancelled = || Err(Error::new(ErrorKind::Cancelled, "status 23"));
        let mut asked = 0;
        let deadline = |_| {
            asked += 1;
            Err(Error::new(ErrorKind::Deadline, "too late"))
        };
        let (numbers, outcome) = answers(deadline, cancelled());
        assert_eq!((numbers, outcome.unwrap_err().kind(), asked), ([1, 1], ErrorKind::Deadline, 1));
        let (numbers, outcome) = answers(|share| if share < 0.5 { Ok(()) } else { panic!("a test's panic") }, cancelled());
        assert_eq!((numbers, outcome.unwrap_err().kind()), ([0, 1], ErrorKind::Panic));
    }

    #[test]
    fn a_device_that_fails_while_it_is_stopped_has_failed() {
        let failed = Err(Error::new(ErrorKind::DeviceFailed, "lost"));
        let (_, outcome) = answers(|_| Err(Error::new(ErrorKind::Cancelled, "by the caller")), failed);
        assert_eq!(outcome.unwrap_err().kind(), ErrorKind::DeviceFailed);
        assert_eq!(answers(|_| Ok(()), Ok(())), ([0, 0], Ok(())));
    }
}
