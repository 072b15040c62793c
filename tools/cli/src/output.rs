//! People's words or JSON.

use std::{
    io::{self, BufWriter, StdoutLock, Write},
    process::ExitCode,
};

use serde_json::{Value, json};

pub(crate) use sluice_statistics::uuid;

use crate::{args::Args, failure::Failure};

/// What a command has to say: text for people, an object for programs.
#[derive(Debug)]
pub(crate) struct Report {
    pub text: String,
    pub json: Value,
    /// It has been said already, as [`Lines`].
    said: bool,
}

impl Report {
    /// A report on standard output.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, said: false }
    }

    /// For what was said line by line.
    pub(crate) fn said() -> Self {
        Self { text: String::new(), json: Value::Null, said: true }
    }
}

/// Says something while the command goes on.
#[cfg(unix)]
pub(crate) fn tell(json: bool, text: &str, object: &Value) {
    say(true, &if json { format!("{object:#}") } else { text.to_owned() });
}

/// Says it, and chooses the exit code. Where standard output carries data, an object goes to standard error.
pub(crate) fn finish(args: &Args, result: Result<Report, Failure>) -> ExitCode {
    let (name, data) = (args.command.name(), args.command.fills_stdout());
    match result {
        Ok(report) if report.said => ExitCode::SUCCESS,
        Ok(report) if args.json => {
            let mut object = report.json;
            (object["ok"], object["command"]) = (json!(true), json!(name));
            say(!data, &format!("{object:#}"));
            ExitCode::SUCCESS
        }
        Ok(report) => {
            if !data {
                say(true, report.text.trim_end());
            }
            ExitCode::SUCCESS
        }
        Err(Failure::Found { report }) if args.json => {
            let mut object = report.json;
            (object["ok"], object["command"]) = (json!(false), json!(name));
            object["error"] = json!("problems_found");
            say(!data, &format!("{object:#}"));
            ExitCode::from(5)
        }
        Err(failure) => {
            if let Failure::Found { report } = &failure {
                say(true, report.text.trim_end());
            }
            if args.json {
                say(!data, &error_object(name, failure.code(), &failure.to_string(), failure.advice()));
            } else {
                say(false, &format!("sluice: {failure}\n{}", failure.advice()));
            }
            ExitCode::from(failure.exit())
        }
    }
}

/// A command line that makes no sense, or one that asks for help.
pub(crate) fn misused(error: &clap::Error) -> ExitCode {
    let wrong = error.use_stderr();
    if wrong && std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let text = text.trim_start_matches("error: ").trim_end();
        say(true, &error_object("", "usage", text, "`sluice --help` tells what there is."));
    } else {
        let _ = error.print(); // nobody is left to be told
    }
    ExitCode::from(if wrong { 2 } else { 0 })
}

fn error_object(command: &str, code: &str, message: &str, advice: &str) -> String {
    let object = json!({
        "ok": false, "command": command, "error": code, "message": message, "advice": advice,
    });
    format!("{object:#}")
}

/// Without what a terminal would take for commands: names come from disks, and from whoever made them.
pub(crate) fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && !matches!(c, '\n' | '\t') { '\u{fffd}' } else { c }).collect()
}

fn say(stdout: bool, text: &str) {
    let text = printable(text);
    // A reader that has gone (`sluice info | head -1`) is no failure of ours.
    let _ =
        if stdout { writeln!(std::io::stdout(), "{text}") } else { writeln!(std::io::stderr(), "{text}") };
}

/// A report that may be too long for memory, said as it comes: a head, and then lines. For programs, an object with a list
/// as its last field.
pub(crate) struct Lines {
    json: bool,
    first: bool,
    out: BufWriter<StdoutLock<'static>>,
}

impl Lines {
    /// Says the head. `list` is what the list is called.
    pub(crate) fn begin(json: bool, command: &str, head: &Report, list: &str) -> io::Result<Self> {
        let mut out = BufWriter::new(io::stdout().lock());
        if json {
            write!(out, "{{\n  \"ok\": true,\n  \"command\": {}", json!(command))?;
            for (name, value) in head.json.as_object().into_iter().flatten() {
                write!(out, ",\n  {}: {value}", json!(name))?;
            }
            write!(out, ",\n  {}: [", json!(list))?;
        } else if !head.text.is_empty() {
            writeln!(out, "{}", printable(head.text.trim_end()))?;
        }
        Ok(Self { json, first: true, out })
    }

    /// Says one more line.
    pub(crate) fn line(
        &mut self,
        text: impl FnOnce() -> String,
        json: impl FnOnce() -> Value,
    ) -> io::Result<()> {
        if !self.json {
            return writeln!(self.out, "{}", text().trim_end());
        }
        let comma = if core::mem::take(&mut self.first) { "" } else { "," };
        write!(self.out, "{comma}\n    {}", json())
    }

    /// Says something to people alone.
    pub(crate) fn remark(&mut self, text: &str) -> io::Result<()> {
        if self.json { Ok(()) } else { writeln!(self.out, "{text}") }
    }

    /// There are no more.
    pub(crate) fn end(mut self) -> io::Result<()> {
        if self.json {
            writeln!(self.out, "\n  ]\n}}")?;
        }
        self.out.flush()
    }
}

/// `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
