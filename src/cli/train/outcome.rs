//! The test of a trained model: tables, figures and pictures, written and shown.

use std::path::Path;

use serde::Serialize;

use crate::cli::console::{Console, Table, number};
use crate::error::Result;
use crate::metrics::Scores;
use crate::model::Model;
use crate::report::{
    CaseOverlay, CaseScores, History, LossPoint, PAPER_LABELS, Report, ScoreTable, Validation, overlay, paper_scores, shades,
};
use crate::session::{Session, SessionConfig};
use crate::trainer::{Journal, Record, Trainer, test_case};

/// How a model did on cases that it was not trained on.
#[derive(Debug, Default, Serialize)]
pub(super) struct Outcome {
    /// The foreground classes.
    labels: Vec<String>,
    /// The scores of each case, one per class.
    cases: Vec<Case>,
    #[serde(skip)]
    overlays: Vec<CaseOverlay>,
}

#[derive(Debug, Serialize)]
struct Case {
    name: String,
    scores: Vec<Scores>,
    seconds: f64,
}

/// Pictures that a report holds at most.
const PICTURES: usize = 20;

impl Outcome {
    /// Tests the best model (the last one if nothing was validated) of a run on its split's test cases, each on its own grid.
    pub(super) fn test(trainer: &Trainer, folder: &Path, threads: usize, console: &Console) -> Result<Outcome> {
        let best = folder.join(if trainer.best().is_some() { Trainer::BEST } else { Trainer::LAST });
        let session = Session::new(&SessionConfig { threads, ..SessionConfig::default() })?;
        session.load_weights(&best)?;
        let labels = Model::from_file(&best)?.config().labels.clone();
        let names: Vec<String> = labels.iter().skip(1).map(|label| label.name.clone()).collect();
        let drawn: Vec<overlay::DrawnLabel> = names
            .iter()
            .enumerate()
            .map(|(at, name)| overlay::DrawnLabel { value: at as u8 + 1, name: name.clone(), color: shades(at).on_dark })
            .collect();
        let mut outcome = Outcome { labels: names, ..Outcome::default() };
        let tests = &trainer.split().test;
        let bar = console.count("testing", tests.len() as u64);
        for (done, &index) in tests.iter().enumerate() {
            bar.at(done as u64, String::new());
            let case = trainer.dataset().case(index)?;
            let name = trainer.dataset().ids()[index].clone();
            let tested = test_case(&session, &labels, &case)?;
            let spacing = tested.geometry.ijk_to_world.spacing();
            let scores = (1..labels.len())
                .map(|class| Scores::between(case.classes(), &tested.prediction, class as u8, tested.geometry.dims, spacing));
            outcome.cases.push(Case { name: name.clone(), scores: scores.collect::<Result<_>>()?, seconds: tested.seconds });
            if outcome.overlays.len() < PICTURES {
                let masks = (Some(tested.prediction.as_slice()), Some(case.classes()));
                let picture = overlay::three_planes(&case.volume()?, masks.0, masks.1, &drawn, None, &overlay::Options::default())?;
                let caption = "Axial, coronal and sagittal. Filled: automatic. Outlined: manual.".into();
                outcome.overlays.push(CaseOverlay { case: name, caption, png: picture.to_png()? });
            }
        }
        Ok(outcome)
    }

    /// Adds the cases of another fold.
    pub(super) fn join(&mut self, other: Outcome) {
        self.labels = other.labels;
        self.cases.extend(other.cases);
        self.overlays.extend(other.overlays);
        self.overlays.truncate(PICTURES);
    }

    /// Writes the report of one run into its folder.
    pub(super) fn report(&self, trainer: &Trainer, folder: &Path, fold: Option<usize>) -> Result<()> {
        let journal = Journal::open(folder, &self.labels, trainer.iteration())?;
        let best = folder.join(if trainer.best().is_some() { Trainer::BEST } else { Trainer::LAST });
        let model = Model::from_file(&best)?;
        let (options, split) = (trainer.options(), trainer.split());
        let optimizer = serde_json::to_string(&options.optimizer).unwrap_or_default();
        let mut facts: Vec<(String, String)> = [
            ("model", format!("{}, {} parameters", model.config().name, model.parameters())),
            ("SHA-256", model.sha256().to_owned()),
            ("channels", format!("{:?}", model.config().architecture.channels)),
            ("cases", format!("{} to train, {} to validate, {} to test", split.train.len(), split.validation.len(), split.test.len())),
            ("iterations", format!("{} of {} patches", trainer.iteration(), options.batch)),
            ("optimizer", format!("{optimizer}, learning rate {}", options.learning_rate)),
            ("seed", options.seed.to_string()),
            ("seconds per test case", self.seconds()),
            ("spinect", env!("CARGO_PKG_VERSION").to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        if let Some(best) = trainer.best() {
            facts.push(("best validation".into(), format!("Dice {:.4} after iteration {}", best.dice, best.iteration)));
        }
        let title = fold.map_or("Training".into(), |fold| format!("Training, fold {fold}"));
        self.page(title, facts, Some(history(&self.labels, &journal.read()?))).write(&folder.join("report"), true)
    }

    /// Writes the report over all folds.
    pub(super) fn report_folds(&self, folder: &Path) -> Result<()> {
        let facts = vec![("cases".into(), format!("{}, each tested by the fold that had never seen it", self.cases.len()))];
        self.page("Five-fold cross-validation".into(), facts, None).write(&folder.join("report"), true)
    }

    fn page(&self, title: String, facts: Vec<(String, String)>, history: Option<History>) -> Report {
        let cases = self.cases.iter().map(|case| CaseScores { name: case.name.clone(), scores: case.scores.clone() }).collect();
        let reference = (self.labels == PAPER_LABELS).then(paper_scores);
        let scores = (!self.cases.is_empty()).then(|| ScoreTable { labels: self.labels.clone(), cases, reference });
        Report { title, facts, warnings: Vec::new(), scores, history, overlays: self.overlays.clone() }
    }

    fn seconds(&self) -> String {
        let mut seconds: Vec<f64> = self.cases.iter().map(|case| case.seconds).collect();
        seconds.sort_by(f64::total_cmp);
        seconds.get(seconds.len() / 2).map_or("–".into(), |median| format!("{median:.2} (median)"))
    }

    /// The scores for people: the mean over the cases.
    pub(super) fn text(&self, console: &Console) -> String {
        let mut table = Table::new(&["label", "cases", "pixel accuracy", "IoU", "Dice", "HD95 mm", "ASSD mm"], 1);
        for (at, name) in self.labels.iter().enumerate() {
            let of_cases: Vec<Scores> = self.cases.iter().filter_map(|case| case.scores.get(at)).copied().collect();
            let mean = Scores::mean(&of_cases);
            let cell = |value: Option<f64>, decimals| number(value.unwrap_or(f64::NAN), decimals);
            let shares = [mean.pixel_accuracy, mean.iou, mean.dice].map(|share| cell(share, 4));
            let distances = [mean.hd95_mm, mean.assd_mm].map(|distance| cell(distance, 2));
            table.row([name.clone(), of_cases.len().to_string()].into_iter().chain(shares).chain(distances));
        }
        console.table(&table)
    }
}

/// How the training went, from its journal.
fn history(classes: &[String], records: &[Record]) -> History {
    let mut history = History { classes: classes.to_vec(), ..History::default() };
    for record in records {
        match record {
            Record::Iteration { iteration, epoch, loss, .. } => {
                let epoch = u32::try_from(epoch.saturating_sub(1)).unwrap_or(u32::MAX);
                history.losses.push(LossPoint { iteration: *iteration, epoch, loss: *loss });
            }
            Record::Validation { iteration, dice, mean, .. } => {
                let dice = dice.iter().map(|(_, dice)| *dice).collect();
                history.validations.push(Validation { iteration: *iteration, dice, mean: *mean });
            }
        }
    }
    history
}
