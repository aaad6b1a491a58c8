//! A report as files.

use std::fs;
use std::io::ErrorKind as IoErrorKind;
use std::path::Path;

use super::Report;
use super::page::{Figures, page};
use super::text::{file_name, markdown};
use crate::error::{Error, ErrorKind, Result};
use crate::io::write_atomically;

impl Report {
    /// Whether a report may be written to `folder`, so that it can be asked before the work: its parent exists, and it
    /// does not exist or is an empty folder; with `force` it may hold anything.
    ///
    /// # Errors
    /// [`ErrorKind::Io`]: it exists, or its parent does not. [`ErrorKind::InvalidArgument`]: it is a file.
    pub fn check_folder(folder: &Path, force: bool) -> Result<()> {
        match fs::read_dir(folder).map(|mut entries| entries.next().is_none()) {
            Ok(empty) if !empty && !force => {
                Err(Error::new(ErrorKind::Io, format!("{} exists and is not empty: use --force to write into it", folder.display())))
            }
            Ok(_) => Ok(()),
            Err(error) if error.kind() == IoErrorKind::NotADirectory => {
                Err(Error::new(ErrorKind::InvalidArgument, format!("{} is a file: a report is a folder", folder.display())))
            }
            Err(error) if error.kind() == IoErrorKind::NotFound => {
                let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
                if parent.is_dir() {
                    return Ok(());
                }
                let message = format!("{} cannot be made, {} is no folder: make that first", folder.display(), parent.display());
                Err(Error::new(ErrorKind::Io, message))
            }
            Err(error) => Err(Error::io(folder, "list the folder", &error)),
        }
    }

    /// Writes the report's files into `folder`, which is made if need be. Every file appears whole or not at all, the
    /// page last. With `force`, files of the same name are replaced; others, also those of an earlier report, stay.
    ///
    /// # Errors
    /// As [`check_folder`](Self::check_folder); [`ErrorKind::Io`] if a file cannot be written.
    pub fn write(&self, folder: &Path, force: bool) -> Result<()> {
        Self::check_folder(folder, force)?;
        make_folder(folder)?;
        let write = |name: &str, bytes: &[u8]| write_atomically(&folder.join(name), |file| file.write_all(bytes));
        if let Some(scores) = &self.scores {
            write("scores.md", format!("# {}\n\n{}", markdown(&self.title), scores.to_markdown()).as_bytes())?;
            write("scores.csv", scores.to_csv()?.as_bytes())?;
        }
        let dice = self.history.as_ref().map(super::History::dice_chart).transpose()?.flatten();
        let loss = self.history.as_ref().map(super::History::loss_chart).transpose()?.flatten();
        for (name, chart) in [("dice.svg", &dice), ("loss.svg", &loss)] {
            if let Some(chart) = chart {
                write(name, chart.as_bytes())?;
            }
        }
        let mut taken = Vec::new();
        let overlays: Vec<String> =
            self.overlays.iter().map(|overlay| format!("overlays/{}.png", file_name(&overlay.case, &mut taken))).collect();
        if !overlays.is_empty() {
            make_folder(&folder.join("overlays"))?;
        }
        for (overlay, name) in self.overlays.iter().zip(&overlays) {
            write(name, &overlay.png)?;
        }
        let figures = Figures { dice: dice.as_deref(), loss: loss.as_deref(), overlays: &overlays };
        write("index.html", page(self, &figures).as_bytes())
    }
}

fn make_folder(folder: &Path) -> Result<()> {
    match fs::create_dir(folder) {
        Err(error) if error.kind() != IoErrorKind::AlreadyExists || !folder.is_dir() => Err(Error::io(folder, "make the folder", &error)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::Scores;
    use crate::report::{CaseOverlay, CaseScores, History, LossPoint, Picture, ScoreTable, Validation};

    fn report(name: &str) -> Report {
        let scores = vec![Scores { dice: Some(0.9), ..Scores::default() }];
        let picture = Picture { width: 1, height: 1, rgb: vec![0; 3] };
        let overlay = CaseOverlay { case: name.into(), caption: name.into(), png: picture.to_png().unwrap() };
        Report {
            title: name.into(),
            facts: vec![(name.into(), name.into())],
            warnings: vec![name.into()],
            scores: Some(ScoreTable { labels: vec![name.into()], cases: vec![CaseScores { name: name.into(), scores }], reference: None }),
            history: Some(History {
                classes: vec![name.into()],
                losses: vec![LossPoint { iteration: 1, epoch: 0, loss: 1.0 }],
                validations: vec![Validation { iteration: 1, dice: vec![Some(0.5)], mean: Some(0.5) }],
            }),
            overlays: vec![overlay.clone(), overlay],
        }
    }

    fn names(folder: &Path) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    #[test]
    fn a_report_is_these_files() {
        let place = tempfile::tempdir().unwrap();
        let folder = place.path().join("report");
        report("case").write(&folder, false).unwrap();
        assert_eq!(names(&folder), ["dice.svg", "index.html", "loss.svg", "overlays", "scores.csv", "scores.md"]);
        assert_eq!(names(&folder.join("overlays")), ["case-2.png", "case.png"]);
        let page = fs::read_to_string(folder.join("index.html")).unwrap();
        for part in ["<!DOCTYPE html>", "Not a medical device", "<svg", "src=\"overlays/case-2.png\"", "90.0", "</html>"] {
            assert!(page.contains(part), "{part}");
        }
        let empty = place.path().join("empty");
        Report::default().write(&empty, false).unwrap();
        assert_eq!(names(&empty), ["index.html"]);
    }

    #[test]
    fn a_name_is_never_markup_on_the_page() {
        let place = tempfile::tempdir().unwrap();
        report("<script>alert('x')</script>\"&\u{1b}").write(place.path(), false).unwrap();
        let page = fs::read_to_string(place.path().join("index.html")).unwrap();
        assert!(!page.contains("<script") && page.contains("&lt;script&gt;") && !page.contains('\u{1b}'));
        for chart in ["dice.svg", "loss.svg"] {
            assert!(!fs::read_to_string(place.path().join(chart)).unwrap().contains("<script"), "{chart}");
        }
        assert!(!fs::read_to_string(place.path().join("scores.md")).unwrap().replace("\\<", "").contains('<'));
    }

    #[test]
    fn nothing_is_overwritten_without_force() {
        let place = tempfile::tempdir().unwrap();
        let mine = place.path().join("mine.txt");
        fs::write(&mine, "mine").unwrap();
        let error = report("a").write(place.path(), false).unwrap_err();
        assert!(error.kind() == ErrorKind::Io && error.message().contains("--force"), "{error}");
        assert_eq!(names(place.path()), ["mine.txt"]);
        report("a").write(place.path(), true).unwrap();
        report("b").write(place.path(), true).unwrap();
        assert!(fs::read_to_string(place.path().join("scores.csv")).unwrap().contains("case,b,b"));
        assert_eq!(fs::read_to_string(&mine).unwrap(), "mine");
        assert_eq!(report("a").write(&mine, true).unwrap_err().kind(), ErrorKind::InvalidArgument);
        assert_eq!(report("a").write(&place.path().join("none/here"), true).unwrap_err().kind(), ErrorKind::Io);
    }
}
