//! Training: from labeled cases to a model (method.md 5). Feature `trainer`.
//!
//! [`Dataset`](dataset::Dataset) finds, checks, splits and draws; [`Trainer`] takes one step per batch with the engine's
//! [`TrainingNetwork`](crate::engine::cpu::training::TrainingNetwork), validates, and keeps the best model. A [`Checkpoint`]
//! holds everything that the next step depends on: a run that is resumed goes on with the same bits.

mod checkpoint;
pub mod dataset;
mod journal;
mod labels;
pub mod loss;
mod optimizer;
mod options;
mod run;
mod test;
#[cfg(test)]
mod tests;
mod validation;

pub use checkpoint::Checkpoint;
pub use journal::{Journal, Record};
pub use labels::labels_of;
pub use optimizer::{Moments, Optimizer};
pub use options::{ClassWeights, LossOptions, Options, Phase, Schedule};
pub use run::{Best, Event, Trainer};
pub use test::{TestedCase, test_case};
pub use validation::{Validation, validate};
