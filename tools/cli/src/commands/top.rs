//! `sluice top`: what served volumes do, live on a terminal, as JSON for programs, or as text for Prometheus.
//!
//! ```text
//!   collect     snapshots of every server, or of the Windows driver
//!   rates       what happened between two of them
//!   view        how that is shown; terminal: keys, and the screen
//!   prometheus  a snapshot as metrics
//! ```

mod collect;
mod prometheus;
mod rates;
mod terminal;
mod view;

use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    thread,
};

use serde_json::json;
use sluice_statistics::Snapshot;

use crate::{args::Top, failure::Failure, output::Report};

use self::{collect::Collected, rates::Rates};

pub(crate) fn run(args: &Top, json: bool) -> Result<Report, Failure> {
    if args.prometheus {
        let text = prometheus::text(&collect::now()?);
        return said(write!(io::stdout(), "{text}"));
    }
    if json {
        return said(lines(args)?);
    }
    if !io::stdout().is_terminal() {
        return Err(Failure::NoTerminal);
    }
    terminal::run(args)?;
    Ok(Report::said())
}

/// Every server that answers.
pub(super) fn servers() -> Result<Vec<Snapshot>, Failure> {
    collect::now().map(|collected| collected.servers)
}

fn said(written: io::Result<()>) -> Result<Report, Failure> {
    match written {
        // A reader that has gone is no failure of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("write to", Path::new("standard output"), error))
        }
        _ => Ok(Report::said()),
    }
}

/// One line for each interval.
fn lines(args: &Top) -> Result<io::Result<()>, Failure> {
    let mut before = collect::now()?;
    for _ in 0..args.count {
        thread::sleep(args.interval());
        let now = collect::now()?;
        if let Err(error) = writeln!(io::stdout(), "{}", object(&before, &now)) {
            return Ok(Err(error));
        }
        before = now;
    }
    Ok(Ok(()))
}

/// Everything that was told, and what happened since `before`.
fn object(before: &Collected, now: &Collected) -> serde_json::Value {
    let servers = now.servers.iter().map(|server| {
        json!({"pid": server.pid, "uptime_ns": server.uptime_ns, "resident_bytes": server.resident_bytes})
    });
    let volumes = now.servers.iter().flat_map(|server| {
        server.volumes.iter().map(|volume| {
            let mut object = json!(volume);
            object["pid"] = json!(server.pid);
            object["rates"] = json!(Rates::of(before, server, volume));
            object
        })
    });
    json!({
        "ok": true,
        "command": "top",
        "version": sluice_statistics::VERSION,
        "servers": servers.collect::<Vec<_>>(),
        "volumes": volumes.collect::<Vec<_>>(),
        "stale": now.stale,
        "problems": now.problems,
    })
}
