//! `spinect demo`: the whole way once, on shapes that nobody scanned and weights that nobody trained.

use std::path::PathBuf;

use clap::Args;
use serde::Serialize;

use super::console::{Console, plain};
use super::report::Report;
use super::{files, json_text, segment, synthetic};
use crate::error::{Error, Result};
use crate::io;
use crate::model::{Config, Model};

/// Try the whole way in seconds: a synthetic volume, an untrained model, a label map
#[derive(Debug, Args)]
#[command(after_help = "The volume is made of simple shapes and is no anatomy; the model is untrained. The labels mean nothing.")]
pub(super) struct Arguments {
    /// The folder to write to [default: a new one among the temporary files]
    #[arg(short, long, value_name = "DIR")]
    output: Option<PathBuf>,
    /// Print an object for programs instead of tables
    #[arg(long)]
    pub(super) json: bool,
    /// Replace outputs that exist
    #[arg(long)]
    force: bool,
}

const NOTICE: &str = "demonstration: simple shapes, no anatomy, and an untrained model: the labels mean nothing";
/// A network so small that it takes seconds.
const CHANNELS: [usize; 5] = [4, 8, 16, 32, 64];
const SEED: u64 = 0;

/// The object of `demo --json`: that of `segment`, with where the files lie.
#[derive(Debug, Serialize)]
struct Demonstration<'a> {
    notice: &'a str,
    folder: &'a str,
    #[serde(flatten)]
    report: Report,
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    let folder = folder(arguments)?;
    let [input, model, output] = ["ct.nii.gz", "untrained.safetensors", "labels.nii.gz"].map(|name| folder.join(name));
    files::check_outputs(&[&input, &model, &output], &[], arguments.force)?;
    io::write_image(&synthetic::shapes(SEED)?.view(), &input)?;
    files::write(&model, &Model::untrained(Config::spinect(&CHANNELS), SEED)?.to_bytes()?)?;
    let report = segment::segment(&segment::Arguments::plain(input, model, output, arguments.force), console)?;

    let folder = plain(&folder.display().to_string());
    if console.json {
        return json_text(&Demonstration { notice: NOTICE, folder: &folder, report });
    }
    let mut text = console.warning(NOTICE);
    text += &report.text(console);
    text += &format!("the files are in {folder}; the same again, there:\n");
    text += "  spinect segment ct.nii.gz --model untrained.safetensors -o labels.nii.gz --force\n";
    text += &console.warning(NOTICE);
    Ok(text)
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
