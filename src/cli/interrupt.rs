//! Ctrl-C: the first one asks the work to stop, so that no partial file stays behind; a second one ends the process.

use crate::session::Cancel;

static CANCEL: Cancel = Cancel::new();

/// The request that Ctrl-C (and a request to terminate) sets from now on.
pub(super) fn cancel_on_interrupt() -> &'static Cancel {
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: `request` only stores to an atomic and calls `signal`; both are async-signal-safe. It lives forever.
        let before = unsafe { libc::signal(signal, request as extern "C" fn(libc::c_int) as libc::sighandler_t) };
        if before == libc::SIG_IGN {
            // SAFETY: a signal that the caller ignores (a background job, `nohup`) stays ignored.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }
    &CANCEL
}

extern "C" fn request(signal: libc::c_int) {
    CANCEL.set();
    // SAFETY: `signal` is async-signal-safe; the number is the one that was delivered.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}
