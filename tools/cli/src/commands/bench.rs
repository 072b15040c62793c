//! `sluice bench`: this build beside others that do one of the same things, in one run.
//!
//! ```text
//!   contestants  what is measured: ours, and those of others that are installed
//!   server       one of them, running: what it takes of processor and memory
//!   client       fio's NBD engine, the same for all of them
//!   parts        the cipher and the compressor alone, beside `openssl speed` and `zstd -b`
//!   results      rounds, medians and ratios, as a table and as JSON
//!   plot         the same as a picture
//! ```

use crate::{args::Bench, failure::Failure, output::Report};

#[cfg(unix)]
mod client;
#[cfg(unix)]
mod contestants;
#[cfg(unix)]
mod machine;
#[cfg(unix)]
mod parts;
#[cfg(unix)]
mod plot;
#[cfg(unix)]
mod results;
#[cfg(unix)]
mod rounds;
#[cfg(unix)]
mod server;

#[cfg(unix)]
pub(crate) use contestants::Contestant;

#[cfg(unix)]
pub(crate) fn run(args: &Bench) -> Result<Report, Failure> {
    rounds::run(args)
}

/// What is measured is `sluice serve`.
#[cfg(not(unix))]
pub(crate) fn run(_args: &Bench) -> Result<Report, Failure> {
    Err(Failure::Bench { what: "it measures `sluice serve`, which does not run on this system".into() })
}
