//! `spinect evaluate`: label maps against the truth.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::arguments::{LabelNames, Placement};
use super::console::{Console, Table, plain};
use super::{files, json_text};
use crate::error::{Error, ErrorKind, Result};
use crate::io::{self, ReadOptions};
use crate::metrics::{Overlap, Overlaps, mean};
use crate::volume::Image;

/// Compare label maps with the truth: pixel accuracy, IoU, Dice
#[derive(Debug, Args)]
#[command(after_help = "Pixel accuracy of a label: the share of the truth's voxels that were found (recall).\n\
    Folders are matched by file name, without .nii or .nii.gz. A label that neither map of a case holds does not count\n\
    in the mean; pixel accuracy does not where the truth lacks it.")]
pub(super) struct Arguments {
    /// The true label map, or a folder of them
    #[arg(long, value_name = "A")]
    truth: PathBuf,
    /// The label map to judge, or a folder of them
    #[arg(long, value_name = "B")]
    prediction: PathBuf,
    /// The labels to compare
    #[arg(long, value_name = "1=bone,2=nerve", default_value = "1=bone,2=nerve")]
    labels: LabelNames,
    /// Print an object for programs instead of a table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    placement: Placement,
}

/// The object of `evaluate --json`. The keys are a contract: more may be added, none renamed.
#[derive(Debug, Serialize)]
struct Evaluation {
    /// The mean over the cases, by label name.
    labels: BTreeMap<String, Scores>,
    cases: Vec<Case>,
    /// Files in the folder of predictions that no truth belongs to.
    unmatched: Vec<String>,
}

/// One pair of label maps.
#[derive(Debug, Serialize)]
struct Case {
    name: String,
    labels: BTreeMap<String, Scores>,
}

/// The three metrics; null where they do not exist.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Scores {
    pixel_accuracy: Option<f64>,
    iou: Option<f64>,
    dice: Option<f64>,
}

impl From<Overlap> for Scores {
    fn from(overlap: Overlap) -> Self {
        Scores { pixel_accuracy: overlap.pixel_accuracy(), iou: overlap.iou(), dice: overlap.dice() }
    }
}

impl Scores {
    fn mean(scores: &[Scores]) -> Scores {
        Scores {
            pixel_accuracy: mean(scores.iter().map(|score| score.pixel_accuracy)),
            iou: mean(scores.iter().map(|score| score.iou)),
            dice: mean(scores.iter().map(|score| score.dice)),
        }
    }
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    let (pairs, unmatched) = pairs(&arguments.truth, &arguments.prediction)?;
    let names = &arguments.labels.0;
    let mut cases = Vec::new();
    for Pair { name, truth, prediction } in pairs {
        let overlaps = compare(&truth, &prediction, &arguments.placement.read_options())?;
        let labels = names.iter().map(|(value, name)| (name.clone(), overlaps.of(*value).into())).collect();
        cases.push(Case { name, labels });
    }
    let of_label = |name: &String| -> Vec<Scores> { cases.iter().filter_map(|case| case.labels.get(name)).copied().collect() };
    let labels = names.iter().map(|(_, name)| (name.clone(), Scores::mean(&of_label(name)))).collect();
    let evaluation = Evaluation { labels, cases, unmatched };
    if console.json { json_text(&evaluation) } else { Ok(evaluation.text(console, names)) }
}

/// Two label maps of one case.
#[derive(Debug, PartialEq, Eq)]
struct Pair {
    name: String,
    truth: PathBuf,
    prediction: PathBuf,
}

/// The cases of two files or two folders, and the predictions that belong to none.
fn pairs(truth: &Path, prediction: &Path) -> Result<(Vec<Pair>, Vec<String>)> {
    let fail = |message: String| Err(Error::new(ErrorKind::InvalidArgument, message));
    match (truth.is_dir(), prediction.is_dir()) {
        (false, false) => {
            files::check_inputs(&[truth, prediction])?;
            let pair = Pair { name: case_name(truth), truth: truth.into(), prediction: prediction.into() };
            return Ok((vec![pair], Vec::new()));
        }
        (true, true) => {}
        (true, false) => return fail(format!("{} is a folder and {} is not: give two of a kind", truth.display(), prediction.display())),
        (false, true) => return fail(format!("{} is a folder and {} is not: give two of a kind", prediction.display(), truth.display())),
    }
    let (truths, mut predictions) = (images_in(truth)?, images_in(prediction)?);
    if truths.is_empty() {
        return fail(format!("{} holds no .nii or .nii.gz file: name the folder with the true label maps", truth.display()));
    }
    let mut pairs = Vec::new();
    for (name, truth) in truths {
        let Some(found) = predictions.remove(&name) else {
            let folder = prediction.display();
            return fail(format!("{folder} holds no prediction {name}.nii or {name}.nii.gz for {}: add it", truth.display()));
        };
        pairs.push(Pair { name, truth, prediction: found });
    }
    Ok((pairs, predictions.into_keys().collect()))
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

/// The file's name without `.nii` or `.nii.gz`.
fn case_name(path: &Path) -> String {
    io::image_stem(path).unwrap_or_else(|| path.file_name().unwrap_or_default().to_string_lossy().into_owned())
}

fn compare(truth: &Path, prediction: &Path, options: &ReadOptions) -> Result<Overlaps> {
    let read = |path: &Path| io::read_image(path, options);
    let (expected, found) = (read(truth)?, read(prediction)?);
    expected
        .view()
        .geometry()
        .check_same_grid(found.view().geometry())
        .map_err(|error| error.context(format!("{} and {}", truth.display(), prediction.display())))?;
    let labels = |image: &Image, path: &Path| image.view().label_values().map_err(|error| error.context(path.display()));
    Overlaps::between(&labels(&expected, truth)?, &labels(&found, prediction)?)
}

impl Evaluation {
    /// The scores for people: a row per case and label, then the means.
    fn text(&self, console: &Console, names: &[(u8, String)]) -> String {
        let mut table = Table::new(&["case", "label", "pixel accuracy", "IoU", "Dice"], 2);
        let score = |value: Option<f64>| value.map_or_else(|| "–".into(), |value| format!("{value:.4}"));
        let mean = (self.cases.len() > 1).then_some(("mean", &self.labels));
        for (case, labels) in self.cases.iter().map(|case| (case.name.as_str(), &case.labels)).chain(mean) {
            for (label, scores) in names.iter().filter_map(|(_, name)| Some((name, labels.get(name)?))) {
                table.row([case.into(), label.clone(), score(scores.pixel_accuracy), score(scores.iou), score(scores.dice)]);
            }
        }
        let mut text = console.table(&table);
        if !self.unmatched.is_empty() {
            text += &console.warning(&format!("no truth belongs to {}", plain(&self.unmatched.join(", "))));
        }
        text
    }
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
        let (pairs, unmatched) = pairs(truth.path(), prediction.path()).unwrap();
        assert_eq!(pairs.iter().map(|pair| pair.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(pairs[0].prediction, prediction.path().join("a.nii.gz"));
        assert_eq!(unmatched, ["c"]);
        touch(&truth, &["d.nii"]);
        assert!(super::pairs(truth.path(), prediction.path()).unwrap_err().message().contains("d.nii"));
        touch(&truth, &["a.nii.gz"]);
        assert!(super::pairs(truth.path(), prediction.path()).unwrap_err().message().contains("twice"));
    }
}
