//! The command line: one file per subcommand. A subcommand returns the text that it wants printed; nothing else here
//! writes to standard output.

use std::io::{ErrorKind as IoErrorKind, Write};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::error::{Error, ErrorKind, Result};
use console::{Console, plain};

mod arguments;
mod bench;
mod console;
mod convert;
mod demo;
mod distribution;
mod evaluate;
mod files;
mod image;
mod info;
mod init;
mod input;
mod interrupt;
mod manual;
mod phantom;
mod query;
mod report;
mod segment;
mod stopwatch;
mod surfaces;
mod synthetic;
#[cfg(feature = "trainer")]
mod train;

/// Lumbosacral nerve and bone segmentation on plain CT.
#[derive(Debug, Parser)]
#[command(name = "spinect", version, long_version = LONG_VERSION, propagate_version = true)]
#[command(after_help = "Exit status: 0 done, 1 failed (one line says what to do), 2 wrong usage.\n\
    Nothing is overwritten without --force. A pipe gets no colors, no progress bar and tab-separated tables.")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    Segment(segment::Arguments),
    Info(info::Arguments),
    Query(query::Arguments),
    Evaluate(evaluate::Arguments),
    Init(init::Arguments),
    Convert(convert::Arguments),
    Image(image::Arguments),
    Bench(bench::Arguments),
    #[cfg(feature = "trainer")]
    Train(train::Arguments),
    Demo(demo::Arguments),
    Phantom(phantom::Arguments),
    Manual(manual::Arguments),
}

/// What `--version` says: the version, and how this program was built.
const LONG_VERSION: &str = const {
    if cfg!(debug_assertions) {
        concat!(env!("CARGO_PKG_VERSION"), "\nbuild: development, with overflow checks\nlicense: ", env!("CARGO_PKG_LICENSE"))
    } else {
        concat!(env!("CARGO_PKG_VERSION"), "\nbuild: release\nlicense: ", env!("CARGO_PKG_LICENSE"))
    }
};

/// Runs the program with the process's own arguments and returns its exit status: 0, 1 after one line `error: …`, or 2
/// after a usage message.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse_from(std::env::args_os()) {
        Ok(cli) => cli,
        Err(message) => return usage(&message),
    };
    let console = Console::of_process(cli.command.json());
    // A panic is told once, by `guarded`, in the one line that every failure gets.
    std::panic::set_hook(Box::new(|_| ()));
    let outcome = guarded(|| cli.command.run(&console)).and_then(|text| print(&text));
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            console.error(&error);
            ExitCode::FAILURE
        }
    }
}

/// Prints help or version (status 0) or what is wrong with the arguments (status 2).
fn usage(message: &clap::Error) -> ExitCode {
    // Nobody is left to be told if this cannot be printed.
    let _ = message.print();
    ExitCode::from(u8::try_from(message.exit_code()).unwrap_or(2))
}

impl Command {
    fn json(&self) -> bool {
        match self {
            Command::Segment(arguments) => arguments.json,
            Command::Info(arguments) => arguments.json,
            Command::Query(arguments) => arguments.json,
            Command::Evaluate(arguments) => arguments.json,
            Command::Init(_) | Command::Convert(_) | Command::Image(_) | Command::Manual(_) => false,
            Command::Bench(arguments) => arguments.json,
            #[cfg(feature = "trainer")]
            Command::Train(arguments) => arguments.json,
            Command::Demo(arguments) => arguments.json,
            Command::Phantom(arguments) => arguments.json,
        }
    }

    fn run(&self, console: &Console) -> Result<String> {
        match self {
            Command::Segment(arguments) => segment::run(arguments, console),
            Command::Info(arguments) => info::run(arguments, console),
            Command::Query(arguments) => query::run(arguments, console),
            Command::Evaluate(arguments) => evaluate::run(arguments, console),
            Command::Init(arguments) => init::run(arguments, console),
            Command::Convert(arguments) => convert::run(arguments, console),
            Command::Image(arguments) => image::run(arguments, console),
            Command::Bench(arguments) => bench::run(arguments, console),
            #[cfg(feature = "trainer")]
            Command::Train(arguments) => train::run(arguments, console),
            Command::Demo(arguments) => demo::run(arguments, console),
            Command::Phantom(arguments) => phantom::run(arguments, console),
            Command::Manual(arguments) => manual::run(arguments),
        }
    }
}

/// Turns a panic, which is a defect of this program, into an error like any other.
fn guarded(work: impl FnOnce() -> Result<String>) -> Result<String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(work)).unwrap_or_else(|payload| {
        let text = payload.downcast_ref::<String>().map(String::as_str).or(payload.downcast_ref::<&str>().copied());
        Err(Error::new(ErrorKind::Panic, format!("a defect of spinect, please report it: {}", plain(text.unwrap_or("no message")))))
    })
}

/// Writes the text to standard output. A reader that has gone away (`spinect … | head`) is no failure.
fn print(text: &str) -> Result<()> {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != IoErrorKind::BrokenPipe => {
            Err(Error::new(ErrorKind::Io, format!("cannot write to standard output: {error}")))
        }
        _ => Ok(()),
    }
}

/// An object as the text of `--json`: indented, with a line end.
fn json_text(value: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(value)
        .map(|text| text + "\n")
        .map_err(|error| Error::new(ErrorKind::Panic, format!("a defect of spinect, please report it: JSON: {error}")))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_definition_of_the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn a_panic_becomes_one_error_that_asks_for_a_report() {
        let error = guarded(|| panic!("index 3")).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Panic);
        assert!(error.message().contains("please report it: index 3"), "{error}");
    }

    #[test]
    fn a_subcommand_that_does_not_exist_yet_is_wrong_usage() {
        assert_eq!(Cli::try_parse_from(["spinect", "query"]).unwrap_err().exit_code(), 2);
    }
}
