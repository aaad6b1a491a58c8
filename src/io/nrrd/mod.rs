//! NRRD, the format: a header of text, an empty line, the voxels, plain or compressed with gzip, in one file.
//!
//! <https://teem.sourceforge.net/nrrd/format.html>

mod header;
mod labels;
mod layers;
mod place;
mod read;
mod segments;
mod text;
mod write;

#[cfg(test)]
mod fixtures;

pub(super) use labels::read_labels;
pub(super) use read::{read, read_header};
pub(super) use write::{write_labels, write_volume};
