//! Voxels between a file and memory, whatever the format.

use std::io::{self, Write};
use std::path::Path;

use flate2::{Compression, GzBuilder};

use super::{ReadOptions, write_atomically};
use crate::error::{Error, ErrorKind, Result, try_reserve};
use crate::volume::{Volume, VoxelType, with_voxel_type};

/// The bytes of so many voxels.
///
/// # Errors
/// [`ErrorKind::VolumeTooLarge`] for more than can be addressed.
pub(super) fn byte_count(dims: &[usize], voxel_type: VoxelType) -> Result<usize> {
    (dims.iter().try_fold(voxel_type.size(), |bytes, n| bytes.checked_mul(*n)))
        .filter(|bytes| *bytes <= isize::MAX as usize)
        .ok_or_else(|| Error::new(ErrorKind::VolumeTooLarge, format!("{} cannot be addressed", describe(dims, voxel_type))))
}

/// Refuses voxels that take more bytes than the memory limit.
pub(super) fn check_limit(dims: &[usize], voxel_type: VoxelType, bytes: usize, options: &ReadOptions) -> Result<()> {
    match options.memory_limit.filter(|limit| bytes as u64 > *limit) {
        Some(limit) => Err(Error::new(
            ErrorKind::VolumeTooLarge,
            format!("{} take {bytes} bytes, above the memory limit of {limit}", describe(dims, voxel_type)),
        )),
        None => Ok(()),
    }
}

fn describe(dims: &[usize], voxel_type: VoxelType) -> String {
    let dims: Vec<String> = dims.iter().map(usize::to_string).collect();
    format!("{} voxels of {}", dims.join("×"), voxel_type.name())
}

/// Turns every voxel's bytes around if the file has another byte order than this machine.
pub(super) fn make_native(bytes: &mut [u8], voxel_type: VoxelType, big_endian: bool) {
    if big_endian != cfg!(target_endian = "big") && voxel_type.size() > 1 {
        bytes.chunks_exact_mut(voxel_type.size()).for_each(<[u8]>::reverse);
    }
}

/// Writes a file whole or not at all: a head, and what comes after it, compressed or not. The head goes into the
/// compressed data where `packed_head` says so. No time and no name goes into compressed data.
pub(super) fn write_file(
    path: &Path,
    packed: bool,
    packed_head: bool,
    head: &[u8],
    voxels: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> Result<()> {
    write_atomically(path, |writer| {
        if !packed {
            writer.write_all(head)?;
            return voxels(writer);
        }
        if !packed_head {
            writer.write_all(head)?;
        }
        let mut encoder = GzBuilder::new().write(writer, Compression::fast());
        if packed_head {
            encoder.write_all(head)?;
        }
        voxels(&mut encoder)?;
        encoder.finish().map(drop)
    })
}

/// Refuses a volume that has a shape and no voxels.
pub(super) fn check_present(volume: &Volume<'_>) -> Result<()> {
    if volume.has_voxels() {
        return Ok(());
    }
    Err(Error::new(ErrorKind::NullArgument, "a volume without voxels cannot be written: give its voxels"))
}

/// Room for a row of voxels of this type.
pub(super) fn row_buffer(volume: &Volume<'_>, voxel_type: VoxelType) -> Result<Vec<u8>> {
    let mut row = Vec::new();
    try_reserve(&mut row, volume.geometry().dims[0].saturating_mul(voxel_type.size()), "a row of voxels")?;
    Ok(row)
}

/// Writes a volume's stored numbers, packed, i fastest, little-endian. `row` is from [`row_buffer`].
pub(super) fn write_stored(volume: &Volume<'_>, row: &mut Vec<u8>, writer: &mut dyn Write) -> io::Result<()> {
    let [_, rows, slices] = volume.geometry().dims;
    for (k, j) in (0..slices).flat_map(|k| (0..rows).map(move |j| (k, j))) {
        row.clear();
        with_voxel_type!(volume.voxel_type(), T => {
            row.extend(volume.row::<T>(j, k).into_iter().flatten().flat_map(T::to_le_bytes));
        });
        writer.write_all(row)?;
    }
    Ok(())
}
