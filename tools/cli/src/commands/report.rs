//! `sluice report`: a page about a volume, for people: where its space goes, and how fast it is served.
//!
//! ```text
//!   facts   what there is to say, from the volume's structures, a server, or a record of `sluice top --json`
//!   page    how it is said; charts: pictures of numbers
//! ```
//!
//! The page is one file that asks for nothing: style and pictures are in it, there is no script, and its own policy forbids
//! the browser everything else. All text passes maud, which escapes it.

mod charts;
mod facts;
mod page;

use std::{
    fs::OpenOptions,
    io::{self, Write},
    path::Path,
};

use serde_json::json;

use crate::{
    args::Report as Args,
    failure::Failure,
    output::{Report, size},
};

pub(crate) fn run(args: &Args) -> Result<Report, Failure> {
    let facts = facts::gather(args)?;
    let html = page::page(&facts).into_string();
    let json = json!({"bytes": html.len(), "output": args.output, "served": facts.served});
    let Some(path) = &args.output else {
        return match io::stdout().write_all(html.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
                Err(Failure::io("write to", Path::new("standard output"), error))
            }
            _ => Ok(Report::new("", json)),
        };
    };
    let made = OpenOptions::new().write(true).create_new(true).open(path);
    let mut file = made.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => Failure::Exists { path: path.clone() },
        _ => Failure::Open { path: path.clone(), source },
    })?;
    let written = file.write_all(html.as_bytes()).and_then(|()| file.sync_all());
    if let Err(error) = written {
        // Half a page is of no use.
        let _ = std::fs::remove_file(path);
        return Err(Failure::io("write to", path, error));
    }
    Ok(Report::new(format!("{}: {}", path.display(), size(html.len() as u64)), json))
}
