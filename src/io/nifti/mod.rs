//! NIfTI, the format: versions 1 and 2 in a single file, plain or compressed with gzip.

mod header;
mod read;
mod table;
mod transform;
mod write;

#[cfg(test)]
mod fixtures;

pub(super) use read::{read, read_header, read_labels};
pub(super) use write::{write_labels, write_volume};

/// The version of the format: they differ in the header alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    /// `n+1`: dimensions of 16 bits, numbers of 32.
    One,
    /// `n+2`: 64 bits.
    Two,
}

impl Version {
    /// Bytes of the header, which are also its first number.
    const fn header_bytes(self) -> usize {
        match self {
            Version::One => 348,
            Version::Two => 540,
        }
    }

    /// Where the voxels begin at the earliest: behind the header and the 4 bytes that announce extensions.
    const fn first_voxel(self) -> u64 {
        self.header_bytes() as u64 + 4
    }
}
