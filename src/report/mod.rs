//! The report of a test or of a training: the paper's tables and figures, as files and as one HTML page.
//!
//! ```text
//! index.html          everything on one page, without scripts, readable on a phone
//! scores.md           Tables 2, 3 and 4 of the paper, and the same for the distances between surfaces
//! scores.csv          the same numbers, unrounded, for programs
//! dice.svg            Figure 3: how Dice converges
//! loss.svg            Figure 4: the loss
//! overlays/CASE.png   Figure 5: automatic and manual masks on the CT, in three planes
//! ```
//!
//! A report holds what its caller has: without scores no tables, without a history no curves, without CTs no overlays.
//!
//! ```
//! use spinect::metrics::Scores;
//! use spinect::report::{CaseScores, LossPoint, History, Report, ScoreTable, Validation};
//!
//! let nerve = Scores { dice: Some(0.9), ..Scores::default() };
//! let bone = Scores { dice: Some(0.95), hd95_mm: Some(1.2), ..Scores::default() };
//! let report = Report {
//!     title: "Fold 1 of 5".into(),
//!     facts: vec![("seed".into(), "7".into())],
//!     scores: Some(ScoreTable {
//!         labels: vec!["bone".into(), "nerve".into()],
//!         cases: vec![CaseScores { name: "case-01".into(), scores: vec![bone, nerve] }],
//!         reference: None,
//!     }),
//!     history: Some(History {
//!         classes: vec!["bone".into(), "nerve".into()],
//!         losses: (1..=200).map(|iteration| LossPoint { iteration, epoch: 0, loss: 1.0 / iteration as f64 }).collect(),
//!         validations: vec![Validation { iteration: 100, dice: vec![Some(0.8), Some(0.5)], mean: Some(0.65) }],
//!     }),
//!     ..Report::default()
//! };
//! let folder = tempfile::tempdir().unwrap();
//! report.write(&folder.path().join("report"), false)?;
//! assert!(folder.path().join("report/dice.svg").exists());
//! # Ok::<(), spinect::Error>(())
//! ```

mod charts;
mod history;
pub mod overlay;
mod page;
mod palette;
mod picture;
mod tables;
mod text;
mod write;

pub use history::{History, LossPoint, Validation};
pub use palette::{Shades, shades};
pub use picture::Picture;
pub use tables::{CaseScores, PAPER_LABELS, ScoreTable, Table, paper_scores};

/// What a report tells. Every text may hold anything: it is escaped where it is written.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// The heading.
    pub title: String,
    /// What stands on record beside the results, in this order: model, SHA-256, options, date.
    pub facts: Vec<(String, String)>,
    /// What a reader must not overlook, a sentence each.
    pub warnings: Vec<String>,
    /// The scores of every case.
    pub scores: Option<ScoreTable>,
    /// How a training went.
    pub history: Option<History>,
    /// Pictures of cases, in this order.
    pub overlays: Vec<CaseOverlay>,
}

/// A picture of a case.
#[derive(Clone, Debug)]
pub struct CaseOverlay {
    /// The case, as in the tables; its picture's file is named after it.
    pub case: String,
    /// What is seen, in a sentence.
    pub caption: String,
    /// The picture, as of [`overlay::three_planes`] and [`Picture::to_png`].
    pub png: Vec<u8>,
}
