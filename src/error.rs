//! Every way to fail, once: what kind of failure, and a message that says what to do.
//!
//! The kinds are the status codes of the C ABI (`SPINECT_ERROR_*`): a Rust caller and a C caller learn the same thing.

use std::borrow::Cow;
use std::fmt::{self, Write};

/// What a fallible function of this crate returns.
pub type Result<T> = std::result::Result<T, Error>;

macro_rules! kinds {
    ($($(#[$doc:meta])* $name:ident = $code:literal, $text:literal;)*) => {
        /// The kind of a failure. The numbers are those of the C ABI and never change.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        #[repr(i32)]
        pub enum ErrorKind { $($(#[$doc])* $name = $code,)* }

        impl ErrorKind {
            /// Every kind, in the order of the codes.
            pub const ALL: &'static [ErrorKind] = &[$(ErrorKind::$name,)*];

            /// The C ABI's name of this kind without its prefix `SPINECT_ERROR_`, for example `"BUSY"`.
            pub const fn name(self) -> &'static str {
                match self { $(ErrorKind::$name => $text,)* }
            }
        }
    };
}

kinds! {
    /// A pointer that must not be NULL was NULL.
    NullArgument = 10, "NULL_ARGUMENT";
    /// A value outside what the function accepts.
    InvalidArgument = 11, "INVALID_ARGUMENT";
    /// A structure whose `struct_size` is none that this library knows.
    StructSize = 12, "STRUCT_SIZE";
    /// A handle that was freed, or was never one.
    InvalidHandle = 13, "INVALID_HANDLE";
    /// The caller's buffer holds fewer elements than the result.
    BufferTooSmall = 14, "BUFFER_TOO_SMALL";
    /// The session is at work for another caller.
    Busy = 20, "BUSY";
    /// The session has no model yet.
    NoModel = 21, "NO_MODEL";
    /// `prepare_queries` has not been called for this label.
    NotPrepared = 22, "NOT_PREPARED";
    /// The caller cancelled.
    Cancelled = 23, "CANCELLED";
    /// The run's deadline passed.
    Deadline = 24, "DEADLINE";
    /// The handle was made before a `fork` and cannot be used in the child.
    Forked = 25, "FORKED";
    /// The operating system refused to read or write.
    Io = 30, "IO";
    /// A file whose format this library does not read or write.
    UnsupportedFormat = 31, "UNSUPPORTED_FORMAT";
    /// A file that contradicts its own format.
    CorruptFile = 32, "CORRUPT_FILE";
    /// A model file that breaks a rule of the model format.
    InvalidModel = 33, "INVALID_MODEL";
    /// Dimensions, an affine or a spacing that describe no volume.
    InvalidGeometry = 40, "INVALID_GEOMETRY";
    /// A file whose transforms contradict each other, or that has none.
    AmbiguousGeometry = 41, "AMBIGUOUS_GEOMETRY";
    /// A volume that needs more memory than the limit allows.
    VolumeTooLarge = 42, "VOLUME_TOO_LARGE";
    /// The point lies where no voxel was segmented.
    NotExamined = 43, "NOT_EXAMINED";
    /// No such value in the label table.
    UnknownLabel = 44, "UNKNOWN_LABEL";
    /// In the label table, but no voxel carries it.
    LabelAbsent = 45, "LABEL_ABSENT";
    /// The system has no memory left for this.
    OutOfMemory = 50, "OUT_OF_MEMORY";
    /// A thread could not be created.
    Thread = 51, "THREAD";
    /// The device asked for is not there.
    DeviceUnavailable = 60, "DEVICE_UNAVAILABLE";
    /// The device failed during the work.
    DeviceFailed = 61, "DEVICE_FAILED";
    /// The device has no memory left for this.
    DeviceOutOfMemory = 62, "DEVICE_OUT_OF_MEMORY";
    /// Not built in, or not available yet.
    Unsupported = 70, "UNSUPPORTED";
    /// A defect of this library, caught at its border.
    Panic = 99, "PANIC";
}

impl ErrorKind {
    /// The status code of the C ABI.
    pub const fn code(self) -> i32 {
        self as i32
    }
}

/// A failure: its kind, and a message that says what to do.
///
/// A message fixed at compile time allocates nothing, so that queries can fail without touching the heap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: Cow<'static, str>,
}

impl Error {
    /// An error of this kind. The message says what is wrong and what to do about it.
    pub fn new(kind: ErrorKind, message: impl Into<Cow<'static, str>>) -> Self {
        Error { kind, message: message.into() }
    }

    /// What kind of failure this is.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// The message, without the kind.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The same failure with what was being done in front of its message: `"context: message"`.
    #[must_use]
    pub fn context(self, context: impl fmt::Display) -> Self {
        Error { kind: self.kind, message: format!("{context}: {}", self.message).into() }
    }

    /// A failure of the operating system at `path`: [`ErrorKind::OutOfMemory`] if that is what it says.
    pub fn io(path: &std::path::Path, doing: &str, error: &std::io::Error) -> Self {
        let kind = if error.kind() == std::io::ErrorKind::OutOfMemory { ErrorKind::OutOfMemory } else { ErrorKind::Io };
        Error::new(kind, format!("cannot {doing} {}: {error}", path.display()))
    }

    /// No memory for `bytes` bytes of `what`. Where there is none for this message either, a fixed one.
    pub fn out_of_memory(what: &str, bytes: usize) -> Self {
        let message = format_args!("no memory for {what} ({bytes} bytes): free some, or use a smaller volume or fewer threads");
        Self::formatted(ErrorKind::OutOfMemory, message, "no memory left: free some, or use a smaller volume or fewer threads")
    }

    /// An error of this kind with this message. Where there is no memory for it, the fixed one.
    pub(crate) fn formatted(kind: ErrorKind, message: fmt::Arguments<'_>, fixed: &'static str) -> Self {
        struct Length(usize);
        impl Write for Length {
            fn write_str(&mut self, text: &str) -> fmt::Result {
                self.0 += text.len();
                Ok(())
            }
        }
        let (mut length, mut text) = (Length(0), String::new());
        let written = length.write_fmt(message).is_ok() && text.try_reserve_exact(length.0).is_ok() && text.write_fmt(message).is_ok();
        Error::new(kind, if written { Cow::Owned(text) } else { Cow::Borrowed(fixed) })
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

/// Reserves room for `len` elements in all without aborting when memory runs out.
///
/// # Errors
/// [`ErrorKind::OutOfMemory`], naming `what`.
pub(crate) fn try_reserve<T>(vector: &mut Vec<T>, len: usize, what: &str) -> Result<()> {
    let more = len.saturating_sub(vector.len());
    vector.try_reserve_exact(more).map_err(|_| Error::out_of_memory(what, len.saturating_mul(size_of::<T>())))?;
    if more > 0 {
        ask_for_huge_pages(vector);
    }
    Ok(())
}

/// Asks for large pages behind a large vector: the first touch of hundreds of megabytes then faults hundreds of times and
/// not a hundred thousand times, and the network looks up fewer places. A wish: nothing depends on it.
#[cfg(target_os = "linux")]
fn ask_for_huge_pages<T>(vector: &Vec<T>) {
    const HUGE: usize = 2 << 20;
    let bytes = vector.capacity().saturating_mul(size_of::<T>());
    let first = (vector.as_ptr() as usize).next_multiple_of(HUGE);
    let end = (vector.as_ptr() as usize + bytes) / HUGE * HUGE;
    if bytes >= 2 * HUGE && first < end {
        // SAFETY: the pages lie within memory that the vector owns; the advice changes no content.
        unsafe { libc::madvise(first as *mut libc::c_void, end - first, libc::MADV_HUGEPAGE) };
    }
}

#[cfg(not(target_os = "linux"))]
fn ask_for_huge_pages<T>(_: &Vec<T>) {}

/// A vector of `len` copies of `value`, taken without aborting when memory runs out.
///
/// # Errors
/// [`ErrorKind::OutOfMemory`], naming `what`.
pub(crate) fn try_vec<T: Clone>(value: T, len: usize, what: &str) -> Result<Vec<T>> {
    let mut vector = Vec::new();
    try_reserve(&mut vector, len, what)?;
    vector.resize(len, value);
    Ok(vector)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_keeps_the_kind_and_leads_the_message() {
        let error = Error::new(ErrorKind::CorruptFile, "dim[0] is 9").context("scan.nii");
        assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::CorruptFile, "scan.nii: dim[0] is 9"));
    }

    #[test]
    fn an_impossible_reservation_is_an_error_and_not_an_abort() {
        assert_eq!(try_vec(0u8, usize::MAX / 2, "a test").unwrap_err().kind(), ErrorKind::OutOfMemory);
    }
}
