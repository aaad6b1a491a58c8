//! A DICOM series: which files are asked for, and what was found. Reading them is the feature `dicom`.

use std::fmt;
use std::path::PathBuf;

use serde::Serialize;

use super::ImageHeader;

/// The files of a DICOM CT series, one slice in each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Series {
    pub(super) files: SeriesFiles,
    pub(super) uid: Option<String>,
}

/// Where the files of a series are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SeriesFiles {
    /// All regular files of a folder, without the folders in it.
    Folder(PathBuf),
    /// These files, in any order.
    List(Vec<PathBuf>),
}

impl Series {
    /// The series in a folder; the folders in it are not searched. Files that are no DICOM are passed over, unless their
    /// name says that they should be (`.dcm`, `.dicom`, `.ima`).
    pub fn in_folder(folder: impl Into<PathBuf>) -> Self {
        Series { files: SeriesFiles::Folder(folder.into()), uid: None }
    }

    /// The series in these files, in any order. Each must be DICOM.
    pub fn of_files(files: impl IntoIterator<Item = impl Into<PathBuf>>) -> Self {
        Series { files: SeriesFiles::List(files.into_iter().map(Into::into).collect()), uid: None }
    }

    /// Only the files whose SeriesInstanceUID is this one; the others are passed over.
    #[must_use]
    pub fn with_uid(mut self, uid: impl Into<String>) -> Self {
        self.uid = Some(uid.into());
        self
    }
}

impl fmt::Display for Series {
    /// The folder, or how many files there are, and the series if one was chosen.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.files {
            SeriesFiles::Folder(folder) => write!(f, "{}", folder.display())?,
            SeriesFiles::List(files) => write!(f, "the list of {} files", files.len())?,
        }
        self.uid.as_ref().map_or(Ok(()), |uid| write!(f, " (series {uid})"))
    }
}

/// What the files of a series say about its voxels, without the voxels.
#[derive(Clone, Debug, PartialEq)]
pub struct SeriesHeader {
    /// Dimensions, place (in LPS), voxel type and rescale of the volume.
    pub image: ImageHeader,
    /// SeriesInstanceUID.
    pub uid: String,
    /// SeriesDescription; empty if there is none.
    pub description: String,
    /// How the first slice's voxels are stored, for example `"Explicit VR Little Endian"`.
    pub transfer_syntax: String,
    /// What lay there and is no part of the series.
    pub skipped: SkippedFiles,
}

/// Files that lie beside a series and are no part of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SkippedFiles {
    /// No DICOM.
    pub not_dicom: usize,
    /// A table of contents (DICOMDIR).
    pub directories: usize,
    /// DICOM without voxels: reports, presentation states.
    pub without_voxels: usize,
    /// Localizers, also known as scouts or topograms.
    pub localizers: usize,
    /// Of another series than the one that was asked for.
    pub other_series: usize,
}

impl fmt::Display for SkippedFiles {
    /// For example `"2 no DICOM, 1 localizer"`; empty if nothing was skipped.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let counts = [
            (self.not_dicom, "no DICOM"),
            (self.directories, "DICOMDIR"),
            (self.without_voxels, "without voxels"),
            (self.localizers, "localizer"),
            (self.other_series, "of another series"),
        ];
        let mut between = "";
        for (count, what) in counts.into_iter().filter(|(count, _)| *count > 0) {
            write!(f, "{between}{count} {what}")?;
            between = ", ";
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_skipped_is_told() {
        assert_eq!(SkippedFiles::default().to_string(), "");
        let skipped = SkippedFiles { not_dicom: 2, localizers: 1, ..SkippedFiles::default() };
        assert_eq!(skipped.to_string(), "2 no DICOM, 1 localizer");
    }
}
