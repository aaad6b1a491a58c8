//! What a person sees and a pipe does not: tables, colors, the progress bar, and the one line of an error.

use std::io::{IsTerminal, Write};
use std::ops::ControlFlow;

use anstyle::{AnsiColor, Style};
use comfy_table::{CellAlignment, ContentArrangement, presets};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::error::Error;
use crate::session::Stage;

/// Where the program writes to, and so what it may write there.
#[derive(Clone, Copy, Debug)]
pub(super) struct Console {
    /// The result is an object for a program.
    pub(super) json: bool,
    /// A person reads standard output.
    person: bool,
    /// A person reads standard error.
    bar: bool,
    /// Whether standard output and standard error may be colored.
    color: [bool; 2],
}

impl Console {
    /// The console of this process; `json`: the result is an object for a program.
    pub(super) fn of_process(json: bool) -> Self {
        let (stdout, stderr) = (std::io::stdout().is_terminal(), std::io::stderr().is_terminal());
        // https://no-color.org: set and not empty. A dumb terminal has neither colors nor a cursor to move.
        let set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        let color = !dumb && !set("NO_COLOR");
        Console {
            json,
            person: stdout && !json,
            bar: stderr && !json && !dumb,
            color: [stdout, stderr].map(|terminal| terminal && !json && color),
        }
    }

    /// A table: with borders for a person, tab-separated for a pipe.
    pub(super) fn table(&self, table: &Table) -> String {
        if !self.person {
            let mut text = String::new();
            for row in std::iter::once(&table.header).chain(&table.rows).filter(|row| !row.is_empty()) {
                text.push_str(&row.iter().map(|cell| plain(cell)).collect::<Vec<_>>().join("\t"));
                text.push('\n');
            }
            return text;
        }
        let mut drawn = comfy_table::Table::new();
        drawn.load_style(presets::UTF8_FULL_CONDENSED.with_rounded_corners());
        // Some terminals do not know their width and say 0: a table folded into that is no table.
        if drawn.width().is_some_and(|width| width >= 40) {
            drawn.set_content_arrangement(ContentArrangement::Dynamic);
        }
        if !table.header.is_empty() {
            drawn.set_header(table.header.iter().map(|cell| plain(cell)).collect::<Vec<_>>());
        }
        drawn.add_rows(table.rows.iter().map(|row| row.iter().map(|cell| plain(cell)).collect::<Vec<_>>()));
        for column in table.text_columns..table.width() {
            if let Some(column) = drawn.column_mut(column) {
                column.set_cell_alignment(CellAlignment::Right);
            }
        }
        drawn.to_string() + "\n"
    }

    /// A line that a person must not overlook.
    pub(super) fn warning(&self, text: &str) -> String {
        Self::styled(self.color[0], AnsiColor::Yellow.on_default().bold(), "warning:") + " " + &plain(text) + "\n"
    }

    /// Tells on standard error what went wrong, in exactly one line.
    pub(super) fn error(&self, error: &Error) {
        let word = Self::styled(self.color[1], AnsiColor::Red.on_default().bold(), "error:");
        // Nobody is left to be told if this cannot be written.
        let _ = writeln!(std::io::stderr(), "{word} {}", plain(error.message()));
    }

    /// A progress bar on standard error for a person; nothing for a pipe.
    pub(super) fn progress(&self) -> Progress {
        Progress(self.bar.then(|| {
            let bar = ProgressBar::with_draw_target(Some(1000), ProgressDrawTarget::stderr());
            let template = "{msg:10} [{bar:40}] {percent:>3} %  {elapsed}, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar
        }))
    }

    /// A progress bar that counts to `all`, on standard error for a person; nothing for a pipe.
    #[cfg(feature = "trainer")]
    pub(super) fn count(&self, name: &str, all: u64) -> Count {
        Count(self.bar.then(|| {
            let bar = ProgressBar::with_draw_target(Some(all), ProgressDrawTarget::stderr());
            let template = "{prefix} [{bar:30}] {pos}/{len}  {msg} {elapsed}, {eta} left";
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style.progress_chars("=> "));
            }
            bar.set_prefix(plain(name));
            bar
        }))
    }

    /// What was found wrong, and what is doubtful, a line each, on standard error.
    #[cfg(feature = "trainer")]
    pub(super) fn findings(&self, problems: impl Iterator<Item = String>, warnings: impl Iterator<Item = String>) {
        let (red, yellow) = (AnsiColor::Red.on_default().bold(), AnsiColor::Yellow.on_default().bold());
        let lines = problems.map(|text| (red, "problem:", text)).chain(warnings.map(|text| (yellow, "warning:", text)));
        for (style, word, text) in lines {
            // Nobody is left to be told if this cannot be written.
            let _ = writeln!(std::io::stderr(), "{} {}", Self::styled(self.color[1], style, word), plain(&text));
        }
    }

    fn styled(colored: bool, style: Style, text: &str) -> String {
        if colored { format!("{style}{text}{style:#}") } else { text.into() }
    }
}

/// A progress bar, or none; it leaves no trace.
#[derive(Debug)]
pub(super) struct Progress(Option<ProgressBar>);

impl Progress {
    /// Says what is being done before a run reports by itself.
    pub(super) fn say(&self, doing: &'static str) {
        if let Some(bar) = &self.0 {
            bar.set_message(doing);
            bar.tick();
        }
    }

    /// How far a job is, 0 to 1, and what it is doing.
    pub(super) fn advance(&self, fraction: f64, doing: &'static str) {
        if let Some(bar) = &self.0 {
            bar.set_message(doing);
            bar.set_position((fraction.clamp(0.0, 1.0) * 1000.0) as u64);
        }
    }

    /// How far a run is, 0 to 1, and what it is doing. It never asks the run to stop.
    pub(super) fn report(&self, fraction: f64, stage: Stage) -> ControlFlow<()> {
        self.advance(
            fraction,
            match stage {
                Stage::Prepare => "preparing",
                Stage::Network => "network",
                Stage::Restore => "restoring",
            },
        );
        ControlFlow::Continue(())
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// A progress bar that counts, or none; it leaves no trace.
#[cfg(feature = "trainer")]
#[derive(Debug)]
pub(super) struct Count(Option<ProgressBar>);

#[cfg(feature = "trainer")]
impl Count {
    /// How far the work is, and what there is to say about it.
    pub(super) fn at(&self, done: u64, message: String) {
        if let Some(bar) = &self.0 {
            bar.set_message(message);
            bar.set_position(done);
        }
    }
}

#[cfg(feature = "trainer")]
impl Drop for Count {
    fn drop(&mut self) {
        if let Some(bar) = &self.0 {
            bar.finish_and_clear();
        }
    }
}

/// Rows and columns of text.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    header: Vec<String>,
    rows: Vec<Vec<String>>,
    text_columns: usize,
}

impl Table {
    /// A table with these headings (none: no heading). The first `text_columns` columns hold words, the others numbers.
    pub(super) fn new(header: &[&str], text_columns: usize) -> Self {
        Table { header: header.iter().map(ToString::to_string).collect(), rows: Vec::new(), text_columns }
    }

    /// Adds a row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = String>) {
        self.rows.push(cells.into_iter().collect());
    }

    fn width(&self) -> usize {
        self.rows.iter().map(Vec::len).max().unwrap_or(0)
    }
}

/// The text in one line without control characters: names from files cannot drive the terminal.
pub(super) fn plain(text: &str) -> String {
    text.chars()
        .map(|character| match character {
            '\n' | '\r' | '\t' => ' ',
            other if other.is_control() => '\u{FFFD}',
            other => other,
        })
        .collect()
}

/// A number with this many decimals, or a dash where there is none.
pub(super) fn number(value: f64, decimals: usize) -> String {
    if value.is_finite() { format!("{value:.decimals$}") } else { "–".into() }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIPE: Console = Console { json: false, person: false, bar: false, color: [false; 2] };

    #[test]
    fn a_pipe_gets_tab_separated_cells_and_a_person_gets_borders() {
        let mut table = Table::new(&["label", "voxels"], 1);
        table.row(["bone".into(), "12".into()]);
        assert_eq!(PIPE.table(&table), "label\tvoxels\nbone\t12\n");
        let person = Console { person: true, ..PIPE };
        assert!(person.table(&table).contains("│ bone"), "{}", person.table(&table));
    }

    #[test]
    fn a_name_cannot_drive_the_terminal_or_break_a_line() {
        assert_eq!(plain("a\u{1b}[2Jb\nc\td"), "a\u{FFFD}[2Jb c d");
    }

    #[test]
    fn colors_appear_only_where_they_are_allowed() {
        assert_eq!(PIPE.warning("metal"), "warning: metal\n");
        assert!(Console { color: [true; 2], ..PIPE }.warning("metal").contains("\u{1b}["));
    }

    #[test]
    fn what_is_not_a_number_is_a_dash() {
        assert_eq!((number(1.25, 1).as_str(), number(f64::NAN, 1).as_str()), ("1.2", "–"));
    }
}
