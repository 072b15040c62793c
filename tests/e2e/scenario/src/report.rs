//! What the run prints: sections, one line a check, progress that overwrites
//! itself where somebody watches, and the closing line.

use std::io::{IsTerminal, Write, stdout};

use crate::Outcome;

/// Counts and prints.
pub(crate) struct Report {
    passed: usize,
    failed: usize,
    terminal: bool,
    bar: bool,
    section: String,
}

impl Report {
    pub(crate) fn new() -> Report {
        Report { passed: 0, failed: 0, terminal: stdout().is_terminal(), bar: false, section: String::new() }
    }

    fn line(&mut self, text: &str) {
        if self.bar {
            print!("\r\x1b[K");
            self.bar = false;
        }
        println!("{text}");
    }

    /// A new part of the run; its name stands before its checks.
    pub(crate) fn section(&mut self, name: &str) {
        self.section = name.to_owned();
        self.line(&format!("\n== {name}"));
    }

    /// Something worth telling that is no check.
    pub(crate) fn say(&mut self, text: &str) {
        self.line(&format!("   {text}"));
    }

    /// One named check.
    pub(crate) fn check(&mut self, name: &str, ok: bool, detail: &str) {
        if ok {
            self.passed += 1;
            self.line(&format!("ok   {name}"));
        } else {
            self.failed += 1;
            let section = self.section.clone();
            self.line(&format!("FAIL {name} [{section}]: {detail}"));
        }
    }

    /// Progress of a longer piece of work; only on a terminal.
    pub(crate) fn progress(&mut self, what: &str, done: u64, total: u64) {
        if !self.terminal || total == 0 {
            return;
        }
        let width = 30;
        let full = (done.min(total) * width / total) as usize;
        print!(
            "\r     {what:<10} [{}{}] {:>3} %\x1b[K",
            "#".repeat(full),
            ".".repeat(width as usize - full),
            done * 100 / total
        );
        let _ = stdout().flush();
        self.bar = true;
    }

    /// The closing line.
    pub(crate) fn close(mut self) -> Outcome {
        self.line("");
        println!("{} passed, {} failed", self.passed, self.failed);
        Outcome { passed: self.passed, failed: self.failed }
    }
}
