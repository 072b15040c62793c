//! One file for each command.

mod bench;
mod cat;
mod change;
mod check;
mod compact;
mod convert;
mod dump;
mod format;
mod header;
mod info;
mod key;
mod lock;
pub(crate) mod mount;
mod report;
mod serve;
mod status;
mod top;
mod unlock;

#[cfg(unix)]
pub(crate) use bench::Contestant;

use crate::{
    args::{Args, Command},
    failure::Failure,
    output::Report,
};

/// Carries out what was typed.
pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    match &args.command {
        Command::Format(args) => format::run(args),
        Command::Info(args) => info::run(args),
        Command::Check(args) => check::run(args),
        Command::Grow(args) => change::grow(args),
        Command::Compact(args) => compact::run(args),
        Command::Serve(serve) => serve::run(serve, args.json),
        Command::Bench(args) => bench::run(args),
        Command::Mount(args) => mount::mount(args),
        Command::Unmount(args) => mount::unmount(args),
        Command::Top(top) => top::run(top, args.json),
        Command::Report(args) => report::run(args),
        Command::Set(args) => change::set(args),
        Command::Cat(args) => cat::run(args),
        Command::Convert(args) => convert::run(args),
        Command::Dump(dump) => dump::run(dump, args.json),
        Command::Key(args) => key::run(args),
        Command::Header(args) => header::run(args),
        Command::Unlock(args) => unlock::run(args),
        Command::Lock(args) => lock::run(args),
        Command::Status => status::run(),
    }
}
