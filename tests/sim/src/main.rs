//! `sluice-sim`: see the library.

use std::{
    process::ExitCode,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use clap::{Parser, Subcommand};
use sluice_sim::{
    clock::processor_time,
    engine::Mapped,
    figures::Figures,
    mutants,
    plan::Mode,
    shrink::shrink,
    simulate::{Case, Failure, Keep, simulate},
    straw::Straw,
    subject::Subject,
};

/// Runs mapped volumes on a device that crashes, reorders, tears and lies. One seed gives one run.
#[derive(Parser)]
#[command(name = "sluice-sim")]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    runs: Runs,
    /// What to test.
    #[arg(long, global = true, default_value = DEFAULT)]
    subject: String,
}

/// What is tested unless something else is asked for.
const DEFAULT: &str = "mapped";

#[derive(Subcommand)]
enum Command {
    /// Deliberate mistakes: each must be found.
    Mutants {
        /// Seconds of processor time for each.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// The first seed.
        #[arg(long, default_value_t = 1)]
        seed: u64,
        /// Only mutants whose name contains this.
        #[arg(long, default_value = "")]
        only: String,
    },
}

#[derive(clap::Args)]
struct Runs {
    /// The first seed.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Runs: seeds from the first on. Without this and `--seconds`, one.
    #[arg(long)]
    runs: Option<u64>,
    /// Runs until so many seconds have passed.
    #[arg(long)]
    seconds: Option<u64>,
    /// The mode. Without it, of 10 runs 6 crash, 2 errors, 1 corrupt, 1 exhaustive.
    #[arg(long)]
    mode: Option<Mode>,
    /// Steps of a run.
    #[arg(long)]
    ops: Option<usize>,
    /// Only these steps, such as 0-3,7.
    #[arg(long)]
    keep: Option<Keep>,
    /// Most bytes of a request.
    #[arg(long)]
    largest: Option<u64>,
    /// Most requests outstanding.
    #[arg(long)]
    depth: Option<usize>,
    /// In exhaustive mode, pending writes that land in every combination.
    #[arg(long)]
    bound: Option<u32>,
    /// A deliberate mistake.
    #[arg(long)]
    mutant: Option<String>,
    /// Print every request and every device I/O.
    #[arg(long)]
    verbose: bool,
    /// Figures as one line of JSON.
    #[arg(long)]
    json: bool,
    /// Seconds to look for a shorter trace when something is wrong.
    #[arg(long, default_value_t = 60)]
    shrink: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.subject.as_str() {
        "mapped" => dispatch::<Mapped>(&arguments),
        "straw" => dispatch::<Straw>(&arguments),
        other => {
            eprintln!("no such subject: {other} (there are: mapped, straw)");
            ExitCode::from(2)
        }
    }
}

fn dispatch<S: Subject>(arguments: &Arguments) -> ExitCode {
    match &arguments.command {
        Some(Command::Mutants { seconds, seed, only }) => {
            hunt::<S>(Duration::from_secs(*seconds), *seed, only)
        }
        None => campaign::<S>(&arguments.runs, &arguments.subject),
    }
}

/// Runs seeds until something is wrong.
fn campaign<S: Subject>(runs: &Runs, subject: &str) -> ExitCode {
    let start = Instant::now();
    let count = runs.runs.unwrap_or(if runs.seconds.is_some() { u64::MAX } else { 1 });
    let mutant = match &runs.mutant {
        None => None,
        Some(name) => match S::MUTANTS.iter().find(|mutant| mutant.name == name) {
            Some(mutant) => Some(mutant.name),
            None => {
                eprintln!("no such mutant: {name}");
                return ExitCode::from(2);
            }
        },
    };
    let mut figures = Figures::default();
    let mut told = Instant::now();
    let watch = Watch::new();
    for seed in runs.seed..runs.seed.saturating_add(count) {
        if runs.seconds.is_some_and(|seconds| start.elapsed().as_secs() >= seconds) {
            break;
        }
        let case = case(runs, seed, mutant);
        watch.begin(&command(&case, subject));
        let outcome = simulate::<S>(&case);
        watch.end();
        figures += outcome.figures;
        if let Some(failure) = outcome.failure {
            report::<S>(&case, &failure, subject, Duration::from_secs(runs.shrink));
            println!("{}", figures.line(start.elapsed(), processor_time()));
            return ExitCode::FAILURE;
        }
        if told.elapsed().as_secs() >= 10 && !runs.json {
            told = Instant::now();
            eprintln!("seed {seed}: {}", figures.line(start.elapsed(), processor_time()));
        }
    }
    let took = start.elapsed();
    println!("{}", if runs.json { figures.json(took) } else { figures.line(took, processor_time()) });
    ExitCode::SUCCESS
}

/// Tells of a run that does not end: a subject that loops for ever cannot be stopped from within.
struct Watch(Arc<Mutex<Option<(Instant, String)>>>);

impl Watch {
    /// A run that takes longer ends everything.
    const LONGEST: Duration = Duration::from_secs(300);

    fn new() -> Self {
        let state = Arc::new(Mutex::new(None::<(Instant, String)>));
        let seen = Arc::clone(&state);
        std::thread::spawn(move || {
            loop {
                std::thread::sleep(Duration::from_secs(1));
                let Ok(run) = seen.lock() else { return };
                if let Some((start, command)) = &*run
                    && start.elapsed() > Self::LONGEST
                {
                    println!("WRONG: no end after {} s\n  again: {command}", Self::LONGEST.as_secs());
                    std::process::exit(1);
                }
            }
        });
        Self(state)
    }

    fn begin(&self, command: &str) {
        if let Ok(mut run) = self.0.lock() {
            *run = Some((Instant::now(), command.to_owned()));
        }
    }

    fn end(&self) {
        if let Ok(mut run) = self.0.lock() {
            *run = None;
        }
    }
}

/// The case of a seed.
fn case(runs: &Runs, seed: u64, mutant: Option<&'static str>) -> Case {
    let mode = runs.mode.unwrap_or(match seed % 10 {
        0..6 => Mode::Crash,
        6 | 7 => Mode::Errors,
        8 => Mode::Corrupt,
        _ => Mode::Exhaustive,
    });
    let mut case = Case::new(seed, mode);
    case.mutant = mutant;
    case.verbose = runs.verbose;
    case.keep.clone_from(&runs.keep);
    case.steps = runs.ops.unwrap_or(case.steps);
    case.largest = runs.largest.unwrap_or(case.largest);
    case.depth = runs.depth.unwrap_or(case.depth);
    case.bound = runs.bound.unwrap_or(case.bound);
    case
}

/// Tells what is wrong, with a trace that is as short as could be found.
fn report<S: Subject>(case: &Case, failure: &Failure, subject: &str, time: Duration) {
    println!("WRONG: seed {}, mode {}, step {}: {}", case.seed, case.mode, failure.step, failure.what);
    println!("  again: {}", command(case, subject));
    let case = &Case { verbose: false, ..case.clone() };
    println!("  looking for a shorter trace, for at most {} s of processor time ...", time.as_secs());
    let (case, failure) = shrink::<S>(case, failure, time);
    println!("shorter: step {}: {}", failure.step, failure.what);
    println!("  again: {}", command(&case, subject));
    let plan = case.plan();
    println!("  {:?}", plan.setup);
    println!("  order {:?}, depth {}, pace {}, faults {:?}", plan.order, plan.depth, plan.pace, plan.faults);
    for (number, step) in case.trace::<S>() {
        println!("  {number:>5}  {step}");
    }
}

/// The command that runs a case.
fn command(case: &Case, subject: &str) -> String {
    use std::fmt::Write as _;
    let mut text = format!(
        "sluice-sim --subject {subject} --seed {} --mode {} --ops {}",
        case.seed, case.mode, case.steps
    );
    if case.largest != u64::MAX {
        let _ = write!(text, " --largest {}", case.largest);
    }
    if case.depth != usize::MAX {
        let _ = write!(text, " --depth {}", case.depth);
    }
    if case.mode == Mode::Exhaustive {
        let _ = write!(text, " --bound {}", case.bound);
    }
    if let Some(mutant) = case.mutant {
        let _ = write!(text, " --mutant '{mutant}'");
    }
    if let Some(keep) = &case.keep {
        let _ = write!(text, " --keep '{keep}'");
    }
    text
}

/// Runs each mutant until it is found.
fn hunt<S: Subject>(budget: Duration, seed: u64, only: &str) -> ExitCode {
    let mut survivors = 0;
    println!("{:<36} {:<10} {:>6} {:>9}  found by", "mutant", "mode", "seeds", "seconds");
    for mutant in S::MUTANTS.iter().filter(|mutant| mutant.name.contains(only)) {
        let fate = mutants::hunt::<S>(*mutant, seed, budget);
        let found = match &fate.found {
            Some((seed, failure)) => {
                format!("seed {seed}: {}", failure.what.lines().next().unwrap_or_default())
            }
            None => {
                survivors += 1;
                "SURVIVED".to_owned()
            }
        };
        let seconds = fate.took.as_secs_f64();
        println!("{:<36} {:<10} {:>6} {seconds:>9.2}  {found}", fate.name, fate.mode.to_string(), fate.seeds);
    }
    if survivors == 0 {
        return ExitCode::SUCCESS;
    }
    println!("{survivors} survived");
    ExitCode::FAILURE
}
