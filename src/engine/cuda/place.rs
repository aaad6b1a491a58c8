//! Where the library of the CUDA engine lies: where the environment says, else beside the library or program that this
//! code is in. Takes nothing from the heap: a session looks here also where the heap has run out.

use std::ffi::{CStr, c_char};

/// The file's name.
pub const NAME: &str = "libspinect_cuda.so";

/// The environment variable that names the file itself, by an absolute path.
pub const VARIABLE: &CStr = c"SPINECT_CUDA_LIBRARY";

/// The most bytes of a path.
const LONGEST: usize = 4096;

/// A path, NUL-terminated.
#[derive(Clone, Copy)]
pub struct Place {
    bytes: [u8; LONGEST],
    length: usize,
    /// Whether the environment said so.
    pub given: bool,
}

impl Place {
    /// `parts` one after the other, if they fit.
    fn of(parts: &[&[u8]], given: bool) -> Option<Place> {
        let mut place = Place { bytes: [0; LONGEST], length: 0, given };
        for part in parts {
            let end = place.length + part.len();
            // One byte stays NUL.
            place.bytes[..LONGEST - 1].get_mut(place.length..end)?.copy_from_slice(part);
            place.length = end;
        }
        Some(place)
    }

    /// The path for the system.
    pub fn as_ptr(&self) -> *const c_char {
        self.bytes.as_ptr().cast()
    }

    /// The path for people.
    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.bytes[..self.length]).unwrap_or(NAME)
    }

    /// Whether it starts at the root.
    pub fn is_absolute(&self) -> bool {
        self.bytes[0] == b'/'
    }

    /// Whether a file is there.
    #[cfg(unix)]
    pub fn exists(&self) -> bool {
        // SAFETY: the path is NUL-terminated.
        unsafe { libc::access(self.as_ptr(), libc::F_OK) == 0 }
    }
}

/// Where the library is looked for; `None` where the path is too long or this system does not say where code is.
#[cfg(target_os = "linux")]
pub fn place() -> Option<Place> {
    given().or_else(beside)
}

/// What the environment says. Not heard in a program that runs with more rights than its user has.
#[cfg(target_os = "linux")]
fn given() -> Option<Place> {
    // SAFETY: neither call has a condition; the text is copied before anybody may change the environment.
    unsafe {
        if libc::getauxval(libc::AT_SECURE) != 0 {
            return None;
        }
        let value = libc::getenv(VARIABLE.as_ptr());
        (!value.is_null() && *value != 0).then(|| Place::of(&[CStr::from_ptr(value).to_bytes()], true)).flatten()
    }
}

/// Beside the library, or the program, that holds this code.
#[cfg(target_os = "linux")]
fn beside() -> Option<Place> {
    let mut program = [0u8; LONGEST];
    let own = object_at(beside as *const () as usize)?;
    // The program headers of the program lie in it.
    // SAFETY: no condition.
    let is_program = object_at(unsafe { libc::getauxval(libc::AT_PHDR) } as usize).is_some_and(|main| main.dli_fbase == own.dli_fbase);
    let path = if is_program {
        // A program may have been started by any name: the system knows better.
        // SAFETY: the buffer is as long as is said.
        let length = unsafe { libc::readlink(c"/proc/self/exe".as_ptr(), program.as_mut_ptr().cast(), LONGEST) };
        program.get(..usize::try_from(length).ok()?)?
    } else {
        // SAFETY: `dladdr` gives a NUL-terminated name that lives as long as the object, which is this one.
        unsafe { CStr::from_ptr(own.dli_fname) }.to_bytes()
    };
    let folder = path.iter().rposition(|&byte| byte == b'/').map_or(&b"./"[..], |slash| &path[..=slash]);
    Place::of(&[folder, NAME.as_bytes()], false)
}

/// The library or program that an address lies in.
#[cfg(target_os = "linux")]
fn object_at(address: usize) -> Option<libc::Dl_info> {
    // SAFETY: `Dl_info` is plain data, which the call fills in where it finds an object.
    unsafe {
        let mut info: libc::Dl_info = std::mem::zeroed();
        let found = libc::dladdr(address as *const libc::c_void, &mut info) != 0;
        (found && !info.dli_fname.is_null()).then_some(info)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn without_a_word_from_the_environment_it_is_beside_the_program() {
        let program = std::env::current_exe().unwrap();
        let expected = program.parent().unwrap().join(NAME);
        assert_eq!(beside().unwrap().text(), expected.to_str().unwrap());
    }

    #[test]
    fn a_path_that_is_too_long_is_none() {
        assert!(Place::of(&[&[b'x'; LONGEST - 1]], true).is_some());
        assert!(Place::of(&[&[b'x'; LONGEST]], true).is_none());
        let place = Place::of(&[b"/a/", b"b"], false).unwrap();
        assert!(place.text() == "/a/b" && place.is_absolute() && !place.given);
    }
}
