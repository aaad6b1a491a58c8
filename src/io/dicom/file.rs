//! The start of a DICOM file (PS3.10 section 7.1): preamble, file meta information, and so the way its data set is written.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use dicom_dictionary_std::{tags, uids};
use dicom_encoding::decode::{DecodeFrom, file_header_decoder};
use dicom_encoding::transfer_syntax::TransferSyntaxIndex;
use dicom_transfer_syntax_registry::TransferSyntaxRegistry;
use flate2::bufread::DeflateDecoder;

use super::super::buffer::Reader;
use super::super::open_regular;
use super::data_set::DataSet;
use super::{corrupt, not_read};
use crate::error::{Error, ErrorKind, Result, try_reserve};

/// The 128 bytes that applications may use, and the mark behind them.
const PREAMBLE_BYTES: usize = 128;
const MARK: &[u8] = b"DICM";
/// Bytes that the file meta information may take: it is a handful of names.
const META_BYTES: u32 = 1 << 16;

/// Bytes to which a byte of a deflated data set unpacks at most.
const DEFLATE_RATIO: u64 = 1032;

/// What the start of a file says that it is.
pub(super) enum Opened {
    /// Neither preamble nor mark.
    NotDicom,
    /// A table of contents.
    Directory,
    /// A data set, from its first element on.
    DataSet(DataSet),
}

/// Opens a regular file and reads up to its data set.
pub(super) fn open(path: &Path) -> Result<Opened> {
    let (file, length) = open_regular(path)?;
    start(Reader::new(file)?, length).map_err(|error| error.context(path.display()))
}

fn start(mut reader: Reader<File>, length: u64) -> Result<Opened> {
    let mut head = [0; PREAMBLE_BYTES + MARK.len()];
    if fill(&mut reader, &mut head)? < head.len() || !head.ends_with(MARK) {
        return Ok(Opened::NotDicom);
    }
    let meta = Meta::read(&mut reader)?;
    if meta.class == uids::MEDIA_STORAGE_DIRECTORY_STORAGE {
        return Ok(Opened::Directory);
    }
    let Some(syntax) = TransferSyntaxRegistry.get(&meta.syntax) else {
        return Err(not_read(format!("transfer syntax {:?} is not known: export the series uncompressed", meta.syntax)));
    };
    let (source, most): (Box<dyn Read>, u64) = if syntax.uid() == uids::DEFLATED_EXPLICIT_VR_LITTLE_ENDIAN {
        (Box::new(Reader::new(DeflateDecoder::new(reader))?), length.saturating_mul(DEFLATE_RATIO))
    } else {
        (Box::new(reader), length)
    };
    DataSet::new(source, syntax, most).map(Opened::DataSet)
}

/// What is needed of the file meta information.
#[derive(Default)]
struct Meta {
    /// MediaStorageSOPClassUID: what kind of object the file holds.
    class: String,
    /// TransferSyntaxUID: how it is written.
    syntax: String,
}

impl Meta {
    fn read(reader: &mut Reader<File>) -> Result<Self> {
        let decoder = file_header_decoder();
        // The group's length stands in front, as UL of 4 bytes.
        let mut start = [0; 12];
        exact(reader, &mut start)?;
        let mut rest = start.as_slice();
        let (first, _) = decoder.decode_header(&mut rest).map_err(|error| corrupt(format!("the file meta information: {error}")))?;
        let length = match *rest {
            [a, b, c, d] if first.tag == tags::FILE_META_INFORMATION_GROUP_LENGTH => u32::from_le_bytes([a, b, c, d]),
            _ => return Err(corrupt("the file meta information does not start with its length")),
        };
        if length > META_BYTES {
            return Err(corrupt(format!("the file meta information claims {length} bytes")));
        }
        let mut bytes = Vec::new();
        try_reserve(&mut bytes, length as usize, "the file meta information")?;
        bytes.resize(length as usize, 0);
        exact(reader, &mut bytes)?;
        let (mut meta, mut rest) = (Meta::default(), bytes.as_slice());
        while !rest.is_empty() {
            let (header, _) = decoder.decode_header(&mut rest).map_err(|error| corrupt(format!("the file meta information: {error}")))?;
            let Some((value, after)) = header.len.get().and_then(|length| rest.split_at_checked(length as usize)) else {
                return Err(corrupt(format!("the file meta information ends within {}", header.tag)));
            };
            match header.tag {
                tags::MEDIA_STORAGE_SOP_CLASS_UID => meta.class = text(value),
                tags::TRANSFER_SYNTAX_UID => meta.syntax = text(value),
                _ => {}
            }
            rest = after;
        }
        Ok(meta)
    }
}

/// A value as text, without the padding at its ends. What is no UTF-8 becomes a replacement character.
pub(super) fn text(value: &[u8]) -> String {
    String::from_utf8_lossy(value).trim_matches([' ', '\0']).to_owned()
}

/// Reads until `bytes` are full or the source ends, and tells how many there were.
pub(super) fn fill(source: &mut (impl Read + ?Sized), bytes: &mut [u8]) -> Result<usize> {
    let mut done = 0;
    while let Some(rest) = bytes.get_mut(done..).filter(|rest| !rest.is_empty()) {
        match source.read(rest) {
            Ok(0) => break,
            Ok(count) => done += count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(&error)),
        }
    }
    Ok(done)
}

/// Fills all of `bytes`.
pub(super) fn exact(source: &mut (impl Read + ?Sized), bytes: &mut [u8]) -> Result<()> {
    if fill(source, bytes)? < bytes.len() { Err(corrupt("the file is cut off")) } else { Ok(()) }
}

/// A failure below: damage, as far as a decompressor says so.
pub(super) fn failed(error: &io::Error) -> Error {
    match error.kind() {
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            corrupt(format!("the data is damaged or cut off: {error}"))
        }
        io::ErrorKind::OutOfMemory => Error::new(ErrorKind::OutOfMemory, "no memory to read the file: free some"),
        _ => Error::new(ErrorKind::Io, format!("cannot read: {error}")),
    }
}
