//! The `sluice` command.
//!
//! ```text
//!   arguments ──► commands/* ──► Report or Failure ──► output: text for people, or JSON
//!                    │
//!      image ────────┤  a file or a block device: locked, read, written in the order of the engine's plan
//!      volume ───────┤  the header on it, as sluice-engine judges it; what is wrong, in words
//!      secret, slots ┤  passphrase, key file, recovery code; the slots that they may open
//!      control ──────┘  the driver, on Windows
//! ```
//!
//! What a command prints on success goes to standard output, everything else to standard error; with `--json`
//! both successes and failures are one JSON object on standard output (`docs/command.md`).

mod arguments;
mod commands;
mod content;
mod control;
mod cost;
mod failure;
mod image;
mod output;
mod secret;
mod slots;
mod volume;

use std::process::ExitCode;

use clap::Parser;

use arguments::{Arguments, Command};
use failure::{Failure, Kind};
use output::Output;

fn main() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => return misused(&error),
    };
    let output = Output::new(arguments.json, arguments.quiet, arguments.command.fills_stdout());
    let name = arguments.command.name();
    match commands::run(&arguments.command, &output) {
        Ok(report) => {
            output.report(name, &report);
            ExitCode::SUCCESS
        }
        Err(failure) => {
            output.failure(name, &failure);
            ExitCode::from(failure.kind.exit_code())
        }
    }
}

/// A command line that cannot be understood, or one that asks for help.
fn misused(error: &clap::Error) -> ExitCode {
    let json = std::env::args_os().any(|argument| argument == "--json");
    if json && error.use_stderr() {
        let text = error.to_string();
        let failure = Failure::new(Kind::Usage, text.trim_start_matches("error: ").trim_end());
        Output::new(true, true, false).failure("", &failure);
    } else {
        let _ = error.print(); // nowhere left to report to
    }
    ExitCode::from(if error.use_stderr() { Kind::Usage.exit_code() } else { 0 })
}

impl Command {
    /// Whether standard output carries data, so that reports must go elsewhere.
    fn fills_stdout(&self) -> bool {
        matches!(self, Self::Cat(cat) if cat.output.is_none())
    }
}
