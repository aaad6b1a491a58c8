//! What goes wrong, as a status of the C ABI and a text, and the border that neither a panic nor a Rust type crosses.

use std::ffi::{CStr, c_int};
use std::fmt::Display;
use std::panic::{AssertUnwindSafe, catch_unwind};

use candle_core::cuda_backend::cudarc::driver::DriverError;
use candle_core::cuda_backend::cudarc::driver::sys::CUresult;

use crate::launch::cudaGetErrorName;
use crate::table::Message;

/// Statuses of the C ABI.
pub const CANCELLED: i32 = 23;
pub const INVALID_MODEL: i32 = 33;
pub const OUT_OF_MEMORY: i32 = 50;
pub const DEVICE_UNAVAILABLE: i32 = 60;
pub const DEVICE_FAILED: i32 = 61;
pub const DEVICE_OUT_OF_MEMORY: i32 = 62;
pub const UNSUPPORTED: i32 = 70;
pub const PANIC: i32 = 99;

/// A failure.
#[derive(Clone, Debug)]
pub struct Failure {
    pub status: i32,
    pub text: String,
}

pub type Result<T> = std::result::Result<T, Failure>;

impl Failure {
    pub fn new(status: i32, text: impl Display) -> Self {
        Failure { status, text: text.to_string() }
    }

    /// Of the driver, while `doing` something. `full` is the status where it has no memory left.
    pub fn of_driver(error: DriverError, doing: &str, full: i32) -> Self {
        let status = if error.0 == CUresult::CUDA_ERROR_OUT_OF_MEMORY { full } else { DEVICE_FAILED };
        Failure::new(status, format_args!("{doing}: {}", describe(error)))
    }
}

/// The driver's own name and words for an error.
fn describe(error: DriverError) -> String {
    let name = error.error_name().map(|name| name.to_string_lossy().into_owned());
    let text = error.error_string().map(|text| text.to_string_lossy().into_owned());
    match (name, text) {
        (Ok(name), Ok(text)) => format!("{text} ({name})"),
        _ => format!("error {} of the driver", error.0 as u32),
    }
}

/// Shortens the mapping of a driver's result in a run, where out of memory is one failure among others.
pub trait While<T> {
    fn doing(self, what: &str) -> Result<T>;
}

impl<T> While<T> for std::result::Result<T, DriverError> {
    fn doing(self, what: &str) -> Result<T> {
        self.map_err(|error| Failure::of_driver(error, what, DEVICE_FAILED))
    }
}

/// What a launch returned.
pub fn launched(what: &str, error: c_int) -> Result<()> {
    if error == 0 {
        return Ok(());
    }
    let name = cudaGetErrorName(error);
    // SAFETY: the runtime's names are NUL-terminated and stay.
    let name = if name.is_null() { "an unknown error".into() } else { unsafe { CStr::from_ptr(name) }.to_string_lossy() };
    Err(Failure::new(DEVICE_FAILED, format_args!("{what}: {name} ({error})")))
}

/// Does the work; its failure, or its panic, becomes a status and a message.
pub fn border(message: Message, work: impl FnOnce() -> Result<()>) -> i32 {
    let outcome = catch_unwind(AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
        let text = text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "a panic without a message".into());
        Err(Failure::new(PANIC, format_args!("a defect of the CUDA engine, please report it: {text}")))
    });
    let Err(Failure { status, text }) = outcome else { return 0 };
    // Cut at a character.
    let mut length = text.len().min(message.capacity.saturating_sub(1));
    while !text.is_char_boundary(length) {
        length -= 1;
    }
    if !message.text.is_null() && message.capacity > 0 {
        // SAFETY: the caller gives room for `capacity` bytes, more than `length`.
        unsafe {
            std::ptr::copy_nonoverlapping(text.as_ptr(), message.text.cast(), length);
            message.text.add(length).write(0);
        }
    }
    status
}
