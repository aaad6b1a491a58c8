//! The bytes of a file, unpacked where they are packed. What a header claims and the file cannot hold is never believed.

use std::io::{self, BufRead, Read};

use flate2::bufread::MultiGzDecoder;

use super::buffer::Reader;
use crate::error::{Error, ErrorKind, Result, try_reserve};

/// The first bytes of gzip data.
pub(super) const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];
/// What a byte of gzip data unpacks to at most.
const GZIP_RATIO: u64 = 1032;
/// What may follow the voxels inside gzip data. It is read to get to the checksum, so it must end.
const PACKED_TRAILER_BYTES: u64 = 1 << 20;

/// The unpacked bytes, from the first to the last.
pub(super) struct Source<R: BufRead> {
    stream: Stream<R>,
    /// Bytes read so far.
    position: u64,
    /// Bytes that there can be at most.
    most: u64,
}

enum Stream<R: BufRead> {
    Plain(R),
    Packed(Reader<MultiGzDecoder<R>>),
}

impl<R: BufRead> Stream<R> {
    fn reader(&mut self) -> &mut dyn BufRead {
        match self {
            Stream::Plain(reader) => reader,
            Stream::Packed(reader) => reader,
        }
    }
}

impl<R: BufRead> Source<R> {
    /// `length` bytes as they are.
    pub(super) fn plain(reader: R, length: u64) -> Self {
        Source { stream: Stream::Plain(reader), position: 0, most: length }
    }

    /// `length` bytes of gzip data, unpacked.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub(super) fn packed(reader: R, length: u64) -> Result<Self> {
        let stream = Stream::Packed(Reader::new(MultiGzDecoder::new(reader))?);
        Ok(Source { stream, position: 0, most: length.saturating_mul(GZIP_RATIO) })
    }

    /// `length` bytes, unpacked if the first two say so.
    pub(super) fn detect(mut reader: R, length: u64) -> Result<Self> {
        let packed = retry(|| reader.fill_buf().map(|bytes| bytes.starts_with(&GZIP_MAGIC))).map_err(failed)?;
        if packed { Self::packed(reader, length) } else { Ok(Self::plain(reader, length)) }
    }

    /// Bytes read so far.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Compares the end of the voxels that a header claims (bytes from the beginning) with what there can be.
    pub(super) fn check_claim(&self, claimed: u64) -> Result<()> {
        if claimed > self.most {
            return Err(Error::new(
                ErrorKind::CorruptFile,
                format!("the header claims {claimed} bytes, but there are at most {}: the file is cut off, or its header wrong", self.most),
            ));
        }
        Ok(())
    }

    /// The next `len` bytes. Call [`check_claim`](Self::check_claim) first.
    pub(super) fn take(&mut self, len: usize, what: &str) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        try_reserve(&mut bytes, len, what)?;
        let read = self.stream.reader().take(len as u64).read_to_end(&mut bytes).map_err(failed)?;
        self.position += read as u64;
        if read < len { Err(self.cut_off()) } else { Ok(bytes) }
    }

    /// The next `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let mut bytes = [0; N];
        self.exact(&mut bytes)?;
        Ok(bytes)
    }

    /// Fills `bytes` with the next ones.
    pub(super) fn exact(&mut self, mut bytes: &mut [u8]) -> Result<()> {
        while !bytes.is_empty() {
            let read = retry(|| self.stream.reader().read(bytes)).map_err(failed)?;
            self.position += read as u64;
            match bytes.split_at_mut_checked(read) {
                Some((_, rest)) if read > 0 => bytes = rest,
                _ => return Err(self.cut_off()),
            }
        }
        Ok(())
    }

    /// Goes past `count` bytes.
    pub(super) fn skip(&mut self, count: u64) -> Result<()> {
        if self.skip_up_to(count)? < count { Err(self.cut_off()) } else { Ok(()) }
    }

    /// Goes past up to `count` bytes and tells how many there were.
    fn skip_up_to(&mut self, count: u64) -> Result<u64> {
        let mut left = count;
        while left > 0 {
            let reader = self.stream.reader();
            let step = retry(|| reader.fill_buf().map(<[u8]>::len)).map_err(failed)?.min(usize::try_from(left).unwrap_or(usize::MAX));
            if step == 0 {
                break;
            }
            reader.consume(step);
            self.position += step as u64;
            left -= step as u64;
        }
        Ok(count - left)
    }

    /// Reads on to the checksum of packed data, which tells whether the voxels are what was written.
    pub(super) fn finish(mut self) -> Result<()> {
        if matches!(self.stream, Stream::Packed(_)) && self.skip_up_to(PACKED_TRAILER_BYTES)? == PACKED_TRAILER_BYTES {
            return Err(Error::new(
                ErrorKind::CorruptFile,
                format!(
                    "more than {PACKED_TRAILER_BYTES} bytes follow the {} that the header tells of",
                    self.position - PACKED_TRAILER_BYTES
                ),
            ));
        }
        Ok(())
    }

    fn cut_off(&self) -> Error {
        Error::new(ErrorKind::CorruptFile, format!("the file is cut off: it ends after {} unpacked bytes", self.position))
    }
}

/// Once more after an interruption by a signal.
pub(super) fn retry<T>(mut read: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    loop {
        match read() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            outcome => return outcome,
        }
    }
}

/// What a failure to read says about the file.
pub(super) fn failed(error: io::Error) -> Error {
    match error.kind() {
        // How the decompressor reports damage.
        io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof => {
            Error::new(ErrorKind::CorruptFile, format!("the compressed data is damaged or cut off: {error}"))
        }
        io::ErrorKind::OutOfMemory => Error::new(ErrorKind::OutOfMemory, "no memory to read the file: free some"),
        _ => Error::new(ErrorKind::Io, format!("cannot read: {error}")),
    }
}
