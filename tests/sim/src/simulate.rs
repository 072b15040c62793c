//! A seed, from its plan to its verdict.

use std::{
    backtrace::Backtrace,
    cell::{Cell, RefCell},
    fmt,
    panic::{self, AssertUnwindSafe},
    str::FromStr,
    sync::Once,
};

use crate::{
    figures::Figures,
    plan::{Mode, Plan},
    run::{Run, Stop},
    subject::Subject,
    workload::{self, Step},
};

/// What to run. Equal cases have equal outcomes.
#[derive(Clone, Debug)]
pub struct Case {
    /// The seed.
    pub seed: u64,
    /// The mode.
    pub mode: Mode,
    /// Steps of the trace.
    pub steps: usize,
    /// Of these, the ones to do; `None` is all.
    pub keep: Option<Keep>,
    /// Most bytes of a request.
    pub largest: u64,
    /// Most requests outstanding.
    pub depth: usize,
    /// In [`Mode::Exhaustive`], how many pending writes land in every combination.
    pub bound: u32,
    /// The deliberate mistake.
    pub mutant: Option<&'static str>,
    /// Print everything that happens.
    pub verbose: bool,
}

impl Case {
    /// A case with nothing left out.
    pub fn new(seed: u64, mode: Mode) -> Self {
        let steps = if mode == Mode::Exhaustive { 30 } else { 600 };
        Self {
            seed,
            mode,
            steps,
            keep: None,
            largest: u64::MAX,
            depth: usize::MAX,
            bound: 3,
            mutant: None,
            verbose: false,
        }
    }

    /// Its plan.
    pub fn plan(&self) -> Plan {
        let mut plan = Plan::new(self.seed, self.mode);
        plan.depth = plan.depth.min(self.depth);
        plan.setup.mutant = self.mutant;
        plan
    }

    /// Its trace, with the steps' numbers.
    pub fn trace<S: Subject>(&self) -> Vec<(usize, Step)> {
        let setup = self.plan().setup;
        let times = if S::GROWS { 4 } else { 0 };
        let sizes: Vec<u64> = (0..=times).map(|times| S::volume_size(&setup.grown(times))).collect();
        let all = workload::trace(self.seed, self.mode, &sizes, S::rekeys(&setup), self.steps);
        let kept =
            |(number, _): &(usize, Step)| self.keep.as_ref().is_none_or(|keep| keep.0.contains(number));
        all.into_iter().enumerate().filter(kept).map(|(number, step)| (number, self.limit(step))).collect()
    }

    /// A step, no larger than the limit.
    fn limit(&self, mut step: Step) -> Step {
        match &mut step {
            Step::Read { length, .. } | Step::Write { length, .. } => {
                *length = u64::from(*length).min(self.largest) as u32;
            }
            Step::Discard { length, .. } => *length = (*length).min(self.largest),
            _ => {}
        }
        step
    }
}

/// The steps to do, ascending: `0-3,7`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keep(pub Vec<usize>);

impl fmt::Display for Keep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, run) in self.0.chunk_by(|a, b| a + 1 == *b).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            match run {
                [first, .., last] => write!(f, "{comma}{first}-{last}")?,
                _ => write!(f, "{comma}{}", run[0])?,
            }
        }
        Ok(())
    }
}

impl FromStr for Keep {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut steps = Vec::new();
        for part in text.split(',').filter(|part| !part.is_empty()) {
            let (first, last) = part.split_once('-').unwrap_or((part, part));
            let (first, last): (usize, usize) = (first.parse()?, last.parse()?);
            steps.extend(first..=last);
        }
        Ok(Self(steps))
    }
}

/// What a subject did wrong.
#[derive(Clone, Debug)]
pub struct Failure {
    /// What.
    pub what: String,
    /// At which step.
    pub step: usize,
}

/// How a run ended.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What was done.
    pub figures: Figures,
    /// What was wrong, if anything.
    pub failure: Option<Failure>,
}

/// Runs a case. A subject that panics is wrong.
pub fn simulate<S: Subject>(case: &Case) -> Outcome {
    let trace = case.trace::<S>();
    let mut run = Run::<S>::new(case.seed, case.plan(), case.mode, case.bound);
    run.verbose = case.verbose;
    let result = catch(|| run.go(case.seed, &trace));
    let step = run.step;
    let failure = match result {
        Ok(Ok(()) | Err(Stop::Refused)) => None,
        Ok(Err(Stop::Wrong(what))) => Some(Failure { what, step }),
        Err(panic) => Some(Failure { what: format!("panic: {panic}"), step }),
    };
    Outcome { figures: run.finish(), failure }
}

thread_local! {
    /// Inside [`catch`], what a panic said, and where.
    static PANIC: RefCell<Option<String>> = const { RefCell::new(None) };
    /// Whether this thread is inside [`catch`].
    static CATCHING: Cell<bool> = const { Cell::new(false) };
}

/// The frames of a stack that are the subject's.
fn subjects_frames(stack: &str) -> String {
    let lines: Vec<&str> = stack.lines().collect();
    let pairs =
        lines.windows(2).filter(|pair| pair[0].contains("sluice_") && !pair[0].contains("sluice_sim"));
    pairs.map(|pair| format!("\n    {} {}", pair[0].trim(), pair[1].trim())).collect()
}

/// Calls `what`; a panic in it becomes an error with its message and place, and is not printed. With `RUST_BACKTRACE`
/// set, the error has the stack as well, without the simulator's frames.
fn catch<T>(what: impl FnOnce() -> T) -> Result<T, String> {
    static HOOK: Once = Once::new();
    HOOK.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            if !CATCHING.get() {
                return before(info);
            }
            let stack = subjects_frames(&Backtrace::capture().to_string());
            PANIC.with_borrow_mut(|text| {
                // A second panic, in a destructor, tells less than the first.
                text.get_or_insert_with(|| format!("{info}{stack}"));
            });
        }));
    });
    CATCHING.set(true);
    let result = panic::catch_unwind(AssertUnwindSafe(what));
    CATCHING.set(false);
    let text = PANIC.take();
    result.map_err(|_| text.unwrap_or_default())
}
