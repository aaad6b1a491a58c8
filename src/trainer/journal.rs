//! What happened in a run: one JSON object per line, and the same as a table.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};
use crate::io::write_atomically;

/// One line of a journal.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Record {
    /// One step.
    Iteration {
        /// Which one, from 1.
        iteration: u64,
        /// Its epoch, from 1.
        epoch: u64,
        /// What was minimized.
        loss: f64,
        /// The cross entropy in it.
        cross_entropy: f64,
        /// The Dice loss in it, without its factor.
        dice_loss: f64,
        /// The learning rate.
        learning_rate: f64,
        /// Seconds that the step took.
        seconds: f64,
        /// Seconds that the network waited for its patches.
        waited: f64,
    },
    /// One validation.
    Validation {
        /// Iterations that were done.
        iteration: u64,
        /// The cases.
        cases: Vec<String>,
        /// Dice per foreground class, by its name, null where the cases have none.
        dice: Vec<(String, Option<f64>)>,
        /// The mean over the classes.
        mean: Option<f64>,
        /// Whether it is the best so far.
        best: bool,
        /// Seconds that it took.
        seconds: f64,
    },
}

impl Record {
    /// Iterations that were done.
    pub fn iteration(&self) -> u64 {
        match self {
            Record::Iteration { iteration, .. } | Record::Validation { iteration, .. } => *iteration,
        }
    }
}

/// `metrics.jsonl` and `metrics.csv` of a run.
#[derive(Debug)]
pub struct Journal {
    lines: PathBuf,
    table: PathBuf,
    classes: Vec<String>,
    files: Option<[File; 2]>,
}

impl Journal {
    /// The journal in a folder, for these foreground classes. Records of iterations after `iteration` are removed: a run that
    /// is resumed makes them again.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    pub fn open(folder: &Path, classes: &[String], iteration: u64) -> Result<Journal> {
        let mut journal =
            Journal { lines: folder.join("metrics.jsonl"), table: folder.join("metrics.csv"), classes: classes.to_vec(), files: None };
        let kept: Vec<Record> = journal.read()?.into_iter().filter(|record| record.iteration() <= iteration).collect();
        write_atomically(&journal.lines, |file| kept.iter().try_for_each(|record| file.write_all(line(record).as_bytes())))?;
        let head = journal.head();
        write_atomically(&journal.table, |file| {
            file.write_all(head.as_bytes())?;
            kept.iter().try_for_each(|record| file.write_all(journal.row(record).as_bytes()))
        })?;
        let append = |path: &Path| OpenOptions::new().append(true).open(path).map_err(|error| Error::io(path, "write", &error));
        journal.files = Some([append(&journal.lines)?, append(&journal.table)?]);
        Ok(journal)
    }

    /// Adds a record to both files.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    pub fn add(&mut self, record: &Record) -> Result<()> {
        let texts = [line(record), self.row(record)];
        for ((file, text), path) in self.files.iter_mut().flatten().zip(texts).zip([&self.lines, &self.table]) {
            file.write_all(text.as_bytes()).map_err(|error| Error::io(path, "write", &error))?;
        }
        Ok(())
    }

    /// Every record; a line that was cut off by a crash is none.
    ///
    /// # Errors
    /// [`Io`](crate::ErrorKind::Io).
    pub fn read(&self) -> Result<Vec<Record>> {
        match std::fs::read_to_string(&self.lines) {
            Ok(text) => Ok(text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
            Err(error) => Err(Error::io(&self.lines, "read", &error)),
        }
    }

    fn head(&self) -> String {
        let classes: String = self.classes.iter().map(|name| format!(",dice_{}", name.replace([',', '"', '\n'], "_"))).collect();
        format!("iteration,epoch,loss,cross_entropy,dice_loss,learning_rate,seconds,waited,dice_mean{classes}\n")
    }

    /// A row of the table; a validation leaves the columns of a step empty, and the reverse.
    fn row(&self, record: &Record) -> String {
        let number = |value: Option<f64>| value.map_or(String::new(), |value| format!("{value:.6}"));
        match record {
            Record::Iteration { iteration, epoch, loss, cross_entropy, dice_loss, learning_rate, seconds, waited } => {
                let empty = ",".repeat(self.classes.len() + 1);
                format!(
                    "{iteration},{epoch},{loss:.6},{cross_entropy:.6},{dice_loss:.6},{learning_rate:.3e},{seconds:.4},{waited:.4}{empty}\n"
                )
            }
            Record::Validation { iteration, dice, mean, seconds, .. } => {
                let of = |name: &String| dice.iter().find(|(known, _)| known == name).and_then(|(_, dice)| *dice);
                let classes: String = self.classes.iter().map(|name| format!(",{}", number(of(name)))).collect();
                format!("{iteration},,,,,,{seconds:.4},,{}{classes}\n", number(*mean))
            }
        }
    }
}

fn line(record: &Record) -> String {
    // Numbers that JSON lacks become null; such a run is stopped anyway.
    serde_json::to_string(record).unwrap_or_default() + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(iteration: u64) -> Record {
        let (loss, learning_rate) = (1.0 / iteration as f64, 1e-3);
        Record::Iteration { iteration, epoch: 1, loss, cross_entropy: loss, dice_loss: 0.0, learning_rate, seconds: 0.5, waited: 0.0 }
    }

    #[test]
    fn a_resumed_journal_holds_every_record_once() {
        let folder = tempfile::tempdir().unwrap();
        let classes = ["bone".to_owned(), "nerve".to_owned()];
        let validation = Record::Validation {
            iteration: 2,
            cases: vec!["a".into()],
            dice: vec![("bone".into(), Some(0.5)), ("nerve".into(), None)],
            mean: Some(0.5),
            best: true,
            seconds: 1.0,
        };
        let mut journal = Journal::open(folder.path(), &classes, 0).unwrap();
        for record in [step(1), step(2), validation.clone(), step(3)] {
            journal.add(&record).unwrap();
        }
        // A crash in the middle of a line.
        OpenOptions::new().append(true).open(folder.path().join("metrics.jsonl")).unwrap().write_all(b"{\"event\":\"iter").unwrap();
        let mut journal = Journal::open(folder.path(), &classes, 2).unwrap();
        journal.add(&step(3)).unwrap();
        assert_eq!(journal.read().unwrap(), [step(1), step(2), validation, step(3)]);
        let table = std::fs::read_to_string(folder.path().join("metrics.csv")).unwrap();
        let rows: Vec<Vec<&str>> = table.lines().map(|line| line.split(',').collect()).collect();
        assert_eq!((rows.len(), rows[0].len()), (5, 11));
        assert!(rows.iter().all(|row| row.len() == 11));
        assert_eq!(rows[3][8..], ["0.500000", "0.500000", ""]);
    }
}
