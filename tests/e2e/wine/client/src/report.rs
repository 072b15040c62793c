//! What the program says: one JSON object a line on stdout, for the runner.

use std::{
    fmt::Display,
    io::{Write, stdout},
    sync::atomic::{AtomicUsize, Ordering},
};

use serde_json::{Value, json};

static FAILED: AtomicUsize = AtomicUsize::new(0);

fn say(line: Value) {
    let mut out = stdout().lock();
    // A runner that has gone away is no reason to stop halfway.
    let _ = writeln!(out, "{line}");
    let _ = out.flush();
}

/// A named check; `detail` tells what was seen.
pub(crate) fn check(name: &str, ok: bool, detail: impl Display) {
    if !ok {
        FAILED.fetch_add(1, Ordering::Relaxed);
    }
    say(json!({ "check": name, "ok": ok, "detail": detail.to_string() }));
}

/// Part of a longer piece of work.
pub(crate) fn progress(what: &str, done: u64, total: u64) {
    say(json!({ "progress": what, "done": done, "total": total }));
}

/// An answer that the runner asked for.
pub(crate) fn result(value: Value) {
    say(json!({ "result": value }));
}

/// The program cannot go on.
pub(crate) fn fatal(why: impl Display) -> ! {
    say(json!({ "fatal": why.to_string() }));
    std::process::exit(2)
}

/// How many checks have failed.
pub(crate) fn failures() -> usize {
    FAILED.load(Ordering::Relaxed)
}
