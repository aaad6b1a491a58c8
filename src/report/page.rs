//! The report as one HTML page: no scripts, nothing from the network, wide tables scroll by themselves.

use maud::{DOCTYPE, Markup, PreEscaped, html};

use super::Report;
use super::tables::Table;
use super::text::line;

const STYLE: &str = "\
:root { color-scheme: light; }\n\
body { margin: 0 auto; padding: 1rem; max-width: 64rem; font: 1rem/1.5 system-ui, sans-serif; color: #1a1a1a; background: #fff; }\n\
h1, h2 { line-height: 1.2; overflow-wrap: anywhere; }\n\
h2 { margin-top: 2.5rem; }\n\
.notice { padding: .75rem 1rem; border: 1px solid #b00020; border-left-width: .5rem; }\n\
.warning { padding: .25rem 1rem; border-left: .5rem solid #c07000; overflow-wrap: anywhere; }\n\
.scroll { overflow-x: auto; }\n\
.side { display: flex; flex-wrap: wrap; gap: 0 3rem; }\n\
.side > * { max-width: 100%; }\n\
table { border-collapse: collapse; margin: 1rem 0; font-variant-numeric: tabular-nums; }\n\
caption { text-align: left; font-weight: 600; padding-bottom: .25rem; }\n\
th, td { padding: .25rem .75rem; text-align: right; border-bottom: 1px solid #ddd; white-space: nowrap; }\n\
th:first-child { text-align: left; padding-left: 0; }\n\
tbody th { font-weight: 400; }\n\
tr.summary > * { background: #f2f4f7; }\n\
tr.first > * { border-top: 2px solid #888; }\n\
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; }\n\
dt { color: #555; } dd { margin: 0; overflow-wrap: anywhere; }\n\
@media print { .scroll { overflow: visible; } .scroll table { font-size: 75%; } }\n\
@media (max-width: 36rem) { dl { grid-template-columns: 1fr; gap: 0; } dd { margin-bottom: .5rem; } }\n\
figure { margin: 1rem 0; }\n\
figure svg, figure img { display: block; max-width: 100%; height: auto; }\n\
figcaption { color: #555; }\n";

/// What the page shows beside what the report itself holds.
pub(super) struct Figures<'a> {
    pub(super) dice: Option<&'a str>,
    pub(super) loss: Option<&'a str>,
    /// Per overlay of the report: its file, relative to the page.
    pub(super) overlays: &'a [String],
}

pub(super) fn page(report: &Report, figures: &Figures) -> String {
    let title = line(&report.title);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                title { (title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                h1 { (title) }
                p.notice { strong { "Not a medical device." } " Not for diagnosis or treatment: every segmentation needs review." }
                @for warning in &report.warnings { p.warning { strong { "Warning: " } (line(warning)) } }
                (scores(report))
                (history(report, figures))
                @if !report.overlays.is_empty() {
                    h2 { "Automatic and manual masks" }
                    @for (overlay, file) in report.overlays.iter().zip(figures.overlays) {
                        figure {
                            img src=(file) loading="lazy" alt={ "Three planes of " (line(&overlay.case)) };
                            figcaption { strong { (line(&overlay.case)) } ": " (line(&overlay.caption)) }
                        }
                    }
                }
                @if !report.facts.is_empty() {
                    h2 { "On record" }
                    dl { @for (name, value) in &report.facts { dt { (line(name)) } dd { (line(value)) } } }
                }
            }
        }
    }
    .into_string()
}

fn scores(report: &Report) -> Markup {
    html! {
        @if let Some(scores) = &report.scores {
            h2 { "Scores" }
            (table(&scores.summary()))
            p {
                "Pixel accuracy: the share of the truth's voxels that were found. HD95: the 95th percentile of the distances from \
                either surface to the other. ASSD: their average. A dash: a label that is missing there."
            }
            div.side { @for metric in scores.tables() { (table(&metric)) } }
        }
    }
}

fn history(report: &Report, figures: &Figures) -> Markup {
    // plotters has escaped every name in it.
    let chart = |name: &str, svg: &str, caption: Markup| {
        html! { figure { div role="img" aria-label=(name) { (PreEscaped(svg)) } figcaption { (caption) } } }
    };
    let best = report.history.as_ref().and_then(super::History::best);
    html! {
        @if figures.dice.is_some() || figures.loss.is_some() { h2 { "Training" } }
        @if let Some(svg) = figures.dice {
            (chart("Dice score over iterations", svg, html! {
                "Dice score of the validations."
                @if let Some((at, dice)) = best.and_then(|best| Some((best.iteration, best.mean?))) {
                    " The best mean is " (format!("{dice:.4}")) ", after " (at) " iterations."
                }
            }))
        }
        @if let Some(svg) = figures.loss { (chart("Training loss over iterations", svg, html! { "Training loss." })) }
    }
}

fn table(table: &Table) -> Markup {
    let summary = table.rows.len().saturating_sub(table.summary_rows);
    html! {
        div.scroll {
            table {
                caption { (line(&table.caption)) }
                thead { tr { @for cell in &table.header { th scope="col" { (line(cell)) } } } }
                tbody {
                    @for (at, row) in table.rows.iter().enumerate() {
                        tr.summary[at >= summary].first[at == summary] {
                            @for (column, cell) in row.iter().enumerate() {
                                @if column == 0 { th scope="row" { (line(cell)) } } @else { td { (line(cell)) } }
                            }
                        }
                    }
                }
            }
        }
    }
}
