//! Processor time: what this process has had of the machine, however many others share it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Since the process began.
pub fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), time.tv_nsec as u32)
}
