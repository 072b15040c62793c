//! What is said, to a person or to a program.

use std::{
    fmt::Write as _,
    io::{IsTerminal, Write, stderr, stdout},
    time::{Duration, Instant},
};

use serde_json::{Map, Value, json};

use crate::failure::Failure;

/// What a command has to say when it has done its work.
pub(crate) struct Report {
    text: String,
    fields: Map<String, Value>,
}

impl Report {
    pub(crate) fn new() -> Self {
        Self { text: String::new(), fields: Map::new() }
    }

    /// A line for people.
    pub(crate) fn line(&mut self, line: impl AsRef<str>) -> &mut Self {
        self.text.push_str(line.as_ref());
        self.text.push('\n');
        self
    }

    /// A labelled line for people.
    pub(crate) fn row(&mut self, label: &str, value: impl AsRef<str>) -> &mut Self {
        let _ = writeln!(self.text, "{label:<14} {}", value.as_ref()); // a String takes everything
        self
    }

    /// A field for programs.
    pub(crate) fn field(&mut self, name: &str, value: impl Into<Value>) -> &mut Self {
        self.fields.insert(name.to_owned(), value.into());
        self
    }
}

/// Where things are said.
pub(crate) struct Output {
    json: bool,
    quiet: bool,
    data_on_stdout: bool,
}

impl Output {
    pub(crate) fn new(json: bool, quiet: bool, data_on_stdout: bool) -> Self {
        Self { json, quiet, data_on_stdout }
    }

    /// Whether somebody is there who can be asked.
    pub(crate) fn can_ask(&self) -> bool {
        !self.json && std::io::stdin().is_terminal() && stderr().is_terminal()
    }

    /// Something is under way.
    pub(crate) fn note(&self, text: &str) {
        if !self.quiet && !self.json {
            eprintln!("{text}");
        }
    }

    pub(crate) fn report(&self, command: &str, report: &Report) {
        if self.json {
            let mut object = Map::new();
            object.insert("ok".into(), true.into());
            object.insert("command".into(), command.into());
            object.extend(report.fields.clone());
            self.say(&format!("{}\n", Value::Object(object)), !self.data_on_stdout);
        } else if !report.text.is_empty() && !(self.data_on_stdout && self.quiet) {
            self.say(&report.text, !self.data_on_stdout);
        }
    }

    pub(crate) fn failure(&self, command: &str, failure: &Failure) {
        if self.json {
            let error = json!({
                "code": failure.kind.name(),
                "message": failure.message,
                "hint": failure.hint,
                "exit_code": failure.kind.exit_code(),
            });
            let object = json!({ "ok": false, "command": command, "error": error });
            self.say(&format!("{object}\n"), !self.data_on_stdout);
        } else {
            self.say(&format!("sluice: {failure}\n"), false);
        }
    }

    fn say(&self, text: &str, on_stdout: bool) {
        // Nobody listens: there is nowhere left to say that.
        let _ = if on_stdout {
            stdout().write_all(text.as_bytes()).and_then(|()| stdout().flush())
        } else {
            stderr().write_all(text.as_bytes())
        };
    }

    /// A meter for `total` bytes.
    pub(crate) fn meter(&self, what: &'static str, total: u64) -> Meter {
        let shown = !self.quiet && !self.json;
        let now = Instant::now();
        Meter { what, total, shown, terminal: stderr().is_terminal(), start: now, last: now }
    }
}

/// Says from time to time how far a long work is: in place on a terminal, in lines elsewhere.
pub(crate) struct Meter {
    what: &'static str,
    total: u64,
    shown: bool,
    terminal: bool,
    start: Instant,
    last: Instant,
}

impl Meter {
    /// `done` bytes are done.
    pub(crate) fn at(&mut self, done: u64) {
        let pause = if self.terminal { Duration::from_millis(200) } else { Duration::from_secs(5) };
        if !self.shown || self.last.elapsed() < pause {
            return;
        }
        self.last = Instant::now();
        let percent = u128::from(done) * 100 / u128::from(self.total.max(1));
        let rate = done as f64 / self.start.elapsed().as_secs_f64() / f64::from(1 << 20);
        let line = format!("{}: {percent:3} % of {}, {rate:.0} MiB/s", self.what, bytes(self.total));
        if self.terminal { eprint!("\r{line}   ") } else { eprintln!("{line}") }
    }

    /// All is done. How long it took, in seconds.
    pub(crate) fn end(self) -> f64 {
        if self.shown && self.terminal && self.last != self.start {
            eprint!("\r{:60}\r", "");
        }
        self.start.elapsed().as_secs_f64()
    }
}

/// A size as people read it.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["KiB", "MiB", "GiB", "TiB"];
    let mut value = count as f64;
    let mut unit = None;
    for name in UNITS {
        if value < 1024.0 {
            break;
        }
        (value, unit) = (value / 1024.0, Some(name));
    }
    match unit {
        Some(unit) => format!("{value:.1} {unit} ({count} bytes)"),
        None => format!("{count} bytes"),
    }
}

/// A UUID as RFC 9562 writes it.
pub(crate) fn uuid(uuid: &[u8; 16]) -> String {
    let mut text = String::with_capacity(36);
    for (index, byte) in uuid.iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            text.push('-');
        }
        let _ = write!(text, "{byte:02x}"); // a String takes everything
    }
    text
}
