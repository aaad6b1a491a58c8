//! Images and label maps in folders, matched by name.
//!
//! Three layouts, of which a folder must show exactly one:
//! - `images/NAME.nii.gz` and `labels/NAME.nii.gz`;
//! - nnU-Net's `imagesTr/NAME_0000.nii.gz` and `labelsTr/NAME.nii.gz`, with one channel;
//! - in one folder, `NAME.nii.gz` and its label map, NAME followed by `-label`, `_label`, `-seg` or `_seg`.
//!
//! `.nii` serves as well as `.nii.gz`. Files of other endings and hidden ones do not matter.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use crate::error::{Error, ErrorKind, Result};
use crate::io::image_stem;

use super::findings::Problem;
use super::manifest::Entry;

/// What follows a case's name in the name of its label map, where both lie in one folder.
const LABEL_ENDINGS: [&str; 4] = ["-label", "_label", "-seg", "_seg"];

/// What follows a case's name in nnU-Net's images of one channel.
const ONLY_CHANNEL: &str = "_0000";

/// Files by the name of their case.
type Files = BTreeMap<String, PathBuf>;

/// The cases of a folder, and what belongs to none.
///
/// # Errors
/// [`ErrorKind::InvalidArgument`] for two layouts at once or no image at all; [`ErrorKind::Io`].
pub(super) fn entries(folder: &Path) -> Result<(Vec<Entry>, Vec<Problem>)> {
    let fail = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
    let is_there = |[images, labels]: [&str; 2]| folder.join(images).is_dir() && folder.join(labels).is_dir();
    let (plain, nnunet) = (["images", "labels"], ["imagesTr", "labelsTr"]);
    let mut problems = Vec::new();
    let (images, labels) = match (is_there(plain), is_there(nnunet)) {
        (true, true) => return fail(format!("{} holds images and imagesTr: give one of the two a folder of its own", folder.display())),
        (true, false) => (named(&folder.join(plain[0]), &mut problems, "")?, named(&folder.join(plain[1]), &mut problems, "")?),
        (false, true) => {
            let images = named(&folder.join(nnunet[0]), &mut problems, ONLY_CHANNEL)?;
            (images, named(&folder.join(nnunet[1]), &mut problems, "")?)
        }
        (false, false) => {
            let of_label = |stem: &str| LABEL_ENDINGS.iter().find_map(|ending| stem.strip_suffix(ending)).map(str::to_owned);
            let (labels, images): (Vec<_>, Vec<_>) = files(folder)?.into_iter().partition(|(stem, _)| of_label(stem).is_some());
            let labels = labels.into_iter().map(|(stem, path)| (of_label(&stem).unwrap_or_default(), path));
            (unique(images, &mut problems), unique(labels, &mut problems))
        }
    };
    if images.is_empty() && labels.is_empty() && problems.is_empty() {
        let layouts = "expected images/NAME.nii.gz and labels/NAME.nii.gz, or NAME.nii.gz and NAME-label.nii.gz";
        return fail(format!("{} holds no images: {layouts} (other formats must be converted to NIfTI first)", folder.display()));
    }
    Ok((matched(images, labels, &mut problems), problems))
}

/// Images and labels of one name; what has no partner is a problem.
fn matched(images: Files, mut labels: Files, problems: &mut Vec<Problem>) -> Vec<Entry> {
    let mut entries = Vec::new();
    for (id, image) in images {
        match labels.remove(&id) {
            Some(label) => entries.push(Entry { id: Some(id), image, label, ..Entry::default() }),
            None => problems.push(Problem::new(id, format!("{} has no label map: add one of its name, or remove it", image.display()))),
        }
    }
    let lost =
        |(id, label): (String, PathBuf)| Problem::new(id, format!("{} has no image: add one of its name, or remove it", label.display()));
    problems.extend(labels.into_iter().map(lost));
    entries
}

/// The images of a folder by the name of their case, which `ending` must follow in the file's.
fn named(folder: &Path, problems: &mut Vec<Problem>, ending: &str) -> Result<Files> {
    let mut of_case = Vec::new();
    for (stem, path) in files(folder)? {
        match stem.strip_suffix(ending) {
            Some(name) => of_case.push((name.to_owned(), path)),
            None => problems.push(Problem::new(stem, format!("{} is not named NAME{ending}: images have one channel", path.display()))),
        }
    }
    Ok(unique(of_case, problems))
}

/// Files by name; a name that comes twice is a problem.
fn unique(files: impl IntoIterator<Item = (String, PathBuf)>, problems: &mut Vec<Problem>) -> Files {
    let mut found = Files::new();
    for (name, path) in files {
        match found.get(&name) {
            Some(other) => {
                let message = format!("{} and {} are of the same name: keep one", other.display(), path.display());
                problems.push(Problem::new(name, message));
            }
            None => {
                found.insert(name, path);
            }
        }
    }
    found
}

/// The images of a folder, sorted, with their names without `.nii`, `.nii.gz` or `.nrrd`.
fn files(folder: &Path) -> Result<Vec<(String, PathBuf)>> {
    let failed = |error: std::io::Error| Error::io(folder, "list", &error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        let stem = image_stem(&path).filter(|stem| !stem.starts_with('.') && !stem.is_empty());
        files.extend(stem.map(|stem| (stem, path)));
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder(names: &[&str]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        for name in names {
            let path = folder.path().join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, b"").unwrap();
        }
        folder
    }

    /// Identifier, image and label of every case, and the subjects of all problems.
    fn found(names: &[&str]) -> (Vec<[String; 3]>, Vec<String>) {
        let folder = folder(names);
        let (entries, problems) = entries(folder.path()).unwrap();
        let name = |path: &Path| path.strip_prefix(folder.path()).unwrap().to_str().unwrap().to_owned();
        let cases = entries.iter().map(|entry| [entry.id.clone().unwrap(), name(&entry.image), name(&entry.label)]).collect();
        (cases, problems.into_iter().map(|problem| problem.subject).collect())
    }

    fn case(id: &str, image: &str, label: &str) -> [String; 3] {
        [id, image, label].map(String::from)
    }

    #[test]
    fn two_folders_are_matched_by_name_whatever_the_ending() {
        let names =
            ["images/b.nii.gz", "images/a.nii", "labels/a.nii.gz", "labels/b.NII", "images/notes.txt", "images/.hidden.nii", "other.nii"];
        let expected = [case("a", "images/a.nii", "labels/a.nii.gz"), case("b", "images/b.nii.gz", "labels/b.NII")];
        assert_eq!(found(&names), (expected.into(), vec![]));
    }

    #[test]
    fn nnunets_folders_name_the_channel_of_the_image() {
        let names =
            ["imagesTr/a_0000.nii.gz", "imagesTr/b_0000.nii.gz", "imagesTr/b_0001.nii.gz", "labelsTr/a.nii.gz", "labelsTr/b.nii.gz"];
        let (cases, problems) = found(&names);
        assert_eq!(cases[0], case("a", "imagesTr/a_0000.nii.gz", "labelsTr/a.nii.gz"));
        assert_eq!((cases.len(), problems), (2, vec!["b_0001".to_owned()]));
    }

    #[test]
    fn in_one_folder_the_ending_of_the_name_tells_the_label_map() {
        let names = ["a.nii.gz", "a-label.nii.gz", "b.nii", "b_seg.nii", "labels.nii", "labels_label.nii"];
        let expected =
            [case("a", "a.nii.gz", "a-label.nii.gz"), case("b", "b.nii", "b_seg.nii"), case("labels", "labels.nii", "labels_label.nii")];
        assert_eq!(found(&names), (expected.into(), vec![]));
    }

    #[test]
    fn what_has_no_partner_or_two_is_a_problem_each() {
        let (cases, problems) = found(&["images/a.nii", "images/b.nii", "labels/b.nii", "labels/c.nii", "labels/b.nii.gz"]);
        assert_eq!((cases.len(), problems), (1, ["b", "a", "c"].map(String::from).into()));
        let (cases, problems) = found(&["a.nii", "a_seg.nii", "a-label.nii", "lost_seg.nii"]);
        assert_eq!((cases.len(), problems), (1, ["a", "lost"].map(String::from).into()));
    }

    #[test]
    fn two_layouts_or_none_are_refused() {
        let both = folder(&["images/a.nii", "labels/a.nii", "imagesTr/a_0000.nii", "labelsTr/a.nii"]);
        assert!(entries(both.path()).unwrap_err().message().contains("imagesTr"));
        let none = folder(&["a.nhdr", "images/a.nii"]);
        assert!(entries(none.path()).unwrap_err().message().contains("holds no images"));
        assert_eq!(entries(&none.path().join("missing")).unwrap_err().kind(), ErrorKind::Io);
    }
}
