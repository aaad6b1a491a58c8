//! Structures that carry their own size, text in fixed fields, and values behind pointers that need not be aligned.

use std::ffi::{CStr, c_char};
use std::path::Path;
use std::ptr;

use super::status::{cut, fail};
use crate::error::Result;

/// The largest `struct_size` that is believed: a larger one is a field that was never set.
const LARGEST_STRUCT: usize = 65_536;

/// A structure of the C ABI.
///
/// # Safety
/// `repr(C)`, without padding, begins with its `struct_size: u32`, and every bit pattern is a value of it.
pub(super) unsafe trait Struct: Copy {
    /// Its name in C.
    const NAME: &'static str;
}

/// Declares a structure of the C ABI and pins its size and its fields' offsets, in order and without padding.
macro_rules! layout {
    ($type:ident, $size:literal, { $($field:ident: $offset:literal),+ $(,)? }) => {
        const _: () = {
            assert!(size_of::<$type>() == $size);
            $(assert!(std::mem::offset_of!($type, $field) == $offset);)+
            // No padding: the fields' sizes add up.
            const fn size<T>(_: fn($type) -> T) -> usize {
                size_of::<T>()
            }
            assert!($size == 0 $(+ size(|value: $type| value.$field))+);
        };
        // SAFETY: the assertions above; the fields are numbers, arrays of numbers and raw or optional pointers.
        unsafe impl $crate::capi::structs::Struct for $type {
            const NAME: &'static str = stringify!($type);
        }
    };
}
pub(super) use layout;

/// The `struct_size` of a structure, if it is one that this library can work with.
///
/// # Safety
/// `pointer` leads to at least four readable bytes.
unsafe fn size_of_struct<T: Struct>(pointer: *const T) -> Result<usize> {
    // SAFETY: the caller's promise; every structure begins with its size.
    let size = unsafe { pointer.cast::<u32>().read_unaligned() } as usize;
    if !(size_of::<T>()..=LARGEST_STRUCT).contains(&size) {
        return Err(fail!(StructSize, "struct_size is {size}, a {} has {}: set it to sizeof", T::NAME, size_of::<T>()));
    }
    Ok(size)
}

/// Reads a structure that the caller filled in. A larger one is accepted if its unknown tail is zero.
///
/// # Errors
/// `StructSize`.
///
/// # Safety
/// `pointer` leads to at least four readable bytes, and to as many as its `struct_size` says.
pub(super) unsafe fn read<T: Struct>(pointer: *const T) -> Result<T> {
    // SAFETY: the caller's promise.
    let size = unsafe { size_of_struct(pointer) }?;
    let bytes = pointer.cast::<u8>();
    // SAFETY: these bytes lie within `struct_size`.
    let unknown = (size_of::<T>()..size).find(|&at| unsafe { bytes.add(at).read() } != 0);
    if let Some(at) = unknown {
        return Err(fail!(
            StructSize,
            "byte {at} of the {} is not 0: it belongs to a newer version, of which this library knows {} bytes",
            T::NAME,
            size_of::<T>()
        ));
    }
    // SAFETY: `struct_size` says that this many bytes are there, and every bit pattern is a value.
    Ok(unsafe { pointer.read_unaligned() })
}

/// A structure that the caller wants filled.
pub(super) struct Output<T> {
    pointer: *mut T,
    size: usize,
}

impl<T: Struct> Output<T> {
    /// Looks at the `struct_size` and at nothing else.
    ///
    /// # Errors
    /// `StructSize`.
    ///
    /// # Safety
    /// `pointer` leads to at least four readable bytes, and to as many writable ones as its `struct_size` says, until
    /// [`write`](Self::write) has been called.
    pub(super) unsafe fn new(pointer: *mut T) -> Result<Self> {
        // SAFETY: the caller's promise.
        let size = unsafe { size_of_struct(pointer.cast_const()) }?;
        Ok(Output { pointer, size })
    }

    /// Its `struct_size`.
    pub(super) fn size(&self) -> usize {
        self.size
    }

    /// Fills the structure: the fields this library knows, zeros behind them. Its `struct_size` stays.
    pub(super) fn write(self, value: T) {
        const SIZE: usize = size_of::<u32>();
        let (target, source) = (self.pointer.cast::<u8>(), (&raw const value).cast::<u8>());
        // SAFETY: `new`'s caller promised `size` writable bytes, which are at least as many as `T` has.
        unsafe {
            ptr::copy_nonoverlapping(source.add(SIZE), target.add(SIZE), size_of::<T>() - SIZE);
            ptr::write_bytes(target.add(size_of::<T>()), 0, self.size - size_of::<T>());
        }
    }
}

/// Text as a NUL-terminated field: cut at a character, filled with zeros.
pub(super) fn text<const N: usize>(text: &str) -> [c_char; N] {
    let mut field = [0; N];
    let end = text.find('\0').unwrap_or(text.len());
    for (target, &byte) in field.iter_mut().zip(cut(text.get(..end).unwrap_or_default(), N - 1).as_bytes()) {
        *target = byte as c_char;
    }
    field
}

/// What a NUL-terminated field holds; may be empty.
///
/// # Errors
/// `InvalidArgument` for text that does not end within its field, or is not UTF-8.
pub(super) fn field<const N: usize>(field: &[c_char; N], what: std::fmt::Arguments<'_>) -> Result<String> {
    let bytes = field.map(|byte| byte as u8);
    let text = CStr::from_bytes_until_nul(&bytes).map_err(|_| fail!(InvalidArgument, "the {what} does not end within its {N} bytes"))?;
    text.to_str().map(str::to_owned).map_err(|error| fail!(InvalidArgument, "the {what} is not UTF-8 ({error})"))
}

/// A caller's text: UTF-8, not empty.
///
/// # Errors
/// `InvalidArgument`.
///
/// # Safety
/// `text` leads to a NUL-terminated string that stays unchanged for `'a`.
pub(super) unsafe fn utf8<'a>(text: *const c_char, what: &str) -> Result<&'a str> {
    // SAFETY: the caller's promise.
    match unsafe { CStr::from_ptr(text) }.to_str() {
        Ok("") => Err(fail!(InvalidArgument, "the {what} is empty")),
        Ok(text) => Ok(text),
        Err(error) => Err(fail!(InvalidArgument, "the {what} is not UTF-8 ({error})")),
    }
}

/// A caller's path.
///
/// # Errors
/// `InvalidArgument`.
///
/// # Safety
/// As [`utf8`].
pub(super) unsafe fn path<'a>(path: *const c_char) -> Result<&'a Path> {
    // SAFETY: the caller's promise.
    unsafe { utf8(path, "path") }.map(Path::new)
}

/// Finds the value that a number of the C ABI stands for.
///
/// # Errors
/// `InvalidArgument`, with the name of the argument and the number.
pub(super) fn choice<T: Copy>(what: &str, number: i32, choices: &[(i32, T)]) -> Result<T> {
    let chosen = choices.iter().find(|(known, _)| *known == number);
    chosen.map(|&(_, value)| value).ok_or_else(|| fail!(InvalidArgument, "{what} is {number}, which is none of its constants"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[derive(Clone, Copy, Debug, PartialEq)]
    #[repr(C)]
    struct Small {
        struct_size: u32,
        value: u32,
    }
    layout!(Small, 8, { struct_size: 0, value: 4 });

    fn read_words(words: &[u32]) -> Result<Small> {
        // SAFETY: every test's size lies within its words or is refused.
        unsafe { read(words.as_ptr().cast()) }
    }

    #[test]
    fn a_larger_structure_is_read_if_its_unknown_tail_is_zero() {
        assert_eq!(read_words(&[8, 7]).unwrap().value, 7);
        assert_eq!(read_words(&[12, 7, 0]).unwrap().value, 7);
        assert_eq!(read_words(&[12, 7, 1]).unwrap_err().kind(), ErrorKind::StructSize);
    }

    #[test]
    fn an_impossible_size_is_refused_before_anything_is_touched() {
        for size in [0, 1, 4, 7, 65_537, u32::MAX] {
            assert_eq!(read_words(&[size]).unwrap_err().kind(), ErrorKind::StructSize);
            let mut size = size;
            // SAFETY: four bytes are there.
            assert!(unsafe { Output::new((&raw mut size).cast::<Small>()) }.is_err());
        }
    }

    #[test]
    fn an_output_keeps_its_size_and_is_zero_beyond_what_is_known() {
        let mut words = [12, 1, 2, 3];
        // SAFETY: twelve bytes are there.
        unsafe { Output::new(words.as_mut_ptr().cast::<Small>()) }.unwrap().write(Small { struct_size: 0, value: 9 });
        assert_eq!(words, [12, 9, 0, 3]);
    }

    #[test]
    fn structures_need_not_be_aligned() {
        let mut bytes = [0u8; 9];
        bytes[1] = 8;
        // SAFETY: eight bytes are there behind the first.
        let output = unsafe { Output::new(bytes.as_mut_ptr().add(1).cast::<Small>()) }.unwrap();
        output.write(Small { struct_size: 0, value: 5 });
        // SAFETY: as above.
        assert_eq!(unsafe { read(bytes.as_ptr().add(1).cast::<Small>()) }.unwrap(), Small { struct_size: 8, value: 5 });
    }

    #[test]
    fn text_is_cut_at_a_character_and_filled_with_zeros() {
        let bytes = |field: [c_char; 4]| field.map(|byte| byte as u8);
        assert_eq!(bytes(text("aµµ")), "aµ\0".as_bytes());
        assert_eq!(bytes(text("aaµ")), "aa\0\0".as_bytes());
        assert_eq!(bytes(text("a\0b")), "a\0\0\0".as_bytes());
    }

    #[test]
    fn a_field_is_read_up_to_its_nul_and_must_have_one() {
        let name = |bytes: [c_char; 8]| field(&bytes, format_args!("name")).map_err(|error| error.kind());
        assert_eq!(name(text("nerve")), Ok("nerve".into()));
        assert_eq!(name(text("")), Ok(String::new()));
        assert_eq!(name([b'a' as c_char; 8]), Err(ErrorKind::InvalidArgument));
        assert_eq!(name([-1, 0, 0, 0, 0, 0, 0, 0]), Err(ErrorKind::InvalidArgument));
    }

    #[test]
    fn text_that_is_empty_or_not_utf8_is_refused() {
        let kind = |text: &CStr| {
            // SAFETY: a C string.
            unsafe { path(text.as_ptr()) }.map_err(|error| error.kind())
        };
        assert_eq!(kind(c"/tmp/µ"), Ok(Path::new("/tmp/µ")));
        assert_eq!(kind(c""), Err(ErrorKind::InvalidArgument));
        assert_eq!(kind(c"\xff"), Err(ErrorKind::InvalidArgument));
    }
}
