//! Does the simulator bite? Each deliberate mistake must be found.

use std::time::Duration;

use crate::{
    clock::processor_time,
    plan::Mode,
    simulate::{Case, Failure, simulate},
    subject::{Mutant, Subject},
};

/// What became of a mutant.
#[derive(Clone, Debug)]
pub struct Fate {
    /// Which.
    pub name: &'static str,
    /// In which mode it ran.
    pub mode: Mode,
    /// Seeds that were run.
    pub seeds: u64,
    /// The seed that found it, and what it found. `None`: it survived.
    pub found: Option<(u64, Failure)>,
    /// Processor time that it took.
    pub took: Duration,
}

/// Runs seeds from `first` on until the mutant is found, or `budget` of processor time is over: the
/// same machine, busy or not, runs the same seeds.
pub fn hunt<S: Subject>(mutant: Mutant, first: u64, budget: Duration) -> Fate {
    let start = processor_time();
    let Mutant { name, mode } = mutant;
    let mut seeds = 0;
    let mut found = None;
    while found.is_none() && (seeds == 0 || processor_time() - start < budget) {
        let seed = first + seeds;
        let case = Case { mutant: Some(name), ..Case::new(seed, mode) };
        found = simulate::<S>(&case).failure.map(|failure| (seed, failure));
        seeds += 1;
    }
    Fate { name, mode, seeds, found, took: processor_time() - start }
}
