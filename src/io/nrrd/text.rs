//! The lines of a header: fields, each once, and pairs of a key and a value.

use std::collections::BTreeMap;
use std::io::{BufRead, Read};

use super::super::source::{failed, retry};
use crate::error::{Error, ErrorKind, Result};

/// The most that a header may take. Those of 3D Slicer with a hundred segments take a tenth of a megabyte.
const HEADER_BYTES: u64 = 4 << 20;
/// What a file begins with, before the digit of the version.
const MAGIC: &[u8] = b"NRRD000";
/// The newest version of the format that anybody has written.
const NEWEST: u8 = b'6';

/// The fields of the format, lower case and without spaces: both spellings of those that have two.
const FIELDS: [&str; 31] = [
    "axismaxs",
    "axismins",
    "blocksize",
    "byteskip",
    "centerings",
    "centers",
    "content",
    "datafile",
    "dimension",
    "encoding",
    "endian",
    "kinds",
    "labels",
    "lineskip",
    "max",
    "measurementframe",
    "min",
    "number",
    "oldmax",
    "oldmin",
    "sampleunits",
    "sizes",
    "space",
    "spacedimension",
    "spacedirections",
    "spaceorigin",
    "spaceunits",
    "spacings",
    "thicknesses",
    "type",
    "units",
];

/// A header's lines, sorted, their values as written.
#[derive(Debug, Default)]
pub(super) struct Text {
    fields: BTreeMap<&'static str, String>,
    /// What the format leaves to its users: `key:=value`.
    pub keys: BTreeMap<String, String>,
    /// Bytes of the header, with the empty line that ends it.
    pub bytes: u64,
}

pub(super) fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::CorruptFile, message.into())
}

impl Text {
    /// Reads up to the empty line behind which the voxels begin.
    ///
    /// # Errors
    /// [`ErrorKind::CorruptFile`] for anything but a header; [`ErrorKind::UnsupportedFormat`] for a version that is not
    /// known here; [`ErrorKind::Unsupported`] for a header whose voxels lie in another file.
    pub fn read(reader: &mut impl BufRead) -> Result<Self> {
        let mut text = Text::default();
        let mut line = Vec::new();
        text.next_line(reader, &mut line)?;
        check_magic(&line)?;
        loop {
            match text.next_line(reader, &mut line)? {
                Some([]) => return Ok(text),
                Some(line) => {
                    let line = String::from_utf8_lossy(line).into_owned();
                    text.add(&line)?;
                }
                None if text.fields.contains_key("datafile") => return Err(detached()),
                None => return Err(corrupt(format!("the file is cut off in its header, after {} bytes", text.bytes))),
            }
        }
    }

    /// The next line without its end; `None` if the file ends before the line does.
    fn next_line<'a>(&mut self, reader: &mut impl BufRead, line: &'a mut Vec<u8>) -> Result<Option<&'a [u8]>> {
        line.clear();
        let left = HEADER_BYTES - self.bytes;
        // `read_until` goes on after an interruption, and keeps what it has.
        retry(|| reader.by_ref().take(left - line.len() as u64).read_until(b'\n', line)).map_err(failed)?;
        self.bytes += line.len() as u64;
        if line.last() != Some(&b'\n') {
            if self.bytes == HEADER_BYTES {
                return Err(corrupt(format!("no end of the header within {HEADER_BYTES} bytes")));
            }
            return Ok(None);
        }
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Ok(Some(line))
    }

    /// Sorts a line in. The first colon tells a field, `name: value`, from a pair, `key:=value`.
    fn add(&mut self, line: &str) -> Result<()> {
        if line.starts_with('#') {
            return Ok(());
        }
        let told = || line.chars().take(60).collect::<String>().escape_debug().to_string();
        let Some((name, value)) = line.split_once(':') else {
            return Err(corrupt(format!("the header's line \"{}\" is neither a field, nor a key with a value, nor a comment", told())));
        };
        if let Some(value) = value.strip_prefix('=') {
            let key = unescape(name);
            // Two answers to what a segment is called; other keys mean nothing here, and the last counts.
            if self.keys.insert(key, unescape(value)).is_some() && name.starts_with("Segment") {
                return Err(corrupt(format!("the header has the key {} twice", name.escape_debug())));
            }
            return Ok(());
        }
        let plain: String = name.chars().filter(|c| *c != ' ').map(|c| c.to_ascii_lowercase()).collect();
        let Some(field) = FIELDS.iter().find(|field| **field == plain) else {
            return Err(corrupt(format!("the header's line \"{}\" names no field of the format", told())));
        };
        if self.fields.insert(field, value.trim().to_owned()).is_some() {
            return Err(corrupt(format!("the header has the field \"{}\" twice", name.escape_debug())));
        }
        Ok(())
    }

    /// A field's value; `field` is one of [`FIELDS`].
    pub fn field(&self, field: &str) -> Option<&str> {
        self.fields.get(field).map(String::as_str)
    }

    /// The value of a field that must be there. `name` is how the format spells it.
    pub fn required(&self, field: &str, name: &str) -> Result<&str> {
        self.field(field).ok_or_else(|| corrupt(format!("the header has no field \"{name}\"")))
    }
}

fn check_magic(line: &[u8]) -> Result<()> {
    match line.strip_prefix(MAGIC) {
        Some([b'1'..=NEWEST]) => Ok(()),
        Some([b'7'..=b'9']) => Err(Error::new(
            ErrorKind::UnsupportedFormat,
            format!("version {} of NRRD; known are 1 to {}", line.escape_ascii(), char::from(NEWEST)),
        )),
        _ => Err(corrupt(format!(
            "not a NRRD file: its first line is \"{}\" and should be NRRD0004 or another version's",
            line.get(..line.len().min(20)).unwrap_or_default().escape_ascii()
        ))),
    }
}

/// The refusal of a header whose voxels lie elsewhere.
pub(super) fn detached() -> Error {
    Error::new(
        ErrorKind::Unsupported,
        "a NRRD header whose voxels lie in another file (detached, .nhdr) is not supported: save the volume as one .nrrd file",
    )
}

/// A key or a value without the format's two escapes, `\n` and `\\`.
fn unescape(text: &str) -> String {
    let (mut plain, mut rest) = (String::with_capacity(text.len()), text.chars());
    while let Some(c) = rest.next() {
        match (c, c == '\\', rest.clone().next()) {
            (_, true, Some('n')) => plain.push('\n'),
            (_, true, Some('\\')) => plain.push('\\'),
            _ => {
                plain.push(c);
                continue;
            }
        }
        rest.next();
    }
    plain
}

/// A key or a value with the format's two escapes; other control characters, which no reader expects, become spaces.
pub(super) fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\n' => escaped.push_str("\\n"),
            '\\' => escaped.push_str("\\\\"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Text> {
        Text::read(&mut text.as_bytes())
    }

    #[test]
    fn fields_keys_and_comments_are_told_apart_by_the_first_colon() {
        let head = "NRRD0005\r\n# type: no\ntype: short\r\nSpace Origin: (1,2,3) \na:=b: c\nDICOM_0008:=x:=y\n\n";
        let text = read(&format!("{head}voxels")).unwrap();
        assert_eq!((text.field("type"), text.field("spaceorigin"), text.field("space")), (Some("short"), Some("(1,2,3)"), None));
        assert_eq!(text.keys.get("a").map(String::as_str), Some("b: c"));
        assert_eq!(text.keys.get("DICOM_0008").map(String::as_str), Some("x:=y"));
        assert_eq!(text.bytes, head.len() as u64);
    }

    #[test]
    fn escapes_go_there_and_back() {
        let name = "L5 \\ S1\nleft \\n ü";
        assert_eq!(escape(name), r"L5 \\ S1\nleft \\n ü");
        assert_eq!(unescape(&escape(name)), name);
        assert_eq!((unescape(r"a\tb\"), escape("a\tb\r")), (r"a\tb\".to_owned(), "a b ".to_owned()));
    }

    #[test]
    fn what_is_no_header_is_corrupt_and_says_so() {
        for (text, word) in [
            ("", "not a NRRD file"),
            ("NRRD\n\n", "not a NRRD file"),
            ("NRRD0000\n\n", "not a NRRD file"),
            ("NRRD0004", "cut off"),
            ("NRRD0004\ntype: short\n", "cut off"),
            ("NRRD0004\ntype: short\ntype: short\n\n", "twice"),
            ("NRRD0004\nSegment0_ID:=a\nSegment0_ID:=a\n\n", "twice"),
            ("NRRD0004\ntyqe: short\n\n", "names no field"),
            ("NRRD0004\nno colon\n\n", "neither"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::CorruptFile, "{text:?}");
            assert!(error.message().contains(word), "{text:?}: {error}");
        }
        assert_eq!(read("NRRD0007\n\n").unwrap_err().kind(), ErrorKind::UnsupportedFormat);
        assert_eq!(read("NRRD0004\ndata file: a.raw\n").unwrap_err().kind(), ErrorKind::Unsupported);
        assert!(read("NRRD0004\nwhoever:=a\nwhoever:=b\n\n").is_ok());
    }

    #[test]
    fn a_header_without_an_end_is_read_no_further_than_a_bound() {
        struct Endless(u64);
        impl Read for Endless {
            fn read(&mut self, bytes: &mut [u8]) -> std::io::Result<usize> {
                bytes.fill(b'#');
                self.0 += bytes.len() as u64;
                Ok(bytes.len())
            }
        }
        let mut reader = std::io::BufReader::new((&b"NRRD0004\n"[..]).chain(Endless(0)));
        let error = Text::read(&mut reader).unwrap_err();
        assert!(error.kind() == ErrorKind::CorruptFile && error.message().contains("no end"), "{error}");
        assert!(reader.into_inner().into_inner().1.0 <= HEADER_BYTES + (1 << 16));
    }
}
