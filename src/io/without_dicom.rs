//! What stands in for `dicom/` in a build without that feature: the same functions, and an error that says which build
//! reads DICOM.

use super::ReadOptions;
use super::series::{Series, SeriesHeader};
use crate::error::{Error, ErrorKind, Result};
use crate::volume::Image;

fn refused<T>(series: &Series) -> Result<T> {
    let advice = "this build reads no DICOM: use one with the feature `dicom` (cargo build --features dicom), or convert to NIfTI";
    Err(Error::new(ErrorKind::Unsupported, format!("{series}: {advice}")))
}

pub(super) fn read_header(series: &Series) -> Result<SeriesHeader> {
    refused(series)
}

pub(super) fn read(series: &Series, _: &ReadOptions) -> Result<Image> {
    refused(series)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_build_without_dicom_says_which_build_has_it() {
        let series = Series::in_folder("scans").with_uid("1.2.3");
        let errors = [read_header(&series).unwrap_err(), read(&series, &ReadOptions::default()).unwrap_err()];
        for error in errors {
            assert_eq!(error.kind(), ErrorKind::Unsupported);
            assert!(error.message().starts_with("scans (series 1.2.3): ") && error.message().contains("--features dicom"), "{error}");
        }
    }
}
