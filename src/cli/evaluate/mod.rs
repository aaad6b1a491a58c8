//! `spinect evaluate`: label maps against the truth.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::arguments::{LabelNames, Placement};
use super::console::{Console, Table, number, plain};
use super::json_text;
use crate::error::Result;
use crate::geometry::{Geometry, SHEAR_WARNING_DEGREES};
use crate::io::{self, ReadOptions};
use crate::metrics::Scores;
use crate::report::overlay::{self, DrawnLabel};
use crate::report::{CaseOverlay, CaseScores, Report, ScoreTable, shades};
use crate::volume::Image;
use cases::{CaseFiles, cases};

mod cases;

/// Compare label maps with the truth: pixel accuracy, IoU, Dice, surface distances
#[derive(Debug, Args)]
#[command(after_help = "Pixel accuracy of a label: the share of the truth's voxels that were found (recall). HD95: the 95th\n\
    percentile of the distances from either surface to the other; ASSD: their average; both in mm, as MedPy 0.5 defines them.\n\
    --report makes a folder: index.html, scores.md, scores.csv, and with --images overlays/CASE.png.\n\
    Folders are matched by file name, without .nii, .nii.gz or .nrrd. A label that neither map of a case holds does not count\n\
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
    /// Also write a report into this folder: tables, one HTML page, pictures of the masks on --images
    #[arg(long, value_name = "DIR")]
    report: Option<PathBuf>,
    /// The CT to draw the masks on, or a folder of them
    #[arg(long, value_name = "C", requires = "report")]
    images: Option<PathBuf>,
    /// Write into a report folder that is not empty
    #[arg(long, requires = "report")]
    force: bool,
    /// Print an object for programs instead of a table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    placement: Placement,
}

/// The object of `evaluate --json`. The keys are a contract: more may be added, none renamed.
#[derive(Debug, Default, Serialize)]
pub(super) struct Evaluation {
    /// Over the cases, by label name.
    labels: BTreeMap<String, Summary>,
    cases: Vec<Case>,
    /// Files in the folder of predictions that no truth belongs to.
    unmatched: Vec<String>,
    /// What a reader of the scores must know, a sentence each.
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

impl Arguments {
    /// One case with its CT and a report of bone and nerve.
    pub(super) fn plain(truth: PathBuf, prediction: PathBuf, image: PathBuf, report: PathBuf, force: bool) -> Self {
        let labels = LabelNames(vec![(1, "bone".into()), (2, "nerve".into())]);
        let (report, images) = (Some(report), Some(image));
        Arguments { truth, prediction, labels, report, images, force, json: false, placement: Placement::default() }
    }
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    let evaluation = evaluate(arguments)?;
    if console.json { json_text(&evaluation) } else { Ok(evaluation.text(console, arguments)) }
}

/// Reads the pairs, compares them, writes the report.
pub(super) fn evaluate(arguments: &Arguments) -> Result<Evaluation> {
    if let Some(folder) = &arguments.report {
        Report::check_folder(folder, arguments.force)?;
    }
    let (files, unmatched) = cases(&arguments.truth, &arguments.prediction, arguments.images.as_deref())?;
    let (names, options) = (&arguments.labels.0, arguments.placement.read_options());
    let mut evaluation = Evaluation { unmatched, ..Evaluation::default() };
    let mut overlays = Vec::new();
    for files in &files {
        let maps = Maps::read(files, &options)?;
        evaluation.warnings.extend(maps.warning(&files.name));
        let scores = names.iter().map(|(value, name)| Ok((name.clone(), maps.scores(*value)?)));
        evaluation.cases.push(Case { name: files.name.clone(), labels: scores.collect::<Result<_>>()? });
        if let Some(image) = &files.image {
            overlays.push(maps.overlay(&files.name, image, &options, names)?);
        }
    }
    for (_, name) in names {
        let scores: Vec<Scores> = evaluation.cases.iter().filter_map(|case| case.labels.get(name)).copied().collect();
        let summary = Summary { mean: Scores::mean(&scores), standard_deviation: Scores::standard_deviation(&scores) };
        evaluation.labels.insert(name.clone(), summary);
    }
    if let Some(folder) = &arguments.report {
        report(arguments, &evaluation, overlays).write(folder, arguments.force)?;
    }
    Ok(evaluation)
}

/// The report of an evaluation.
fn report(arguments: &Arguments, evaluation: &Evaluation, overlays: Vec<CaseOverlay>) -> Report {
    let labels: Vec<String> = arguments.labels.0.iter().map(|(_, name)| name.clone()).collect();
    let of_case = |case: &Case| CaseScores {
        name: case.name.clone(),
        scores: labels.iter().map(|name| case.labels.get(name).copied().unwrap_or_default()).collect(),
    };
    let cases = evaluation.cases.iter().map(of_case).collect();
    let path = |path: &PathBuf| path.display().to_string();
    let mut facts = vec![("truth".into(), path(&arguments.truth)), ("prediction".into(), path(&arguments.prediction))];
    facts.extend(arguments.images.as_ref().map(|images| ("images".into(), path(images))));
    facts.push(("spinect".into(), env!("CARGO_PKG_VERSION").into()));
    Report {
        title: "Evaluation".into(),
        facts,
        warnings: evaluation.warnings(),
        scores: Some(ScoreTable { labels, cases, reference: None }),
        history: None,
        overlays,
    }
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
        geometry
            .check_same_grid(prediction.view().geometry())
            .map_err(|error| error.context(format!("{} and {}", files.truth.display(), files.prediction.display())))?;
        let labels = |image: &Image, path: &PathBuf| image.view().label_values().map_err(|error| error.context(path.display()));
        Ok(Maps { geometry, truth: labels(&truth, &files.truth)?, prediction: labels(&prediction, &files.prediction)? })
    }

    fn scores(&self, label: u8) -> Result<Scores> {
        Scores::between(&self.truth, &self.prediction, label, self.geometry.dims, self.geometry.ijk_to_world.spacing())
    }

    /// The masks on their CT.
    fn overlay(&self, name: &str, image: &Path, options: &ReadOptions, labels: &[(u8, String)]) -> Result<CaseOverlay> {
        let ct = io::read_image(image, options)?;
        self.geometry.check_same_grid(ct.view().geometry()).map_err(|error| error.context(image.display()))?;
        let drawn: Vec<DrawnLabel> = labels
            .iter()
            .enumerate()
            .map(|(at, (value, name))| DrawnLabel { value: *value, name: name.clone(), color: shades(at).on_dark })
            .collect();
        let masks = (Some(self.prediction.as_slice()), Some(self.truth.as_slice()));
        let picture = overlay::three_planes(&ct.view(), masks.0, masks.1, &drawn, None, &overlay::Options::default())?;
        let caption = "axial, coronal and sagittal. Filled: the prediction. Outlined: the truth.".into();
        Ok(CaseOverlay { case: name.into(), caption, png: picture.to_png()? })
    }

    /// What a reader of the scores must know of this case's grid.
    fn warning(&self, name: &str) -> Option<String> {
        let shear = self.geometry.shear_degrees();
        let text = || format!("{name}: the axes are sheared by {shear:.1}°; distances are measured as if they were perpendicular");
        (shear > SHEAR_WARNING_DEGREES).then(text)
    }
}

impl Evaluation {
    fn warnings(&self) -> Vec<String> {
        let unmatched = (!self.unmatched.is_empty()).then(|| format!("no truth belongs to {}", self.unmatched.join(", ")));
        self.warnings.iter().cloned().chain(unmatched).collect()
    }

    /// The scores for people: a row per case and label, then the means and standard deviations.
    pub(super) fn text(&self, console: &Console, arguments: &Arguments) -> String {
        let names = &arguments.labels.0;
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
        for warning in self.warnings() {
            text += &console.warning(&warning);
        }
        if let Some(folder) = &arguments.report {
            text += &format!("report: {}\n", plain(&folder.join("index.html").display().to_string()));
        }
        text
    }
}
