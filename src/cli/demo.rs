//! `spinect demo`: the whole way once, on a patient who does not exist: phantom, segmentation, comparison with the truth,
//! distances of two needles, surfaces.

use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use super::console::{Console, Table, number, plain};
use super::evaluate::{self, Evaluation};
use super::report::Report;
use super::stopwatch::Stopwatch;
use super::surfaces::Surfaces;
use super::{files, json_text, segment};
use crate::error::{Error, ErrorKind, Result};
use crate::geometry::World;
use crate::io::{self, ReadOptions};
use crate::phantom::{self, Options};
use crate::segmentation::{Segmentation, Tool};

/// Try the whole way in seconds: a synthetic CT, the demonstration model, labels, scores, distances, pictures, surfaces
#[derive(Debug, Args)]
#[command(
    after_help = "DIR gets the CT, its true labels, the model, the labels found, their surfaces, and report/index.html with scores\n\
    and pictures. Both the CT and what the model learned from are synthetic: the scores say nothing about patients."
)]
pub(super) struct Arguments {
    /// The folder to write to [default: a new one among the temporary files]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Which synthetic patient; the model learned from the seeds that models/README.md names
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
    /// Print an object for programs instead of tables
    #[arg(long)]
    pub(super) json: bool,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
}

const NOTICE: &str = "demonstration: CT and training data are synthetic; not for patients, and the scores say nothing about any";

/// A compact network, trained on phantoms only: `models/README.md`.
const MODEL: &[u8] = include_bytes!("../../models/demonstration.safetensors");

/// The object of `demo --json`: that of `segment`, with the scores and where the files lie.
#[derive(Debug, Serialize)]
struct Demonstration<'a> {
    notice: &'a str,
    folder: &'a str,
    phantom_seconds: f64,
    segment_seconds: f64,
    evaluate_seconds: f64,
    query_seconds: f64,
    evaluation: Evaluation,
    needles: Vec<Needle>,
    #[serde(flatten)]
    report: Report,
}

/// A needle, and how far it stays away from the nerve: in the labels that were found, and in truth.
#[derive(Debug, Serialize)]
struct Needle {
    name: &'static str,
    from_ras: [f64; 3],
    to_ras: [f64; 3],
    radius_mm: f64,
    /// Null if no nerve was found.
    clearance_mm: Option<f64>,
    true_clearance_mm: Option<f64>,
    crosses: bool,
    length_inside_mm: f64,
    unexamined_mm: f64,
}

/// Beginning and tip of two needles in RAS mm from the middle of the nerve: one that comes from behind and the side and
/// stops beside it, one that comes along the midline and enters it.
const NEEDLES: [(&str, [f64; 3], [f64; 3], f64); 2] =
    [("from the side", [45.0, -50.0, 17.0], [16.0, 2.0, 12.0], 1.0), ("along the midline", [0.0, -60.0, 8.0], [0.0, -1.0, 0.0], 0.5)];
/// The label's value in the phantom and in the model.
const NERVE: u8 = 2;

/// Asks both label maps about the needles.
fn needles(found: &Path, truth: &Path) -> Result<Vec<Needle>> {
    let open = |path| -> Result<Segmentation> {
        let mut labels = io::read_segmentation(path, &ReadOptions::default())?;
        labels.prepare_queries(i32::from(NERVE))?;
        Ok(labels)
    };
    let (found, truth) = (open(found)?, open(truth)?);
    let nerve = truth.table().iter().find(|label| label.value == NERVE).map(|label| label.statistics.centroid);
    let Some([x, y, z]) = nerve.filter(|middle| middle.iter().all(|c| c.is_finite())) else { return Ok(Vec::new()) };
    let middle = if truth.geometry().world == World::Ras { [x, y, z] } else { [-x, -y, z] };
    let mut needles = Vec::new();
    for (name, from, to, radius_mm) in NEEDLES {
        let [from, to] = [from, to].map(|offset| [0, 1, 2].map(|c| middle[c] + offset[c]));
        let tool = Tool { from, to, radius_mm };
        let clearance = |labels: &Segmentation| match labels.clearance(i32::from(NERVE), World::Ras, &tool) {
            Err(error) if error.kind() == ErrorKind::LabelAbsent => Ok(None),
            clearance => clearance.map(Some),
        };
        let (found, truth) = (clearance(&found)?, clearance(&truth)?);
        needles.push(Needle {
            name,
            from_ras: from,
            to_ras: to,
            radius_mm,
            clearance_mm: found.map(|clearance| clearance.distance_mm),
            true_clearance_mm: truth.map(|clearance| clearance.distance_mm),
            crosses: found.is_some_and(|clearance| clearance.crosses),
            length_inside_mm: found.map_or(0.0, |clearance| clearance.length_inside_mm),
            unexamined_mm: found.map_or(f64::NAN, |clearance| clearance.unexamined_mm),
        });
    }
    Ok(needles)
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    let folder = folder(arguments)?;
    let names = ["ct.nii.gz", "truth.nii.gz", "demonstration.safetensors", "labels.nii.gz"];
    let [ct, truth, model, labels] = names.map(|name| folder.join(name));
    files::check_outputs(&[&ct, &truth, &model, &labels], &[], arguments.force)?;
    let pictures = folder.join("report");
    crate::report::Report::check_folder(&pictures, arguments.force)?;
    let comparison = evaluate::Arguments::plain(truth.clone(), labels.clone(), ct.clone(), pictures, arguments.force);

    let mut watch = Stopwatch::start();
    let case = phantom::generate(&Options::demo(arguments.seed))?;
    io::write_image(&case.image.view(), &ct)?;
    io::write_image(&case.labels.view(), &truth)?;
    files::write(&model, MODEL)?;
    let phantom_seconds = watch.lap();
    let mut segmenting = segment::Arguments::plain(ct, model, labels.clone(), arguments.force);
    segmenting.surfaces = Surfaces::in_folder(folder.join("surfaces"));
    let report = segment::segment(&segmenting, console)?;
    let segment_seconds = watch.lap();
    let evaluation = evaluate::evaluate(&comparison)?;
    let evaluate_seconds = watch.lap();
    let needles = needles(&labels, &truth)?;
    let query_seconds = watch.lap();

    let folder = plain(&folder.display().to_string());
    if console.json {
        let folder = &folder;
        return json_text(&Demonstration {
            notice: NOTICE,
            folder,
            phantom_seconds,
            segment_seconds,
            evaluate_seconds,
            query_seconds,
            evaluation,
            needles,
            report,
        });
    }
    let mut steps = Table::new(&["step", "seconds"], 1);
    let seconds = [
        ("phantom", phantom_seconds),
        ("segment, with surfaces", segment_seconds),
        ("compare and draw", evaluate_seconds),
        ("distances", query_seconds),
    ];
    seconds.into_iter().for_each(|(step, seconds)| steps.row([step.into(), number(seconds, 2)]));
    let mut text = console.warning(NOTICE);
    text += &report.text(console);
    text += &evaluation.text(console, &comparison);
    text += &console.table(&distances(&needles));
    text += &console.table(&steps);
    text += &format!("the files are in {folder}; the same again, there:\n");
    text += "  spinect segment ct.nii.gz --model demonstration.safetensors -o labels.nii.gz --force\n";
    text += &console.warning(NOTICE);
    Ok(text)
}

fn distances(needles: &[Needle]) -> Table {
    let mut table = Table::new(&["needle", "clearance of the nerve mm", "in truth mm", "inside the nerve mm"], 1);
    let mm = |value: Option<f64>| value.map_or_else(|| "no nerve".into(), |value| number(value, 2));
    for needle in needles {
        let cells = [needle.name.into(), mm(needle.clearance_mm), mm(needle.true_clearance_mm), number(needle.length_inside_mm, 2)];
        table.row(cells);
    }
    table
}

/// The folder to write to: the one that was named, made if it is missing, or a new one that stays.
fn folder(arguments: &Arguments) -> Result<PathBuf> {
    match &arguments.output {
        Some(folder) => {
            std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "make the folder", &error))?;
            Ok(folder.clone())
        }
        None => {
            let place = std::env::temp_dir();
            let made = tempfile::Builder::new().prefix("spinect-demo-").tempdir_in(&place);
            Ok(made.map_err(|error| Error::io(&place, "make a folder in", &error))?.keep())
        }
    }
}
