//! The simulator, proven on a volume that is right, and on the same volume with a mistake.

use std::time::Duration;

use sluice_sim::{
    mutants,
    plan::Mode,
    shrink::shrink,
    simulate::{Case, Keep, simulate},
    straw::Straw,
    subject::Subject,
};

/// Runs seeds, and returns the sums.
fn run(mode: Mode, seeds: std::ops::Range<u64>) -> sluice_sim::figures::Figures {
    let mut figures = sluice_sim::figures::Figures::default();
    for seed in seeds {
        let outcome = simulate::<Straw>(&Case::new(seed, mode));
        assert!(outcome.failure.is_none(), "seed {seed}, mode {mode}: {:?}", outcome.failure);
        figures += outcome.figures;
    }
    figures
}

#[test]
fn a_right_volume_survives_crashes() {
    let figures = run(Mode::Crash, 0..20);
    assert!(figures.crashes > 300 && figures.nested > 30 && figures.checks > 50, "{figures:?}");
}

#[test]
fn a_right_volume_survives_errors() {
    let figures = run(Mode::Errors, 0..20);
    assert!(figures.io_errors > 100 && figures.failed > 10, "{figures:?}");
}

#[test]
fn a_right_volume_reports_corruption() {
    let figures = run(Mode::Corrupt, 0..20);
    assert!(figures.corruptions > 20 && figures.damaged + figures.refused > 5, "{figures:?}");
}

#[test]
fn a_right_volume_survives_every_crash() {
    let figures = run(Mode::Exhaustive, 0..10);
    assert!(figures.crashes > 2000, "{figures:?}");
}

#[test]
fn every_mistake_is_found() {
    for mutant in Straw::MUTANTS {
        let fate = mutants::hunt::<Straw>(*mutant, 1, Duration::from_secs(30));
        assert!(fate.found.is_some(), "{} survived {} seeds", fate.name, fate.seeds);
    }
}

#[test]
fn one_seed_is_one_run() {
    let case = Case { mutant: Some("writes out of order"), ..Case::new(2, Mode::Crash) };
    let outcomes: Vec<_> = (0..2).map(|_| format!("{:?}", simulate::<Straw>(&case))).collect();
    assert_eq!(outcomes[0], outcomes[1]);
}

#[test]
fn a_trace_is_shrunk_and_still_fails() {
    let case = Case { mutant: Some("acknowledges a flush at once"), ..Case::new(2, Mode::Crash) };
    let failure = simulate::<Straw>(&case).failure.expect("the mutant is found");
    let (shorter, _) = shrink::<Straw>(&case, &failure, Duration::from_secs(5));
    assert!(simulate::<Straw>(&shorter).failure.is_some());
    let steps = shorter.trace::<Straw>().len();
    assert!(steps <= 10, "{steps} steps");
}

#[test]
fn steps_to_keep_are_read_as_written() {
    let keep = Keep(vec![0, 1, 2, 3, 7, 9, 10]);
    assert_eq!(keep.to_string(), "0-3,7,9-10");
    assert_eq!("0-3,7,9-10".parse(), Ok(keep));
    assert_eq!("".parse(), Ok(Keep(Vec::new())));
}
