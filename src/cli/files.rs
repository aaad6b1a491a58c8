//! The rules for output files: checked before any work, nothing overwritten unasked, whole or not at all.

use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};

/// Refuses what could only fail, or destroy something, after the work is done: an output that exists (unless `force`),
/// that is no regular file, whose folder is missing, that is named twice, or that is one of the inputs.
pub(super) fn check_outputs(outputs: &[&Path], inputs: &[&Path], force: bool) -> Result<()> {
    let inputs: Vec<PathBuf> = inputs.iter().filter_map(|path| fs::canonicalize(path).ok()).collect();
    let mut seen: Vec<PathBuf> = Vec::new();
    for output in outputs {
        let fail = |kind, why: &str| Err(Error::new(kind, format!("{} {why}", output.display())));
        let Some(name) = output.file_name() else {
            return fail(ErrorKind::InvalidArgument, "names no file: write the name of the file to make");
        };
        let folder = output.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let folder = fs::canonicalize(folder).map_err(|error| {
            let message = format!("{} cannot be written, its folder cannot be found ({error}): make it first", output.display());
            Error::new(ErrorKind::Io, message)
        })?;
        let place = folder.join(name);
        if seen.contains(&place) {
            return fail(ErrorKind::InvalidArgument, "is named as two outputs: give each its own file");
        }
        if let Ok(metadata) = fs::symlink_metadata(&place) {
            if metadata.is_dir() {
                return fail(ErrorKind::InvalidArgument, "is a folder: name a file in it");
            }
            if fs::canonicalize(&place).is_ok_and(|path| inputs.contains(&path)) {
                return fail(ErrorKind::InvalidArgument, "is an input of this command: write to another file");
            }
            if !force {
                return fail(ErrorKind::Io, "exists: use --force to replace it");
            }
            if !metadata.is_file() && !metadata.is_symlink() {
                return fail(ErrorKind::InvalidArgument, "is no regular file: name one");
            }
        }
        seen.push(place);
    }
    Ok(())
}

/// Refuses inputs that are not there, or are folders.
pub(super) fn check_inputs(inputs: &[&Path]) -> Result<()> {
    for input in inputs {
        let metadata = fs::metadata(input).map_err(|error| Error::io(input, "read", &error))?;
        if metadata.is_dir() {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{} is a folder: name a file", input.display())));
        }
    }
    Ok(())
}

/// Writes a file whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    crate::io::write_atomically(path, |file| file.write_all(bytes))
}

/// Refuses an output whose ending names no format that label maps are written in.
pub(super) fn check_image_name(path: &Path) -> Result<()> {
    if is_image_name(path) {
        return Ok(());
    }
    Err(Error::new(ErrorKind::UnsupportedFormat, format!("{}: an image's name ends in .nii, .nii.gz or .nrrd", path.display())))
}

/// Refuses an output that is no segmentation and is named like one.
pub(super) fn check_volume_name(path: &Path) -> Result<()> {
    let name = path.file_name().unwrap_or_default().to_string_lossy().to_ascii_lowercase();
    if !name.ends_with(".seg.nrrd") {
        return Ok(());
    }
    let message = format!("{}: a .seg.nrrd holds labels: let the name of other images end in .nii, .nii.gz or .nrrd", path.display());
    Err(Error::new(ErrorKind::UnsupportedFormat, message))
}

/// Whether the name's ending is that of an image that this program reads and writes.
pub(super) fn is_image_name(path: &Path) -> bool {
    crate::io::image_stem(path).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder_with(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            fs::write(folder.path().join(name), b"precious").unwrap();
        }
        folder
    }

    #[test]
    fn an_existing_output_is_refused_unless_forced() {
        let folder = folder_with(&["old.nii"]);
        let (old, new) = (folder.path().join("old.nii"), folder.path().join("new.nii"));
        assert!(check_outputs(&[&new], &[], false).is_ok());
        assert!(check_outputs(&[&new, &old], &[], false).unwrap_err().message().contains("--force"));
        assert!(check_outputs(&[&new, &old], &[], true).is_ok());
    }

    #[test]
    fn an_input_is_never_an_output_by_whatever_name() {
        let folder = folder_with(&["ct.nii"]);
        let (plain, roundabout) = (folder.path().join("ct.nii"), folder.path().join(".").join("ct.nii"));
        assert!(check_outputs(&[&roundabout], &[&plain], true).unwrap_err().message().contains("input"));
    }

    #[test]
    fn folders_missing_folders_and_doubles_are_refused_even_when_forced() {
        let folder = folder_with(&[]);
        let (twice, lost) = (folder.path().join("a.nii"), folder.path().join("none").join("a.nii"));
        assert!(check_outputs(&[folder.path()], &[], true).is_err());
        assert!(check_outputs(&[&lost], &[], true).is_err());
        assert!(check_outputs(&[&twice, &twice], &[], true).is_err());
        assert!(check_outputs(&[Path::new("/")], &[], true).is_err());
    }

    #[test]
    fn images_are_known_by_their_ending() {
        for name in ["a.nii", "a.nii.gz", "A.NII.GZ", "dir/x.nii", "a.nrrd", "a.seg.nrrd"] {
            assert!(check_image_name(Path::new(name)).is_ok(), "{name}");
        }
        for name in ["a.nhdr", "nii", "a.gz", "a.nii.zip", "."] {
            assert!(check_image_name(Path::new(name)).is_err(), "{name}");
        }
        assert!(check_volume_name(Path::new("a.nrrd")).is_ok() && check_volume_name(Path::new("a.Seg.nrrd")).is_err());
    }
}
