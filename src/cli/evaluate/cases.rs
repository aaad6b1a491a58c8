//! Which files belong together: two or three files, or folders matched by file name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::cli::files;
use crate::error::{Error, ErrorKind, Result};

/// The files of one case.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct CaseFiles {
    pub(super) name: String,
    pub(super) truth: PathBuf,
    pub(super) prediction: PathBuf,
    /// The CT, if there is one to draw on.
    pub(super) image: Option<PathBuf>,
}

/// The cases of files or folders, and the predictions that belong to none.
pub(super) fn cases(truth: &Path, prediction: &Path, images: Option<&Path>) -> Result<(Vec<CaseFiles>, Vec<String>)> {
    let fail = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
    let others = std::iter::once(prediction).chain(images);
    if let Some(other) = others.clone().find(|other| other.is_dir() != truth.is_dir()) {
        let (folder, file) = if truth.is_dir() { (truth, other) } else { (other, truth) };
        return fail(format!("{} is a folder and {} is not: give all of a kind", folder.display(), file.display()));
    }
    if !truth.is_dir() {
        files::check_inputs(&std::iter::once(truth).chain(others).collect::<Vec<_>>())?;
        let case =
            CaseFiles { name: case_name(truth), truth: truth.into(), prediction: prediction.into(), image: images.map(PathBuf::from) };
        return Ok((vec![case], Vec::new()));
    }
    let truths = images_in(truth)?;
    if truths.is_empty() {
        return fail(format!("{} holds no .nii, .nii.gz or .nrrd file: name the folder with the true label maps", truth.display()));
    }
    let mut predictions = images_in(prediction)?;
    let mut scans = images.map(images_in).transpose()?;
    let missing = |folder: &Path, what: &str, name: &str, truth: &Path| {
        let message = format!("{} holds no {what} {name}.nii or {name}.nii.gz for {}: add it", folder.display(), truth.display());
        Error::new(ErrorKind::InvalidArgument, message)
    };
    let mut cases = Vec::new();
    for (name, truth) in truths {
        let found = predictions.remove(&name).ok_or_else(|| missing(prediction, "prediction", &name, &truth))?;
        let image = match (&mut scans, images) {
            (Some(scans), Some(folder)) => Some(scans.remove(&name).ok_or_else(|| missing(folder, "image", &name, &truth))?),
            _ => None,
        };
        cases.push(CaseFiles { name, truth, prediction: found, image });
    }
    Ok((cases, predictions.into_keys().collect()))
}

/// The images in a folder by case name, without hidden files.
fn images_in(folder: &Path) -> Result<BTreeMap<String, PathBuf>> {
    let fail = |error: &std::io::Error| Error::io(folder, "list the folder", error);
    let mut images = BTreeMap::new();
    for entry in std::fs::read_dir(folder).map_err(|error| fail(&error))? {
        let path = entry.map_err(|error| fail(&error))?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if hidden || !files::is_image_name(&path) || path.is_dir() {
            continue;
        }
        let name = case_name(&path);
        if let Some(other) = images.insert(name, path.clone()) {
            let message = format!("{} and {} are the same case twice: keep one", other.display(), path.display());
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
    }
    Ok(images)
}

/// The file's name without `.nii`, `.nii.gz`, `.nrrd` or `.seg.nrrd`.
fn case_name(path: &Path) -> String {
    crate::io::image_stem(path).unwrap_or_else(|| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folders_are_matched_by_name_whatever_the_ending() {
        let [truth, prediction] = [tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap()];
        let touch = |folder: &tempfile::TempDir, names: &[&str]| {
            names.iter().for_each(|name| std::fs::write(folder.path().join(name), b"").unwrap());
        };
        touch(&truth, &["b.nii.gz", "a.nii", "notes.txt", ".hidden.nii"]);
        touch(&prediction, &["a.nii.gz", "b.nii.gz", "c.nii"]);
        let (found, unmatched) = cases(truth.path(), prediction.path(), None).unwrap();
        assert_eq!(found.iter().map(|case| case.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(found[0].prediction, prediction.path().join("a.nii.gz"));
        assert_eq!(unmatched, ["c"]);
        touch(&truth, &["d.nii"]);
        assert!(cases(truth.path(), prediction.path(), None).unwrap_err().message().contains("d.nii"));
        touch(&truth, &["a.nii.gz"]);
        assert!(cases(truth.path(), prediction.path(), None).unwrap_err().message().contains("twice"));
    }

    #[test]
    fn an_image_belongs_to_every_case_or_none_is_asked_for() {
        let folders = [(); 3].map(|()| tempfile::tempdir().unwrap());
        let [truth, prediction, images] = folders.each_ref().map(tempfile::TempDir::path);
        for folder in [truth, prediction] {
            std::fs::write(folder.join("a.nii.gz"), b"").unwrap();
        }
        assert!(cases(truth, prediction, Some(images)).unwrap_err().message().contains("no image a.nii"));
        std::fs::write(images.join("a.nii"), b"").unwrap();
        std::fs::write(images.join("more.nii"), b"").unwrap();
        let (found, unmatched) = cases(truth, prediction, Some(images)).unwrap();
        assert_eq!((found[0].image.as_deref(), unmatched.len()), (Some(images.join("a.nii").as_path()), 0));
        assert!(cases(truth, prediction, Some(&images.join("a.nii"))).unwrap_err().message().contains("of a kind"));
    }
}
