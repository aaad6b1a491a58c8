//! The library itself: versions, the names of statuses, the thread's last error.

use std::ffi::{CStr, c_char};
use std::fmt::Write;
use std::sync::OnceLock;

use super::status::{SPINECT_OK, border, border_or, last_error, spinect_status};
use crate::engine::cpu::kernels::Kernels;
use crate::error::ErrorKind;

/// Major version of this header. The library's own is in `spinect_version`.
pub const SPINECT_VERSION_MAJOR: i32 = 0;
/// Minor version of this header.
pub const SPINECT_VERSION_MINOR: i32 = 1;
/// Patch version of this header.
pub const SPINECT_VERSION_PATCH: i32 = 0;
/// Version of the ABI that this header declares. A library works with it if `spinect_abi_version` returns the same.
pub const SPINECT_ABI_VERSION: i32 = 1;

const VERSION: &CStr = c_string(concat!(env!("CARGO_PKG_VERSION"), "\0"));

/// The git commit that the library was built from.
pub(super) const COMMIT: &str = env!("SPINECT_COMMIT");

/// What [`spinect_build_info`] says that is known when the library is built.
const BUILD: &str = concat!(
    "spinect ",
    env!("CARGO_PKG_VERSION"),
    "; commit ",
    env!("SPINECT_COMMIT"),
    "; target ",
    env!("SPINECT_TARGET"),
    "; ",
    env!("SPINECT_PROFILE"),
    "; ",
    env!("SPINECT_RUSTC"),
    "; features: ",
    env!("SPINECT_FEATURES"),
    "; instruction set: "
);

/// How this library was built and which instruction set it uses.
fn build_line() -> &'static Line {
    static INFO: OnceLock<Line> = OnceLock::new();
    INFO.get_or_init(|| {
        let mut line = Line { bytes: [0; 1024], len: 0 };
        // The line is long enough for all of it; a piece that did not fit would be left out.
        let _ = line.write_str(BUILD);
        let _ = line.write_str(Kernels::best().name);
        line
    })
}

/// What [`spinect_build_info`] says, for Rust.
pub fn build_info() -> &'static str {
    let line = build_line();
    std::str::from_utf8(&line.bytes[..line.len]).unwrap_or(BUILD)
}

const fn c_string(text: &'static str) -> &'static CStr {
    match CStr::from_bytes_with_nul(text.as_bytes()) {
        Ok(text) => text,
        Err(_) => c"",
    }
}

/// The library's version, for example "0.1.0".
///
/// @return NUL-terminated text of the library, valid for ever. Never NULL.
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn spinect_version() -> *const c_char {
    VERSION.as_ptr()
}

/// The version of the ABI that the library has. A program compares it with SPINECT_ABI_VERSION once at its start.
///
/// @return 1 in this version.
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn spinect_abi_version() -> u32 {
    SPINECT_ABI_VERSION.unsigned_abs()
}

/// How the library was built: version, commit, target, compiler, features, and the instruction set in use on this
/// machine. One line for people and logs; its form may change.
///
/// @return NUL-terminated text of the library, valid for ever. Never NULL.
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn spinect_build_info() -> *const c_char {
    border_or(VERSION.as_ptr(), || Ok(build_line().bytes.as_ptr().cast()))
}

/// A NUL-terminated line without an allocation.
struct Line {
    bytes: [u8; 1024],
    len: usize,
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        // One byte stays free for the NUL.
        let room = self.bytes.len() - 1 - self.len;
        let target = self.bytes.get_mut(self.len..self.len + text.len()).filter(|_| text.len() <= room);
        target.ok_or(std::fmt::Error)?.copy_from_slice(text.as_bytes());
        self.len += text.len();
        Ok(())
    }
}

/// The name of a status: that of its constant without the prefix, for example "BUSY", "OK" for SPINECT_OK.
///
/// @param status Any number.
/// @return NUL-terminated text of the library, valid for ever; "UNKNOWN" for a number that is no status. Never NULL.
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
pub extern "C" fn spinect_status_name(status: spinect_status) -> *const c_char {
    let name = match ErrorKind::ALL.iter().find(|kind| kind.code() == status) {
        Some(&kind) => name(kind),
        None if status == SPINECT_OK => c"OK",
        None => c"UNKNOWN",
    };
    name.as_ptr()
}

/// [`ErrorKind::name`] for C.
const fn name(kind: ErrorKind) -> &'static CStr {
    match kind {
        ErrorKind::NullArgument => c"NULL_ARGUMENT",
        ErrorKind::InvalidArgument => c"INVALID_ARGUMENT",
        ErrorKind::StructSize => c"STRUCT_SIZE",
        ErrorKind::InvalidHandle => c"INVALID_HANDLE",
        ErrorKind::BufferTooSmall => c"BUFFER_TOO_SMALL",
        ErrorKind::Busy => c"BUSY",
        ErrorKind::NoModel => c"NO_MODEL",
        ErrorKind::NotPrepared => c"NOT_PREPARED",
        ErrorKind::Cancelled => c"CANCELLED",
        ErrorKind::Deadline => c"DEADLINE",
        ErrorKind::Forked => c"FORKED",
        ErrorKind::Io => c"IO",
        ErrorKind::UnsupportedFormat => c"UNSUPPORTED_FORMAT",
        ErrorKind::CorruptFile => c"CORRUPT_FILE",
        ErrorKind::InvalidModel => c"INVALID_MODEL",
        ErrorKind::InvalidGeometry => c"INVALID_GEOMETRY",
        ErrorKind::AmbiguousGeometry => c"AMBIGUOUS_GEOMETRY",
        ErrorKind::VolumeTooLarge => c"VOLUME_TOO_LARGE",
        ErrorKind::NotExamined => c"NOT_EXAMINED",
        ErrorKind::UnknownLabel => c"UNKNOWN_LABEL",
        ErrorKind::LabelAbsent => c"LABEL_ABSENT",
        ErrorKind::OutOfMemory => c"OUT_OF_MEMORY",
        ErrorKind::Thread => c"THREAD",
        ErrorKind::DeviceUnavailable => c"DEVICE_UNAVAILABLE",
        ErrorKind::DeviceFailed => c"DEVICE_FAILED",
        ErrorKind::DeviceOutOfMemory => c"DEVICE_OUT_OF_MEMORY",
        ErrorKind::Unsupported => c"UNSUPPORTED",
        ErrorKind::Panic => c"PANIC",
    }
}

/// Copies the message of this thread's last failure: what was wrong, and what to do. A success does not change it.
///
/// @param buffer Receives the message as UTF-8, cut at a character if it does not fit, always NUL-terminated. NULL only
///               asks for the length.
/// @param capacity Bytes of `buffer`, with room for the NUL.
/// @return The whole message's length in bytes, without the NUL; 0 if nothing has failed on this thread yet. The message
///         was cut if this is not less than `capacity`.
/// @par Threads
/// Any thread, at any time. Every thread has its own message.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn spinect_last_error(buffer: *mut c_char, capacity: usize) -> usize {
    if buffer.is_null() || capacity == 0 {
        return last_error(&mut []);
    }
    // No message is longer than this; a capacity that was never set must not make an impossible slice.
    let capacity = capacity.min(1 << 16);
    // SAFETY: not NULL, and the caller says that this many bytes may be written.
    last_error(unsafe { std::slice::from_raw_parts_mut(buffer.cast(), capacity) })
}

/// Touches this thread's storage now, so that no later call on this thread allocates for it. For threads with a
/// deadline, once at their start.
///
/// @return SPINECT_OK.
/// @par Threads
/// Any thread, at any time.
#[unsafe(no_mangle)]
#[must_use]
pub extern "C" fn spinect_thread_prepare() -> spinect_status {
    border(|| {
        last_error(&mut []);
        super::run::touch_thread();
        Ok(())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(pointer: *const c_char) -> &'static str {
        // SAFETY: the library's own texts, NUL-terminated.
        unsafe { CStr::from_ptr(pointer) }.to_str().unwrap()
    }

    #[test]
    fn the_headers_version_is_the_packages() {
        let [major, minor, patch] = [SPINECT_VERSION_MAJOR, SPINECT_VERSION_MINOR, SPINECT_VERSION_PATCH];
        assert_eq!(format!("{major}.{minor}.{patch}"), env!("CARGO_PKG_VERSION"));
        assert_eq!(text(spinect_version()), env!("CARGO_PKG_VERSION"));
    }

    #[test]
    fn every_status_has_the_name_of_its_kind() {
        for kind in ErrorKind::ALL {
            assert_eq!(text(spinect_status_name(kind.code())), kind.name());
        }
        assert_eq!((text(spinect_status_name(0)), text(spinect_status_name(-5))), ("OK", "UNKNOWN"));
    }

    #[test]
    fn the_build_says_its_target_and_the_instruction_set_in_use() {
        let info = text(spinect_build_info());
        assert!(info.contains("target ") && info.contains(std::env::consts::ARCH), "{info}");
        assert!(info.ends_with(Kernels::best().name), "{info}");
    }
}
