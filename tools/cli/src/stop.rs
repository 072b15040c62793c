//! Ctrl-C, for work that stops only where it may.

#[cfg(unix)]
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

/// From now on, being told to end is only remembered.
pub(crate) struct Stop {
    #[cfg(unix)]
    asked: Arc<AtomicBool>,
}

impl Stop {
    #[cfg(unix)]
    pub(crate) fn watch() -> Self {
        use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
        let asked = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            // If it cannot be watched for, it ends the program as ever, and that is a crash like others.
            let _ = signal_hook::flag::register(signal, Arc::clone(&asked));
        }
        Self { asked }
    }

    /// Elsewhere the program ends at once, as by a crash.
    #[cfg(not(unix))]
    pub(crate) fn watch() -> Self {
        Self {}
    }

    /// Whether somebody has asked.
    pub(crate) fn is_asked(&self) -> bool {
        #[cfg(unix)]
        return self.asked.load(Ordering::Relaxed);
        #[cfg(not(unix))]
        return false;
    }
}
