//! `spinect convert`: the same model in another file: smaller, renamed, described.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{Args, ValueEnum};

use super::console::{Console, plain};
use super::files;
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Config, Model};

/// Write a model again: in half the bytes, or with another name and description
#[derive(Debug, Args)]
#[command(after_help = "With --weights f16 kernels are rounded (three decimal digits); arithmetic stays f32.\n\
    Example: spinect convert run/best.safetensors --weights f16 -o small.safetensors")]
pub(super) struct Arguments {
    /// The model: .safetensors
    model: PathBuf,
    /// The model to write: .safetensors
    #[arg(short, long, value_name = "MODEL")]
    output: PathBuf,
    /// How weights are stored
    #[arg(long, value_enum, default_value_t)]
    weights: Weights,
    /// What stands in the model as its name [default: as it was]
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// A text of the model's provenance; may be given several times
    #[arg(long, value_name = "KEY=TEXT")]
    provenance: Vec<Fact>,
    /// In how many large pieces a label's structure is at most; results with more warn of it. May be given several times
    #[arg(long, value_name = "LABEL=N")]
    pieces: Vec<Pieces>,
    /// Replace a file that exists
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, Default, ValueEnum)]
enum Weights {
    #[default]
    F32,
    F16,
}

#[derive(Clone, Debug)]
struct Fact(String, String);

impl FromStr for Fact {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        match text.split_once('=') {
            // Whether a model is clinical is for its maker's own tools to say, with a boolean.
            Some(("clinical", _)) => Err("a model is not made clinical by this program".into()),
            Some((key, value)) if !key.is_empty() => Ok(Fact(key.into(), value.into())),
            _ => Err("provenance is KEY=TEXT, for example trained_on=\"40 annotated CTs\"".into()),
        }
    }
}

#[derive(Clone, Debug)]
struct Pieces(String, u32);

impl FromStr for Pieces {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let parsed = text.rsplit_once('=').and_then(|(label, count)| Some(Pieces(label.into(), count.parse().ok().filter(|n| *n > 0)?)));
        parsed.ok_or_else(|| "pieces are LABEL=N, for example nerve=1".into())
    }
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    files::check_outputs(&[&arguments.output], &[&arguments.model], arguments.force)?;
    let model = Model::from_file(&arguments.model)?;
    let was_clinical = model.is_declared_clinical();
    let (mut config, tensors) = model.into_parts();
    let facts = arguments.provenance.iter().map(|Fact(key, text)| (key.clone(), text.as_str().into()));
    config.provenance.extend(facts);
    // Rounded, renamed or described anew, it is no longer the file that its maker declared.
    config.provenance.retain(|key, _| key != "clinical");
    for Pieces(name, count) in &arguments.pieces {
        let Some(label) = config.labels.iter_mut().find(|label| label.name == *name) else {
            return Err(Error::new(ErrorKind::UnknownLabel, format!("the model has no label \"{name}\": see spinect info")));
        };
        label.pieces = Some(*count);
    }
    let name = arguments.name.clone().unwrap_or(config.name);
    let model = Model::new(Config { name, ..config }, tensors)?;
    let bytes = match arguments.weights {
        Weights::F32 => model.to_bytes()?,
        Weights::F16 => model.to_half_bytes()?,
    };
    files::write(&arguments.output, &bytes)?;
    let path = plain(&arguments.output.display().to_string());
    let mut text =
        format!("{path}: {} parameters in {} bytes, sha256 {}\n", model.parameters(), bytes.len(), Model::from_bytes(&bytes)?.sha256());
    if was_clinical {
        text += &console.warning("the copy is not declared clinical: only the model's maker can say so of a file");
    }
    Ok(text)
}
