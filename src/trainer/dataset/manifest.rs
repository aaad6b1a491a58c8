//! Where images and their label maps are: a folder, a CSV file or a JSON file.
//!
//! A CSV file has a header with the columns `image` and `label`, and if wanted `id` and `split`. A JSON file:
//!
//! ```json
//! { "classes": [ {"name": "bone", "values": [1]}, {"name": "nerve", "values": [2, 3]}, {"name": "background", "values": [9]} ],
//!   "cases": [ {"id": "a", "image": "a.nii.gz", "label": "a-label.nii.gz", "values": {"1": "nerve"}, "split": "train"} ] }
//! ```
//!
//! `classes` (else the caller's), `id` (else the image's file name without `.nii.gz`), `values` (what this case's label map
//! means otherwise than the others') and `split` (`train`, `validation`, `test`; for every case or for none) may be left
//! out. Paths are relative to the file that holds them.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Place;
use std::fs;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use crate::error::{Error, ErrorKind, Result};
use crate::io::image_stem;

use super::classes::{Classes, ValueMap};
use super::findings::Problem;
use super::folder;
use super::split::Part;

/// An image and its label map.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The case's identifier, unique in its set.
    pub id: String,
    /// The image.
    pub image: PathBuf,
    /// Its label map.
    pub label: PathBuf,
    /// What the label map's values mean.
    pub values: ValueMap,
    /// What the case is for, if the manifest says so.
    pub part: Option<Part>,
}

/// The pairs of a set, and what is wrong with others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifest {
    /// The classes of the set.
    pub classes: Classes,
    /// Pairs whose files are there, sorted by identifier.
    pub pairs: Vec<Pair>,
    /// Everything that is wrong.
    pub problems: Vec<Problem>,
}

/// A case as a source names it.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entry {
    pub id: Option<String>,
    pub image: PathBuf,
    pub label: PathBuf,
    #[serde(default)]
    pub values: BTreeMap<String, String>,
    pub split: Option<String>,
}

/// A JSON manifest.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    classes: Option<Vec<Class>>,
    cases: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Class {
    name: String,
    values: Vec<u8>,
}

impl Manifest {
    /// Reads a manifest, or matches the files of a folder (`images/` with `labels/`, `imagesTr/` with `labelsTr/`, or `NAME`
    /// beside `NAME-label`). `classes` are the set's unless a JSON file lists its own.
    ///
    /// # Errors
    /// [`ErrorKind::Io`], [`ErrorKind::UnsupportedFormat`], and [`ErrorKind::CorruptFile`] or
    /// [`ErrorKind::InvalidArgument`] for a manifest that cannot be understood as a whole. What is wrong with single cases
    /// is listed in [`problems`](Self::problems).
    pub fn read(path: &Path, classes: &Classes) -> Result<Manifest> {
        let metadata = fs::metadata(path).map_err(|error| Error::io(path, "read", &error))?;
        let ending = path.extension().map(|ending| ending.to_string_lossy().to_ascii_lowercase());
        if metadata.is_dir() {
            let (entries, problems) = folder::entries(path)?;
            return Ok(Manifest::resolve(classes.clone(), entries, problems));
        }
        if !metadata.is_file() {
            return Err(Error::new(ErrorKind::Io, format!("cannot read {}: it is a pipe or a device", path.display())));
        }
        let text = fs::read(path).map_err(|error| Error::io(path, "read", &error))?;
        let (classes, mut entries) = match ending.as_deref() {
            Some("json") => json(&text, classes),
            Some("csv") => csv(&text).map(|entries| (classes.clone(), entries)),
            _ => Err(Error::new(ErrorKind::UnsupportedFormat, "data is a folder, a .csv or a .json file")),
        }
        .map_err(|error| error.context(path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        for entry in &mut entries {
            (entry.image, entry.label) = (folder.join(&entry.image), folder.join(&entry.label));
        }
        if entries.is_empty() {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{} lists no case", path.display())));
        }
        Ok(Manifest::resolve(classes, entries, Vec::new()))
    }

    /// Checks the entries against each other and against the files that are there.
    fn resolve(classes: Classes, entries: Vec<Entry>, mut problems: Vec<Problem>) -> Manifest {
        let mut used = Used::default();
        let mut pairs = Vec::new();
        for entry in entries {
            let from_image = || image_stem(&entry.image).unwrap_or_default();
            let id = entry.id.as_ref().map_or_else(from_image, |id| id.trim().to_owned());
            let subject = if id.is_empty() { entry.image.display().to_string() } else { id.clone() };
            let mut found = used.check(&entry, &id);
            let values = values(&entry, &classes, &mut found);
            let part = entry.split.as_deref().map(str::trim).filter(|name| !name.is_empty()).and_then(|name| {
                if Part::of_name(name).is_none() {
                    found.push(format!("its split is {name:?}: train, validation or test"));
                }
                Part::of_name(name)
            });
            if found.is_empty() {
                pairs.push(Pair { id, image: entry.image, label: entry.label, values, part });
            }
            problems.extend(found.into_iter().map(|message| Problem::new(&subject, message)));
        }
        pairs.sort_by(|a, b| a.id.cmp(&b.id));
        if pairs.iter().any(|pair| pair.part.is_some()) {
            let silent = pairs.iter().filter(|pair| pair.part.is_none());
            problems.extend(silent.map(|pair| Problem::new(&pair.id, "has no split, and others have one: give every case one, or none")));
        }
        Manifest { classes, pairs, problems }
    }
}

/// Identifiers and files that cases have taken: a case that is there twice could train and test.
#[derive(Default)]
struct Used {
    ids: BTreeMap<String, PathBuf>,
    files: BTreeMap<PathBuf, String>,
}

impl Used {
    /// What is wrong with the names and files of a case.
    fn check(&mut self, entry: &Entry, id: &str) -> Vec<String> {
        let mut found = Vec::new();
        if id.is_empty() {
            found.push("it has no identifier: give it one".to_owned());
        }
        match self.ids.entry(id.to_owned()) {
            Place::Occupied(other) if !id.is_empty() => {
                let (other, image) = (other.get().display(), entry.image.display());
                found.push(format!("two cases have this identifier, with the images {other} and {image}: give each its own"));
            }
            Place::Occupied(_) => {}
            Place::Vacant(place) => {
                place.insert(entry.image.clone());
            }
        }
        for (role, path) in [("image", &entry.image), ("label map", &entry.label)] {
            match fs::metadata(path) {
                Err(error) => found.push(format!("its {role} {} cannot be read: {error}", path.display())),
                Ok(metadata) if !metadata.is_file() => found.push(format!("its {role} {} is no regular file", path.display())),
                Ok(_) => {
                    let place = fs::canonicalize(path).unwrap_or_else(|_| path.clone());
                    let user = format!("the {role} of {id:?}");
                    match self.files.entry(place) {
                        Place::Occupied(other) => found.push(format!("its {role} {} is also {}", path.display(), other.get())),
                        Place::Vacant(place) => {
                            place.insert(user);
                        }
                    }
                }
            }
        }
        found
    }
}

/// What the values of a case's label map mean.
fn values(entry: &Entry, classes: &Classes, found: &mut Vec<String>) -> ValueMap {
    let mut values = classes.values().clone();
    for (value, name) in &entry.values {
        match (value.trim().parse::<u8>(), classes.find(name)) {
            (Ok(value), Some(class)) => values.set(value, class),
            (Err(_), _) => found.push(format!("its values name {value:?}: a label value is a whole number from 0 to 255")),
            (_, None) => found.push(format!("its values name the class {name:?}: the classes are {}", classes.names().join(", "))),
        }
    }
    values
}

fn json(text: &[u8], classes: &Classes) -> Result<(Classes, Vec<Entry>)> {
    let mut reader = serde_json::Deserializer::from_slice(text);
    let file: File = serde_path_to_error::deserialize(&mut reader)
        .map_err(|error| Error::new(ErrorKind::CorruptFile, format!("at {}: {}", error.path(), error.inner())))?;
    reader.end().map_err(|error| Error::new(ErrorKind::CorruptFile, error.to_string()))?;
    let classes = match file.classes {
        Some(listed) => Classes::new(&listed.into_iter().map(|class| (class.name, class.values)).collect::<Vec<_>>())?,
        None => classes.clone(),
    };
    Ok((classes, file.cases))
}

/// The columns of a CSV manifest; the first two must be there.
const COLUMNS: [&str; 4] = ["image", "label", "id", "split"];

fn csv(text: &[u8]) -> Result<Vec<Entry>> {
    let corrupt = |error: ::csv::Error| Error::new(ErrorKind::CorruptFile, error.to_string());
    let mut reader = ::csv::ReaderBuilder::new().trim(::csv::Trim::All).from_reader(text);
    let headers = reader.headers().map_err(corrupt)?.clone();
    let column = |name: &str| headers.iter().position(|header| header == name);
    let unknown = headers.iter().find(|header| !COLUMNS.contains(header));
    let doubled = COLUMNS.iter().any(|name| headers.iter().filter(|header| header == name).count() > 1);
    let ([Some(image), Some(label)], None, false) = ([column("image"), column("label")], unknown, doubled) else {
        let message = format!("the first line is {headers:?}: it must name the columns image and label, and may name id and split");
        return Err(Error::new(ErrorKind::CorruptFile, format!("{message}, each once, separated by commas")));
    };
    let (id, split) = (column("id"), column("split"));
    let mut entries = Vec::new();
    for record in reader.records() {
        let record = record.map_err(corrupt)?;
        let text = |column: usize| record.get(column).unwrap_or_default();
        let optional = |column: Option<usize>| column.map(text).filter(|text| !text.is_empty()).map(str::to_owned);
        entries.push(Entry {
            id: optional(id),
            image: text(image).into(),
            label: text(label).into(),
            values: BTreeMap::new(),
            split: optional(split),
        });
    }
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A folder with these files, and a manifest of that name and text.
    fn read(files: &[&str], name: &str, text: &str) -> Result<(tempfile::TempDir, Manifest)> {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|name| fs::write(folder.path().join(name), b"").unwrap());
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        Manifest::read(&path, &Classes::spinect()).map(|manifest| (folder, manifest))
    }

    fn refusal(name: &str, text: &str) -> String {
        read(&[], name, text).unwrap_err().to_string()
    }

    fn ids(manifest: &Manifest) -> Vec<&str> {
        manifest.pairs.iter().map(|pair| pair.id.as_str()).collect()
    }

    fn problems(manifest: &Manifest) -> Vec<String> {
        manifest.problems.iter().map(ToString::to_string).collect()
    }

    const FILES: [&str; 4] = ["a.nii.gz", "a-label.nii.gz", "b.nii", "b-label.nii"];

    #[test]
    fn a_spreadsheet_gives_pairs_relative_to_itself() {
        // As Excel writes it: a byte order mark, carriage returns, quotes.
        let text = "\u{feff}label,image,split,id\r\na-label.nii.gz, a.nii.gz,train,\r\n\"b-label.nii\",b.nii,test,\"x, y\"\r\n";
        let (folder, manifest) = read(&FILES, "set.csv", text).unwrap();
        assert_eq!((ids(&manifest), manifest.problems.len()), (vec!["a", "x, y"], 0));
        assert_eq!(manifest.pairs[0].image, folder.path().join("a.nii.gz"));
        assert_eq!((manifest.pairs[0].part, manifest.pairs[1].part), (Some(Part::Train), Some(Part::Test)));
        assert_eq!(manifest.classes, Classes::spinect());
    }

    #[test]
    fn a_json_manifest_maps_label_values_for_all_cases_and_for_one() {
        let text = r#"{"classes": [{"name": "nerve", "values": [3]}, {"name": "background", "values": [7]}],
            "cases": [{"image": "a.nii.gz", "label": "a-label.nii.gz", "values": {"7": "nerve", "1": "background"}},
                      {"id": "B", "image": "b.nii", "label": "b-label.nii"}]}"#;
        let (_folder, manifest) = read(&FILES, "set.json", text).unwrap();
        assert_eq!((ids(&manifest), manifest.problems.len()), (vec!["B", "a"], 0));
        assert_eq!(manifest.classes.names(), ["background", "nerve"]);
        let classes = |pair: &Pair| [0, 1, 3, 7].map(|value| pair.values.class(value));
        assert_eq!(classes(&manifest.pairs[0]), [Some(0), None, Some(1), Some(0)]);
        assert_eq!(classes(&manifest.pairs[1]), [Some(0), Some(0), Some(1), Some(1)]);
    }

    #[test]
    fn everything_that_is_wrong_is_listed_at_once() {
        let text = r#"{"cases": [
            {"image": "a.nii.gz", "label": "a-label.nii.gz", "split": "train"},
            {"id": "a", "image": "b.nii", "label": "lost.nii"},
            {"id": "twice", "image": "a.nii.gz", "label": "b-label.nii"},
            {"id": "same", "image": "c.nii", "label": "./c.nii"},
            {"id": "odd", "image": "d.nii", "label": "d2.nii", "values": {"300": "bone", "1": "disc"}, "split": "val"},
            {"id": " ", "image": "e.nii", "label": "e2.nii"},
            {"id": "silent", "image": "f.nii", "label": "f2.nii"}]}"#;
        let files: Vec<&str> = FILES.into_iter().chain(["c.nii", "d.nii", "d2.nii", "e.nii", "e2.nii", "f.nii", "f2.nii"]).collect();
        let (_folder, manifest) = read(&files, "set.json", text).unwrap();
        assert_eq!(ids(&manifest), ["a", "silent"]);
        let problems = problems(&manifest);
        let expected = [
            ("a: ", "two cases have this identifier"),
            ("a: ", "lost.nii cannot be read"),
            ("twice: ", "is also the image of \"a\""),
            ("same: ", "is also the image of \"same\""),
            ("odd: ", "\"disc\": the classes are background, bone, nerve"),
            ("odd: ", "whole number from 0 to 255"),
            ("odd: ", "train, validation or test"),
            ("", "no identifier"),
            ("silent: ", "has no split"),
        ];
        assert_eq!(problems.len(), expected.len(), "{problems:#?}");
        for (problem, (subject, message)) in problems.iter().zip(expected) {
            assert!(problem.starts_with(subject) && problem.contains(message), "{problem}");
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_link_does_not_hide_that_a_case_is_there_twice() {
        let folder = tempfile::tempdir().unwrap();
        let place = |name: &str| folder.path().join(name);
        ["images", "labels"].iter().for_each(|name| fs::create_dir(place(name)).unwrap());
        ["images/a.nii", "labels/a.nii", "labels/b.nii"].iter().for_each(|name| fs::write(place(name), b"").unwrap());
        std::os::unix::fs::symlink(place("images/a.nii"), place("images/b.nii")).unwrap();
        let manifest = Manifest::read(folder.path(), &Classes::spinect()).unwrap();
        assert_eq!(ids(&manifest), ["a"]);
        assert!(problems(&manifest)[0].contains("is also the image of \"a\""), "{:?}", problems(&manifest));
    }

    #[test]
    fn a_manifest_that_cannot_be_understood_says_where() {
        for (name, text, what) in [
            ("set.csv", "picture,label\na,b\n", "image and label"),
            ("set.csv", "image;label\na;b\n", "separated by commas"),
            ("set.csv", "image,label,slpit\na,b,train\n", "slpit"),
            ("set.csv", "image,label,image\na,b,c\n", "each once"),
            ("set.csv", "image,label\na\n", "line: 2"),
            ("set.csv", "image,label\n", "lists no case"),
            ("set.csv", "", "image and label"),
            ("set.json", "{\"cases\": []}", "lists no case"),
            ("set.json", "{\"cases\": [{\"image\": \"a\", \"lable\": \"b\"}]}", "cases[0]"),
            ("set.json", "{\"cases\": [], \"classes\": [{\"name\": \"bone\", \"values\": [256]}]}", "classes[0].values[0]"),
            ("set.json", "{\"cases\": [], \"classes\": []}", "no class but background"),
            ("set.json", "{\"cases\": []} x", "trailing"),
            ("set.txt", "image,label\n", ".csv or a .json"),
        ] {
            let refusal = refusal(name, text);
            assert!(refusal.contains(what) && refusal.contains(name), "{text}: {refusal}");
        }
        assert_eq!(Manifest::read(Path::new("/nowhere"), &Classes::spinect()).unwrap_err().kind(), ErrorKind::Io);
    }
}
