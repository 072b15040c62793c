//! How far long work has come. On standard error, and only if somebody is looking.

use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

use indicatif::{ProgressBar, ProgressStyle};

static SHOWN: AtomicBool = AtomicBool::new(true);

/// Whether progress is shown at all. A terminal is needed in any case.
pub(crate) fn show(shown: bool) {
    SHOWN.store(shown, Relaxed);
}

/// A bar of bytes with speed and time left.
pub(crate) fn bytes(total: u64, what: &'static str) -> ProgressBar {
    if !SHOWN.load(Relaxed) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total).with_message(what);
    if let Ok(style) = ProgressStyle::with_template(
        "{msg} {wide_bar} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta} left",
    ) {
        bar.set_style(style);
    }
    bar
}

/// A bar of things with time left.
pub(crate) fn items(total: u64, what: &'static str) -> ProgressBar {
    if !SHOWN.load(Relaxed) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(total).with_message(what);
    if let Ok(style) = ProgressStyle::with_template("{msg} {wide_bar} {pos}/{len} {eta} left") {
        bar.set_style(style);
    }
    bar
}

/// Something that takes a second or two.
pub(crate) fn spinner(what: &'static str) -> ProgressBar {
    if !SHOWN.load(Relaxed) {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new_spinner().with_message(what);
    bar.enable_steady_tick(std::time::Duration::from_millis(100));
    bar
}
