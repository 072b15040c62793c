//! What there is to say of a volume.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    ops::ControlFlow,
    path::Path,
};

use sluice_engine::{
    format::{Copy, Header, Probe},
    volume::{Kind, Mapped},
};
use sluice_mapped::{
    OpenError,
    inspect::{Inspector, SegmentLine},
};
use sluice_statistics::{Snapshot, Space, Volume};

use crate::{
    args::Report as Args,
    commands::top,
    failure::{Failure, other_copy_text},
    image::Image,
    mapped::{ReadOnly, Untouched, open_error_text, parts},
    output::uuid,
    progress,
    secret::{kind_name, volume_key},
};

/// The longest record that is read.
const RECORD: u64 = 256 << 20;
/// Parts into which a volume's segments are gathered, at most.
const CELLS: u64 = 1536;

/// See above.
#[derive(Debug, Default)]
pub(super) struct Facts {
    pub(super) path: String,
    /// Names, and what stands beside them.
    pub(super) lines: Vec<(&'static str, String)>,
    pub(super) volume_bytes: u64,
    pub(super) image_bytes: u64,
    pub(super) mapped: bool,
    /// It is being served, and so not looked into.
    pub(super) served: bool,
    pub(super) space: Option<Log>,
    pub(super) references: Option<References>,
    pub(super) segments: Option<Segments>,
    /// What a server has counted, and where that is from.
    pub(super) counted: Option<(Volume, String)>,
    /// What somebody should know.
    pub(super) notes: Vec<String>,
}

/// Space, and the segments it lies in.
#[derive(Debug)]
pub(super) struct Log {
    pub(super) space: Space,
    pub(super) segments_bytes: u64,
}

/// How many chunks have how many references.
#[derive(Debug, Default)]
pub(super) struct References {
    /// The n-th: chunks with more than 2^(n-1) references, up to 2^n,
    pub(super) chunks: Vec<u64>,
    /// and the blocks that lead to them.
    pub(super) blocks: Vec<u64>,
    pub(super) most: u32,
    /// Pages of the table that could not be read.
    pub(super) lost: u64,
}

/// Segments, gathered into cells.
#[derive(Debug, Default)]
pub(super) struct Segments {
    /// Segments of a cell.
    pub(super) each: u64,
    pub(super) segment_bytes: u64,
    pub(super) cells: Vec<Cell>,
    /// Segments by how much of them lives: none, up to a quarter, a half, three quarters, more; not known.
    pub(super) classes: [u64; 6],
}

/// Some segments that lie beside one another.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Cell {
    pub(super) first: u64,
    pub(super) count: u64,
    pub(super) live: u64,
    pub(super) unknown: u64,
    /// The newest filling among them that something lives in.
    pub(super) generation: Option<u64>,
}

/// Finds out all there is.
pub(super) fn gather(args: &Args) -> Result<Facts, Failure> {
    let path = &args.image.image;
    let mut facts = match Image::open(path, false) {
        Ok(image) => of_image(args, &image)?,
        Err(failure @ Failure::InUse { .. }) => {
            let Some(volume) = served(|volume| is_same(path, volume))? else { return Err(failure) };
            of_server(volume)
        }
        Err(failure) => return Err(failure),
    };
    facts.path = path.display().to_string();
    if let Some(record) = &args.record {
        let uuid = facts.lines.iter().find(|line| line.0 == "UUID").map(|line| line.1.clone());
        let volume = recorded(record, &uuid.unwrap_or_default())?;
        facts.counted = Some((volume, format!("As recorded in {}.", record.display())));
    }
    Ok(facts)
}

/// The first served volume that is the one wanted.
fn served(wanted: impl Fn(&Volume) -> bool) -> Result<Option<Volume>, Failure> {
    let servers = match top::servers() {
        Err(Failure::NoDriver) => Vec::new(),
        servers => servers?,
    };
    Ok(servers.into_iter().flat_map(|Snapshot { volumes, .. }| volumes).find(wanted))
}

fn is_same(path: &Path, volume: &Volume) -> bool {
    let real = path.canonicalize();
    real.is_ok_and(|path| Path::new(&volume.path).canonicalize().is_ok_and(|other| other == path))
}

/// Of one that only its server may look into.
fn of_server(volume: Volume) -> Facts {
    let lines = vec![
        ("kind", if volume.kind == "mapped" { "mapped" } else { "in place" }.to_owned()),
        ("UUID", volume.uuid.clone()),
    ];
    let space = volume.mapped.as_ref().map(|mapped| Log {
        space: mapped.space,
        segments_bytes: mapped.log.segments.saturating_mul(mapped.log.segment_bytes),
    });
    let notes = vec![
        "The volume is being served: this is what its server says. Its structures can be shown when it is not in use."
            .to_owned(),
    ];
    Facts {
        lines,
        volume_bytes: volume.volume_bytes,
        mapped: volume.kind == "mapped",
        served: true,
        space,
        counted: Some((volume, "Since its server began.".into())),
        notes,
        ..Facts::default()
    }
}

fn of_image(args: &Args, image: &Image) -> Result<Facts, Failure> {
    let copies = image.copies();
    let (header, probe) = image.header(&copies)?;
    let Probe::Valid { from, other, .. } = probe else {
        return Err(Failure::NotSluice { path: image.path.clone() });
    };
    let uuid = uuid(&header.uuid());
    let copy = if from == Copy::A { "A" } else { "B" };
    let keys: Vec<_> =
        header.slots().map(|slot| format!("{} {}", kind_name(slot.kind), slot.label())).collect();
    let kind = header.kind();
    let mut facts = Facts {
        lines: vec![
            ("kind", if matches!(kind, Kind::Mapped(_)) { "mapped" } else { "in place" }.into()),
            ("UUID", uuid.clone()),
            ("label", header.label().to_string()),
            ("cipher", if header.is_open() { "none: everybody can read it" } else { "AES-256-XTS" }.into()),
            ("sectors", format!("{} bytes", header.sector_size())),
            ("header", format!("copy {copy} in use, the other {}", other_copy_text(other))),
            ("keys", if keys.is_empty() { "none".into() } else { keys.join(", ") }),
        ],
        volume_bytes: header.volume_bytes(),
        image_bytes: image.bytes,
        ..Facts::default()
    };
    // One that is served without being written to can be looked into as well.
    let counted = served(|volume| volume.uuid == uuid && is_same(&image.path, volume))?;
    facts.counted = counted.map(|volume| (volume, "Since its server began.".into()));
    if let Kind::Mapped(mapped) = kind {
        facts.mapped = true;
        look_inside(args, image, &header, &mapped, &mut facts)?;
    }
    Ok(facts)
}

fn look_inside(
    args: &Args,
    image: &Image,
    header: &Header<'_>,
    mapped: &Mapped,
    facts: &mut Facts,
) -> Result<(), Failure> {
    let key = volume_key(header, &args.secret)?;
    let (layout, sealer) = parts(image, mapped, &header.uuid(), &key)?;
    match ReadOnly::open(image, header, mapped, &key) {
        Ok(volume) => {
            let usage = volume.usage();
            let segments_bytes = usage.segments.saturating_mul(mapped.segment_bytes);
            facts.space = Some(Log { space: Space::of(&usage, mapped.segment_bytes), segments_bytes });
        }
        Err(failure @ Failure::Mapped { error: OpenError::NoMemory, .. }) => return Err(failure),
        Err(failure) => facts.notes.push(format!("{failure}. `sluice check` says more.")),
    }
    let mut disk = Untouched(image);
    let failed = |error| Failure::Mapped { path: image.path.clone(), error };
    let mut inspector = Inspector::new(&mut disk, layout, sealer).map_err(failed)?;
    match inspector.root() {
        Ok(root) => {
            if inspector.applied().is_ok_and(|applied| !applied.frames.is_empty()) {
                facts.notes.push(
                    "The volume was not closed: references and segments are shown as of its last checkpoint."
                        .into(),
                );
            }
            facts.references = Some(references(&mut inspector, root.table_size));
        }
        Err(error) => facts.notes.push(format!("Nothing leads to its trees: {}.", open_error_text(error))),
    }
    facts.segments = Some(segments(&mut inspector, layout.segments.into(), layout.segment_bytes));
    Ok(())
}

fn references(inspector: &mut Inspector<'_>, chunks: u64) -> References {
    let bar = progress::items(chunks, "Counting references");
    let mut all = References::default();
    let ControlFlow::Continue(()) = inspector.table::<std::convert::Infallible>(|chunk, entry| {
        match entry {
            Ok(entry) => {
                let class = entry.references.saturating_sub(1).checked_ilog2().map_or(0, |log| log + 1);
                let class = class as usize;
                if all.chunks.len() <= class {
                    all.chunks.resize(class + 1, 0);
                    all.blocks.resize(class + 1, 0);
                }
                all.chunks[class] += 1;
                all.blocks[class] += u64::from(entry.references);
                all.most = all.most.max(entry.references);
            }
            Err(_) => all.lost += 1,
        }
        if chunk.0.is_multiple_of(4096) {
            bar.set_position(chunk.0);
        }
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    all
}

fn segments(inspector: &mut Inspector<'_>, count: u64, segment_bytes: u64) -> Segments {
    let bar = progress::items(count, "Looking at segments");
    let each = count.div_ceil(CELLS).max(1);
    let mut all = Segments { each, segment_bytes, ..Segments::default() };
    let ControlFlow::Continue(()) = inspector.segments::<std::convert::Infallible>(|line| {
        all.take(&line);
        bar.inc(1);
        ControlFlow::Continue(())
    });
    bar.finish_and_clear();
    all
}

impl Segments {
    fn take(&mut self, line: &SegmentLine) {
        let number = u64::from(line.segment.0);
        if number.is_multiple_of(self.each) {
            self.cells.push(Cell { first: number, ..Cell::default() });
        }
        let Some(cell) = self.cells.last_mut() else { return };
        cell.count += 1;
        let live = line.chunk_bytes.as_ref().ok().zip(line.page_bytes);
        let Some(live) = live.map(|(chunks, pages)| u64::from(*chunks) + u64::from(pages)) else {
            cell.unknown += 1;
            self.classes[5] += 1;
            return;
        };
        cell.live += live;
        self.classes[class(live, self.segment_bytes)] += 1;
        if live > 0 {
            cell.generation = cell.generation.max(line.generation);
        }
    }
}

/// How much of so many bytes lives: none, up to a quarter, a half, three quarters, more.
pub(super) fn class(live: u64, bytes: u64) -> usize {
    if live == 0 { 0 } else { (live.saturating_mul(4).div_ceil(bytes.max(1)) as usize).clamp(1, 4) }
}

/// The volume's last line in a record of `sluice top --json`.
fn recorded(path: &Path, uuid: &str) -> Result<Volume, Failure> {
    let file = File::open(path).map_err(|source| Failure::Open { path: path.into(), source })?;
    let mut found = None;
    for line in BufReader::new(file.take(RECORD)).lines() {
        let line = line.map_err(|error| Failure::io("read", path, error))?;
        let object: serde_json::Value = serde_json::from_str(&line).map_err(|_| not_a_record(path))?;
        if object["version"] != sluice_statistics::VERSION {
            return Err(not_a_record(path));
        }
        let volumes = object["volumes"].as_array().ok_or_else(|| not_a_record(path))?;
        if let Some(volume) = volumes.iter().find(|volume| volume["uuid"] == uuid) {
            found = Some(serde_json::from_value(volume.clone()).map_err(|_| not_a_record(path))?);
        }
    }
    found.ok_or_else(|| Failure::Io {
        what: "find this volume in",
        path: path.into(),
        source: io::Error::other("it was not served when that was recorded"),
    })
}

fn not_a_record(path: &Path) -> Failure {
    let source = io::Error::other("it has other lines than `sluice top --json` of this version says");
    Failure::Io { what: "understand", path: path.into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_put_into_classes_by_what_lives() {
        let found = [0, 1, 25, 26, 50, 75, 76, 100, 1000].map(|live| class(live, 100));
        assert_eq!(found, [0, 1, 1, 2, 2, 3, 4, 4, 4]);
        assert_eq!(class(u64::MAX, 0), 4);
    }
}
