//! RLE Lossless (PS3.5 annex G): one segment per byte of a number, the high bytes first, each packed as PackBits.
//!
//! Not by dicom-rs, whose decoder panics at a fragment that is cut off.

use super::corrupt;
use crate::error::{Result, try_vec};

/// A segment count and 15 offsets, of 4 bytes each.
const HEADER_BYTES: usize = 64;

/// Unpacks a slice of 16-bit numbers to `bytes` bytes, little endian.
pub(super) fn decode(fragment: &[u8], bytes: usize) -> Result<Vec<u8>> {
    let (Some(header), length) = (fragment.get(..HEADER_BYTES), fragment.len()) else {
        return Err(corrupt("the RLE data is cut off within its header"));
    };
    let words: Vec<usize> = header.as_chunks::<4>().0.iter().map(|word| u32::from_le_bytes(*word) as usize).collect();
    let &[2, high, low, ..] = words.as_slice() else {
        return Err(corrupt("the RLE data has another number of segments than the 2 that numbers of 16 bits take"));
    };
    let mut unpacked = try_vec(0u8, bytes, "a slice")?;
    for (segment, place) in [(fragment.get(high..low), 1), (fragment.get(low..length), 0)] {
        let segment = segment.ok_or_else(|| corrupt("the RLE data's segments lie outside of it: the file is cut off, or damaged"))?;
        unpack(segment, unpacked.iter_mut().skip(place).step_by(2))?;
    }
    Ok(unpacked)
}

/// Unpacks a segment until all places are filled; what follows then is padding.
fn unpack<'a>(segment: &[u8], mut places: impl ExactSizeIterator<Item = &'a mut u8>) -> Result<()> {
    let mut rest = segment;
    while places.len() > 0 {
        let Some((&control, after)) = rest.split_first() else {
            return Err(corrupt("the RLE data is cut off: it unpacks to less than the slice"));
        };
        // 0 to 127: that many bytes and one follow as they are; 129 to 255: one byte, repeated; 128: nothing.
        let (count, run) = match control {
            0..=127 => (usize::from(control) + 1, after.get(..=usize::from(control))),
            128 => (0, Some([].as_slice())),
            129..=255 => (257 - usize::from(control), after.get(..1)),
        };
        let run = run.ok_or_else(|| corrupt("the RLE data is cut off within a run"))?;
        // The places come second: a value that is taken has one.
        run.iter().cycle().take(count).zip(places.by_ref()).for_each(|(value, place)| *place = *value);
        rest = after.get(run.len()..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A fragment of two segments.
    fn fragment(high: &[u8], low: &[u8]) -> Vec<u8> {
        let mut words = [0u32; 16];
        words[..3].copy_from_slice(&[2, 64, 64 + high.len() as u32]);
        let header = words.iter().flat_map(|word| word.to_le_bytes());
        header.chain(high.iter().copied()).chain(low.iter().copied()).collect()
    }

    #[test]
    fn runs_and_literals_become_numbers() {
        // Four times 1, then 2 and 3 as they are, nothing, and a padding byte behind the last number.
        let packed = fragment(&[0xfd, 1, 1, 2, 3, 0x80], &[5, 10, 11, 12, 13, 14, 15, 0]);
        assert_eq!(decode(&packed, 12).unwrap(), [10, 1, 11, 1, 12, 1, 13, 1, 14, 2, 15, 3]);
    }

    #[test]
    fn data_cut_off_anywhere_is_corrupt() {
        let packed = fragment(&[0xfd, 1, 1, 2, 3], &[5, 10, 11, 12, 13, 14, 15]);
        assert!(decode(&packed, 12).is_ok());
        for length in 0..packed.len() {
            assert!(decode(&packed[..length], 12).unwrap_err().message().contains("cut off"), "{length}");
        }
    }

    #[test]
    fn damaged_headers_are_corrupt() {
        let packed = fragment(&[0xfd, 1, 1, 2, 3], &[5, 10, 11, 12, 13, 14, 15]);
        for (at, byte) in [(0, 1), (0, 3), (3, 255), (4, 255), (7, 255), (8, 0), (11, 255)] {
            let mut damaged = packed.clone();
            damaged[at] = byte;
            assert!(decode(&damaged, 12).is_err(), "{at}");
        }
    }
}
