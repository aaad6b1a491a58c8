//! `spinect_cancel`: a request to stop.

use super::handle::{enter, free, handle, vacancy};
use super::status::{border, border_or, require, spinect_status};
use crate::session::Cancel;

/// A request to stop, set from any thread, any number of times. It outlives the calls it cancels and may be shared by
/// several. Freed with `spinect_cancel_free`.
pub struct spinect_cancel {
    _opaque: [u8; 0],
}
handle!(spinect_cancel => Cancel, 0xa2);

/// Makes a request that is not set.
///
/// @param cancel Receives the request; the caller frees it.
/// @return SPINECT_OK, or SPINECT_ERROR_NULL_ARGUMENT, OUT_OF_MEMORY.
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub unsafe extern "C" fn spinect_cancel_create(cancel: *mut *mut spinect_cancel) -> spinect_status {
    border(|| {
        require!(cancel);
        let handle = vacancy()?.fill(Cancel::new());
        // SAFETY: not NULL; the caller gives a place for a pointer.
        unsafe { cancel.write_unaligned(handle) };
        Ok(())
    })
}

/// Asks every run that was given this request to stop: it returns SPINECT_ERROR_CANCELLED within 50 ms on the CPU, within
/// one window on a GPU. Stays set until `spinect_cancel_reset`: a run that starts with a set request is cancelled at
/// once. A run that is just about to return successfully may do so.
///
/// @param cancel The request. NULL, or a handle that is none: nothing happens but a message for `spinect_last_error`.
/// @par Threads
/// Any thread, at any time. Takes no lock and allocates nothing.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spinect_cancel_set(cancel: *mut spinect_cancel) {
    border_or((), || {
        require!(cancel);
        enter(cancel)?.set();
        Ok(())
    });
}

/// Takes the request back, so that it can be used again.
///
/// @param cancel The request. NULL, or a handle that is none: nothing happens but a message for `spinect_last_error`.
/// @par Threads
/// Any thread, at any time. A run that is in progress may have seen the request before.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spinect_cancel_reset(cancel: *mut spinect_cancel) {
    border_or((), || {
        require!(cancel);
        enter(cancel)?.reset();
        Ok(())
    });
}

/// Frees a request. A run that was given it goes on, and can no longer be cancelled by it.
///
/// @param cancel The request, or NULL: then nothing happens. A handle that is none is noticed and leaves a message.
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spinect_cancel_free(cancel: *mut spinect_cancel) {
    border_or((), || if cancel.is_null() { Ok(()) } else { free(cancel) });
}
