//! How good a model is on whole cases, on the model grid (method.md 5).

use std::ops::ControlFlow;
use std::sync::atomic::AtomicBool;

use super::dataset::Dataset;
use crate::engine::cpu::kernels::Kernels;
use crate::engine::cpu::sweep::Sweep;
use crate::engine::plan::Plan;
use crate::engine::{Control, Job};
use crate::error::Result;
use crate::metrics::{Overlaps, mean};
use crate::model::Model;
use crate::pipeline::combine::WinnersBuffer;
use crate::pipeline::window::Windows;
use crate::session::Cancel;
use crate::threads::Pool;

/// Dice of a model on some cases.
#[derive(Clone, Debug, PartialEq)]
pub struct Validation {
    /// Per foreground class, in order: the mean over the cases, without those where neither truth nor prediction has it.
    pub dice: Vec<Option<f64>>,
    /// The mean over the foreground classes.
    pub mean: Option<f64>,
}

/// Segments these cases of a dataset with the sliding window and compares the labels with theirs, on the model grid.
///
/// # Errors
/// Those of [`Dataset::case`] and of the engine; [`Cancelled`](crate::ErrorKind::Cancelled) once `cancel` is set.
pub fn validate(model: &Model, dataset: &Dataset, cases: &[usize], threads: usize, cancel: Option<&Cancel>) -> Result<Validation> {
    let config = model.config();
    let mut sweep = Sweep::new(Plan::new(model, Sweep::GROUPING)?, threads, Kernels::best())?;
    let pool = Pool::new(threads, None)?;
    let (mut windows, mut winners) = (Windows::default(), WinnersBuffer::default());
    let control = Control { cancels: [cancel.map(Cancel::flag), None], deadline: None, stopped: AtomicBool::new(false) };
    let mut of_cases = Vec::new();
    for &case in cases {
        let (grid, truth) = dataset.case(case)?.to_model_grid(&config.preprocess)?;
        windows.set(grid.dims, config.window.size, config.window.stride, &grid.dims.map(|n| 0..n))?;
        winners.resize(truth.len())?;
        let job = Job { windows: &windows, all_windows: false, pool: &pool, control: &control };
        sweep.run(&grid, &job, &mut winners, &mut |_| ControlFlow::Continue(()))?;
        of_cases.push(Overlaps::between(&truth, &winners.channels[..truth.len()])?);
    }
    let dice = |class: usize| mean(of_cases.iter().map(|overlaps| overlaps.of(class as u8).dice()));
    let dice: Vec<Option<f64>> = (1..config.labels.len()).map(dice).collect();
    Ok(Validation { mean: mean(dice.iter().copied()), dice })
}
