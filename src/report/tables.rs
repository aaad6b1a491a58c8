//! The paper's Tables 2, 3 and 4, and their like for the distances between surfaces.

use super::text;
use crate::error::{Error, ErrorKind, Result};
use crate::metrics::Scores;

/// The scores of one case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CaseScores {
    /// The case.
    pub name: String,
    /// One per label, in the table's order of labels.
    pub scores: Vec<Scores>,
}

/// The scores of every label in every case.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScoreTable {
    /// The labels' names, in the order in which they are shown.
    pub labels: Vec<String>,
    /// The cases, in the order in which they are shown.
    pub cases: Vec<CaseScores>,
    /// Somebody else's means, to stand beside; they count in nothing. [`paper_scores`] are one.
    pub reference: Option<CaseScores>,
}

/// The labels of [`paper_scores`], in its order.
pub const PAPER_LABELS: [&str; 2] = ["bone", "nerve"];

/// The means of the paper's Tables 2, 3 and 4: ten cases of its own, L5/S1.
pub fn paper_scores() -> CaseScores {
    let scores =
        |pixel_accuracy, iou, dice| Scores { pixel_accuracy: Some(pixel_accuracy), iou: Some(iou), dice: Some(dice), ..Scores::default() };
    CaseScores { name: "SPINECT paper".into(), scores: vec![scores(0.940, 0.897, 0.945), scores(0.918, 0.827, 0.905)] }
}

/// A table of text: what is shown on a page, in Markdown and at a terminal.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Table {
    /// What it shows, with the unit.
    pub caption: String,
    /// The headings; the first is that of the rows' names.
    pub header: Vec<String>,
    /// The rows, each as long as the header. An en dash stands where there is no number.
    pub rows: Vec<Vec<String>>,
    /// How many rows at the end summarize those above.
    pub summary_rows: usize,
}

/// How a metric is shown.
struct Metric {
    key: &'static str,
    name: &'static str,
    unit: &'static str,
    scale: f64,
    decimals: usize,
    of: fn(&Scores) -> Option<f64>,
}

const METRICS: [Metric; 5] = [
    Metric { key: "pixel_accuracy", name: "Pixel accuracy", unit: "%", scale: 100.0, decimals: 1, of: |scores| scores.pixel_accuracy },
    Metric { key: "iou", name: "IoU", unit: "%", scale: 100.0, decimals: 1, of: |scores| scores.iou },
    Metric { key: "dice", name: "Dice score", unit: "%", scale: 100.0, decimals: 1, of: |scores| scores.dice },
    Metric { key: "hd95_mm", name: "HD95", unit: "mm", scale: 1.0, decimals: 2, of: |scores| scores.hd95_mm },
    Metric { key: "assd_mm", name: "ASSD", unit: "mm", scale: 1.0, decimals: 2, of: |scores| scores.assd_mm },
];

impl Metric {
    fn cell(&self, scores: &Scores) -> String {
        (self.of)(scores).map_or_else(|| "–".into(), |value| format!("{:.*}", self.decimals, value * self.scale))
    }

    /// The mean, with the deviation where there is one.
    fn cell_with_deviation(&self, mean: &Scores, deviation: &Scores) -> String {
        if (self.of)(deviation).is_some() { format!("{} ± {}", self.cell(mean), self.cell(deviation)) } else { self.cell(mean) }
    }
}

impl ScoreTable {
    /// The mean of each label's scores over those cases in which they exist, in the order of the labels.
    pub fn mean(&self) -> Vec<Scores> {
        self.each_label(Scores::mean)
    }

    /// The standard deviation over the cases, as of a sample, in the order of the labels.
    pub fn standard_deviation(&self) -> Vec<Scores> {
        self.each_label(Scores::standard_deviation)
    }

    fn each_label(&self, summary: impl Fn(&[Scores]) -> Scores) -> Vec<Scores> {
        let of = |label: usize| self.cases.iter().filter_map(|case| case.scores.get(label)).copied().collect::<Vec<_>>();
        (0..self.labels.len()).map(|label| summary(&of(label))).collect()
    }

    /// Every label's mean ± standard deviation over the cases: a row per label, a column per metric.
    pub fn summary(&self) -> Table {
        let mut header = vec!["label".to_string()];
        header.extend(METRICS.iter().map(|metric| format!("{}, {}", metric.name, metric.unit)));
        let means = self.labels.iter().zip(self.mean()).zip(self.standard_deviation());
        let row = |name: String, mean: &Scores, deviation: &Scores| {
            std::iter::once(name).chain(METRICS.iter().map(|metric| metric.cell_with_deviation(mean, deviation))).collect()
        };
        let mut rows: Vec<Vec<String>> = means.map(|((label, mean), deviation)| row(label.clone(), &mean, &deviation)).collect();
        let mut summary_rows = 0;
        if let Some(reference) = &self.reference {
            let others = self.labels.iter().zip(&reference.scores);
            rows.extend(others.map(|(label, scores)| row(format!("{label}, {}", reference.name), scores, &Scores::default())));
            summary_rows = rows.len() - self.labels.len();
        }
        let cases = if self.cases.len() == 1 { "1 case".into() } else { format!("{} cases, mean ± standard deviation", self.cases.len()) };
        Table { caption: format!("Scores of {cases}"), header, rows, summary_rows }
    }

    /// A table per metric, as in the paper: every case, then mean and standard deviation. Cases are rows here, because they
    /// have names, and there may be many.
    pub fn tables(&self) -> Vec<Table> {
        let header: Vec<String> = std::iter::once("case".to_string()).chain(self.labels.iter().cloned()).collect();
        let (mean, deviation) = (self.mean(), self.standard_deviation());
        let several = self.cases.len() > 1;
        METRICS
            .iter()
            .map(|metric| {
                let row = |name: &str, scores: &[Scores]| -> Vec<String> {
                    let cell = |label: usize| metric.cell(&scores.get(label).copied().unwrap_or_default());
                    std::iter::once(name.to_string()).chain((0..self.labels.len()).map(cell)).collect()
                };
                let mut rows: Vec<_> = self.cases.iter().map(|case| row(&case.name, &case.scores)).collect();
                if several {
                    rows.extend([row("mean", &mean), row("standard deviation", &deviation)]);
                }
                rows.extend(self.reference.iter().map(|reference| row(&reference.name, &reference.scores)));
                let summary_rows = rows.len() - self.cases.len();
                Table { caption: format!("{}, {}", metric.name, metric.unit), header: header.clone(), rows, summary_rows }
            })
            .collect()
    }

    /// The summary and all tables in Markdown.
    pub fn to_markdown(&self) -> String {
        std::iter::once(self.summary()).chain(self.tables()).map(|table| table.to_markdown()).collect::<Vec<_>>().join("\n")
    }

    /// All numbers in CSV, unrounded, shares from 0 to 1: a row per case and label (`kind` is `case`), then the means
    /// (`mean`) and standard deviations (`standard_deviation`) over the cases. A number that does not exist is empty.
    ///
    /// # Errors
    /// [`ErrorKind::OutOfMemory`].
    pub fn to_csv(&self) -> Result<String> {
        let fail = |error: &dyn std::fmt::Display| Error::new(ErrorKind::OutOfMemory, format!("cannot write the scores as CSV: {error}"));
        let mut writer = csv::Writer::from_writer(Vec::new());
        let header = ["kind", "case", "label"].into_iter().chain(METRICS.iter().map(|metric| metric.key));
        writer.write_record(header).map_err(|error| fail(&error))?;
        let (mean, deviation) = (self.mean(), self.standard_deviation());
        let cases = self.cases.iter().map(|case| ("case", case.name.as_str(), &case.scores));
        for (kind, case, scores) in cases.chain([("mean", "", &mean), ("standard_deviation", "", &deviation)]) {
            for (label, scores) in self.labels.iter().zip(scores) {
                let names = [kind.to_string(), text::csv(case), text::csv(label)];
                let numbers = METRICS.iter().map(|metric| (metric.of)(scores).map_or_else(String::new, |value| value.to_string()));
                writer.write_record(names.into_iter().chain(numbers)).map_err(|error| fail(&error))?;
            }
        }
        let bytes = writer.into_inner().map_err(|error| fail(&error))?;
        String::from_utf8(bytes).map_err(|error| fail(&error))
    }
}

impl Table {
    /// The caption as a heading, then the table, in GitHub's Markdown.
    pub fn to_markdown(&self) -> String {
        let line = |cells: &[String]| format!("| {} |\n", cells.iter().map(|cell| text::markdown(cell)).collect::<Vec<_>>().join(" | "));
        let rule = format!("|:--{}|\n", "|--:".repeat(self.header.len().saturating_sub(1)));
        let rows: String = self.rows.iter().map(|row| line(row)).collect();
        format!("## {}\n\n{}{rule}{rows}", text::markdown(&self.caption), line(&self.header))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> ScoreTable {
        let dice = |dice| Scores { dice, ..Scores::default() };
        let case = |name: &str, bone, nerve| CaseScores { name: name.into(), scores: vec![dice(bone), dice(nerve)] };
        ScoreTable {
            labels: vec!["bone".into(), "nerve".into()],
            cases: vec![case("=1+1", Some(0.9456), None), case("a|<b>", Some(0.8456), Some(0.5))],
            reference: None,
        }
    }

    #[test]
    fn every_metric_has_a_table_of_cases_mean_and_deviation() {
        let tables = table().tables();
        assert_eq!(
            tables.iter().map(|table| table.caption.as_str()).collect::<Vec<_>>()[..3],
            ["Pixel accuracy, %", "IoU, %", "Dice score, %"]
        );
        let dice = &tables[2];
        assert_eq!(dice.header, ["case", "bone", "nerve"]);
        assert_eq!(dice.rows[2..], [["mean", "89.6", "50.0"], ["standard deviation", "7.1", "–"]]);
        assert_eq!((dice.rows[0][2].as_str(), dice.summary_rows), ("–", 2));
    }

    #[test]
    fn one_case_needs_no_mean() {
        let mut one = table();
        one.cases.truncate(1);
        assert_eq!((one.tables()[2].rows.len(), one.summary().rows[0][3].as_str()), (1, "94.6"));
    }

    #[test]
    fn the_papers_means_stand_beside_and_count_in_nothing() {
        let with = ScoreTable { reference: Some(paper_scores()), ..table() };
        assert_eq!(with.tables()[2].rows.last().unwrap()[..], ["SPINECT paper", "94.5", "90.5"]);
        assert_eq!(with.summary().rows[2][..4], ["bone, SPINECT paper", "94.0", "89.7", "94.5"]);
        assert_eq!(with.mean(), table().mean());
    }

    #[test]
    fn names_cannot_break_markdown_or_become_formulas() {
        let markdown = table().to_markdown();
        assert!(markdown.contains("| a\\|\\<b\\> | 84.6 | 50.0 |"), "{markdown}");
        assert!(table().to_csv().unwrap().contains("\ncase,'=1+1,bone,,,0.9456,,\n"), "{}", table().to_csv().unwrap());
    }

    #[test]
    fn csv_holds_every_case_and_label_then_the_summaries() {
        let csv = table().to_csv().unwrap();
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines[0], "kind,case,label,pixel_accuracy,iou,dice,hd95_mm,assd_mm");
        assert_eq!((lines.len(), lines[2], lines[6]), (9, "case,'=1+1,nerve,,,,,", "mean,,nerve,,,0.5,,"));
    }
}
