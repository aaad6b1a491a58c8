//! A file to a volume, a segmentation to a file: one file per format.

use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::segmentation::Segmentation;
use crate::volume::Image;

/// Which transform of a file places its voxels. The numbers are those of the C ABI.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
#[repr(i32)]
pub enum GeometryChoice {
    /// By the method's rule; two transforms that disagree are an error.
    #[default]
    Strict = 0,
    /// The sform.
    Sform = 1,
    /// The qform.
    Qform = 2,
}

/// How an image file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReadOptions {
    /// Which transform places the voxels.
    pub geometry: GeometryChoice,
    /// Bytes that reading may take; `None`: no limit.
    pub memory_limit: Option<u64>,
}

/// Reads an image; the name's ending says the format: `.nii`, `.nii.gz`.
pub fn read_image(path: &Path, options: &ReadOptions) -> Result<Image> {
    let _ = (path, options);
    Err(Error::new(ErrorKind::Unsupported, "not yet"))
}

/// Writes a label map; the name's ending says the format: `.nii`, `.nii.gz`. The file appears whole or not at all and
/// replaces an existing one.
pub fn write_segmentation(segmentation: &Segmentation, path: &Path) -> Result<()> {
    let _ = (segmentation, path);
    Err(Error::new(ErrorKind::Unsupported, "not yet"))
}
