//! `spinect train`: from labeled cases to a model and the report of its test.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::{Args, ValueEnum};
use serde::Serialize;

use super::arguments::{Channels, LabelNames, Placement};
use super::console::{Console, plain};
use super::{files, init, interrupt, json_text};
use crate::error::{Error, ErrorKind, Result};
use crate::model::{Config, Model};
use crate::threads;
use crate::trainer::dataset::{Classes, Dataset, FOLDS, Manifest, OpenOptions};
use crate::trainer::{Best, Checkpoint, Event, Journal, Options, Trainer};

mod outcome;

use outcome::Outcome;

/// Train a model on labeled cases, and test it
#[derive(Debug, Args)]
#[command(after_help = "DATA is a folder with images/ and labels/ (files of the same names), or a .csv or .json that lists pairs.\n\
    DIR gets checkpoint.safetensors, best.safetensors, last.safetensors, metrics.csv, metrics.jsonl and report/index.html.\n\
    Ctrl-C stops with a checkpoint; --resume goes on with the same bits. Not a medical device: no model is clinical by itself.\n\
    Example: spinect train --data annotated -o run --preset recommended")]
pub(super) struct Arguments {
    /// The labeled cases
    #[arg(long, value_name = "DATA")]
    data: PathBuf,
    /// The folder of the run; made if it is missing
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
    /// What the other options change [default: recommended]
    #[arg(long, value_enum)]
    preset: Option<Preset>,
    /// Options as JSON, in place of the preset's; keys that are left out are the paper's
    #[arg(long, value_name = "FILE.json", conflicts_with = "preset")]
    options: Option<PathBuf>,
    /// Label values and their classes; a .json manifest names its own
    #[arg(long, value_name = "1=bone,2=nerve", default_value = "1=bone,2=nerve")]
    labels: LabelNames,
    /// Channels per level, full resolution first [default: 32,64,128,256,512]
    #[arg(long, value_name = "32,64,…", conflicts_with = "model")]
    channels: Option<Channels>,
    /// Go on from a finished model (fine-tuning): its network, window, preprocessing and weights
    #[arg(long, value_name = "MODEL")]
    model: Option<PathBuf>,
    /// The fold of five that tests [default: a single split, or the manifest's own]
    #[arg(long, value_name = "0…4", value_parser = clap::value_parser!(u8).range(0..FOLDS as i64), conflicts_with = "cross_validate")]
    fold: Option<u8>,
    /// Train and test all five folds, each in a folder of its own
    #[arg(long)]
    cross_validate: bool,
    /// Go on from the checkpoint in DIR, with its options. With --cross-validate, give the options again: folds may not have begun
    #[arg(long)]
    resume: bool,
    /// Epochs
    #[arg(long, value_name = "N")]
    epochs: Option<u64>,
    /// Iterations of an epoch
    #[arg(long, value_name = "N")]
    iterations_per_epoch: Option<u64>,
    /// Patches per iteration
    #[arg(long, value_name = "N")]
    batch: Option<usize>,
    /// Learning rate
    #[arg(long, value_name = "RATE")]
    learning_rate: Option<f64>,
    /// Decides the split, the weights at the start and every patch
    #[arg(long, value_name = "N")]
    seed: Option<u64>,
    /// Where the network runs: auto or cpu in this version
    #[arg(long, value_enum, default_value_t)]
    device: TrainingDevice,
    /// Threads; 0: one per core that this process may use. Results do not depend on it
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// A folder for preprocessed cases, so that the next start is quick
    #[arg(long, value_name = "DIR")]
    cache: Option<PathBuf>,
    /// Gigabytes of preprocessed cases that are kept in memory
    #[arg(long, value_name = "GB", default_value_t = 8.0, value_parser = gigabytes)]
    memory: f64,
    /// What stands in the model as its name
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    #[command(flatten)]
    placement: Placement,
    /// Print an object for programs instead of tables
    #[arg(long)]
    pub(super) json: bool,
    /// Write into a folder that is not empty
    #[arg(long)]
    force: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Preset {
    /// What learns faster: AdamW, a rate that rises and falls, cross entropy with Dice
    Recommended,
    /// The paper's: plain gradient descent for 100 epochs, weights 1 : 1 : 20, later 1 : 1 : 2
    Paper,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, ValueEnum)]
enum TrainingDevice {
    #[default]
    Auto,
    Cpu,
    Cuda,
}

fn gigabytes(text: &str) -> std::result::Result<f64, String> {
    text.parse().ok().filter(|value: &f64| *value >= 0.0 && value.is_finite()).ok_or_else(|| "gigabytes are a number, 0 or more".into())
}

/// The object of `train --json`.
#[derive(Debug, Serialize)]
struct Object {
    folder: String,
    finished: bool,
    device: &'static str,
    threads: usize,
    iterations: u64,
    best: Option<Best>,
    outcome: Option<Outcome>,
}

pub(super) fn run(arguments: &Arguments, console: &Console) -> Result<String> {
    if arguments.device == TrainingDevice::Cuda {
        let message = "training on CUDA is not in this version: use --device cpu";
        return Err(Error::new(ErrorKind::Unsupported, message));
    }
    let options = options(arguments)?;
    prepare_folder(arguments)?;
    let dataset = Arc::new(dataset(arguments, console)?);
    let threads = if arguments.threads == 0 { threads::available() } else { arguments.threads };
    let run = Training { arguments, console, options, dataset, threads };
    let folds: Vec<Option<usize>> =
        if arguments.cross_validate { (0..FOLDS).map(Some).collect() } else { vec![arguments.fold.map(usize::from)] };
    let mut outcome = Outcome::default();
    let (mut iterations, mut best) = (0, None);
    for fold in folds {
        let folder = match fold {
            Some(fold) if arguments.cross_validate => arguments.output.join(format!("fold-{fold}")),
            _ => arguments.output.clone(),
        };
        let (trainer, finished) = run.train(fold, &folder)?;
        (iterations, best) = (iterations + trainer.iteration(), trainer.best());
        if !finished {
            return run.stopped(&trainer, &folder, iterations);
        }
        let tested = Outcome::test(&trainer, &folder, threads, console)?;
        tested.report(&trainer, &folder, fold)?;
        outcome.join(tested);
    }
    if arguments.cross_validate {
        outcome.report_folds(&arguments.output)?;
    }
    run.finished(outcome, iterations, best)
}

/// The options of the run, from the preset or the file, with what the command line changes.
fn options(arguments: &Arguments) -> Result<Options> {
    if arguments.resume && !arguments.cross_validate && arguments.decides_something() {
        let message = "--resume goes on with the model, the split and the options of its checkpoint: leave yours out";
        return Err(Error::new(ErrorKind::InvalidArgument, message));
    }
    let mut options = match (&arguments.options, arguments.preset) {
        (Some(path), _) => {
            let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, "read", &error))?;
            serde_json::from_str(&text).map_err(|error| Error::new(ErrorKind::InvalidArgument, format!("{}: {error}", path.display())))?
        }
        (None, Some(Preset::Paper)) => Options::paper(),
        (None, Some(Preset::Recommended) | None) => Options::recommended(),
    };
    options.epochs = arguments.epochs.unwrap_or(options.epochs);
    options.epoch = arguments.iterations_per_epoch.unwrap_or(options.epoch);
    options.batch = arguments.batch.unwrap_or(options.batch);
    options.learning_rate = arguments.learning_rate.unwrap_or(options.learning_rate);
    options.seed = arguments.seed.unwrap_or(options.seed);
    options.check().map(|()| options)
}

/// Makes the folder of the run; one that holds something is refused unless asked for.
fn prepare_folder(arguments: &Arguments) -> Result<()> {
    let folder = &arguments.output;
    std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "make the folder", &error))?;
    let mut entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, "list the folder", &error))?;
    if entries.next().is_some() && !arguments.force && !arguments.resume {
        let message = format!("{} is not empty: use --resume to go on with its run, or --force to write into it", folder.display());
        return Err(Error::new(ErrorKind::Io, message));
    }
    Ok(())
}

/// Reads and checks the data; everything that is wrong is listed before the one line of the error.
fn dataset(arguments: &Arguments, console: &Console) -> Result<Dataset> {
    let pairs: Vec<(String, Vec<u8>)> = arguments.labels.0.iter().fold(Vec::new(), |mut pairs: Vec<(String, Vec<u8>)>, (value, name)| {
        match pairs.iter_mut().find(|(known, _)| known == name) {
            Some((_, values)) => values.push(*value),
            None => pairs.push((name.clone(), vec![*value])),
        }
        pairs
    });
    let manifest = Manifest::read(&arguments.data, &Classes::new(&pairs)?)?;
    let memory = (arguments.memory * 1e9) as u64;
    let options = OpenOptions { read: arguments.placement.read_options(), cache: arguments.cache.clone(), memory };
    let cancel = interrupt::cancel_on_interrupt();
    let bar = console.count("reading", manifest.pairs.len() as u64);
    let (dataset, findings) = Dataset::examine(&manifest, &options, &mut |done, _| {
        bar.at(done as u64, String::new());
        if cancel.is_set() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    })?;
    drop(bar);
    console.findings(findings.problems.iter().map(ToString::to_string), findings.warnings.iter().map(ToString::to_string));
    findings.check().map(|()| dataset)
}

impl Arguments {
    /// Whether anything is asked for that a checkpoint decides.
    fn decides_something(&self) -> bool {
        let Arguments { preset, options, channels, model, fold, epochs, iterations_per_epoch, batch, learning_rate, seed, name, .. } = self;
        preset.is_some()
            || options.is_some()
            || channels.is_some()
            || model.is_some()
            || fold.is_some()
            || epochs.is_some()
            || iterations_per_epoch.is_some()
            || batch.is_some()
            || learning_rate.is_some()
            || seed.is_some()
            || name.is_some()
    }
}

/// What every fold shares.
struct Training<'a> {
    arguments: &'a Arguments,
    console: &'a Console,
    options: Options,
    dataset: Arc<Dataset>,
    threads: usize,
}

impl Training<'_> {
    /// Trains one fold, or the single split, in its folder. Returns whether it is finished.
    fn train(&self, fold: Option<usize>, folder: &Path) -> Result<(Trainer, bool)> {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, "make the folder", &error))?;
        let mut trainer = self.trainer(fold, folder)?;
        let classes = self.dataset.classes().names().get(1..).unwrap_or_default();
        let mut journal = Journal::open(folder, classes, trainer.iteration())?;
        let split = |cases: &[usize]| cases.iter().map(|&case| self.dataset.ids()[case].as_str()).collect::<Vec<_>>();
        let parts = trainer.split();
        let record = serde_json::json!({
            "fold": fold, "options": trainer.options(), "threads": self.threads,
            "train": split(&parts.train), "validation": split(&parts.validation), "test": split(&parts.test),
        });
        files::write(&folder.join("run.json"), json_text(&record)?.as_bytes())?;
        let cancel = interrupt::cancel_on_interrupt();
        let name = fold.map_or("training".into(), |fold| format!("fold {fold}"));
        let bar = self.console.count(&name, trainer.options().iterations());
        let mut status = Status::default();
        let finished = trainer.run(Some(cancel), &mut |event| {
            if let Event::Record(record) = event {
                journal.add(record)?;
                bar.at(record.iteration(), status.after(record));
            }
            Ok(ControlFlow::Continue(()))
        })?;
        Ok((trainer, finished))
    }

    fn trainer(&self, fold: Option<usize>, folder: &Path) -> Result<Trainer> {
        let Training { arguments, options, dataset, threads, .. } = self;
        let checkpoint = folder.join(Trainer::CHECKPOINT);
        // A fold whose turn had not come begins.
        if arguments.resume && (checkpoint.exists() || !arguments.cross_validate) {
            let begun = Checkpoint::read(&checkpoint)?;
            if arguments.cross_validate && begun.head.options != *options {
                let message = format!("{} was begun with other options: give those that stand in its run.json", folder.display());
                return Err(Error::new(ErrorKind::InvalidArgument, message));
            }
            return Trainer::resume(Arc::clone(dataset), begun, folder, *threads);
        }
        let split = dataset.split(options.seed, fold)?;
        if let Some(model) = &arguments.model {
            let mut model = Model::from_file(model)?;
            if let Some(name) = &arguments.name {
                let (config, tensors) = model.into_parts();
                model = Model::new(Config { name: name.clone(), ..config }, tensors)?;
            }
            return Trainer::fine_tune(Arc::clone(dataset), split, model, options.clone(), folder, *threads);
        }
        let mut config = Config::spinect(arguments.channels.as_ref().map_or(&init::SPINECT_CHANNELS[..], |channels| &channels.0));
        config.name = arguments.name.clone().unwrap_or(config.name);
        Trainer::new(Arc::clone(dataset), split, config, options.clone(), folder, *threads)
    }

    fn stopped(&self, trainer: &Trainer, folder: &Path, iterations: u64) -> Result<String> {
        if self.console.json {
            return self.object(false, iterations, trainer.best(), None);
        }
        let (done, all) = (trainer.iteration(), trainer.options().iterations());
        Ok(format!("stopped after iteration {done} of {all}; go on with --resume ({})\n", plain(&folder.display().to_string())))
    }

    fn finished(&self, outcome: Outcome, iterations: u64, best: Option<Best>) -> Result<String> {
        if self.console.json {
            return self.object(true, iterations, best, Some(outcome));
        }
        let mut text = outcome.text(self.console);
        if let Some(Best { iteration, dice }) = best {
            text += &format!("best validation: Dice {dice:.4} after iteration {iteration}\n");
        }
        let path = |name: &str| plain(&self.arguments.output.join(name).display().to_string());
        text += &format!("report: {}\n", path("report/index.html"));
        if !self.arguments.cross_validate {
            text += &format!("model: {}\n", path(Trainer::BEST));
        }
        text += &self.console.warning("the model is not clinical: it was tested on the cases above and on nothing else");
        Ok(text)
    }

    fn object(&self, finished: bool, iterations: u64, best: Option<Best>, outcome: Option<Outcome>) -> Result<String> {
        let folder = plain(&self.arguments.output.display().to_string());
        json_text(&Object { folder, finished, device: "cpu", threads: self.threads, iterations, best, outcome })
    }
}

/// What the progress bar says beside how far it is.
#[derive(Default)]
struct Status {
    loss: Option<f64>,
    dice: Option<f64>,
}

impl Status {
    /// The loss, smoothed over some fifty steps, and the last validation.
    fn after(&mut self, record: &crate::trainer::Record) -> String {
        use crate::trainer::Record;
        match record {
            Record::Iteration { loss, .. } => self.loss = Some(self.loss.map_or(*loss, |mean| mean + 0.02 * (loss - mean))),
            Record::Validation { mean, .. } => self.dice = *mean,
        }
        let part = |name: &str, value: Option<f64>| value.map_or(String::new(), |value| format!("{name} {value:.4} "));
        part("loss", self.loss) + &part("Dice", self.dice)
    }
}
