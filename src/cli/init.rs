//! `spinect init`: an untrained model, for latency tests.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::arguments::Channels;
use super::console::{Console, plain};
use super::files;
use crate::error::Result;
use crate::model::{Config, Model};

/// Make an untrained model, for latency tests only
#[derive(Debug, Args)]
#[command(after_help = "The weights are random: a segmentation with them means nothing.\n\
    Example: spinect init --preset spinect -o untrained.safetensors")]
pub(super) struct Arguments {
    /// The network
    #[arg(long, value_enum)]
    preset: Preset,
    /// Channels per level, full resolution first [default: the preset's]
    #[arg(long, value_name = "32,64,…")]
    channels: Option<Channels>,
    /// Seed of the random weights: the same seed gives the same file
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// The model to write: .safetensors
    #[arg(short, long, value_name = "MODEL")]
    output: PathBuf,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preset {
    /// The paper's 3D U-Net: channels 32,64,128,256,512, background, bone and nerve
    Spinect,
}

/// The channels of the paper's network.
pub(super) const SPINECT_CHANNELS: [usize; 5] = [32, 64, 128, 256, 512];

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    files::check_outputs(&[&arguments.output], &[], arguments.force)?;
    let Preset::Spinect = arguments.preset;
    let channels = arguments.channels.as_ref().map_or(&SPINECT_CHANNELS[..], |channels| &channels.0);
    let model = Model::untrained(Config::spinect(channels), arguments.seed)?;
    files::write(&arguments.output, &model.to_bytes()?)?;
    let path = plain(&arguments.output.display().to_string());
    let mut text = format!("{path}: {} parameters, channels {channels:?}, sha256 {}\n", model.parameters(), model.sha256());
    text += &console.warning("untrained, its weights are random: for latency tests only, never for patients");
    Ok(text)
}
