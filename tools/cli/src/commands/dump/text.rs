//! What `sluice dump` shows to people.

use sluice_mapped::{
    OpenError,
    inspect::{
        Applied, ChunkLine, Entry, Frame, Health, Holds, ItemLine, Loss, MapLine, Mapping, NoRecord,
        PageLine, PageName, Part, PieceLine, Record, RootCopy, SegmentLine, Stored, Tree,
    },
    layout::{JOURNAL_START, Layout},
    units::{Chunk, Kind, Segment, Tag},
};

use super::{hex, no_recovery};
use crate::output::size;

pub(super) fn layout(layout: &Layout, depths: [u8; 3], list: Health) -> String {
    let start = layout.segment_start(Segment(0)).0;
    let [map, table, space] = depths;
    format!(
        "Layout: {} blocks of 4096 bytes, sectors of {} bytes\n  header A      at 0\n  root records  at 4096 and 8192, \
         and again at {} and {}\n  journal       at {JOURNAL_START}, {}\n  index         {}\n  segments      at {start}, {} of {}\n  \
         header B      at {}\n  trees         {map} levels of map, {table} of table, {space} of space; the list of \
         page segments is {}\nRoot records:\n",
        layout.blocks,
        layout.sector,
        layout.copy_b + 4096,
        layout.copy_b + 8192,
        size(layout.journal_bytes),
        match layout.index_area {
            0 => "not kept".to_owned(),
            bytes => format!("at {}, {}", layout.index_start(), size(bytes)),
        },
        layout.segments,
        size(layout.segment_bytes),
        layout.copy_b,
        health(list),
    )
}

pub(super) fn root(copy: &RootCopy, counts: bool) -> String {
    let at = copy.address.0;
    let root = match &copy.found {
        Ok(root) => root,
        Err(NoRecord::Empty) => return format!("  {at}: empty"),
        Err(NoRecord::Damaged) => return format!("  {at}: damaged"),
        Err(NoRecord::Unreadable) => return format!("  {at}: the device cannot read it"),
    };
    let mut text = format!(
        "  {at}: number {}, epoch {}{}\n    next frame {}, at {} in the ring; {} blocks and {} segments\n    \
         table of {}, cursor {}; {} chunks, {} blocks mapped\n    list of page segments at {}, {} bytes, tag {}\n",
        root.number,
        root.epoch,
        if counts { ": it counts" } else { "" },
        root.lsn.0,
        root.ring,
        root.blocks,
        root.segments,
        root.table_size,
        root.cursor,
        root.chunks,
        root.mapped,
        root.list.address.0,
        root.list_bytes,
        tag(&root.list.tag),
    );
    for (name, at) in [Tree::Map, Tree::Table, Tree::Space].into_iter().map(tree).zip(&root.trees) {
        text += &match at.address.0 {
            0 => format!("    {name} tree empty\n"),
            address => format!("    {name} tree at {address}, tag {}\n", tag(&at.tag)),
        };
    }
    text
}

pub(super) fn applied(applied: &Result<Applied, OpenError>) -> String {
    match applied {
        Ok(applied) if applied.frames.is_empty() => "Opening applies no frame.\n".to_owned(),
        Ok(applied) => format!(
            "Frames that opening applies: {}. All up to number {} are known to have been durable.\n",
            applied.frames.len(),
            applied.durable.0
        ),
        Err(error) => format!("No frame is applied: {}.\n", no_recovery(*error)),
    }
}

pub(super) fn frame(frame: &Frame, applies: bool, records: bool) -> String {
    let mut text = format!(
        "{}: frame {} of epoch {}, {} bytes, durable up to {}",
        frame.address.0, frame.lsn.0, frame.epoch, frame.bytes, frame.durable.0
    );
    let Some(body) = &frame.body else { return text + ": not whole: damaged, torn, or written over in part" };
    if applies {
        text += ": applies";
    }
    let counts = body.counts();
    text += &format!(
        "\n  records: {} store, {} share, {} hole, {} move\n",
        counts.store, counts.share, counts.hole, counts.moved
    );
    for extent in body.extents.iter().flatten() {
        text += &format!(
            "  extent at {}, {} bytes: {}\n",
            extent.address.0,
            extent.bytes,
            match extent.health {
                Health::Good => "there",
                Health::Damaged => "not there",
                Health::Unreadable => "the device cannot read it",
            }
        );
    }
    for record in body.records().take(if records { usize::MAX } else { 0 }) {
        text += &format!("    {}\n", self::record(&record));
    }
    text
}

fn record(record: &Record) -> String {
    match record {
        Record::Hole { block } => format!("block {}: hole", block.0),
        Record::Share { block, chunk } => format!("block {}: chunk {}", block.0, chunk.0),
        Record::Store { block, chunk, place, tag: of } => format!(
            "block {}: new chunk {} at {}, {} bytes, {}, tag {}",
            block.0,
            chunk.0,
            place.address.0,
            place.length,
            kind(place.kind),
            tag(of)
        ),
        Record::Move { chunk, address } => format!("chunk {}: now at {}", chunk.0, address.0),
    }
}

pub(super) fn piece(line: &PieceLine) -> String {
    let found = match &line.found {
        Ok(piece) => format!(
            "{} entries of an index of {}, {}",
            piece.entries,
            size(piece.index_bytes),
            match piece.complete_for {
                Some(number) => format!("complete for root record {number}"),
                None => "not complete".to_owned(),
            }
        ),
        Err(NoRecord::Empty) => "empty".to_owned(),
        Err(NoRecord::Damaged) => "damaged".to_owned(),
        Err(NoRecord::Unreadable) => "the device cannot read it".to_owned(),
    };
    format!("piece {} at {}: {found}", line.number, line.address.0)
}

pub(super) fn segment(line: &SegmentLine) -> String {
    let recorded = match (&line.chunk_bytes, line.page_bytes) {
        (Ok(0), Some(0)) => "free".to_owned(),
        (Ok(chunks), Some(0)) => format!("chunks, {chunks} bytes live"),
        (Ok(0), Some(pages)) => format!("pages, {pages} bytes live"),
        (Ok(chunks), Some(pages)) => format!("{chunks} bytes of chunks and {pages} of pages live"),
        (Ok(chunks), None) => format!("{chunks} bytes of chunks live, of pages unknown"),
        (Err(lost), _) => format!("live bytes unknown: {}", loss(lost)),
    };
    let found = match (line.holds, line.generation) {
        (Some(found), Some(generation)) => format!(
            "{} extents of {} in {} bytes, generation {generation}",
            line.extents,
            holds(found),
            line.filled
        ),
        _ => "no extent".to_owned(),
    };
    format!("segment {} at {}: {recorded}; {found}", line.segment.0, line.address.0)
}

/// `old`: left by an earlier filling; `new`: opening learns of it from the journal.
pub(super) fn part(part: &Part, old: bool, new: bool) -> String {
    match part {
        Part::Extent(extent) => format!(
            "{}: extent of {}, {} bytes, {} items, generation {}{}{}",
            extent.address.0,
            holds(extent.holds),
            extent.bytes,
            extent.items,
            extent.generation,
            if old { ": not of the filling that begins the segment" } else { "" },
            if new { ": the journal leads here" } else { "" }
        ),
        Part::Item(item) => self::item(item),
        Part::Gap { address, bytes, unreadable: true } => {
            format!("{}: {bytes} bytes that the device cannot read", address.0)
        }
        Part::Gap { address, bytes, unreadable: false } => {
            format!("{}: {bytes} bytes without an extent", address.0)
        }
    }
}

fn item(item: &ItemLine) -> String {
    let what = match item.item {
        Stored::Chunk(chunk) => format!("chunk {}", chunk.0),
        Stored::Page(of) => page_name(&of),
        Stored::List => "list of page segments".to_owned(),
        Stored::Unknown(number) => format!("unknown item {number}"),
    };
    let live = match &item.live {
        Ok(Some(found)) => format!("live, {}", health(*found)),
        Ok(None) => "not in the trees".to_owned(),
        Err(lost) => format!("live or not is unknown: {}", loss(lost)),
    };
    format!("  {}: {what}, {} bytes: {live}", item.address.0, item.bytes)
}

pub(super) fn map(line: &MapLine) -> String {
    let blocks = match line.count {
        1 => format!("block {}", line.block.0),
        count => format!("blocks {} to {}", line.block.0, line.block.0 + count - 1),
    };
    match &line.what {
        Mapping::Hole => format!("{blocks}: hole"),
        Mapping::Lost(lost) => format!("{blocks}: unknown: {}", loss(lost)),
        Mapping::Chunk(Chunk::LOST, _) => format!("{blocks}: marked as lost"),
        Mapping::Chunk(chunk, found) => format!("{blocks}: chunk {}{}", chunk.0, entry(found)),
    }
}

pub(super) fn chunk(chunk: Chunk, line: &ChunkLine) -> String {
    let found = line.health.map_or(String::new(), |found| format!(": {}", health(found)));
    format!("chunk {}{}{found}", chunk.0, entry(&line.entry))
}

fn entry(found: &Result<Option<Entry>, Loss>) -> String {
    match found {
        Ok(Some(entry)) => {
            format!(
                " at {}, {} bytes, {}, {} references, tag {}",
                entry.place.address.0,
                entry.place.length,
                kind(entry.place.kind),
                entry.references,
                tag(&entry.tag)
            ) + if entry.suspect { ", found damaged" } else { "" }
        }
        Ok(None) => ": the table has no such chunk".to_owned(),
        Err(lost) => format!(": unknown: {}", loss(lost)),
    }
}

pub(super) fn page(line: &PageLine) -> String {
    format!(
        "{} at {}, tag {}: {}",
        page_name(&line.page),
        line.at.address.0,
        tag(&line.at.tag),
        health(line.health)
    )
}

fn page_name(page: &PageName) -> String {
    format!("page {} on level {} of the {} tree", page.index, page.level, tree(page.tree))
}

/// Why something is not known.
pub(super) fn loss(loss: &Loss) -> String {
    match loss {
        Loss::NoRoot => "nothing leads to the trees".to_owned(),
        Loss::Page(line) => {
            format!("{} at {} is {}", page_name(&line.page), line.at.address.0, health(line.health))
        }
    }
}

pub(super) fn tree(tree: Tree) -> &'static str {
    match tree {
        Tree::Map => "map",
        Tree::Table => "table",
        Tree::Space => "space",
    }
}

pub(super) fn holds(holds: Holds) -> &'static str {
    match holds {
        Holds::Chunks => "chunks",
        Holds::Pages => "pages",
        Holds::List => "list",
    }
}

pub(super) fn health(health: Health) -> &'static str {
    match health {
        Health::Good => "good",
        Health::Damaged => "damaged",
        Health::Unreadable => "unreadable",
    }
}

pub(super) fn kind(kind: Kind) -> &'static str {
    match kind {
        Kind::Plain => "plain",
        Kind::Zstd => "zstd",
    }
}

fn tag(tag: &Tag) -> String {
    hex(&tag.0)
}
