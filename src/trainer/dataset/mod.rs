//! Labeled cases: found, checked, preprocessed, split, and drawn from.

mod batches;
mod case;
mod classes;
mod patch;
mod random;

use std::sync::Arc;

use crate::error::{Error, ErrorKind, Result};

pub use self::batches::{Batch, Batches, Sampling};
pub use self::case::{Case, PADDING, Whitening};
pub use self::classes::{BACKGROUND, Classes, MAX_CLASSES, ValueMap};
pub use self::patch::Augmentation;

/// Labeled cases, sorted by their identifiers.
#[derive(Debug)]
pub struct Dataset {
    classes: Classes,
    cases: Vec<(String, Arc<Case>)>,
}

impl Dataset {
    /// A dataset of cases in memory.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] for no case, or an identifier that two cases have.
    pub fn from_cases(classes: Classes, cases: Vec<(String, Case)>) -> Result<Dataset> {
        let mut cases: Vec<_> = cases.into_iter().map(|(id, case)| (id, Arc::new(case))).collect();
        cases.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = cases.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            return Err(Error::new(ErrorKind::InvalidArgument, format!("two cases are called {:?}: give each its own name", pair[0].0)));
        }
        Ok(Dataset { classes, cases })
    }

    /// How many cases there are.
    pub fn len(&self) -> usize {
        self.cases.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.cases.is_empty()
    }

    /// The classes.
    pub fn classes(&self) -> &Classes {
        &self.classes
    }

    /// The case of this number.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`] if there is no such case.
    pub fn case(&self, index: usize) -> Result<Arc<Case>> {
        self.cases.get(index).map(|(_, case)| Arc::clone(case)).ok_or_else(|| {
            Error::new(ErrorKind::InvalidArgument, format!("case number {index} is not in the dataset, which has {}", self.len()))
        })
    }
}
