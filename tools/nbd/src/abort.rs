//! nbdkit 1.32 may abort when a client vanishes in the middle of what it is sent. `sluice serve` starts it again; but what
//! engines hold back in memory would be gone, and other clients not told.

use std::{io, ptr};

use signal_hook::{consts::SIGABRT, low_level};

use crate::soon::WHILE;

/// An abort waits until what is held back has been written.
pub(crate) fn wait_for_writes() -> io::Result<()> {
    let moment = WHILE.saturating_mul(25);
    // SAFETY: nanosleep is async-signal-safe (signal-safety(7)), its argument lives, and nothing else is done. The other
    // threads go on meanwhile, and so does what writes. Then abort(3) goes on, as after any handler that returns.
    unsafe {
        low_level::register(SIGABRT, move || {
            let moment = libc::timespec { tv_sec: 0, tv_nsec: moment.subsec_nanos().into() };
            libc::nanosleep(&raw const moment, ptr::null_mut());
        })?;
    }
    Ok(())
}
