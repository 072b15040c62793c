//! Each thread's IRQL, and who looks on.

use std::{
    cell::{Cell, RefCell},
    sync::{Mutex, OnceLock, PoisonError},
};

use sluice_shim::platform::LockWord;
use sluice_user_host::Watch;

/// The IRQL of interrupts.
pub const DEVICE_LEVEL: u8 = 5;

thread_local! {
    static IRQL: Cell<u8> = const { Cell::new(0) };
}

static WATCH: OnceLock<&'static dyn Watch> = OnceLock::new();

thread_local! {
    /// Locks that this thread has, and what the one who looks on said of its IRQL before each.
    static BEFORE: RefCell<Vec<(usize, u8)>> = const { RefCell::new(Vec::new()) };
}

/// Has `watch` told of every lock, every change of IRQL and every call out of a port in this process. Before the first
/// adapter, and once: the first one stays. `tests/checker` has the rules that it can apply.
pub fn watch(watch: &'static dyn Watch) {
    let _ = WATCH.set(watch);
}

/// Who looks on.
pub(crate) fn watcher() -> Option<&'static dyn Watch> {
    WATCH.get().copied()
}

/// A lock is taken, which `wait` waits for.
pub(crate) fn taking(lock: &LockWord, wait: impl FnOnce()) {
    let Some(watch) = watcher() else { return wait() };
    watch.acquires(lock);
    let before = watch.raise();
    wait();
    watch.acquired(lock);
    BEFORE.with_borrow_mut(|held| held.push((std::ptr::from_ref(lock).addr(), before)));
}

/// And given back, which `free` does.
pub(crate) fn giving(lock: &LockWord, free: impl FnOnce()) {
    let Some(watch) = watcher() else { return free() };
    watch.releases(lock);
    free();
    let before = BEFORE.with_borrow_mut(|held| {
        let at = held.iter().rposition(|(other, _)| *other == std::ptr::from_ref(lock).addr())?;
        Some(held.remove(at).1)
    });
    if let Some(before) = before {
        watch.lower(before);
    }
}

/// Something of the port's that calls its miniport, at PASSIVE_LEVEL or (in a DPC) above: no lock may be left over.
pub(crate) fn outside<R>(is_dpc: bool, what: impl FnOnce() -> R) -> R {
    let Some(watch) = watcher() else { return what() };
    let before = is_dpc.then(|| watch.raise());
    let result = what();
    watch.crosses();
    if let Some(before) = before {
        watch.lower(before);
    }
    result
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
