//! Status codes, the border that no panic crosses, and the calling thread's last error.

use std::any::Any;
use std::cell::UnsafeCell;
use std::fmt::{self, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::error::{Error, ErrorKind, Result};
use crate::float_state::FloatState;

/// What a function returns: `SPINECT_OK` or one of `SPINECT_ERROR_*`. Must be looked at.
pub type spinect_status = i32;

/// The call did what it says.
pub const SPINECT_OK: spinect_status = 0;
/// A pointer that must not be NULL was NULL.
pub const SPINECT_ERROR_NULL_ARGUMENT: spinect_status = 10;
/// A value outside what the function accepts.
pub const SPINECT_ERROR_INVALID_ARGUMENT: spinect_status = 11;
/// A structure whose `struct_size` is none that this library knows.
pub const SPINECT_ERROR_STRUCT_SIZE: spinect_status = 12;
/// A handle that was freed, is of another type, or was never one.
pub const SPINECT_ERROR_INVALID_HANDLE: spinect_status = 13;
/// The caller's buffer holds fewer elements than the result.
pub const SPINECT_ERROR_BUFFER_TOO_SMALL: spinect_status = 14;
/// The object is at work for another caller: try again when that call has returned.
pub const SPINECT_ERROR_BUSY: spinect_status = 20;
/// The session has no model yet.
pub const SPINECT_ERROR_NO_MODEL: spinect_status = 21;
/// `spinect_segmentation_prepare_queries` has not been called for this label.
pub const SPINECT_ERROR_NOT_PREPARED: spinect_status = 22;
/// The caller cancelled, by its `spinect_cancel`, its callback, or `spinect_session_free`.
pub const SPINECT_ERROR_CANCELLED: spinect_status = 23;
/// The run's deadline passed.
pub const SPINECT_ERROR_DEADLINE: spinect_status = 24;
/// The handle was made before a `fork` and cannot be used in the child.
pub const SPINECT_ERROR_FORKED: spinect_status = 25;
/// The operating system refused to read or write.
pub const SPINECT_ERROR_IO: spinect_status = 30;
/// A file whose format this library does not read or write.
pub const SPINECT_ERROR_UNSUPPORTED_FORMAT: spinect_status = 31;
/// A file that contradicts its own format.
pub const SPINECT_ERROR_CORRUPT_FILE: spinect_status = 32;
/// A model file that breaks a rule of the model format.
pub const SPINECT_ERROR_INVALID_MODEL: spinect_status = 33;
/// Dimensions, strides, an affine or a spacing that describe no volume.
pub const SPINECT_ERROR_INVALID_GEOMETRY: spinect_status = 40;
/// A file whose transforms contradict each other, or that has none.
pub const SPINECT_ERROR_AMBIGUOUS_GEOMETRY: spinect_status = 41;
/// A volume that needs more memory than the limit allows.
pub const SPINECT_ERROR_VOLUME_TOO_LARGE: spinect_status = 42;
/// The point lies where no voxel was segmented.
pub const SPINECT_ERROR_NOT_EXAMINED: spinect_status = 43;
/// No such value or name in the label table.
pub const SPINECT_ERROR_UNKNOWN_LABEL: spinect_status = 44;
/// In the label table, but no voxel carries it.
pub const SPINECT_ERROR_LABEL_ABSENT: spinect_status = 45;
/// The system has no memory left for this.
pub const SPINECT_ERROR_OUT_OF_MEMORY: spinect_status = 50;
/// A thread could not be created.
pub const SPINECT_ERROR_THREAD: spinect_status = 51;
/// The device asked for is not there.
pub const SPINECT_ERROR_DEVICE_UNAVAILABLE: spinect_status = 60;
/// The device failed during the work.
pub const SPINECT_ERROR_DEVICE_FAILED: spinect_status = 61;
/// The device has no memory left for this.
pub const SPINECT_ERROR_DEVICE_OUT_OF_MEMORY: spinect_status = 62;
/// Not built in, or not available in this version; the message says which build has it.
pub const SPINECT_ERROR_UNSUPPORTED: spinect_status = 70;
/// A defect of this library, caught at its border. Please report it with the message.
pub const SPINECT_ERROR_PANIC: spinect_status = 99;

/// An [`Error`] with a formatted message, without an allocation: see [`error`].
macro_rules! fail {
    ($kind:ident, $($message:tt)+) => {
        $crate::capi::status::error($crate::error::ErrorKind::$kind, format_args!($($message)+))
    };
}
pub(super) use fail;

/// Refuses NULL: the named pointers must not be NULL, checked in this order.
macro_rules! require {
    ($($pointer:expr),+ $(,)?) => {
        $(if $pointer.is_null() {
            return Err($crate::error::Error::new(
                $crate::error::ErrorKind::NullArgument,
                concat!("`", stringify!($pointer), "` is NULL: it must point to a value"),
            ));
        })+
    };
}
pub(super) use require;

/// The longest message that the last error keeps, in bytes. A longer one is cut at a character.
const LAST_ERROR_CAPACITY: usize = 1024;

/// The border of the library: the body computes in the default floating-point mode, a failure or a panic of it becomes
/// a status and the thread's last error.
pub(super) fn border(body: impl FnOnce() -> Result<()>) -> spinect_status {
    border_for_callback(|_| body())
}

/// The same border, with the caller's floating-point mode for callbacks.
pub(super) fn border_for_callback(body: impl FnOnce(FloatState) -> Result<()>) -> spinect_status {
    match caught(body) {
        Ok(()) => SPINECT_OK,
        Err(kind) => kind.code(),
    }
}

/// The same border for functions that return a value instead of a status, `fallback` where they fail.
pub(super) fn border_or<T>(fallback: T, body: impl FnOnce() -> Result<T>) -> T {
    caught(|_| body()).unwrap_or(fallback)
}

fn caught<T>(body: impl FnOnce(FloatState) -> Result<T>) -> std::result::Result<T, ErrorKind> {
    let scope = FloatState::default_for_scope();
    let callers = scope.former();
    // A panic leaves no broken value behind that later calls could see: sessions and tables guard their own state.
    let result = catch_unwind(AssertUnwindSafe(|| body(callers))).unwrap_or_else(|payload| Err(defect(payload)));
    result.map_err(|error| {
        LAST_ERROR.with(|last| last.store(&error));
        error.kind()
    })
}

/// A panic as an error.
fn defect(payload: Box<dyn Any + Send>) -> Error {
    let payload = match payload.downcast::<&'static str>() {
        Ok(text) => return fail!(Panic, "a defect of this library, please report it: {text}"),
        Err(payload) => payload,
    };
    match payload.downcast::<String>() {
        Ok(text) => fail!(Panic, "a defect of this library, please report it: {text}"),
        Err(payload) => {
            // The payload's own drop might panic outside the border.
            std::mem::forget(payload);
            Error::new(ErrorKind::Panic, "a defect of this library, please report it")
        }
    }
}

/// An error whose message is formatted into the thread's last error at once, so that failing needs no memory. What is
/// returned carries the kind and an empty message, which [`LastError::store`] takes for "already there".
pub(super) fn error(kind: ErrorKind, message: fmt::Arguments<'_>) -> Error {
    LAST_ERROR.with(|last| last.format(message));
    Error::new(kind, "")
}

/// The longest beginning of `text` that has at most `bytes` bytes and ends at a character.
pub(super) fn cut(text: &str, bytes: usize) -> &str {
    let mut end = bytes.min(text.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}

/// A thread's last error: constant-initialized and without a destructor, so that no access of it allocates once the
/// thread's storage exists.
struct LastError(UnsafeCell<(usize, [u8; LAST_ERROR_CAPACITY])>);

thread_local! {
    static LAST_ERROR: LastError = const { LastError(UnsafeCell::new((0, [0; LAST_ERROR_CAPACITY]))) };
}

impl LastError {
    fn format(&self, message: fmt::Arguments<'_>) {
        // SAFETY: only this thread reaches the cell, and formatting numbers and text does not come back here.
        let (len, buffer) = unsafe { &mut *self.0.get() };
        let mut message_end = End { buffer, len: 0 };
        // A message that is too long is cut, which is no failure.
        let _ = message_end.write_fmt(message);
        *len = message_end.len;
    }

    fn store(&self, error: &Error) {
        match error.message() {
            "" => {}
            // A message too short to help anybody is led by the kind's name.
            text if text.len() < 8 => self.format(format_args!("failed with {}: {text}", error.kind().name())),
            text => self.format(format_args!("{text}")),
        }
    }

    /// Copies the message, cut at a character and NUL-terminated, and returns its whole length.
    fn load(&self, target: &mut [u8]) -> usize {
        // SAFETY: as in `format`.
        let (len, buffer) = unsafe { &*self.0.get() };
        let text = buffer.get(..*len).and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default();
        if let Some(room) = target.len().checked_sub(1) {
            let end = copy(target, cut(text, room));
            target[end] = 0;
        }
        text.len()
    }
}

/// Appends to a message until the buffer is full.
struct End<'a> {
    buffer: &'a mut [u8],
    len: usize,
}

impl Write for End<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let copied = copy(&mut self.buffer[self.len..], text);
        self.len += copied;
        if copied < text.len() { Err(fmt::Error) } else { Ok(()) }
    }
}

/// Copies what fits of `text` and returns how many bytes that was.
fn copy(target: &mut [u8], text: &str) -> usize {
    let text = cut(text, target.len());
    target[..text.len()].copy_from_slice(text.as_bytes());
    text.len()
}

/// Copies the thread's last message into `target` and returns its whole length in bytes, without the NUL.
pub(super) fn last_error(target: &mut [u8]) -> usize {
    LAST_ERROR.with(|last| last.load(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(capacity: usize) -> (usize, Vec<u8>) {
        let mut target = vec![b'?'; capacity];
        (last_error(&mut target), target)
    }

    #[test]
    fn the_codes_are_those_of_the_error_kinds() {
        let constants = [
            ("NULL_ARGUMENT", SPINECT_ERROR_NULL_ARGUMENT),
            ("INVALID_ARGUMENT", SPINECT_ERROR_INVALID_ARGUMENT),
            ("STRUCT_SIZE", SPINECT_ERROR_STRUCT_SIZE),
            ("INVALID_HANDLE", SPINECT_ERROR_INVALID_HANDLE),
            ("BUFFER_TOO_SMALL", SPINECT_ERROR_BUFFER_TOO_SMALL),
            ("BUSY", SPINECT_ERROR_BUSY),
            ("NO_MODEL", SPINECT_ERROR_NO_MODEL),
            ("NOT_PREPARED", SPINECT_ERROR_NOT_PREPARED),
            ("CANCELLED", SPINECT_ERROR_CANCELLED),
            ("DEADLINE", SPINECT_ERROR_DEADLINE),
            ("FORKED", SPINECT_ERROR_FORKED),
            ("IO", SPINECT_ERROR_IO),
            ("UNSUPPORTED_FORMAT", SPINECT_ERROR_UNSUPPORTED_FORMAT),
            ("CORRUPT_FILE", SPINECT_ERROR_CORRUPT_FILE),
            ("INVALID_MODEL", SPINECT_ERROR_INVALID_MODEL),
            ("INVALID_GEOMETRY", SPINECT_ERROR_INVALID_GEOMETRY),
            ("AMBIGUOUS_GEOMETRY", SPINECT_ERROR_AMBIGUOUS_GEOMETRY),
            ("VOLUME_TOO_LARGE", SPINECT_ERROR_VOLUME_TOO_LARGE),
            ("NOT_EXAMINED", SPINECT_ERROR_NOT_EXAMINED),
            ("UNKNOWN_LABEL", SPINECT_ERROR_UNKNOWN_LABEL),
            ("LABEL_ABSENT", SPINECT_ERROR_LABEL_ABSENT),
            ("OUT_OF_MEMORY", SPINECT_ERROR_OUT_OF_MEMORY),
            ("THREAD", SPINECT_ERROR_THREAD),
            ("DEVICE_UNAVAILABLE", SPINECT_ERROR_DEVICE_UNAVAILABLE),
            ("DEVICE_FAILED", SPINECT_ERROR_DEVICE_FAILED),
            ("DEVICE_OUT_OF_MEMORY", SPINECT_ERROR_DEVICE_OUT_OF_MEMORY),
            ("UNSUPPORTED", SPINECT_ERROR_UNSUPPORTED),
            ("PANIC", SPINECT_ERROR_PANIC),
        ];
        let kinds: Vec<_> = ErrorKind::ALL.iter().map(|kind| (kind.name(), kind.code())).collect();
        assert_eq!(kinds, constants);
    }

    #[test]
    fn a_panic_becomes_a_status_and_a_message() {
        assert_eq!(border(|| panic!("number {}", 7)), SPINECT_ERROR_PANIC);
        let (len, text) = message(200);
        assert!(std::str::from_utf8(&text[..len]).unwrap().ends_with("report it: number 7"));
    }

    #[test]
    fn a_message_is_cut_at_a_character_and_its_whole_length_returned() {
        assert_eq!(border(|| Err(Error::new(ErrorKind::Io, "a µ-message"))), SPINECT_ERROR_IO);
        assert_eq!(message(4), (12, b"a \0?".to_vec()));
        assert_eq!(message(5), (12, "a µ\0".into()));
        assert_eq!(message(1), (12, vec![0]));
        assert_eq!(message(0), (12, vec![]));
    }

    #[test]
    fn a_message_beyond_the_storage_is_cut_at_a_character() {
        let long = "µ".repeat(LAST_ERROR_CAPACITY);
        assert_eq!(border(|| Err(fail!(Io, "x{long}"))), SPINECT_ERROR_IO);
        let (len, text) = message(2 * LAST_ERROR_CAPACITY);
        assert_eq!(len, LAST_ERROR_CAPACITY - 1);
        assert!(std::str::from_utf8(&text[..len]).is_ok() && text[len] == 0);
    }

    #[test]
    fn a_message_too_short_to_help_is_led_by_its_kind() {
        assert_eq!(border(|| Err(Error::new(ErrorKind::Io, "no"))), SPINECT_ERROR_IO);
        assert_eq!(message(9), (18, b"failed w\0".to_vec()));
    }

    #[test]
    fn success_keeps_the_last_error() {
        let _ = border(|| Err(Error::new(ErrorKind::Io, "the disk is gone")));
        assert_eq!(border(|| Ok(())), SPINECT_OK);
        assert_eq!(message(0).0, 16);
    }
}
