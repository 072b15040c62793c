//! Each thread's IRQL.

use std::{
    cell::Cell,
    sync::{Mutex, PoisonError},
};

/// The IRQL of interrupts.
pub const DEVICE_LEVEL: u8 = 5;

thread_local! {
    static IRQL: Cell<u8> = const { Cell::new(0) };
}

static VIOLATIONS: Mutex<Vec<String>> = Mutex::new(Vec::new());

/// This thread's IRQL.
#[must_use]
pub fn current() -> u8 {
    IRQL.get()
}

pub(crate) fn set(irql: u8) -> u8 {
    IRQL.replace(irql)
}

/// Runs `what` at `irql`, which is not below the present one.
pub fn raised<R>(irql: u8, what: impl FnOnce() -> R) -> R {
    let before = current();
    if irql < before {
        violation(&format!("raised from {before} to {irql}"));
    }
    set(irql);
    let result = what();
    if current() != irql {
        violation(&format!("went in at {irql} and came out at {}", current()));
    }
    set(before);
    result
}

/// Notes that this thread's IRQL is above `most`, where `what` may not be done.
pub(crate) fn at_most(most: u8, what: &str) {
    if current() > most {
        violation(&format!("{what} at IRQL {}", current()));
    }
}

pub(crate) fn violation(text: &str) {
    VIOLATIONS.lock().unwrap_or_else(PoisonError::into_inner).push(text.to_owned());
}

/// What has broken the rules so far in this process; empties the list.
#[must_use]
pub fn violations() -> Vec<String> {
    std::mem::take(&mut VIOLATIONS.lock().unwrap_or_else(PoisonError::into_inner))
}
