//! One session with the drivers loaded, and the Win64 client's subcommands in it.

use std::{path::Path, time::Duration};

use serde_json::Value;

use crate::{
    Error, Result,
    bench::{Bench, windows_path},
    report::Report,
    wine::Prefix,
};

/// How long any one subcommand may take.
const LIMIT: Duration = Duration::from_secs(180);
/// The same for the one that lives through hundreds of lives.
const LONG_LIMIT: Duration = Duration::from_secs(3600);

/// A running kernel host with the test driver started.
pub(crate) struct Session<'b> {
    pub(crate) bench: &'b Bench,
    pub(crate) prefix: Prefix,
}

/// How a disk is made.
#[derive(Clone, Copy)]
pub(crate) struct Shape {
    pub(crate) sector: u32,
    pub(crate) filter: bool,
    /// The adapter takes SCSI_REQUEST_BLOCK only.
    pub(crate) legacy: bool,
    pub(crate) read_only: bool,
    /// The filter writes on its own account: a mapped volume.
    pub(crate) own_writes: bool,
    pub(crate) unmap: Unmap,
    /// Bytes.
    pub(crate) max_transfer: u32,
}

/// What the disk takes of UNMAP.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unmap {
    /// As much as most disks.
    Usual,
    /// Less in one command than a segment has.
    Short,
    /// None, as it says.
    None,
}

impl Shape {
    pub(crate) const USUAL: Shape = Shape {
        sector: 512,
        filter: true,
        legacy: false,
        read_only: false,
        own_writes: false,
        unmap: Unmap::Usual,
        max_transfer: 131_072,
    };
}

/// A disk in a session.
#[derive(Clone, Copy)]
pub(crate) struct Disk {
    number: u64,
    sector: u32,
    legacy: bool,
    /// Bytes, as READ CAPACITY at the top of the stack says.
    pub(crate) capacity: u64,
}

impl<'b> Session<'b> {
    /// A fresh prefix; services installed, the test driver started.
    pub(crate) fn start(bench: &'b Bench, report: &mut Report) -> Result<Session<'b>> {
        let session = Session { bench, prefix: bench.prefix()? };
        session.call(report, "install", &["drivers=C:\\drv".into()])?;
        Ok(session)
    }

    /// Runs a subcommand: its checks go into the report, its last result is returned.
    pub(crate) fn call(&self, report: &mut Report, command: &str, args: &[String]) -> Result<Value> {
        let mut all = vec![command.to_owned()];
        all.extend_from_slice(args);
        let (mut result, mut fatal, mut strange) = (Value::Null, None, Vec::new());
        let limit =
            if command == "starve" || args.iter().any(|a| a == "suite=starve") { LONG_LIMIT } else { LIMIT };
        let end = self.prefix.run("C:\\drv\\e2e-client.exe", &all, limit, |line| {
            let Ok(v) = serde_json::from_str::<Value>(line) else {
                strange.push(line.to_owned());
                return;
            };
            if let Some(name) = v["check"].as_str() {
                report.check(name, v["ok"] == true, v["detail"].as_str().unwrap_or(""));
            } else if let Some(what) = v["progress"].as_str() {
                report.progress(what, v["done"].as_u64().unwrap_or(0), v["total"].as_u64().unwrap_or(0));
            } else if let Some(why) = v["fatal"].as_str() {
                fatal = Some(why.to_owned());
            } else {
                result = v["result"].clone();
            }
        })?;
        let what = format!("e2e-client {}", all.join(" "));
        match (end.code, fatal) {
            (_, Some(why)) => Err(Error::new(format!("{what}: {why}\n{}", self.prefix.last_words()))),
            (None, _) => Err(Error::new(format!(
                "{what}: no end after {} s\n{}",
                limit.as_secs(),
                self.prefix.last_words()
            ))),
            (Some(0 | 1), _) if strange.is_empty() => Ok(result),
            (code, _) => {
                Err(Error::new(format!("{what}: exit {code:?}, {strange:?}\n{}", self.prefix.last_words())))
            }
        }
    }

    /// Puts a disk over an image file, with the filter or without.
    pub(crate) fn create(&self, report: &mut Report, image: &Path, shape: Shape) -> Result<Disk> {
        let mut args = vec![
            format!("image=\\??\\{}", windows_path(image)),
            format!("sector={}", shape.sector),
            format!("max-transfer={}", shape.max_transfer),
        ];
        args.extend(
            [
                (!shape.filter, "no-filter"),
                (shape.legacy, "legacy"),
                (shape.read_only, "read-only"),
                (shape.own_writes, "own-writes"),
                (shape.unmap == Unmap::Short, "short-unmap"),
                (shape.unmap == Unmap::None, "no-unmap"),
            ]
            .iter()
            .filter(|(on, _)| *on)
            .map(|(_, name)| (*name).to_owned()),
        );
        let r = self.call(report, "create", &args)?;
        let good = |name: &str| r[name] == 0;
        if !good("image_status")
            || !good("start_status")
            || (shape.filter && !(good("load_status") && good("add_status")))
        {
            return Err(Error::new(format!("the disk does not start: {r}\n{}", self.prefix.last_words())));
        }
        let number = r["disk"].as_u64().unwrap_or(0);
        Ok(Disk {
            number,
            sector: shape.sector,
            legacy: shape.legacy,
            capacity: r["capacity"].as_u64().unwrap_or(0),
        })
    }

    /// A subcommand for one disk.
    pub(crate) fn on(
        &self,
        report: &mut Report,
        disk: Disk,
        command: &str,
        args: &[String],
    ) -> Result<Value> {
        let mut all = vec![format!("disk={}", disk.number), format!("sector={}", disk.sector)];
        if disk.legacy {
            all.push("legacy".into());
        }
        all.extend_from_slice(args);
        self.call(report, command, &all)
    }

    /// A suite on one disk, and afterwards: has anybody found anything wrong?
    pub(crate) fn suite(&self, report: &mut Report, disk: Disk, name: &str) -> Result<()> {
        self.on(report, disk, "suite", &[format!("name={name}"), format!("volume={}", disk.capacity)])?;
        self.clean(report)
    }

    /// Copies a file onto the disk and reads it back in every mode.
    pub(crate) fn round_trip(&self, report: &mut Report, disk: Disk, file: &Path) -> Result<Value> {
        let file = format!("file={}", windows_path(file));
        let written = self.on(report, disk, "write", std::slice::from_ref(&file))?;
        self.on(report, disk, "verify", &[file])?;
        Ok(written)
    }

    /// Nothing may stand in the logs of port, class driver and verifier.
    pub(crate) fn clean(&self, report: &mut Report) -> Result<()> {
        self.call(report, "clean", &[])?;
        self.call(report, "forget", &[]).map(|_| ())
    }

    /// Stops the drivers and looks at what they left.
    pub(crate) fn stop(self, report: &mut Report) -> Result<()> {
        self.call(report, "stop", &[])?;
        let log = self.prefix.verifier_log();
        report.check("the verifier's log is empty after the drivers are gone", log.is_empty(), log.trim());
        Ok(())
    }
}
