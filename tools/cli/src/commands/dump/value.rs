//! What `sluice dump --json` tells programs. docs/command.md describes it.

use serde_json::{Value, json};
use sluice_mapped::{
    OpenError,
    inspect::{
        Applied, ChunkLine, Entry, Frame, Health, ItemLine, Loss, MapLine, Mapping, NoRecord, PageLine,
        PageName, Part, PieceLine, Record, Ref, RootCopy, SegmentLine, Stored,
    },
    units::{Chunk, Place, Tag},
};

use super::{hex, no_recovery, text};

pub(super) fn health(health: Health) -> Value {
    json!(text::health(health))
}

fn tag(tag: &Tag) -> Value {
    json!(hex(&tag.0))
}

fn reference(at: &Ref) -> Value {
    match at.address.0 {
        0 => Value::Null,
        address => json!({"address": address, "tag": tag(&at.tag)}),
    }
}

fn loss(loss: &Loss) -> Value {
    match loss {
        Loss::NoRoot => json!({"page": null, "message": text::loss(loss)}),
        Loss::Page(line) => json!({"page": page(line), "message": text::loss(loss)}),
    }
}

fn state<T>(found: &Result<T, NoRecord>) -> &'static str {
    match found {
        Ok(_) => "good",
        Err(NoRecord::Empty) => "empty",
        Err(NoRecord::Damaged) => "damaged",
        Err(NoRecord::Unreadable) => "unreadable",
    }
}

pub(super) fn root(copy: &RootCopy, counts: bool) -> Value {
    let mut value =
        json!({"address": copy.address.0, "state": state(&copy.found), "counts": counts, "record": null});
    if let Ok(root) = &copy.found {
        let [map, table, space] = &root.trees;
        value["record"] = json!({
            "number": root.number,
            "epoch": root.epoch,
            "next_frame": root.lsn.0,
            "ring": root.ring,
            "table_size": root.table_size,
            "cursor": root.cursor,
            "chunks": root.chunks,
            "mapped": root.mapped,
            "blocks": root.blocks,
            "segments": root.segments,
            "list": reference(&root.list),
            "list_bytes": root.list_bytes,
            "map": reference(map),
            "table": reference(table),
            "space": reference(space),
        });
    }
    value
}

pub(super) fn applied(applied: &Result<Applied, OpenError>) -> Value {
    match applied {
        Ok(applied) => {
            json!({"frames": applied.frames.len(), "durable": applied.durable.0, "problem": null})
        }
        Err(error) => json!({"frames": 0, "durable": null, "problem": no_recovery(*error)}),
    }
}

pub(super) fn frame(frame: &Frame, applies: bool, records: bool) -> Value {
    let mut value = json!({
        "address": frame.address.0,
        "number": frame.lsn.0,
        "epoch": frame.epoch,
        "durable": frame.durable.0,
        "bytes": frame.bytes,
        "whole": frame.body.is_some(),
        "applies": applies,
    });
    let Some(body) = &frame.body else { return value };
    let counts = body.counts();
    value["counts"] = json!({
        "store": counts.store, "share": counts.share, "hole": counts.hole, "move": counts.moved,
    });
    let extents = body.extents.iter().flatten().map(
        |extent| json!({"address": extent.address.0, "bytes": extent.bytes, "data": health(extent.health)}),
    );
    value["extents"] = extents.collect();
    if records {
        value["records"] = body.records().map(|one| record(&one)).collect();
    }
    value
}

fn record(record: &Record) -> Value {
    match record {
        Record::Hole { block } => json!({"kind": "hole", "block": block.0}),
        Record::Share { block, chunk } => json!({"kind": "share", "block": block.0, "chunk": chunk.0}),
        Record::Store { block, chunk, place: at, tag: of } => {
            let mut value = place(at);
            value["kind"] = json!("store");
            value["block"] = json!(block.0);
            value["chunk"] = json!(chunk.0);
            value["tag"] = tag(of);
            value
        }
        Record::Move { chunk, address } => json!({"kind": "move", "chunk": chunk.0, "address": address.0}),
    }
}

fn place(place: &Place) -> Value {
    json!({"address": place.address.0, "bytes": place.length, "stored": text::kind(place.kind)})
}

pub(super) fn piece(line: &PieceLine) -> Value {
    let piece = line.found.ok();
    json!({
        "piece": line.number,
        "address": line.address.0,
        "state": state(&line.found),
        "complete_for": piece.and_then(|piece| piece.complete_for),
        "index_bytes": piece.map(|piece| piece.index_bytes),
        "entries": piece.map(|piece| piece.entries),
    })
}

pub(super) fn segment(line: &SegmentLine) -> Value {
    let kind = match (&line.chunk_bytes, line.page_bytes) {
        (Ok(0), Some(0)) => json!("free"),
        (Ok(_), Some(0)) => json!("chunks"),
        (Ok(0), Some(_)) => json!("pages"),
        (Ok(_), Some(_)) => json!("both"),
        _ => Value::Null,
    };
    json!({
        "segment": line.segment.0,
        "address": line.address.0,
        "kind": kind,
        "chunk_bytes": line.chunk_bytes.as_ref().ok(),
        "page_bytes": line.page_bytes,
        "lost": line.chunk_bytes.as_ref().err().map(loss),
        "holds": line.holds.map(text::holds),
        "generation": line.generation,
        "extents": line.extents,
        "filled": line.filled,
    })
}

pub(super) fn part(part: &Part, new: bool) -> Value {
    match part {
        Part::Extent(extent) => json!({
            "kind": "extent",
            "address": extent.address.0,
            "bytes": extent.bytes,
            "holds": text::holds(extent.holds),
            "items": extent.items,
            "generation": extent.generation,
            "in_journal": new,
        }),
        Part::Item(line) => item(line),
        Part::Gap { address, bytes, unreadable } => {
            json!({"kind": "gap", "address": address.0, "bytes": bytes, "unreadable": unreadable})
        }
    }
}

fn item(line: &ItemLine) -> Value {
    let mut value = match line.item {
        Stored::Chunk(chunk) => json!({"kind": "chunk", "chunk": chunk.0}),
        Stored::Page(of) => page_name(&of),
        Stored::List => json!({"kind": "list"}),
        Stored::Unknown(number) => json!({"kind": "unknown", "number": number}),
    };
    if matches!(line.item, Stored::Page(_)) {
        value["kind"] = json!("page");
    }
    value["address"] = json!(line.address.0);
    value["bytes"] = json!(line.bytes);
    value["live"] = json!(line.live.as_ref().ok().map(Option::is_some));
    value["state"] = json!(line.live.ok().flatten().map(text::health));
    value["lost"] = json!(line.live.as_ref().err().map(loss));
    value
}

pub(super) fn map(line: &MapLine) -> Value {
    let mut value = json!({"block": line.block.0, "count": line.count});
    match &line.what {
        Mapping::Hole => value["kind"] = json!("hole"),
        Mapping::Lost(lost) => {
            value["kind"] = json!("lost");
            value["lost"] = loss(lost);
        }
        Mapping::Chunk(Chunk::LOST, _) => value["kind"] = json!("lost"),
        Mapping::Chunk(chunk, found) => {
            value["kind"] = json!("chunk");
            value["chunk"] = json!(chunk.0);
            entry(&mut value, found);
        }
    }
    value
}

pub(super) fn chunk(chunk: Chunk, line: &ChunkLine) -> Value {
    let mut value = json!({"chunk": chunk.0, "state": line.health.map(text::health)});
    entry(&mut value, &line.entry);
    value
}

fn entry(value: &mut Value, found: &Result<Option<Entry>, Loss>) {
    value["entry"] = match found {
        Ok(Some(entry)) => {
            let mut value = place(&entry.place);
            value["references"] = json!(entry.references);
            value["tag"] = tag(&entry.tag);
            value["found_damaged"] = json!(entry.suspect);
            value
        }
        _ => Value::Null,
    };
    value["lost"] = json!(found.as_ref().err().map(loss));
}

pub(super) fn page(line: &PageLine) -> Value {
    let mut value = page_name(&line.page);
    value["address"] = json!(line.at.address.0);
    value["tag"] = tag(&line.at.tag);
    value["state"] = health(line.health);
    value
}

fn page_name(page: &PageName) -> Value {
    json!({"tree": text::tree(page.tree), "level": page.level, "index": page.index})
}
