//! `sluice serve`: unlocked volumes as network block devices, by nbdkit and our plugin (`tools/nbd`).
//!
//! nbdkit is a child: it gets the images, with their locks, and the keys by descriptors, and is told to end when we are.
//! If it aborts, it is started again.

use crate::{args::Serve, failure::Failure, output::Report};

#[cfg(unix)]
#[path = "serve/unix.rs"]
pub(super) mod system;

#[cfg(unix)]
pub(crate) fn run(args: &Serve, json: bool) -> Result<Report, Failure> {
    system::run(args, json)
}

/// There is no nbdkit.
#[cfg(not(unix))]
pub(crate) fn run(_args: &Serve, _json: bool) -> Result<Report, Failure> {
    Err(Failure::NoServer { what: "nbdkit does not run on this system".into() })
}
