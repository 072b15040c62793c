//! The whole of Sluice, end to end, on Linux.
//!
//! Wine's kernel host runs the shipped `sluice.sys` (but for the name of the
//! kernel it imports: see [`bench`]) between a test disk driver's class end and
//! its port end; a Win64 program sends real I/O through it, and the Linux
//! `sluice` command reads the image afterwards.
//!
//! ```text
//!   mkntfs, real files ──► plain.ntfs ──────────────► scan, compare ◄── sluice cat
//!                             │ e2e-client.exe                              ▲
//!                             ▼ ReadFile, WriteFile                         │
//!   sluicetest.sys (class) ─► sluice.sys ─► sluicetest.sys (port) ──► volume.img
//! ```
//!
//! [`run`] does it all: in [`Mode::Demo`] one scenario with a table to look at,
//! in [`Mode::Test`] every suite as well. Each check prints one line, and the
//! last line is `N passed, N failed`.

mod adapter;
mod bench;
mod client;
mod command;
mod discards;
mod mapped;
mod memory;
mod ntfs;
mod report;
mod scan;
mod scenario;
mod stages;
mod suites;
mod wine;

use std::{fmt, io, path::PathBuf};

use report::Report;

/// What was built before: the things under test.
#[derive(Clone, Debug)]
pub struct Products {
    /// `sluice.sys`, as shipped. None: only the bench itself is tested.
    pub driver: Option<PathBuf>,
    /// The `sluice` command for Linux.
    pub command: PathBuf,
    /// `sluice.exe`.
    pub windows_command: PathBuf,
    /// The folder with the miniports in C that are linked to `sluice.sys`. None: they are not hosted.
    pub miniports: Option<PathBuf>,
    /// `e2e-client.exe`, built from `tests/e2e/wine/client`.
    pub client: PathBuf,
}

/// How much is run, and how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// One scenario, with progress and a table: a minute or two.
    Demo,
    /// Every suite, one line a check.
    Test,
    /// The test disk alone, without the filter: does the bench tell the truth?
    Bench,
    /// The suites of the function driver's role alone.
    Adapter,
}

/// What to run, on what, where.
#[derive(Clone, Debug)]
pub struct Options {
    /// How much.
    pub mode: Mode,
    /// The repository.
    pub root: PathBuf,
    /// A folder for prefixes and images; the runner may empty it.
    pub work: PathBuf,
    /// The things under test.
    pub products: Products,
    /// Fail every single allocation of a mapped volume in turn, not only some.
    pub long: bool,
    /// Of [`PARTS`], those that are run; all if there are none.
    pub only: Vec<String>,
}

/// What [`Mode::Test`] consists of, in this order.
pub const PARTS: [&str; 8] =
    ["bench", "scenario", "mapped", "discards", "stages", "suites", "adapter", "memory"];

/// Why the run could not go on.
#[derive(Debug)]
pub struct Error(String);

impl Error {
    pub(crate) fn new(why: impl Into<String>) -> Error {
        Error(why.into())
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Error {}

impl From<io::Error> for Error {
    fn from(e: io::Error) -> Error {
        Error(e.to_string())
    }
}

pub(crate) type Result<T> = std::result::Result<T, Error>;

/// How many checks passed and failed.
#[derive(Clone, Copy, Debug)]
pub struct Outcome {
    /// Checks that held.
    pub passed: usize,
    /// Checks that did not, a run that broke off counted as one.
    pub failed: usize,
}

/// Runs everything that `options` asks for and prints it, the closing line
/// `N passed, N failed` included.
pub fn run(options: &Options) -> Outcome {
    let mut report = Report::new();
    if let Err(e) = all(options, &mut report) {
        report.check("the run goes to its end", false, &e.to_string());
    }
    report.close()
}

fn all(options: &Options, report: &mut Report) -> Result<()> {
    let bench = bench::Bench::prepare(options, report)?;
    match options.mode {
        Mode::Bench => suites::bench_alone(&bench, report),
        Mode::Demo => scenario::run(&bench, report),
        Mode::Adapter => adapter::all(&bench, report, options.long),
        Mode::Test => {
            let wanted =
                |part: &&&str| options.only.is_empty() || options.only.iter().any(|only| only == *part);
            PARTS.iter().filter(wanted).try_for_each(|part| match *part {
                "bench" => suites::bench_alone(&bench, report),
                "scenario" => scenario::run(&bench, report),
                "mapped" => mapped::all(&bench, report),
                "discards" => discards::all(&bench, report),
                "stages" => stages::all(&bench, report),
                "suites" => suites::all(&bench, report),
                "adapter" => adapter::all(&bench, report, options.long),
                _ => memory::run(&bench, report, options.long),
            })
        }
    }
}
