//! `spinect evaluate`: label maps against the truth.

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::arguments::{LabelNames, Placement};
use super::console::{Console, Table, number, plain};
use super::json_text;
use crate::error::Result;
use crate::geometry::{Geometry, SHEAR_WARNING_DEGREES};
use crate::io::{self, ReadOptions};
use crate::metrics::Scores;
use crate::volume::Image;
use cases::{CaseFiles, cases};
use maps::{labels, same_grid};

mod cases;
mod maps;

/// Compare label maps with the truth: pixel accuracy, IoU, Dice, surface distances
#[derive(Debug, Args)]
#[command(after_help = "Pixel accuracy of a label: the share of the truth's voxels that were found (recall). HD95: the 95th\n\
    percentile of the distances from either surface to the other; ASSD: their average; both in mm, as MedPy 0.5 defines them.\n\
    Folders are matched by file name, without .nii or .nii.gz. A label that neither map of a case holds does not count\n\
    in the mean; pixel accuracy does not where the truth lacks it, a distance where either map does.")]
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
    /// Over the cases, by label name.
    labels: BTreeMap<String, Summary>,
    cases: Vec<Case>,
    /// Files in the folder of predictions that no truth belongs to.
    unmatched: Vec<String>,
    warnings: Vec<String>,
}

/// A label over the cases: the mean, and beside it the standard deviation.
#[derive(Debug, Serialize)]
struct Summary {
    #[serde(flatten)]
    mean: Scores,
    standard_deviation: Scores,
}

/// One pair of label maps.
#[derive(Debug, Serialize)]
struct Case {
    name: String,
    labels: BTreeMap<String, Scores>,
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    let (files, unmatched) = cases(&arguments.truth, &arguments.prediction, None)?;
    let names = &arguments.labels.0;
    let (mut cases, mut warnings) = (Vec::new(), Vec::new());
    for files in &files {
        let maps = Maps::read(files, &arguments.placement.read_options())?;
        warnings.extend(maps.warning(&files.name));
        let labels = names.iter().map(|(value, name)| Ok((name.clone(), maps.scores(*value)?)));
        cases.push(Case { name: files.name.clone(), labels: labels.collect::<Result<_>>()? });
    }
    let summary = |name: &String| {
        let scores: Vec<Scores> = cases.iter().filter_map(|case| case.labels.get(name)).copied().collect();
        Summary { mean: Scores::mean(&scores), standard_deviation: Scores::standard_deviation(&scores) }
    };
    let labels = names.iter().map(|(_, name)| (name.clone(), summary(name))).collect();
    let evaluation = Evaluation { labels, cases, unmatched, warnings };
    if console.json { json_text(&evaluation) } else { Ok(evaluation.text(console, names)) }
}

/// The two label maps of a case on their one grid.
struct Maps {
    geometry: Geometry,
    truth: Vec<u8>,
    prediction: Vec<u8>,
}

impl Maps {
    fn read(files: &CaseFiles, options: &ReadOptions) -> Result<Maps> {
        let (truth, prediction) = (io::read_image(&files.truth, options)?, io::read_image(&files.prediction, options)?);
        let geometry = *truth.view().geometry();
        same_grid(&geometry, prediction.view().geometry())
            .map_err(|error| error.context(format!("{} and {}", files.truth.display(), files.prediction.display())))?;
        let labels = |image: &Image, path: &PathBuf| labels(image).map_err(|error| error.context(path.display()));
        Ok(Maps { geometry, truth: labels(&truth, &files.truth)?, prediction: labels(&prediction, &files.prediction)? })
    }

    fn scores(&self, label: u8) -> Result<Scores> {
        Scores::between(&self.truth, &self.prediction, label, self.geometry.dims, self.geometry.ijk_to_world.spacing())
    }

    /// What a reader of the scores must know of this case's grid.
    fn warning(&self, name: &str) -> Option<String> {
        let shear = self.geometry.shear_degrees();
        let text = || format!("{name}: the axes are sheared by {shear:.1}°; distances are measured as if they were perpendicular");
        (shear > SHEAR_WARNING_DEGREES).then(text)
    }
}

impl Evaluation {
    /// The scores for people: a row per case and label, then the means and standard deviations.
    fn text(&self, console: &Console, names: &[(u8, String)]) -> String {
        let mut table = Table::new(&["case", "label", "pixel accuracy", "IoU", "Dice", "HD95 mm", "ASSD mm"], 2);
        let mut row = |case: &str, label: &String, scores: &Scores| {
            let cell = |value: Option<f64>, decimals| number(value.unwrap_or(f64::NAN), decimals);
            let shares = [scores.pixel_accuracy, scores.iou, scores.dice].map(|share| cell(share, 4));
            let distances = [scores.hd95_mm, scores.assd_mm].map(|distance| cell(distance, 2));
            table.row([case.into(), label.clone()].into_iter().chain(shares).chain(distances));
        };
        for case in &self.cases {
            names
                .iter()
                .filter_map(|(_, name)| Some((name, case.labels.get(name)?)))
                .for_each(|(name, scores)| row(&case.name, name, scores));
        }
        if self.cases.len() > 1 {
            let summaries = || names.iter().filter_map(|(_, name)| Some((name, self.labels.get(name)?)));
            summaries().for_each(|(name, summary)| row("mean", name, &summary.mean));
            summaries().for_each(|(name, summary)| row("SD", name, &summary.standard_deviation));
        }
        let mut text = console.table(&table);
        for warning in &self.warnings {
            text += &console.warning(warning);
        }
        if !self.unmatched.is_empty() {
            text += &console.warning(&format!("no truth belongs to {}", plain(&self.unmatched.join(", "))));
        }
        text
    }
}
