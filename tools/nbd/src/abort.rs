//! nbdkit 1.32 may abort when a client vanishes in the middle of what it is sent. `sluice serve` starts it again; but what
//! engines hold back in memory would be gone, and other clients not told.

use std::{
    io, ptr,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use signal_hook::{consts::SIGABRT, low_level};

use crate::soon::WHILE;

static UNDER_WAY: AtomicBool = AtomicBool::new(false);

/// An abort waits until what is held back has been written. Nobody is answered meanwhile, see [`answer_nobody`].
pub(crate) fn wait_for_writes() -> io::Result<()> {
    let moment = WHILE.saturating_mul(25);
    // SAFETY: an atomic is stored to, nanosleep is async-signal-safe (signal-safety(7)), its argument lives, and so is, by its
    // documentation, what then ends the process as if there were no handler. The other threads go on meanwhile, and so does
    // what writes.
    unsafe {
        low_level::register(SIGABRT, move || {
            UNDER_WAY.store(true, Ordering::SeqCst);
            let moment = libc::timespec { tv_sec: 0, tv_nsec: moment.subsec_nanos().into() };
            libc::nanosleep(&raw const moment, ptr::null_mut());
            // abort(3) would do that itself; a signal that somebody sends would be forgotten.
            let _ = low_level::emulate_default_handler(SIGABRT);
        })?;
    }
    Ok(())
}

/// Once an abort is under way this does not return: what is answered too late might not be written any more.
pub(crate) fn answer_nobody() {
    while UNDER_WAY.load(Ordering::SeqCst) {
        thread::park();
    }
}
