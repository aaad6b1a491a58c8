//! DICOM CT, one slice per file: a series of files to a volume in LPS. `docs/dicom.md` says what is read and what is refused.
//!
//! Every file is read twice: its attributes first, so that a series is refused before any memory is taken for its voxels,
//! then its voxels.

mod attributes;
mod codecs;
mod data_set;
mod file;
mod pixels;
mod rle;
mod select;
mod slice;
mod stack;
mod voxels;

#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod tests;

use super::series::{Series, SeriesHeader};
use super::{ImageHeader, ReadOptions};
use crate::error::{Error, ErrorKind, Result};
use crate::volume::Image;
use slice::Slice;

/// A series that can be read: its slices in the order of their positions.
struct Checked {
    header: SeriesHeader,
    slices: Vec<Slice>,
    kind: voxels::Kind,
}

/// Reads the attributes of all files and checks that they make one volume.
fn check(series: &Series) -> Result<Checked> {
    let selected = select::select(series)?;
    let (uid, description, skipped) = (selected.uid, selected.description, selected.skipped);
    let slices: Vec<Slice> = selected.files.into_iter().map(Slice::new).collect::<Result<_>>()?;
    let (slices, geometry) = stack::stack(slices)?;
    let kind = voxels::Kind::of(&slices);
    let transfer_syntax = slices.first().map(|slice| slice.syntax.name().to_owned()).unwrap_or_default();
    let image = ImageHeader { geometry, voxel_type: kind.voxel_type(), rescale: kind.rescale(), placement: None };
    Ok(Checked { header: SeriesHeader { image, uid, description, transfer_syntax, skipped }, slices, kind })
}

/// Reads what the files say without their voxels.
pub(super) fn read_header(series: &Series) -> Result<SeriesHeader> {
    check(series).map(|checked| checked.header)
}

/// Reads a whole series.
pub(super) fn read(series: &Series, options: &ReadOptions) -> Result<Image> {
    let Checked { header, slices, kind } = check(series)?;
    let ImageHeader { geometry, voxel_type, rescale, .. } = header.image;
    let bytes = geometry.voxel_count().saturating_mul(voxel_type.size());
    if let Some(limit) = options.memory_limit.filter(|limit| bytes as u64 > *limit) {
        let [i, j, k] = geometry.dims;
        let message = format!("{i}×{j}×{k} voxels of {} take {bytes} bytes, above the memory limit of {limit}", voxel_type.name());
        return Err(Error::new(ErrorKind::VolumeTooLarge, message));
    }
    Image::new(voxels::read(&slices, kind, bytes)?, voxel_type, geometry, rescale)
}

/// A file that contradicts itself or the standard.
fn corrupt(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::CorruptFile, message.into())
}

/// DICOM that is sound and not read here.
fn not_read(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::UnsupportedFormat, message.into())
}
