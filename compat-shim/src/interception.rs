//! The two interception points. Every I/O of a unit passes both, and nothing else in Sluice calls a chain.
//!
//! ```text
//!   Unit::submit ──► ① dispatch ──► chain.request ──► miniport's HwStartIo
//!                                                             │
//!   Host::finish ◄── ② complete ◄── chain.completion ◄── RequestComplete, then the DPC
//! ```

use core::ptr::NonNull;

use sluice_chain::{Chain, Direction, Io, Outcome, Status, Verdict};

use crate::{
    request::{Owned, Request},
    unit::Unit,
};

/// ① The context for calling the miniport is set up: the chain sees the request, then the SRB is made.
#[inline]
pub(crate) fn dispatch(unit: &Unit, mut request: Owned) {
    let io = request.io();
    let bytes = payload_bytes(io);
    request.started = unit.now();
    unit.dispatched(bytes);
    if request.io().status != Status::OK {
        return unit.adapter().defer(request);
    }
    let outcome = unit.chain().request(request.io());
    went_down(unit, request, outcome);
}

/// ② The miniport has handed the result back: the chain sees it, then the caller has it.
pub(crate) fn complete(unit: &Unit, mut request: Owned) {
    let outcome = unit.chain().completion(request.io());
    went_up(unit, request, outcome);
}

/// A stage gives back an I/O that it kept. For [`sluice_chain::abi::HostTable::resume`]. Up to DISPATCH_LEVEL.
///
/// # Safety
/// As the table says: at most once for each `PENDING`, with the I/O that was kept.
pub unsafe extern "C" fn resume(io: *mut Io, verdict: Verdict) {
    let Some(io) = NonNull::new(io) else { return };
    // SAFETY: the caller's contract.
    if !unsafe { Chain::take_back(io.as_ptr(), verdict) } {
        return; // the stage's function has not returned: `dispatch` or `complete` goes on when it does
    }
    // SAFETY: an `Io` that a stage kept is the first field of a request that the shim gave to the chain; by
    // answering PENDING the chain gave up the ownership that is taken up here. The unit outlives its requests.
    let (unit, mut request) = unsafe {
        let request = Owned::taken(io.cast::<Request>());
        (&*request.unit, request)
    };
    let going_down = Chain::is_going_down(request.io());
    let outcome = unit.chain().resume(request.io(), verdict);
    if going_down { went_down(unit, request, outcome) } else { went_up(unit, request, outcome) }
}

fn went_down(unit: &Unit, mut request: Owned, outcome: Outcome) {
    match outcome {
        Outcome::Through => match request.build_srb(unit) {
            Ok(()) => unit.adapter().start_io(request),
            Err(status) => {
                request.io().status = status;
                unit.adapter().defer(request);
            }
        },
        Outcome::Ended => {
            let io = request.io();
            if io.status == Status::OK {
                io.transferred = payload_bytes(io) as u32; // the stage has done all of it
            }
            // Up by way of the DPC, not from here: in a queue of such requests each would start the next.
            unit.adapter().defer(request);
        }
        Outcome::Pending => request.forget(),
    }
}

#[inline]
fn went_up(unit: &Unit, mut request: Owned, outcome: Outcome) {
    if outcome == Outcome::Pending {
        return request.forget();
    }
    let (failed, elapsed) = (request.io().status != Status::OK, unit.now().saturating_sub(request.started));
    let bytes = payload_bytes(request.io());
    unit.completed(bytes, failed, elapsed);
    unit.finish(request);
}

fn payload_bytes(io: &Io) -> u64 {
    if matches!(io.direction, Direction::READ | Direction::WRITE) { u64::from(io.length) } else { 0 }
}
