//! `sluice`: makes Sluice volumes, opens them, looks after their keys, reads them on any system.
//!
//! ```text
//!   args      what may be typed
//!   commands  one file each
//!   image     a volume on a file or block device: found, locked against others, changed safely
//!   mapped    a mapped volume on it
//!   plain     what a volume of either kind holds, decrypted
//!   convert   a disk that is encrypted or decrypted where it lies
//!   secret    passphrases, key files, recovery codes; the cost of trying them
//!   driver    the control device of the Windows driver
//!   output    people's words or JSON
//!   failure   every way to fail: what happened, what to do, exit code
//! ```
#![forbid(unsafe_op_in_unsafe_fn)]

mod args;
mod commands;
mod convert;
mod driver;
mod failure;
mod image;
mod mapped;
mod output;
mod plain;
mod progress;
mod secret;
mod stop;
mod volumes;

use std::process::ExitCode;

use clap::Parser;

/// Has the system save nothing of us when we crash, nor of nbdkit when it does: there are keys.
fn keep_no_memory() {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, setrlimit};
        // To have less is always allowed.
        let _ = setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) });
    }
}

fn main() -> ExitCode {
    let args = match args::Args::try_parse() {
        Ok(args) => args,
        Err(error) => return output::misused(&error),
    };
    keep_no_memory();
    progress::show(!args.quiet && !args.json);
    let result = commands::run(&args);
    output::finish(&args, result)
}
