//! `spinect phantom`: synthetic CT with true labels.

use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::console::{Console, Table, number, plain};
use super::{files, json_text};
use crate::error::{Error, Result};
use crate::io;
use crate::phantom::{Case, LabelScheme, Metal, Options, Parameters, Region, generate};

/// Make synthetic lumbosacral CTs with true labels
#[derive(Debug, Args)]
#[command(after_help = "DIR/images and DIR/labels get files of the same names; DIR/phantoms.json says what was drawn for each.\n\
    Case n of a run has the seed --seed + n: the same seed and options give the same files.\n\
    Example: spinect phantom -o phantoms --count 20 --seed 1")]
pub(super) struct Arguments {
    /// The folder to write to; made if it is missing
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// How many cases
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    count: u32,
    /// Seed of the first case
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Spacing in mm: left-right, front-back, along the table [default: drawn for each case]
    #[arg(long, value_name = "X,Y,Z")]
    spacing: Option<Spacing>,
    /// Voxels of 1.5 to 3 mm, as archives keep scans that were sampled down [default: a scanner's, 0.35 to 1 mm in the plane]
    #[arg(long, conflicts_with_all = ["spacing", "small"])]
    sampled_down: bool,
    /// What is in view [default: drawn for each case]
    #[arg(long, value_enum)]
    view: Option<View>,
    /// Metal in the body [default: drawn, in one case of ten]
    #[arg(long, value_enum)]
    metal: Option<MetalChoice>,
    /// The labels' values
    #[arg(long, value_enum, default_value_t)]
    labels: Labels,
    /// Small cases of L4 to S2 that take less than a second each
    #[arg(long)]
    small: bool,
    /// Print an object for programs instead of a table
    #[arg(long)]
    pub(super) json: bool,
    /// Replace files that exist
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Spacing([f64; 3]);

impl FromStr for Spacing {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let numbers: Vec<f64> = text.split(',').filter_map(|part| part.trim().parse().ok()).collect();
        match (text.split(',').count(), numbers.as_slice()) {
            (3, &[x, y, z]) => Ok(Spacing([x, y, z])),
            _ => Err("a spacing is three numbers in mm, for example 0.7,0.7,1.5".into()),
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum View {
    /// Cut around the spine, anywhere from L2 to S3
    Spine,
    /// The whole body with skin and table
    Body,
}

impl From<View> for Region {
    fn from(view: View) -> Region {
        match view {
            View::Spine => Region::Spine,
            View::Body => Region::Body,
        }
    }
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum MetalChoice {
    None,
    /// A hip endoprosthesis
    Hip,
    /// Pedicle screws with rods
    Screws,
}

impl From<MetalChoice> for Metal {
    fn from(choice: MetalChoice) -> Metal {
        match choice {
            MetalChoice::None => Metal::None,
            MetalChoice::Hip => Metal::Hip,
            MetalChoice::Screws => Metal::Screws,
        }
    }
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Labels {
    /// 1 bone, 2 nerve
    #[default]
    Simple,
    /// A value for each vertebra, hip bone, root and ganglion
    Detailed,
}

/// The object of `phantom --json` and of phantoms.json. The keys are a contract: more may be added, none renamed.
#[derive(Debug, Serialize)]
struct Phantoms {
    labels: Vec<LabelName>,
    cases: Vec<Entry>,
}

#[derive(Debug, Serialize)]
struct LabelName {
    value: u8,
    name: String,
}

#[derive(Debug, Serialize)]
struct Entry {
    image: String,
    label: String,
    dims: [usize; 3],
    bone_share: f64,
    nerve_share: f64,
    parameters: Parameters,
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    let scheme = match arguments.labels {
        Labels::Simple => LabelScheme::Simple,
        Labels::Detailed => LabelScheme::Detailed,
    };
    let folders = ["images", "labels"].map(|name| arguments.output.join(name));
    for folder in &folders {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "make the folder", &error))?;
    }
    let index = arguments.output.join("phantoms.json");
    let seeds: Vec<u64> = (0..u64::from(arguments.count)).map(|n| arguments.seed.wrapping_add(n)).collect();
    let names: Vec<String> = seeds.iter().map(|seed| format!("case-{seed:04}.nii.gz")).collect();
    let files: Vec<PathBuf> = folders.iter().flat_map(|folder| names.iter().map(move |name| folder.join(name))).collect();
    let outputs: Vec<&Path> = files.iter().chain([&index]).map(PathBuf::as_path).collect();
    files::check_outputs(&outputs, &[], arguments.force)?;

    let progress = console.progress();
    let mut cases = Vec::new();
    for (n, (&seed, name)) in seeds.iter().zip(&names).enumerate() {
        progress.advance(n as f64 / seeds.len() as f64, "generating");
        let base = if arguments.small { Options::demo(seed) } else { Options::new(seed) };
        let spacing_mm = arguments.spacing.map(|spacing| spacing.0).or(base.spacing_mm);
        let (region, metal) = (arguments.view.map(Region::from), arguments.metal.map(Metal::from).or(base.metal));
        let options = Options { spacing_mm, sampled_down: arguments.sampled_down, region, metal, labels: scheme, ..base };
        let case = generate(&options)?;
        let [image, label] = folders.each_ref().map(|folder| folder.join(name));
        io::write_image(&case.image.view(), &image)?;
        io::write_image(&case.labels.view(), &label)?;
        cases.push(entry(name, case, scheme));
    }
    drop(progress);
    let labels = scheme.names().into_iter().map(|(value, name)| LabelName { value, name }).collect();
    let phantoms = Phantoms { labels, cases };
    let text = json_text(&phantoms)?;
    files::write(&index, text.as_bytes())?;
    if console.json {
        return Ok(text);
    }
    let mut table = Table::new(&["case", "voxels", "spacing mm", "bone %", "nerve %", "metal"], 1);
    for case in &phantoms.cases {
        let [x, y, z] = case.dims;
        let [dx, dy, dz] = case.parameters.spacing_mm;
        let percent = |share: f64| number(100.0 * share, 2);
        let metal = format!("{:?}", case.parameters.metal).to_lowercase();
        let name = case.image.trim_start_matches("images/").to_owned();
        table.row([name, format!("{x}×{y}×{z}"), format!("{dx}×{dy}×{dz}"), percent(case.bone_share), percent(case.nerve_share), metal]);
    }
    Ok(console.table(&table) + &format!("{} cases in {}\n", phantoms.cases.len(), plain(&arguments.output.display().to_string())))
}

fn entry(name: &str, case: Case, scheme: LabelScheme) -> Entry {
    let voxels = case.labels.bytes();
    let of_class = |class: u8| {
        let simple = |value: u8| if scheme == LabelScheme::Simple { value } else { LabelScheme::Simple.value(value) };
        voxels.iter().filter(|value| simple(**value) == class).count() as f64 / voxels.len().max(1) as f64
    };
    Entry {
        image: format!("images/{name}"),
        label: format!("labels/{name}"),
        dims: case.labels.view().geometry().dims,
        bone_share: of_class(1),
        nerve_share: of_class(2),
        parameters: case.parameters,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_spacing_is_three_numbers() {
        assert_eq!("0.7, 0.7,1.5".parse(), Ok(Spacing([0.7, 0.7, 1.5])));
        for wrong in ["", "1", "1,2", "1,2,3,4", "1,2,x", "1,,2,3"] {
            assert!(wrong.parse::<Spacing>().unwrap_err().contains("three numbers"), "{wrong}");
        }
    }
}
