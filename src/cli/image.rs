//! `spinect image`: any CT that is read here, as one NIfTI file.

use std::path::PathBuf;

use clap::Args;

use super::console::{Console, plain};
use super::files;
use super::input::Reading;
use crate::error::Result;
use crate::io;

/// Write a CT, for example a folder of DICOM, as one NIfTI file
#[derive(Debug, Args)]
#[command(after_help = "Voxels, geometry and rescale to Hounsfield units stay what they are.\n\
    Example: spinect image scans/ -o ct.nii.gz")]
pub(super) struct Arguments {
    /// The CT: .nii or .nii.gz, or a folder with a DICOM series
    input: PathBuf,
    /// The image to write: .nii or .nii.gz
    #[arg(short, long, value_name = "OUTPUT")]
    output: PathBuf,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    reading: Reading,
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    files::check_image_name(&arguments.output)?;
    files::check_outputs(&[&arguments.output], &[&arguments.input], arguments.force)?;
    let progress = console.progress();
    progress.say("reading");
    let image = arguments.reading.read(&arguments.input)?;
    progress.say("writing");
    io::write_image(&image.view(), &arguments.output)?;
    drop(progress);
    let [i, j, k] = image.view().geometry().dims;
    let output = plain(&arguments.output.display().to_string());
    Ok(format!("{output}: {i}×{j}×{k} voxels of {}\n", image.view().voxel_type().name()))
}
