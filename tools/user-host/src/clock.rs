//! A monotonic clock for statistics: two look-ups per I/O, so it must cost next to nothing.
//!
//! Where the processor has a time stamp counter that neither stops nor changes its rate (CPUID 8000_0007h, EDX
//! bit 8, "invariant TSC"), the counter is scaled to nanoseconds; elsewhere the system's clock is asked. The
//! scale is measured once, over a few milliseconds, so durations are right to about one in ten thousand.

use std::{
    sync::{
        Once, OnceLock,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Instant,
};

/// Nanoseconds per 2^32 ticks; 0 while there is no counter to be trusted.
static SCALE: AtomicU64 = AtomicU64::new(0);

/// Measures the counter's rate, the first time it is called. Takes a few milliseconds.
pub fn start() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        origin();
        SCALE.store(counter::scale().unwrap_or(0), Relaxed);
    });
}

/// Nanoseconds since some moment in this process's past. In the shape that stages are given
/// ([`sluice_chain::abi::HostTable::now`]).
pub extern "C" fn now() -> u64 {
    let scale = SCALE.load(Relaxed);
    if scale == 0 {
        return origin().elapsed().as_nanos() as u64;
    }
    ((u128::from(counter::ticks()) * u128::from(scale)) >> 32) as u64
}

fn origin() -> Instant {
    static ORIGIN: OnceLock<Instant> = OnceLock::new();
    *ORIGIN.get_or_init(Instant::now)
}

#[cfg(target_arch = "x86_64")]
mod counter {
    use std::{
        arch::x86_64::{__cpuid, _rdtsc},
        time::{Duration, Instant},
    };

    pub(super) fn ticks() -> u64 {
        // SAFETY: every x86-64 processor has the instruction, and no system we run on forbids it.
        unsafe { _rdtsc() }
    }

    pub(super) fn scale() -> Option<u64> {
        if !invariant() {
            return None;
        }
        let (first, began) = (ticks(), Instant::now());
        std::thread::sleep(Duration::from_millis(5));
        let (ticks, elapsed) = (ticks().checked_sub(first)?, began.elapsed().as_nanos());
        if ticks == 0 {
            return None;
        }
        u64::try_from((elapsed << 32) / u128::from(ticks)).ok()
    }

    #[allow(unused_unsafe, reason = "safe in some versions of the compiler")]
    fn invariant() -> bool {
        // SAFETY: every x86-64 processor has the instruction.
        unsafe { __cpuid(0x8000_0000).eax >= 0x8000_0007 && __cpuid(0x8000_0007).edx >> 8 & 1 == 1 }
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod counter {
    pub(super) fn ticks() -> u64 {
        0
    }

    pub(super) fn scale() -> Option<u64> {
        None
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    #[test]
    fn it_keeps_pace_with_the_systems_clock() {
        super::start();
        let (began, first) = (Instant::now(), super::now());
        std::thread::sleep(Duration::from_millis(50));
        let (elapsed, ours) = (began.elapsed().as_nanos() as u64, super::now() - first);
        assert!(ours.abs_diff(elapsed) < elapsed / 20, "{ours} ns by our clock, {elapsed} by the system's");
    }
}
