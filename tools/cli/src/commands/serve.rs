//! `sluice serve`: an unlocked volume as a network block device, by nbdkit and our plugin (`tools/nbd`).
//!
//! nbdkit is a child: it gets the image, with its lock, and the volume's key by descriptors, and is told to end when we are.

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
