//! `spinect query`: what lies at a point, and how far a structure is from a point or a tool.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::arguments::{Millimeters, Placement, WorldChoice};
use super::console::{Console, Table, number};
use super::{files, json_text};
use crate::error::{Error, ErrorKind, Result};
use crate::io;
use crate::segmentation::{Segmentation, Tool};

/// Tell how far a structure is from a point or a tool
#[derive(Debug, Args)]
#[command(
    after_help = "Distances are those to the surface of the label's voxels, negative inside. Where nothing was segmented nothing is\n\
    clear: see unexamined. Example: spinect query labels.nii.gz --point 10,-60,120 --to 4,-95,118 --radius 1.5"
)]
pub(super) struct Arguments {
    /// The label map: .seg.nrrd, .nrrd, .nii or .nii.gz
    segmentation: PathBuf,
    /// A point, or the beginning of a tool's axis
    #[arg(long, value_name = "x,y,z", allow_hyphen_values = true)]
    point: Millimeters,
    /// The end of the tool's axis
    #[arg(long, value_name = "x,y,z", allow_hyphen_values = true)]
    to: Option<Millimeters>,
    /// The tool's radius in mm
    #[arg(long, value_name = "MM", default_value_t = 0.0, requires = "to", value_parser = length)]
    radius: f64,
    /// Also tell where the tool, on its way from --point to --to, first comes nearer than this
    #[arg(long, value_name = "MM", requires = "to", value_parser = length)]
    margin: Option<f64>,
    /// The structure, by name or value [default: nerve, or the only one that there is]
    #[arg(long, value_name = "LABEL")]
    label: Option<String>,
    /// What the coordinates are in
    #[arg(long, value_enum, default_value_t)]
    world: WorldChoice,
    /// Print an object for programs instead of a table
    #[arg(long)]
    pub(super) json: bool,
    #[command(flatten)]
    placement: Placement,
}

fn length(text: &str) -> std::result::Result<f64, String> {
    text.parse().ok().filter(|mm: &f64| *mm >= 0.0 && mm.is_finite()).ok_or_else(|| "a length is 0 or a positive number of mm".into())
}

/// The object of `query --json`. The keys are a contract: more may be added, none renamed.
#[derive(Debug, Serialize)]
struct Answer {
    world: &'static str,
    structure: String,
    structure_value: u8,
    /// The label at the point; null if nothing was examined there.
    label: Option<i32>,
    confidence: Option<f64>,
    distance_mm: f64,
    nearest: [f64; 3],
    unexamined_mm: f64,
    #[serde(flatten)]
    tool: Option<ToolAnswer>,
    #[serde(flatten)]
    corridor: Option<CorridorAnswer>,
}

#[derive(Debug, Serialize)]
struct ToolAnswer {
    clearance_mm: f64,
    at: [f64; 3],
    clearance_nearest: [f64; 3],
    crosses: bool,
    length_inside_mm: f64,
    clearance_unexamined_mm: f64,
}

#[derive(Debug, Serialize)]
struct CorridorAnswer {
    margin_mm: f64,
    violated: bool,
    /// Where along the axis, from --point; null if the margin is kept.
    violation_along_mm: Option<f64>,
    violation_at: Option<[f64; 3]>,
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    files::check_inputs(&[&arguments.segmentation])?;
    let mut segmentation = io::read_segmentation(&arguments.segmentation, &arguments.placement.read_options())?;
    let answer = answer(arguments, &mut segmentation)?;
    if console.json { json_text(&answer) } else { Ok(answer.text(console)) }
}

fn answer(arguments: &Arguments, segmentation: &mut Segmentation) -> Result<Answer> {
    let (value, structure) = structure(segmentation, arguments.label.as_deref())?;
    let (label, world, point) = (i32::from(value), arguments.world.world(), arguments.point.0);
    segmentation.prepare_queries(label)?;
    let here = match segmentation.at(world, point) {
        Err(error) if error.kind() == ErrorKind::NotExamined => None,
        sample => Some(sample?),
    };
    let distance = segmentation.distance(label, world, point)?;
    let tool = arguments.to.map(|to| Tool { from: point, to: to.0, radius_mm: arguments.radius });
    let clearance = tool.map(|tool| segmentation.clearance(label, world, &tool)).transpose()?;
    let corridor = tool.zip(arguments.margin).map(|(tool, margin)| segmentation.corridor(label, world, &tool, margin)).transpose()?;
    Ok(Answer {
        world: arguments.world.name(),
        structure,
        structure_value: value,
        label: here.map(|sample| sample.label),
        confidence: here.map(|sample| sample.confidence),
        distance_mm: distance.distance_mm,
        nearest: distance.nearest,
        unexamined_mm: distance.unexamined_mm,
        tool: clearance.map(|clearance| ToolAnswer {
            clearance_mm: clearance.distance_mm,
            at: clearance.at,
            clearance_nearest: clearance.nearest,
            crosses: clearance.crosses,
            length_inside_mm: clearance.length_inside_mm,
            clearance_unexamined_mm: clearance.unexamined_mm,
        }),
        corridor: corridor.zip(arguments.margin).map(|(corridor, margin_mm)| CorridorAnswer {
            margin_mm,
            violated: corridor.violation.is_some(),
            violation_along_mm: corridor.violation.map(|violation| violation.along_mm),
            violation_at: corridor.violation.map(|violation| violation.at),
        }),
    })
}

/// Value and name of the label that was asked for.
fn structure(segmentation: &Segmentation, asked: Option<&str>) -> Result<(u8, String)> {
    let table = segmentation.table();
    let structures = || table.iter().filter(|label| label.value != 0);
    let found = match asked {
        Some(asked) => table.iter().find(|label| label.name == asked || label.value.to_string() == asked),
        None => structures().find(|label| label.name == "nerve").or_else(|| structures().next().filter(|_| structures().count() == 1)),
    };
    found.map(|label| (label.value, label.name.clone())).ok_or_else(|| {
        let names: Vec<String> = structures().map(|label| format!("{} ({})", super::console::plain(&label.name), label.value)).collect();
        Error::new(ErrorKind::UnknownLabel, format!("name a structure with --label: there are {}", names.join(", ")))
    })
}

impl Answer {
    fn text(&self, console: &Console) -> String {
        let mut table = Table::new(&["", &format!("{}, mm", self.world.to_ascii_uppercase())], 1);
        let mut row = |what: &str, value: String| table.row([what.to_owned(), value]);
        let place = |[x, y, z]: [f64; 3]| format!("{x:.2}, {y:.2}, {z:.2}");
        row("structure", format!("{} ({})", super::console::plain(&self.structure), self.structure_value));
        row("label at the point", self.label.map_or_else(|| "not examined".into(), |label| label.to_string()));
        row("distance of the point", number(self.distance_mm, 3));
        row("nearest point of the surface", place(self.nearest));
        row("unexamined space from the point", number(self.unexamined_mm, 3));
        if let Some(tool) = &self.tool {
            row("clearance of the tool", number(tool.clearance_mm, 3));
            row("at", place(tool.at));
            row("nearest point of the surface", place(tool.clearance_nearest));
            row("the axis crosses the structure", if tool.crosses { "yes" } else { "no" }.into());
            row("length of the axis inside", number(tool.length_inside_mm, 3));
            row("unexamined space from the tool", number(tool.clearance_unexamined_mm, 3));
        }
        if let Some(corridor) = &self.corridor {
            let first = corridor.violation_along_mm.zip(corridor.violation_at);
            let text = first.map_or_else(|| "kept".into(), |(along, at)| format!("broken {along:.3} along, at {}", place(at)));
            row(&format!("margin of {} mm", corridor.margin_mm), text);
        }
        let mut text = console.table(&table);
        let unexamined = self.tool.as_ref().map_or(self.unexamined_mm, |tool| tool.clearance_unexamined_mm);
        if unexamined <= 0.0 {
            text += &console.warning("part of this lies where nothing was segmented: nothing is known there");
        }
        text
    }
}
