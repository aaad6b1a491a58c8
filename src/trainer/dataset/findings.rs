//! What is wrong with a dataset: everything at once, so that it is repaired at once.

use std::fmt;

use crate::error::{Error, ErrorKind, Result};

/// One thing that is wrong, or strange.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What it is about: a case's identifier, a file, the set.
    pub subject: String,
    /// What is wrong and what to do.
    pub message: String,
}

impl Problem {
    pub(super) fn new(subject: impl Into<String>, message: impl Into<String>) -> Problem {
        Problem { subject: subject.into(), message: message.into() }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.subject, self.message)
    }
}

/// Everything that was found in a dataset. Displayed, it is one line for each, problems first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Findings {
    /// What forbids training.
    pub problems: Vec<Problem>,
    /// What allows it and may still not be meant.
    pub warnings: Vec<Problem>,
}

/// Problems that an error's message spells out.
const IN_A_MESSAGE: usize = 3;

impl Findings {
    /// Passes a dataset without problems.
    ///
    /// # Errors
    /// [`ErrorKind::InvalidArgument`], with the number of problems and the first few. All of them: the findings themselves.
    pub fn check(&self) -> Result<()> {
        let count = self.problems.len();
        if count == 0 {
            return Ok(());
        }
        let first: Vec<_> = self.problems.iter().take(IN_A_MESSAGE).map(ToString::to_string).collect();
        let more = if count > IN_A_MESSAGE { format!("; and {} more", count - IN_A_MESSAGE) } else { String::new() };
        let problems = if count == 1 { "1 problem" } else { &format!("{count} problems") };
        Err(Error::new(ErrorKind::InvalidArgument, format!("{problems} in the dataset: {}{more}", first.join("; "))))
    }
}

impl fmt::Display for Findings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.problems.iter().try_for_each(|problem| writeln!(f, "problem: {problem}"))?;
        self.warnings.iter().try_for_each(|warning| writeln!(f, "warning: {warning}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_counts_all_and_names_the_first_and_the_findings_list_every_one() {
        let of = |count: usize| Findings {
            problems: (0..count).map(|n| Problem::new(format!("case-{n}"), "is torn")).collect(),
            warnings: vec![Problem::new("case-9", "is empty")],
        };
        assert!(of(0).check().is_ok());
        assert_eq!(of(1).check().unwrap_err().message(), "1 problem in the dataset: case-0: is torn");
        let message = of(5).check().unwrap_err().to_string();
        assert!(message.starts_with("5 problems") && message.ends_with("case-2: is torn; and 2 more"), "{message}");
        let lines = of(5).to_string();
        assert!(lines.lines().count() == 6 && lines.contains("problem: case-4") && lines.ends_with("warning: case-9: is empty\n"));
    }
}
