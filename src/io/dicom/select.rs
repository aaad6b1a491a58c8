//! Which files are meant: those of the one series that lies there, or of the one that was asked for.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};

use dicom_dictionary_std::tags;

use super::super::series::{Series, SeriesFiles, SkippedFiles};
use super::attributes::Attributes;
use super::data_set::DataSet;
use super::file::{self, Opened};
use super::{corrupt, not_read};
use crate::error::{Error, ErrorKind, Result};

/// Endings of names that promise DICOM: a file that does not keep the promise is damaged.
const ENDINGS: [&str; 3] = ["dcm", "dicom", "ima"];
/// Kinds of objects without voxels that may lie beside a series: reports, key objects, presentation states, plans.
const WITHOUT_VOXELS: [&str; 7] = ["SR", "KO", "PR", "REG", "RTSTRUCT", "RTPLAN", "DOC"];
/// How many series a message lists.
const LISTED: usize = 16;

/// The files of one series.
pub(super) struct Selected {
    pub(super) files: Vec<Attributes>,
    pub(super) uid: String,
    pub(super) description: String,
    pub(super) skipped: SkippedFiles,
}

/// Reads the attributes of all files and picks the series.
pub(super) fn select(series: &Series) -> Result<Selected> {
    let mut skipped = SkippedFiles::default();
    let mut found: BTreeMap<String, Vec<Attributes>> = BTreeMap::new();
    let (paths, every_file_must_be_dicom) = match &series.files {
        SeriesFiles::Folder(folder) => (files_in(folder)?, false),
        SeriesFiles::List(paths) => (paths.clone(), true),
    };
    for path in &paths {
        match file::open(path)? {
            Opened::NotDicom if every_file_must_be_dicom || promises_dicom(path) => {
                let message = "no DICOM file, it has no mark DICM behind 128 bytes: copy it again, or take it out of the series";
                return Err(corrupt(message).context(path.display()));
            }
            Opened::NotDicom => skipped.not_dicom += 1,
            Opened::Directory => skipped.directories += 1,
            Opened::DataSet(mut data_set) => {
                if let Some(attributes) = slice_in(path, &mut data_set, &mut skipped)? {
                    found.entry(attributes.text(tags::SERIES_INSTANCE_UID)).or_default().push(attributes);
                }
            }
        }
    }
    let chosen = match &series.uid {
        Some(uid) => found.remove_entry(uid),
        None if found.len() > 1 => {
            let message = format!("{series} holds {} series: choose one by its SeriesInstanceUID: {}", found.len(), list(&found));
            return Err(Error::new(ErrorKind::InvalidArgument, message));
        }
        None => found.pop_first(),
    };
    let Some((uid, files)) = chosen else { return Err(nothing(series, &found, skipped)) };
    skipped.other_series = found.values().map(Vec::len).sum();
    let description = files.first().map(|file| file.text(tags::SERIES_DESCRIPTION)).unwrap_or_default();
    Ok(Selected { files, uid, description, skipped })
}

/// The attributes of a file that may belong to a volume; `None`, counted, if it cannot.
fn slice_in(path: &Path, data_set: &mut DataSet, skipped: &mut SkippedFiles) -> Result<Option<Attributes>> {
    let attributes = Attributes::read(path, data_set)?;
    let modality = attributes.text(tags::MODALITY);
    if attributes.voxels.is_none() && WITHOUT_VOXELS.contains(&modality.as_str()) {
        skipped.without_voxels += 1;
        return Ok(None);
    }
    // A file that is cut off between two elements looks like one that never had more.
    attributes.required_voxels()?;
    attributes.required_text(tags::SERIES_INSTANCE_UID)?;
    if attributes.texts(tags::IMAGE_TYPE).iter().any(|word| word == "LOCALIZER") {
        skipped.localizers += 1;
        return Ok(None);
    }
    Ok(Some(attributes))
}

/// The regular files of a folder, sorted by name so that messages do not depend on the file system.
fn files_in(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error: &std::io::Error| Error::io(folder, "read the folder", error);
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).map_err(|error| failed(&error))? {
        let path = entry.map_err(|error| failed(&error))?.path();
        // Links are followed; a link to nowhere is no file.
        if fs::metadata(&path).is_ok_and(|metadata| metadata.is_file()) {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

fn promises_dicom(path: &Path) -> bool {
    let ending = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    ENDINGS.iter().any(|known| ending.eq_ignore_ascii_case(known))
}

/// Every series with its modality, number of files and description.
fn list(found: &BTreeMap<String, Vec<Attributes>>) -> String {
    let mut entries: Vec<String> = found
        .iter()
        .take(LISTED)
        .map(|(uid, files)| {
            let of_first = |tag| files.first().map(|file| file.text(tag)).unwrap_or_default();
            let (modality, description) = (of_first(tags::MODALITY), of_first(tags::SERIES_DESCRIPTION));
            format!("{uid} ({modality}, {} files, {description:?})", files.len())
        })
        .collect();
    if found.len() > LISTED {
        entries.push(format!("{} more", found.len() - LISTED));
    }
    entries.join("; ")
}

fn nothing(series: &Series, found: &BTreeMap<String, Vec<Attributes>>, skipped: SkippedFiles) -> Error {
    if series.uid.is_some() && !found.is_empty() {
        let message = format!("{series}: that series is not there, but: {}", list(found));
        return Error::new(ErrorKind::InvalidArgument, message);
    }
    let skipped = skipped.to_string();
    let skipped = if skipped.is_empty() { "it is empty".to_owned() } else { format!("its files: {skipped}") };
    not_read(format!("{series}: no DICOM slice is there ({skipped}); name the folder in which the slices themselves lie"))
}
