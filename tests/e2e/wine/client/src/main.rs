//! Drives the test disk driver: makes disks, copies images through the filter
//! under test, and breaks every rule that can be broken from above or below.
//! Prints one JSON object a line; see `report.rs`. Runs under Wine.

#[cfg(windows)]
mod commands;
#[cfg(windows)]
mod copy;
#[cfg(windows)]
mod device;
#[cfg(windows)]
mod disk;
#[cfg(windows)]
mod driver;
#[cfg(windows)]
mod interface;
#[cfg(windows)]
mod load;
#[cfg(windows)]
mod report;
#[cfg(windows)]
mod service;
#[cfg(windows)]
mod stage;
#[cfg(windows)]
mod starve;
#[cfg(windows)]
mod suites;

#[cfg(windows)]
fn main() {
    commands::run(&std::env::args().skip(1).collect::<Vec<_>>());
}

#[cfg(not(windows))]
fn main() {
    eprintln!("e2e-client is a Windows program: it runs under Wine");
    std::process::exit(2);
}
