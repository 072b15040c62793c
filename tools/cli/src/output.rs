//! People's words or JSON.

use std::{io::Write, process::ExitCode};

use serde_json::{Value, json};

use crate::{args::Args, failure::Failure};

/// What a command has to say: text for people, an object for programs.
pub(crate) struct Report {
    pub text: String,
    pub json: Value,
    /// Standard output carries data: the report goes nowhere, or to standard error.
    pub data_on_stdout: bool,
}

impl Report {
    /// A report on standard output.
    pub(crate) fn new(text: impl Into<String>, json: Value) -> Self {
        Self { text: text.into(), json, data_on_stdout: false }
    }
}

/// Says it, and chooses the exit code.
pub(crate) fn finish(args: &Args, result: Result<Report, Failure>) -> ExitCode {
    match result {
        Ok(report) if report.data_on_stdout => ExitCode::SUCCESS,
        Ok(report) => {
            let text = if args.json {
                let mut object = report.json;
                object["ok"] = json!(true);
                format!("{object:#}")
            } else {
                report.text.trim_end().to_owned()
            };
            // A reader that has gone (`sluice info | head -1`) is no failure of ours.
            let _ = writeln!(std::io::stdout(), "{text}");
            ExitCode::SUCCESS
        }
        Err(failure) => {
            if args.json {
                let error = json!({
                    "ok": false,
                    "error": failure.code(),
                    "message": failure.to_string(),
                    "advice": failure.advice(),
                });
                let _ = writeln!(std::io::stdout(), "{error:#}");
            } else {
                eprintln!("sluice: {failure}\n{}", failure.advice());
            }
            ExitCode::from(failure.exit())
        }
    }
}

/// `550e8400-e29b-...`: a UUID as people know it (RFC 9562 4).
pub(crate) fn uuid(bytes: &[u8; 16]) -> String {
    let hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

/// `1.5 GiB`.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}
