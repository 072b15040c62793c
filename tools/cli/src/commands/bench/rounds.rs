//! Rounds: in each, every contestant has its turn, and each time another begins.

use std::{
    fs, io,
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use rustix::fs::Advice;

use super::{
    client::Work,
    contestants::{Contestant, Ground, installed},
    machine::Machine,
    parts::Parts,
    plot,
    results::{Results, Row, Turn},
    server::Server,
};
use crate::{args::Bench, failure::Failure, output::Report, progress, stop::Stop};

/// Memory that looks like a disk: what is measured there is the software.
const IN_MEMORY: &str = "/dev/shm";

pub(super) fn run(args: &Bench) -> Result<Report, Failure> {
    if !installed("fio") {
        return Err(Failure::Bench { what: "fio, the client, is not installed".into() });
    }
    let ground = Folder::new(args)?;
    let chosen =
        if args.contestants.is_empty() { Contestant::ALL.to_vec() } else { args.contestants.clone() };
    let mut rows: Vec<Row> = chosen.into_iter().map(Row::new).collect();
    let parts = Parts::new(&ground.0)?;
    let bar = progress::items(u64::from(args.rounds) * rows.len() as u64, "measuring");
    let mut pairs = Vec::new();
    let stop = Stop::watch();
    for round in 0..args.rounds as usize {
        pairs.push(parts.round()?);
        for turn in 0..rows.len() {
            let place = (turn + round) % rows.len();
            if stop.is_asked() {
                return Err(Failure::Bench { what: "it was stopped".into() });
            }
            let row = &mut rows[place];
            bar.set_message(row.contestant.name());
            if row.trouble.is_none() {
                take_turn(row, &ground.0, args, round as u64)?;
            }
            bar.inc(1);
        }
    }
    bar.finish_and_clear();
    let results = Results { machine: Machine::read(&ground.0), size: args.size, rows, pairs };
    if let Some(folder) = &args.report {
        let write = |name: &str, text: String| {
            let path = folder.join(name);
            fs::write(&path, text).map_err(|e| Failure::io("write", &path, e))
        };
        fs::create_dir_all(folder).map_err(|e| Failure::io("make", folder, e))?;
        write("bench.md", results.text())?;
        write("bench.json", format!("{:#}\n", results.json()))?;
        write("bench.svg", plot::svg(&results)?)?;
    }
    Ok(Report::new(results.text(), results.json()))
}

/// One turn of a contestant. That it cannot be measured is a result; that Sluice cannot is a failure.
fn take_turn(row: &mut Row, folder: &Path, args: &Bench, round: u64) -> Result<(), Failure> {
    let folder = folder.join("turn");
    fs::create_dir(&folder).map_err(|e| Failure::io("make", &folder, e))?;
    let ground = Ground { folder: &folder, size: args.size };
    let result = match row.contestant.absent() {
        Some(why) => Err(Failure::Bench { what: why }),
        None => measure(row.contestant, &ground, args, round),
    };
    row.contestant.clear(&ground);
    fs::remove_dir_all(&folder).map_err(|e| Failure::io("remove", &folder, e))?;
    match result {
        Ok(turn) => row.turns.push(turn),
        Err(Failure::Bench { what }) if row.contestant.rivals().is_empty() => row.trouble = Some(what),
        Err(error) => return Err(error),
    }
    Ok(())
}

fn measure(contestant: Contestant, ground: &Ground<'_>, args: &Bench, round: u64) -> Result<Turn, Failure> {
    contestant.make(ground)?;
    let server = Server::start(contestant.serve(ground)?, &ground.socket())?;
    let mut turn = Turn::default();
    for (place, work) in Work::ALL.into_iter().enumerate() {
        if let Some(file) = contestant.file(ground) {
            forget(&file).map_err(|e| Failure::io("read", &file, e))?;
        }
        let before = server.processor();
        // What a server refuses, such as requests of less than a cluster of qcow2, leaves a gap.
        let Ok(figure) = work.run(ground.folder, ground.size, args.seconds, round + 1) else { continue };
        turn.figures[place] = Some(figure);
        if contestant.works_alone() {
            let gib = figure.bytes as f64 / f64::from(1 << 30);
            turn.processor[place] = Some((server.processor() - before) / gib);
        }
        if work == Work::SequentialWrite && contestant.has_image() {
            let path = ground.image();
            let blocks = fs::metadata(&path).map_err(|e| Failure::io("look at", &path, e))?.blocks();
            // st_blocks counts units of 512 bytes.
            turn.stored = Some(blocks * 512);
        }
    }
    turn.memory = server.memory();
    server.stop()?;
    match turn.figures.iter().any(Option::is_some) {
        true => Ok(turn),
        false => Err(Failure::Bench { what: format!("{} answers no client", contestant.name()) }),
    }
}

/// What is stored has to be read again, and does not lie in the page cache as it was written. In memory that looks like a
/// disk nothing changes.
fn forget(file: &Path) -> io::Result<()> {
    let file = fs::File::open(file)?;
    file.sync_data()?;
    Ok(rustix::fs::fadvise(&file, 0, None, Advice::DontNeed)?)
}

/// A folder that is gone afterwards.
struct Folder(PathBuf);

impl Folder {
    fn new(args: &Bench) -> Result<Self, Failure> {
        let above = match &args.folder {
            Some(folder) => folder.clone(),
            None if has_room(Path::new(IN_MEMORY), args.size) => IN_MEMORY.into(),
            None => std::env::temp_dir(),
        };
        fs::metadata(&above).map_err(|source| Failure::Open { path: above.clone(), source })?;
        if !has_room(&above, args.size) {
            return Err(Failure::Full { path: above });
        }
        let folder = above.join(format!("sluice-bench-{}", std::process::id()));
        fs::create_dir(&folder).map_err(|e| Failure::io("make", &folder, e))?;
        Ok(Self(folder))
    }
}

/// The largest image is twice the size, of which everything may be written.
fn has_room(folder: &Path, size: u64) -> bool {
    let needed = size.saturating_mul(2).saturating_add(512 << 20);
    rustix::fs::statvfs(folder).is_ok_and(|found| found.f_bavail.saturating_mul(found.f_frsize) > needed)
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // a temporary one
    }
}
