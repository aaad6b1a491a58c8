//! A training run: one step per batch, a validation now and then, the best model kept.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use rand::seq::SliceRandom;
use serde::{Deserialize, Serialize};

use super::checkpoint::{Checkpoint, Head};
use super::dataset::random::{Purpose, generator};
use super::dataset::{Batches, Dataset, Sampling, Split, Statistics};
use super::journal::Record;
use super::labels::labels_of;
use super::loss::Value;
use super::optimizer::Moments;
use super::options::Options;
use super::validation::validate;
use crate::engine::cpu::training::{Parameters, TrainingNetwork};
use crate::error::{Error, ErrorKind, Result};
use crate::io::write_atomically;
use crate::model::{Config, Model};
use crate::session::Cancel;

/// The best validation so far.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Best {
    /// Iterations that were done.
    pub iteration: u64,
    /// Mean Dice over the foreground classes.
    pub dice: f64,
}

/// Told while a run goes on.
#[derive(Debug)]
pub enum Event<'a> {
    /// A step or a validation.
    Record(&'a Record),
    /// A checkpoint was written.
    Checkpoint,
}

/// A training run.
#[derive(Debug)]
pub struct Trainer {
    dataset: Arc<Dataset>,
    split: Split,
    statistics: Statistics,
    head: Head,
    network: TrainingNetwork,
    moments: Moments,
    folder: PathBuf,
    threads: usize,
}

impl Trainer {
    /// Everything that the next step depends on, written into the run's folder.
    pub const CHECKPOINT: &str = "checkpoint.safetensors";
    /// The model of the best validation.
    pub const BEST: &str = "best.safetensors";
    /// The model after the last step.
    pub const LAST: &str = "last.safetensors";

    /// A run from the start. The configuration gives network, window and preprocessing; mean and standard deviation are
    /// measured on the training cases, and the labels are the dataset's classes.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for options that [`Options::check`] refuses, class weights for another number of classes,
    /// or a split without a training case; [`ErrorKind::InvalidModel`] for a configuration that breaks a rule;
    /// [`ErrorKind::OutOfMemory`]; [`ErrorKind::Thread`]; those of [`Dataset::statistics`].
    pub fn new(dataset: Arc<Dataset>, split: Split, config: Config, options: Options, folder: &Path, threads: usize) -> Result<Trainer> {
        let statistics = dataset.statistics(&split.train, &config.preprocess)?;
        let mut config = Config { labels: labels_of(dataset.classes()), ..config };
        (config.preprocess.mean, config.preprocess.std) = (statistics.mean, statistics.std);
        let start = Model::untrained(config, options.seed)?;
        Self::begin(dataset, split, statistics, start, options, folder, threads)
    }

    /// A run that goes on from a finished model: its network, window, preprocessing (whitening too, which its weights are made
    /// for) and weights. Its labels become the dataset's classes, of which there must be as many.
    ///
    /// # Errors
    /// As [`new`](Self::new); [`ErrorKind::InvalidArgument`] for another number of classes.
    pub fn fine_tune(
        dataset: Arc<Dataset>,
        split: Split,
        model: Model,
        options: Options,
        folder: &Path,
        threads: usize,
    ) -> Result<Trainer> {
        let (mut config, tensors) = model.into_parts();
        let (channels, classes) = (config.labels.len(), dataset.classes().count());
        if channels != classes {
            let message = format!("the model has {channels} labels and the cases have {classes} classes, background among them");
            return Err(Error::new(ErrorKind::InvalidArgument, format!("{message}: fine-tuning needs as many")));
        }
        config.labels = labels_of(dataset.classes());
        let statistics = dataset.statistics(&split.train, &config.preprocess)?;
        Self::begin(dataset, split, statistics, Model::new(config, tensors)?, options, folder, threads)
    }

    fn begin(
        dataset: Arc<Dataset>,
        split: Split,
        statistics: Statistics,
        start: Model,
        options: Options,
        folder: &Path,
        threads: usize,
    ) -> Result<Trainer> {
        options.check()?;
        options.loss_at(0, &statistics)?;
        let parameters = Parameters::of(&start)?;
        let mut config = start.into_parts().0;
        let trained_on = format!("{} cases", split.train.len());
        config.provenance = [("trained_on", trained_on.as_str()), ("trained_with", concat!("spinect ", env!("CARGO_PKG_VERSION")))]
            .map(|(key, value)| (key.to_owned(), value.into()))
            .into_iter()
            .collect();
        let moments = options.optimizer.begin(&parameters)?;
        let names = |cases: &[usize]| cases.iter().filter_map(|&case| dataset.ids().get(case).cloned()).collect::<Vec<_>>();
        let ids = [names(&split.train), names(&split.validation), names(&split.test)];
        let head = Head::new(config, options, statistics.class_voxels.clone(), ids);
        let network = TrainingNetwork::new(&head.config, parameters, head.options.batch, threads)?;
        Ok(Trainer { dataset, split, statistics, head, network, moments, folder: folder.into(), threads })
    }

    /// A run that goes on where a checkpoint was written, with the same bits as if it had never stopped.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if a case of the checkpoint is missing or its classes are others;
    /// [`ErrorKind::OutOfMemory`]; [`ErrorKind::Thread`].
    pub fn resume(dataset: Arc<Dataset>, checkpoint: Checkpoint, folder: &Path, threads: usize) -> Result<Trainer> {
        let Checkpoint { head, parameters, moments } = checkpoint;
        let invalid = |message: String| Error::new(ErrorKind::InvalidArgument, message);
        let find = |id: &String| {
            let missing = || invalid(format!("case {id:?} of the checkpoint is not among the data: resume with the same data"));
            dataset.ids().iter().position(|known| known == id).ok_or_else(missing)
        };
        let part = |ids: &[String]| ids.iter().map(find).collect::<Result<Vec<_>>>();
        let split = Split { train: part(&head.split[0])?, validation: part(&head.split[1])?, test: part(&head.split[2])? };
        let names: Vec<&str> = head.config.labels.iter().map(|label| label.name.as_str()).collect();
        if names != dataset.classes().names() {
            return Err(invalid(format!("the checkpoint's classes are {names:?}, the data's {:?}", dataset.classes().names())));
        }
        let (mean, std) = (head.config.preprocess.mean, head.config.preprocess.std);
        let statistics = Statistics { mean, std, class_voxels: head.class_voxels.clone() };
        let network = TrainingNetwork::new(&head.config, parameters, head.options.batch, threads)?;
        Ok(Trainer { dataset, split, statistics, head, network, moments, folder: folder.into(), threads })
    }

    /// The cases.
    pub fn dataset(&self) -> &Dataset {
        &self.dataset
    }

    /// Iterations that are done.
    pub fn iteration(&self) -> u64 {
        self.head.iteration
    }

    /// What the run was asked for.
    pub fn options(&self) -> &Options {
        &self.head.options
    }

    /// The cases to train, validate and test on.
    pub fn split(&self) -> &Split {
        &self.split
    }

    /// The best validation so far.
    pub fn best(&self) -> Option<Best> {
        self.head.best
    }

    /// The model as it is now.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] if its numbers are no longer finite; [`ErrorKind::OutOfMemory`].
    pub fn model(&self) -> Result<Model> {
        let mut config = self.head.config.clone();
        let provenance =
            [("iterations", self.head.iteration.into()), ("options", serde_json::to_value(&self.head.options).unwrap_or_default())];
        config.provenance.extend(provenance.map(|(key, value)| (key.to_owned(), value)));
        self.network.parameters().model(config)
    }

    /// Trains to the last iteration, or until `observer` breaks off or `cancel` is set: then a checkpoint of the last whole step
    /// is written. Returns whether the run is finished. Checkpoints and models are written into the run's folder, each whole
    /// or not at all.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidModel`] if the loss or a number of the network is no longer finite: the checkpoint and the best
    /// model stay as they were before; [`ErrorKind::Io`]; those of [`Dataset::case`].
    pub fn run(&mut self, cancel: Option<&Cancel>, observer: &mut dyn FnMut(&Event<'_>) -> Result<ControlFlow<()>>) -> Result<bool> {
        let config = &self.head.config;
        let Options { batch, seed, .. } = self.head.options;
        let sampling = Sampling {
            batch,
            window: config.window.size,
            preprocess: config.preprocess.clone(),
            augmentation: self.head.options.augmentation.clone(),
            seed,
        };
        let mut batches = Batches::start(&self.dataset, &self.split.train, &sampling, self.head.iteration, 1)?;
        let mut written = self.head.iteration;
        while !self.is_done() || self.head.validation_due {
            let mut stop = false;
            if !self.head.validation_due {
                if cancel.is_some_and(Cancel::is_set) {
                    self.stop(written)?;
                    return Ok(false);
                }
                let record = self.step(&mut batches)?;
                stop |= observer(&Event::Record(&record))?.is_break();
                self.head.validation_due = self.head.iteration.is_multiple_of(self.head.options.validate_every) || self.is_done();
            }
            if self.head.validation_due {
                match self.validate(cancel) {
                    Ok(record) => {
                        self.head.validation_due = false;
                        if let Some(record) = record {
                            stop |= observer(&Event::Record(&record))?.is_break();
                        }
                    }
                    // The step stands; a run that is resumed begins with its validation.
                    Err(error) if error.kind() == ErrorKind::Cancelled => {
                        self.write_checkpoint()?;
                        return Ok(false);
                    }
                    Err(error) => return Err(error),
                }
            }
            if self.head.iteration.is_multiple_of(self.head.options.checkpoint_every) || self.is_done() {
                self.write_checkpoint()?;
                written = self.head.iteration;
                stop |= observer(&Event::Checkpoint)?.is_break();
            }
            if stop {
                self.stop(written)?;
                return Ok(self.is_done());
            }
        }
        write_model(&self.model()?, &self.folder.join(Self::LAST))?;
        Ok(true)
    }

    fn is_done(&self) -> bool {
        self.head.iteration >= self.head.options.iterations()
    }

    /// Leaves a checkpoint of the last whole step.
    fn stop(&self, written: u64) -> Result<()> {
        if written == self.head.iteration { Ok(()) } else { self.write_checkpoint() }
    }

    /// One batch, forward and backward, and the step that it asks for.
    fn step(&mut self, batches: &mut Batches) -> Result<Record> {
        let started = Instant::now();
        let batch = batches.next()?;
        let waited = started.elapsed().as_secs_f64();
        let iteration = self.head.iteration;
        let options = &self.head.options;
        let loss = options.loss_at(iteration, &self.statistics)?;
        let [_, height, width] = self.head.config.window.size;
        let value: Value = self.network.step(&batch.voxels, |probabilities| {
            let value = loss.evaluate(probabilities, &batch.classes, height * width)?;
            // Before anything is learned from it.
            if value.total.is_finite() { Ok(value) } else { Err(diverged(iteration + 1, "the loss is no longer a number")) }
        })?;
        let rate = options.learning_rate_at(iteration);
        let (parameters, gradients) = self.network.parameters_and_gradients();
        if gradients.iter().flatten().any(|gradient| !gradient.is_finite()) {
            return Err(diverged(iteration + 1, "a gradient is no longer a number"));
        }
        options.optimizer.step(parameters, gradients, &mut self.moments, rate, iteration + 1)?;
        if parameters.values().iter().flatten().any(|value| !value.is_finite()) {
            return Err(diverged(iteration + 1, "a weight is no longer a number"));
        }
        batches.recycle(batch);
        let epoch = iteration / options.epoch + 1;
        self.head.iteration += 1;
        Ok(Record::Iteration {
            iteration: self.head.iteration,
            epoch,
            loss: value.total,
            cross_entropy: value.cross_entropy,
            dice_loss: value.dice,
            learning_rate: rate,
            seconds: started.elapsed().as_secs_f64(),
            waited,
        })
    }

    /// Validates, and keeps the model if it is the best so far. `None` if there is no case to validate on.
    fn validate(&mut self, cancel: Option<&Cancel>) -> Result<Option<Record>> {
        let started = Instant::now();
        let iteration = self.head.iteration;
        let mut cases = self.split.validation.clone();
        if cases.is_empty() {
            return Ok(None);
        }
        if let Some(count) = self.head.options.validation_cases {
            let mut random = generator(self.head.options.seed, Purpose::Validation { iteration });
            cases.shuffle(&mut random);
            cases.truncate(count);
            cases.sort_unstable();
        }
        let model = self.model()?;
        let validation = validate(&model, &self.dataset, &cases, self.threads, cancel)?;
        let better = |best: Option<Best>, dice: f64| best.is_none_or(|best| dice > best.dice);
        let best = validation.mean.filter(|&dice| better(self.head.best, dice));
        if let Some(dice) = best {
            write_model(&model, &self.folder.join(Self::BEST))?;
            self.head.best = Some(Best { iteration, dice });
        }
        let names = self.head.config.labels.iter().skip(1).map(|label| label.name.clone());
        Ok(Some(Record::Validation {
            iteration,
            cases: cases.iter().filter_map(|&case| self.dataset.ids().get(case).cloned()).collect(),
            dice: names.zip(validation.dice).collect(),
            mean: validation.mean,
            best: best.is_some(),
            seconds: started.elapsed().as_secs_f64(),
        }))
    }

    fn write_checkpoint(&self) -> Result<()> {
        let checkpoint =
            Checkpoint { head: self.head.clone(), parameters: self.network.parameters().clone(), moments: self.moments.clone() };
        checkpoint.write(&self.folder.join(Self::CHECKPOINT))
    }
}

/// Writes a model file: it appears whole or not at all.
fn write_model(model: &Model, path: &Path) -> Result<()> {
    let bytes = model.to_bytes()?;
    write_atomically(path, |file| file.write_all(&bytes))
}

fn diverged(iteration: u64, what: &str) -> Error {
    let advice = "lower the learning rate, or let it rise more slowly (warm_up)";
    let kept = format!("{} and {} hold the last good state", Trainer::CHECKPOINT, Trainer::BEST);
    Error::new(ErrorKind::InvalidModel, format!("the training diverged in iteration {iteration}: {what}; {advice}. {kept}"))
}
