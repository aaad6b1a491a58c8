//! The voxels of one file as stored numbers.

use dicom_encoding::transfer_syntax::Endianness;

use super::attributes::{Attributes, Voxels};
use super::corrupt;
use super::file::{self, Opened};
use super::slice::{Slice, Stored};
use crate::error::{Error, ErrorKind, Result};

/// Reads the voxels of a slice: two bytes each, little endian.
pub(super) fn read(slice: &Slice) -> Result<Vec<u8>> {
    read_voxels(slice).map_err(|error| error.context(slice.name()))
}

fn read_voxels(slice: &Slice) -> Result<Vec<u8>> {
    let path = &slice.attributes.path;
    let changed = || Error::new(ErrorKind::Io, "the file changed while it was read: copy the series, then read it");
    let Opened::DataSet(mut data_set) = file::open(path)? else { return Err(changed()) };
    let attributes = Attributes::read(path, &mut data_set)?;
    if attributes != slice.attributes {
        return Err(changed());
    }
    match attributes.voxels {
        Some(Voxels::Native(length)) if length as usize != slice.bytes() => {
            let [columns, rows] = slice.size;
            Err(corrupt(format!("PixelData has {length} bytes, {columns}×{rows} voxels take {}", slice.bytes())))
        }
        Some(Voxels::Native(length)) => {
            let mut bytes = data_set.value(length as usize)?;
            if slice.syntax.endianness() == Endianness::Big {
                bytes.as_chunks_mut::<2>().0.iter_mut().for_each(|number| number.reverse());
            }
            Ok(bytes)
        }
        Some(Voxels::Encapsulated) => slice.codec.decode(data_set.fragments()?, slice.size),
        None => Err(changed()),
    }
}

impl Stored {
    /// The number that two bytes stand for: what lies above BitsStored does not count, and the highest bit left is the
    /// sign (PS3.5 8.1.1).
    pub(super) fn number(self, bytes: [u8; 2]) -> i32 {
        let unused = u32::from(16 - self.bits.min(16));
        let shifted = u16::from_le_bytes(bytes) << unused;
        if self.signed { i32::from(shifted as i16 >> unused) } else { i32::from(shifted >> unused) }
    }

    /// The smallest and the largest such number.
    pub(super) fn range(self) -> [i32; 2] {
        let span = 1 << self.bits.min(16);
        if self.signed { [-span / 2, span / 2 - 1] } else { [0, span - 1] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_above_those_stored_do_not_count_and_the_highest_left_is_the_sign() {
        let (signed, unsigned) = (Stored { bits: 12, signed: true }, Stored { bits: 12, signed: false });
        for (bytes, as_signed, as_unsigned) in
            [([0xff, 0x0f], -1, 4095), ([0xff, 0xf7], 2047, 2047), ([0x00, 0xf8], -2048, 2048), ([0x18, 0xfc], -1000, 3096)]
        {
            assert_eq!((signed.number(bytes), unsigned.number(bytes)), (as_signed, as_unsigned), "{bytes:?}");
        }
        assert_eq!((signed.range(), unsigned.range()), ([-2048, 2047], [0, 4095]));
        let whole = Stored { bits: 16, signed: true };
        assert_eq!((whole.number([0x00, 0x80]), whole.range()), (-32768, [-32768, 32767]));
        assert_eq!(Stored { bits: 16, signed: false }.range(), [0, 65535]);
    }
}
