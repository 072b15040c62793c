//! A stage answers *pending* from one thread and resumes from another, and either may be first.
//!
//! ```text
//!   the stage's function returns PENDING   none ──► KEPT      the chain lets go of the I/O
//!   resume                                 KEPT ──► none      and whoever resumes goes on with it
//!
//!   resume, before the function returned   none ──► answer    nothing yet
//!   the function returns PENDING         answer ──► none      and the chain goes on with it
//! ```
//!
//! So an I/O is never finished while a function of the stage that has it is still running, and when no I/O is inside
//! a chain, no thread is inside a stage: it can be taken out and its code unloaded. For a stage that does not answer
//! *pending* all this costs nothing.

use core::sync::atomic::{AtomicU32, Ordering};

use crate::abi::{Io, Verdict};

const NONE: u32 = 0;
const KEPT: u32 = 1;
/// Above it: the verdict that came with `resume`.
const ANSWER: u32 = 2;

/// Before a stage has the I/O: what another gave back that it had not kept is no answer of this one's.
#[inline]
pub(crate) fn begin(io: &Io) {
    io.handshake.store(NONE, Ordering::Relaxed);
}

/// What a stage has answered in the end; `None` if the I/O is its own now, and may be gone.
#[inline]
pub(crate) fn settle(io: &Io, verdict: Verdict) -> Option<Verdict> {
    if verdict != Verdict::PENDING {
        return Some(verdict);
    }
    let exchange = io.handshake.compare_exchange(NONE, KEPT, Ordering::AcqRel, Ordering::Acquire);
    let answer = exchange.err()?;
    Some(Verdict(answer.wrapping_sub(ANSWER)))
}

/// Whether the I/O is the caller's now, who resumes it.
pub(crate) fn take_back(handshake: &AtomicU32, verdict: Verdict) -> bool {
    // One that cannot be stored is none that means anything.
    let answer = ANSWER + verdict.0.min(u32::MAX - ANSWER);
    match handshake.compare_exchange(NONE, answer, Ordering::AcqRel, Ordering::Acquire) {
        // Of two who give it back at once, one goes on with it.
        Err(KEPT) => handshake.compare_exchange(KEPT, NONE, Ordering::Acquire, Ordering::Relaxed).is_ok(),
        _ => false,
    }
}
