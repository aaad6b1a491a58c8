//! Buffered reading and writing whose buffers are taken without aborting when memory runs out, unlike those of `std`.

use std::io::{self, BufRead, Read, Write};

use crate::error::{Result, try_reserve, try_vec};

/// Bytes read ahead, or collected before they go to the operating system.
pub(super) const BUFFER_BYTES: usize = 1 << 16;

/// As [`io::BufReader`].
pub(super) struct Reader<R> {
    reader: R,
    buffer: Vec<u8>,
    /// What of the buffer has been read from below and not yet from above.
    unread: std::ops::Range<usize>,
}

impl<R: Read> Reader<R> {
    /// # Errors
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub(super) fn new(reader: R) -> Result<Self> {
        Ok(Reader { reader, buffer: try_vec(0, BUFFER_BYTES, "a file's buffer")?, unread: 0..0 })
    }
}

impl<R: Read> BufRead for Reader<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        if self.unread.is_empty() {
            self.unread = 0..0;
            self.unread.end = self.reader.read(&mut self.buffer)?;
        }
        Ok(self.buffer.get(self.unread.clone()).unwrap_or_default())
    }

    fn consume(&mut self, count: usize) {
        self.unread.start = self.unread.end.min(self.unread.start + count);
    }
}

impl<R: Read> Read for Reader<R> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() && bytes.len() >= self.buffer.len() {
            return self.reader.read(bytes);
        }
        let read = self.fill_buf()?.read(bytes)?;
        self.consume(read);
        Ok(read)
    }
}

/// As [`io::BufWriter`], but what it holds when it is dropped is lost: flush it.
pub(super) struct Writer<W> {
    writer: W,
    buffer: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// # Errors
    /// [`OutOfMemory`](crate::ErrorKind::OutOfMemory).
    pub(super) fn new(writer: W) -> Result<Self> {
        let mut buffer = Vec::new();
        try_reserve(&mut buffer, BUFFER_BYTES, "a file's buffer")?;
        Ok(Writer { writer, buffer })
    }

    fn empty(&mut self) -> io::Result<()> {
        self.writer.write_all(&self.buffer)?;
        self.buffer.clear();
        Ok(())
    }
}

impl<W: Write> Write for Writer<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.len() > BUFFER_BYTES - self.buffer.len() {
            self.empty()?;
        }
        if bytes.len() >= BUFFER_BYTES {
            return self.writer.write(bytes);
        }
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.empty()?;
        self.writer.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers of bytes below, at and above the buffer's size.
    const STEPS: [usize; 9] = [1, 7, BUFFER_BYTES - 9, 1, 0, BUFFER_BYTES, 3, BUFFER_BYTES + 1, 500];

    fn bytes() -> Vec<u8> {
        (0..STEPS.iter().sum()).map(|at: usize| (at * 31 % 251) as u8).collect()
    }

    #[test]
    fn bytes_come_through_in_order_whatever_the_steps() {
        let bytes = bytes();
        let (mut writer, mut rest) = (Writer::new(Vec::new()).unwrap(), bytes.as_slice());
        let mut reader = Reader::new(bytes.as_slice()).unwrap();
        for step in STEPS {
            let (now, later) = rest.split_at(step);
            writer.write_all(now).unwrap();
            let mut read = vec![0; step];
            reader.read_exact(&mut read).unwrap();
            assert!(read == now);
            rest = later;
        }
        writer.flush().unwrap();
        assert!(writer.writer == bytes && reader.fill_buf().unwrap().is_empty());
    }

    #[test]
    fn a_failure_below_comes_up_and_loses_nothing_that_was_read() {
        struct Interrupted(bool);
        impl Read for Interrupted {
            fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
                self.0 = !self.0;
                if self.0 { Err(io::ErrorKind::Interrupted.into()) } else { (&[5u8; 3][..]).read(bytes) }
            }
        }
        let mut reader = Reader::new(Interrupted(false)).unwrap();
        for _ in 0..3 {
            assert_eq!(reader.fill_buf().unwrap_err().kind(), io::ErrorKind::Interrupted);
            assert_eq!(reader.fill_buf().unwrap(), [5; 3]);
            reader.consume(3);
        }
    }
}
