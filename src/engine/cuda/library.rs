//! Opening the library of the CUDA engine, once per process, when somebody asks for a GPU. It is never closed: CUDA has
//! threads and exit handlers of its own.

use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, OnceLock};

use super::place::{self, Place};
use super::table::{ENTRY, Entry, Message, Table, VERSION};
use crate::error::{Error, ErrorKind, Result};
use crate::threads::lock;

/// The open library.
#[derive(Debug)]
pub struct Library {
    /// What it can do.
    pub table: &'static Table,
}

// SAFETY: a table of functions and constants that never change; which calls may run at the same time, `table` says.
unsafe impl Send for Library {}
// SAFETY: as above.
unsafe impl Sync for Library {}

/// The library, if it has been opened.
static OPEN: OnceLock<Library> = OnceLock::new();
/// One opens it at a time.
static OPENING: Mutex<()> = Mutex::new(());

impl Library {
    /// The library of this process, opened if it is not open yet. What failed before is tried again.
    ///
    /// # Errors
    /// [`ErrorKind::DeviceUnavailable`]: not there, and where it was looked for; what it needs is missing, a driver say; it
    /// is of another release.
    pub fn open() -> Result<&'static Library> {
        if let Some(library) = OPEN.get() {
            return Ok(library);
        }
        let _opening = lock(&OPENING);
        if let Some(library) = OPEN.get() {
            return Ok(library);
        }
        let table = open()?;
        Ok(OPEN.get_or_init(|| Library { table }))
    }

    /// Calls the library with room for a message. What it says becomes an error.
    ///
    /// # Errors
    /// The kind of the status that the call returns; [`ErrorKind::DeviceFailed`] for a number that is none.
    pub fn call(&self, doing: &str, call: impl FnOnce(&Table, Message) -> i32) -> Result<()> {
        let mut text = [0u8; 1024];
        let message = Message { text: text.as_mut_ptr().cast(), capacity: text.len() };
        let status = call(self.table, message);
        if status == 0 {
            return Ok(());
        }
        let kind = ErrorKind::ALL.iter().copied().find(|kind| kind.code() == status).unwrap_or(ErrorKind::DeviceFailed);
        // Whatever the library wrote, the text ends here.
        text[1023] = 0;
        let said = CStr::from_bytes_until_nul(&text).map(CStr::to_string_lossy).unwrap_or_default();
        let said = if said.is_empty() { format!("status {status}").into() } else { said };
        Err(Error::new(kind, format!("{doing}: {said}")))
    }
}

fn unavailable(message: std::fmt::Arguments<'_>) -> Error {
    Error::formatted(ErrorKind::DeviceUnavailable, message, "the library of the CUDA engine cannot be opened")
}

/// What failed to load, in the system's words.
#[cfg(target_os = "linux")]
fn reason() -> &'static str {
    // SAFETY: no condition; the text is this thread's until its next call of the kind.
    let text = unsafe { libc::dlerror() };
    if text.is_null() {
        return "no reason given";
    }
    // SAFETY: NUL-terminated, as `dlerror` promises.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap_or("a reason that is not UTF-8")
}

#[cfg(target_os = "linux")]
fn open() -> Result<&'static Table> {
    let Some(place) = place::place() else {
        return Err(unavailable(format_args!("no CUDA engine: the path of {} is too long", place::NAME)));
    };
    if place.given && !place.is_absolute() {
        let name = place::VARIABLE.to_string_lossy();
        return Err(unavailable(format_args!("no CUDA engine: {name} must be an absolute path, it is {}", place.text())));
    }
    if !place.exists() {
        return Err(unavailable(format_args!(
            "no CUDA engine: there is no {}; install it there, or name its path in SPINECT_CUDA_LIBRARY",
            place.text()
        )));
    }
    // SAFETY: the path is NUL-terminated. Loading runs the library's constructors: it is the one that belongs to this
    // installation, or that the environment names.
    let library = unsafe { libc::dlopen(place.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL | libc::RTLD_NODELETE) };
    if library.is_null() {
        let error = refused(&place, reason());
        let is_all = error.message().contains(DRIVER) || is_there(DRIVER_FILE);
        return Err(if is_all { error } else { unavailable(format_args!("{error}; nor is the NVIDIA driver ({DRIVER})")) });
    }
    table_of(library, &place)
}

/// The driver's library.
#[cfg(target_os = "linux")]
const DRIVER: &str = "libcuda.so";
/// Its file.
#[cfg(target_os = "linux")]
const DRIVER_FILE: &CStr = c"libcuda.so.1";

/// Whether the system finds a library.
#[cfg(target_os = "linux")]
fn is_there(name: &CStr) -> bool {
    // SAFETY: a NUL-terminated name; what was opened is closed.
    unsafe {
        let library = libc::dlopen(name.as_ptr(), libc::RTLD_LAZY | libc::RTLD_LOCAL);
        !library.is_null() && libc::dlclose(library) == 0
    }
}

/// The failure to load a library that is there. What is missing most often has a name that few people know.
#[cfg(target_os = "linux")]
fn refused(place: &Place, reason: &str) -> Error {
    let hint = if reason.contains(DRIVER) {
        ": the NVIDIA driver is not installed, or not visible in this container"
    } else if reason.contains("cannot open shared object file") {
        ": the CUDA runtime libraries are not installed, or not where the system looks for libraries"
    } else {
        ""
    };
    unavailable(format_args!("the CUDA engine {} cannot be loaded: {reason}{hint}", place.text()))
}

/// The table of an open library.
#[cfg(target_os = "linux")]
fn table_of(library: *mut c_void, place: &Place) -> Result<&'static Table> {
    // SAFETY: an open library, a NUL-terminated name.
    let entry = unsafe { libc::dlsym(library, ENTRY.as_ptr()) };
    if entry.is_null() {
        return Err(unavailable(format_args!("{} is no CUDA engine of spinect: it has no {}", place.text(), ENTRY.to_string_lossy())));
    }
    // SAFETY: the library's function of this name has this type, in every version.
    let table = unsafe { std::mem::transmute::<*mut c_void, Entry>(entry)() };
    if table.is_null() {
        return Err(unavailable(format_args!("{} has no table of functions", place.text())));
    }
    // SAFETY: a table starts with its version and its size in every version.
    let (version, size) = unsafe { ((*table).version, (*table).size as usize) };
    if version != VERSION || size != size_of::<Table>() {
        // SAFETY: and then with its release.
        let release = unsafe { (*table).release };
        return Err(unavailable(format_args!(
            "the CUDA engine {} is of release {} (seam {version}, {size} bytes), this library of {} (seam {VERSION}, {} bytes): install both \
             of one release",
            place.text(),
            text(release),
            env!("CARGO_PKG_VERSION"),
            size_of::<Table>()
        )));
    }
    // SAFETY: version and size are ours, so it is this structure, and it stays: the library is never closed.
    Ok(unsafe { &*table })
}

/// A name of the library's.
#[cfg(target_os = "linux")]
fn text(name: *const c_char) -> &'static str {
    if name.is_null() {
        return "an unknown name";
    }
    // SAFETY: the library's texts are NUL-terminated and stay.
    unsafe { CStr::from_ptr(name) }.to_str().unwrap_or("a name that is not UTF-8")
}

#[cfg(not(target_os = "linux"))]
fn open() -> Result<&'static Table> {
    Err(unavailable(format_args!("no CUDA engine: there is one for Linux only")))
}
