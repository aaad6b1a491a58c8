//! The CT that a subcommand reads: an image file, or a folder with a DICOM series.

use std::fs;
use std::path::Path;

use clap::Args;

use super::arguments::Placement;
use crate::error::{Error, ErrorKind, Result};
use crate::io::{self, Series};
use crate::volume::Image;

/// How an input is read, as far as its kind leaves a choice.
#[derive(Clone, Debug, Default, Args)]
pub(super) struct Reading {
    #[command(flatten)]
    placement: Placement,
    /// Which series of a DICOM folder, by its SeriesInstanceUID [default: the only one]
    #[arg(long, value_name = "UID")]
    series: Option<String>,
}

impl Reading {
    /// The series that a folder stands for; `None` for a file.
    ///
    /// # Errors
    /// [`ErrorKind::Io`] if nothing is there; [`ErrorKind::InvalidArgument`] for a file and `--series`.
    pub(super) fn series(&self, path: &Path) -> Result<Option<Series>> {
        if !fs::metadata(path).map_err(|error| Error::io(path, "read", &error))?.is_dir() {
            return match &self.series {
                None => Ok(None),
                Some(_) => {
                    let message = format!("{} is a file: --series chooses from a folder of DICOM, leave it out", path.display());
                    Err(Error::new(ErrorKind::InvalidArgument, message))
                }
            };
        }
        let series = Series::in_folder(path);
        Ok(Some(match &self.series {
            Some(uid) => series.with_uid(uid),
            None => series,
        }))
    }

    /// Reads a file or a folder.
    pub(super) fn read(&self, path: &Path) -> Result<Image> {
        match self.series(path)? {
            Some(series) => io::read_series(&series, &self.placement.read_options()),
            None => io::read_image(path, &self.placement.read_options()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_a_series_and_a_file_an_image_from_which_none_can_be_chosen() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.nii");
        fs::write(&file, b"").unwrap();
        let (any, one) = (Reading::default(), Reading { series: Some("1.2".into()), ..Reading::default() });
        assert_eq!(any.series(folder.path()).unwrap(), Some(Series::in_folder(folder.path())));
        assert_eq!(one.series(folder.path()).unwrap(), Some(Series::in_folder(folder.path()).with_uid("1.2")));
        assert_eq!(any.series(&file).unwrap(), None);
        assert!(one.series(&file).unwrap_err().message().contains("--series"));
        assert_eq!(any.series(&folder.path().join("missing")).unwrap_err().kind(), ErrorKind::Io);
    }
}
