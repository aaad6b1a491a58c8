//! The elements of a data set, one after the other (PS3.5 section 7): nothing is allocated that the file cannot fill.
//!
//! The headers of elements are decoded by dicom-rs. Its own readers allocate what a length says, and one panics at a
//! delimiter in the wrong place; so the walk, which trusts no length, is ours.

use std::io::{self, Read};

use dicom_core::header::{DataElementHeader, SequenceItemHeader};
use dicom_core::{Tag, VR};
use dicom_encoding::decode::DecodeFrom;
use dicom_encoding::decode::implicit_le::ImplicitVRLittleEndianDecoder;
use dicom_encoding::transfer_syntax::{DynDecoder, TransferSyntax};

use super::file::{exact, failed, fill};
use super::{corrupt, not_read};
use crate::error::{Result, try_reserve};

/// `ItemDelimitationItem`, which ends an item of undefined length.
const ITEM_DELIMITER: Tag = Tag(0xfffe, 0xe00d);
/// Sequences within sequences: real ones are less than ten deep.
const DEEPEST: usize = 32;

type Decoder = DynDecoder<Source>;

/// A data set, read from its first element to its last.
pub(super) struct DataSet {
    source: Source,
    decoder: Decoder,
    pub(super) syntax: &'static TransferSyntax,
    /// Bytes that a value can have at most.
    most: u64,
}

impl DataSet {
    /// `most`: bytes that the data set can have at most.
    pub(super) fn new(source: Box<dyn Read>, syntax: &'static TransferSyntax, most: u64) -> Result<Self> {
        let decoder = syntax.decoder_for().ok_or_else(|| not_read(format!("transfer syntax {} is not supported", syntax.name())))?;
        Ok(DataSet { source: Source { inner: source, tag: [0; 4], left: 0 }, decoder, syntax, most })
    }

    /// The header of the next element; `None` at the end of the file. Its value must be read or skipped.
    pub(super) fn next(&mut self) -> Result<Option<DataElementHeader>> {
        self.source.next(&self.decoder)
    }

    /// Goes past the value of an element.
    pub(super) fn skip(&mut self, header: &DataElementHeader) -> Result<()> {
        self.source.skip_value(&self.decoder, header, 0)
    }

    /// The next bytes as they are stored.
    pub(super) fn value(&mut self, length: usize) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.append(length, &mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, length: usize, bytes: &mut Vec<u8>) -> Result<()> {
        let end = bytes.len().saturating_add(length);
        if end as u64 > self.most {
            return Err(corrupt(format!("a value claims {length} bytes, more than the file can hold: it is cut off, or damaged")));
        }
        let start = bytes.len();
        try_reserve(bytes, end, "a value of a DICOM file")?;
        bytes.resize(end, 0);
        exact(&mut self.source, bytes.get_mut(start..).unwrap_or_default())
    }

    /// The fragments of encapsulated pixel data (PS3.5 A.4) in one piece, without the offset table before them.
    pub(super) fn fragments(&mut self) -> Result<Vec<u8>> {
        let (mut bytes, mut first) = (Vec::new(), true);
        loop {
            match self.source.item(&self.decoder)? {
                SequenceItemHeader::Item { len } => {
                    let length = len.get().ok_or_else(|| corrupt("a fragment of the pixel data does not say its length"))?;
                    if first {
                        self.source.skip(u64::from(length))?;
                    } else {
                        self.append(length as usize, &mut bytes)?;
                    }
                    first = false;
                }
                SequenceItemHeader::SequenceDelimiter => return Ok(bytes),
                SequenceItemHeader::ItemDelimiter => return Err(corrupt("a delimiter stands in the wrong place in the pixel data")),
            }
        }
    }
}

/// The bytes of a data set, of which the last tag can be given back.
struct Source {
    inner: Box<dyn Read>,
    tag: [u8; 4],
    /// Bytes of `tag`, counted from its end, that are to be read again.
    left: usize,
}

impl Read for Source {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut again = self.tag.get(self.tag.len().saturating_sub(self.left)..).unwrap_or_default();
        if again.is_empty() {
            return self.inner.read(bytes);
        }
        let count = again.read(bytes)?;
        self.left -= count;
        Ok(count)
    }
}

impl Source {
    /// The header of the next element; `None` at the end: only between two elements may a file end.
    fn next(&mut self, decoder: &Decoder) -> Result<Option<DataElementHeader>> {
        let mut tag = [0; 4];
        match fill(self, &mut tag)? {
            0 => return Ok(None),
            4 => (self.tag, self.left) = (tag, 4),
            _ => return Err(corrupt("the file is cut off within an element")),
        }
        let damaged = |error| corrupt(format!("the header of an element cannot be read ({error}): the file is cut off, or damaged"));
        decoder.decode_header(self).map(|(header, _)| Some(header)).map_err(damaged)
    }

    /// The header of the next item of a sequence.
    fn item(&mut self, decoder: &Decoder) -> Result<SequenceItemHeader> {
        let damaged = |error| corrupt(format!("an item of a sequence cannot be read ({error}): the file is cut off, or damaged"));
        decoder.decode_item_header(self).map_err(damaged)
    }

    fn skip(&mut self, count: u64) -> Result<()> {
        let passed = io::copy(&mut self.by_ref().take(count), &mut io::sink()).map_err(|error| failed(&error))?;
        if passed < count { Err(corrupt("the file is cut off")) } else { Ok(()) }
    }

    fn skip_value(&mut self, decoder: &Decoder, header: &DataElementHeader, depth: usize) -> Result<()> {
        match header.len.get() {
            Some(length) => self.skip(u64::from(length)),
            // A sequence that its writer did not know is written as UN, and inside as Implicit VR (PS3.5 6.2.2 note 4).
            None if header.vr == VR::UN => {
                let implicit: Decoder = Box::<ImplicitVRLittleEndianDecoder<_>>::default();
                self.skip_sequence(&implicit, depth + 1)
            }
            None => self.skip_sequence(decoder, depth + 1),
        }
    }

    /// Goes past a sequence of undefined length, up to its delimiter.
    fn skip_sequence(&mut self, decoder: &Decoder, depth: usize) -> Result<()> {
        if depth > DEEPEST {
            return Err(corrupt(format!("sequences lie more than {DEEPEST} deep in each other: the file is damaged")));
        }
        loop {
            match self.item(decoder)? {
                SequenceItemHeader::SequenceDelimiter => return Ok(()),
                SequenceItemHeader::ItemDelimiter => return Err(corrupt("a delimiter stands in the wrong place in a sequence")),
                SequenceItemHeader::Item { len } => match len.get() {
                    Some(length) => self.skip(u64::from(length))?,
                    None => loop {
                        let header = self.next(decoder)?.ok_or_else(|| corrupt("the file is cut off within a sequence"))?;
                        if header.tag == ITEM_DELIMITER {
                            break;
                        }
                        self.skip_value(decoder, &header, depth)?;
                    },
                },
            }
        }
    }
}
