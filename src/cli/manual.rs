//! `spinect manual`: the manual pages that an installation puts beside the program. Hidden: it is for `make install`.

use std::fs;
use std::path::PathBuf;

use clap::{Args, CommandFactory};

use crate::error::{Error, Result};

/// Write the manual pages of this program
#[derive(Debug, Args)]
#[command(hide = true)]
pub(super) struct Arguments {
    /// The folder to write to; made if it is missing
    #[arg(short, long, value_name = "DIR")]
    output: PathBuf,
}

/// One page for the program and one for each of its subcommands, with the same bytes for the same build.
pub(super) fn run(arguments: &Arguments) -> Result<String> {
    let folder = &arguments.output;
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, "make", &error))?;
    clap_mangen::generate_to(super::Cli::command(), folder).map_err(|error| Error::io(folder, "write", &error))?;
    Ok(String::new())
}
