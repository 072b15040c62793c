//! A shorter trace that still fails.

use std::time::Duration;

use crate::{
    clock::processor_time,
    simulate::{Case, Failure, Keep, simulate},
    subject::Subject,
};

/// Leaves out of a failing case what is not needed to make it fail, as far as `time` allows.
pub fn shrink<S: Subject>(case: &Case, failure: &Failure, time: Duration) -> (Case, Failure) {
    let end = processor_time() + time;
    let mut best = (case.clone(), failure.clone());
    let numbers = case.trace::<S>().into_iter().map(|(number, _)| number);
    let mut keep: Vec<usize> = numbers.filter(|number| *number <= failure.step).collect();
    attempt::<S>(&mut best, |case| case.keep = Some(Keep(keep.clone())));
    for depth in [1, 2, 4] {
        if attempt::<S>(&mut best, |case| case.depth = depth) {
            break;
        }
    }
    for largest in [4096, 64 << 10] {
        if attempt::<S>(&mut best, |case| case.largest = largest) {
            break;
        }
    }
    let mut chunk = keep.len().div_ceil(2);
    while chunk > 0 && processor_time() < end {
        let mut smaller = false;
        // The later first: fewer steps depend on them.
        let mut to = keep.len();
        while to > 0 && processor_time() < end {
            let from = to.saturating_sub(chunk);
            let mut fewer = keep.clone();
            fewer.drain(from..to);
            if attempt::<S>(&mut best, |case| case.keep = Some(Keep(fewer.clone()))) {
                fewer.retain(|number| *number <= best.1.step);
                keep = fewer;
                smaller = true;
            }
            to = from.min(keep.len());
        }
        if chunk == 1 && !smaller {
            break;
        }
        chunk = if chunk > 1 { chunk.div_ceil(2) } else { 1 };
    }
    attempt::<S>(&mut best, |case| case.keep = Some(Keep(keep.clone())));
    best
}

/// Takes the change, if the case still fails with it.
fn attempt<S: Subject>(best: &mut (Case, Failure), change: impl FnOnce(&mut Case)) -> bool {
    let mut case = best.0.clone();
    change(&mut case);
    match simulate::<S>(&case).failure {
        Some(failure) => {
            *best = (case, failure);
            true
        }
        None => false,
    }
}
