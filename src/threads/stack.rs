//! Room on the stack: parsing and compressing take more of it than a host's smallest thread has.

use std::cell::Cell;

use crate::error::{Error, ErrorKind, Result};
use crate::float_state::FloatState;
use crate::threads::BlockedSignals;

/// Several times what any parser or compressor here takes (the greediest, flate2, about 70 KiB).
const ENOUGH: usize = 256 << 10;

/// The stack of a thread that works in place of the caller.
const STACK: usize = 4 * ENOUGH;

/// Does the work on the calling thread if its stack has room enough, else on a thread of its own, which ends with it.
///
/// # Errors
/// Those of the work; [`ErrorKind::Thread`] if a thread is needed and the system refuses it.
///
/// # Panics
/// Where the work does.
pub(crate) fn with_enough_stack<T: Send>(work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
    if room().is_some_and(|bytes| bytes >= ENOUGH) {
        return work();
    }
    std::thread::scope(|scope| {
        let signals = BlockedSignals::new();
        let body = || {
            let _float_state = FloatState::default_for_scope();
            work()
        };
        let spawned = std::thread::Builder::new().name("spinect-stack".into()).stack_size(STACK).spawn_scoped(scope, body);
        drop(signals);
        match spawned {
            Ok(thread) => thread.join().unwrap_or_else(|payload| std::panic::resume_unwind(payload)),
            Err(error) => Err(Error::new(
                ErrorKind::Thread,
                format!("cannot start a thread: {error}; call this on a thread with {ENOUGH} bytes of stack or more, which needs none"),
            )),
        }
    })
}

/// Refuses to go on on a stack without room enough: for work that must stay on the calling thread, because it calls the host
/// back.
///
/// # Errors
/// [`ErrorKind::Thread`].
pub(crate) fn require_stack() -> Result<()> {
    if room().is_none_or(|bytes| bytes >= ENOUGH) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Thread, format!("too little stack for a GPU's driver: call this on a thread with {ENOUGH} bytes or more")))
}

/// Bytes left on the calling thread's stack, at least. `None` where that cannot be known: on another system, or on a
/// stack that the system did not make.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn room() -> Option<usize> {
    // SAFETY: neither call has a condition.
    if unsafe { libc::gettid() == libc::getpid() } {
        // The main thread's stack grows up to its limit, by default 8 MiB. Asking for its place reads a file.
        return Some(ENOUGH);
    }
    thread_local! {
        /// Where the thread's stack begins and how long it is, once known: asking takes memory.
        static EXTENT: Cell<Option<(usize, usize)>> = const { Cell::new(None) };
    }
    let extent = EXTENT.get().or_else(extent);
    EXTENT.set(extent);
    let (lowest, size) = extent?;
    let here = (&raw const lowest).addr();
    here.checked_sub(lowest).filter(|&room| room <= size)
}

/// The lowest address and the length of the calling thread's stack.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
fn extent() -> Option<(usize, usize)> {
    let (mut lowest, mut size) = (std::ptr::null_mut(), 0);
    // SAFETY: the attributes are plain data, initialized by the first call before they are read, and destroyed after it
    // alone.
    let known = unsafe {
        let mut attributes: libc::pthread_attr_t = std::mem::zeroed();
        if libc::pthread_getattr_np(libc::pthread_self(), &mut attributes) != 0 {
            return None;
        }
        let known = libc::pthread_attr_getstack(&attributes, &mut lowest, &mut size) == 0;
        libc::pthread_attr_destroy(&mut attributes);
        known
    };
    known.then(|| (lowest.addr(), size))
}

#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
fn room() -> Option<usize> {
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_on_the_caller(stack: usize) -> bool {
        let thread = std::thread::Builder::new().stack_size(stack).spawn(|| {
            let caller = std::thread::current().id();
            with_enough_stack(|| Ok(std::thread::current().id() == caller)).unwrap()
        });
        thread.unwrap().join().unwrap()
    }

    #[test]
    fn a_thread_with_little_stack_gets_help_and_another_does_not() {
        assert!(!is_on_the_caller(64 << 10));
        assert_eq!(is_on_the_caller(1 << 20), cfg!(all(target_os = "linux", target_env = "gnu")));
    }

    #[test]
    fn errors_and_panics_come_back_from_the_other_thread() {
        let thread = std::thread::Builder::new().stack_size(64 << 10).spawn(|| {
            let error = with_enough_stack(|| Err::<(), _>(Error::new(ErrorKind::Io, "a test's failure"))).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Io);
            let panic = std::panic::catch_unwind(|| with_enough_stack(|| -> Result<()> { panic!("a test's panic") })).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"a test's panic"));
        });
        thread.unwrap().join().unwrap();
    }

    #[test]
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    fn little_stack_is_refused_where_no_other_thread_may_help() {
        let refused =
            |stack: usize| std::thread::Builder::new().stack_size(stack).spawn(|| require_stack().is_err()).unwrap().join().unwrap();
        assert_eq!([refused(64 << 10), refused(1 << 20)], [true, false]);
    }
}
