//! `sluice check`: everything that is stored, compared with everything that is recorded. Changes nothing, but with
//! `--repair`: then what can be derived from what is whole is put right.

use serde_json::{Value, json};
use sluice_engine::{
    format::{OtherCopy, Probe},
    volume::Kind,
};
use sluice_mapped::{Problem, Report as Found};

use crate::{
    args::Check,
    commands::header::write_other,
    failure::{Failure, other_copy_text},
    image::Image,
    mapped::{self, ReadOnly, Repaired},
    output::{Report, size},
    progress,
    secret::volume_key,
};

pub(crate) fn run(args: &Check) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, args.repair)?;
    let copies = image.copies();
    let (header, probe) = image.header(&copies)?;
    let Probe::Valid { other, .. } = probe else { return Err(Failure::NotSluice { path: image.path }) };
    let mut text = format!("header: one copy in use, the other {}\n", other_copy_text(other));
    let key = volume_key(&header, &args.secret)?;
    text += "header: authentic\n";
    let mut json = json!({"other_copy": other_copy_text(other)});
    let mut wrong = 0;
    let mut put_right = None;
    match header.kind() {
        Kind::InPlace(_) => text += "A volume in place has no checksums: its data cannot be verified.\n",
        Kind::Mapped(mapped) => {
            let found = if args.repair {
                let bar = progress::items(0, "Verifying");
                let Repaired { repaired, remaining } =
                    mapped::repair(&image, &header, &mapped, &key, |done, all| {
                        bar.set_length(all);
                        bar.set_position(done);
                    })?;
                bar.finish_and_clear();
                text += &repaired_text(&repaired);
                put_right = Some(repaired);
                remaining
            } else {
                let mut volume = ReadOnly::open(&image, &header, &mapped, &key)?;
                let bar = progress::items(volume.usage().chunks, "Verifying");
                let found = volume.check(|done, _| bar.set_position(done))?;
                bar.finish_and_clear();
                found
            };
            wrong += found.problems;
            text += &found_text(&found);
            if found.problems > 0 && !args.repair {
                text += "  `sluice check --repair` puts right what follows from the rest\n";
            }
            json["volume"] = found_json(&found);
        }
    }
    // The volume comes first: where it is refused, nothing was changed. Which of two good headers counts, nobody can derive.
    let copy = if args.repair && other != OtherCopy::Foreign { write_other(&image, &probe)? } else { None };
    match copy {
        Some(copy) => text += &format!("header: copy {copy} has been written anew\n"),
        None if other == OtherCopy::Same => {}
        None => {
            wrong += 1;
            text += "header: `sluice header repair` writes the other copy anew\n";
        }
    }
    if args.repair {
        let (count, named) =
            put_right.map_or((0, Vec::new()), |repaired| (repaired.problems, texts(&repaired)));
        json["repaired"] = json!({"count": count, "named": named, "header": copy});
        json["remaining"] = json!(wrong);
    }
    json["damaged"] = json!(wrong > 0);
    let report = Report::new(text, json);
    if wrong > 0 { Err(Failure::Found { report: Box::new(report) }) } else { Ok(report) }
}

fn texts(found: &Found) -> Vec<String> {
    found.named.iter().map(|problem| problem_text(*problem)).collect()
}

/// A line for each problem that is named.
fn lines(found: &Found) -> String {
    let mut text: String = texts(found).iter().map(|problem| format!("  {problem}\n")).collect();
    if found.problems > found.named.len() as u64 {
        text += &format!("  and {} more\n", found.problems - found.named.len() as u64);
    }
    text
}

fn repaired_text(repaired: &Found) -> String {
    match repaired.problems {
        0 => "volume: there was nothing that could be repaired\n".to_owned(),
        1 => format!("volume: 1 problem has been repaired\n{}", lines(repaired)),
        count => format!("volume: {count} problems have been repaired\n{}", lines(repaired)),
    }
}

fn found_text(found: &Found) -> String {
    let mut text = format!(
        "volume: {} in {} blocks, {} chunks read and compared with their tags\n",
        size(found.blocks * 4096),
        found.blocks,
        found.chunks
    );
    text += &lines(found);
    text + &match found.problems {
        0 => "volume: nothing is wrong\n".to_owned(),
        1 => "volume: 1 problem\n".to_owned(),
        count => format!("volume: {count} problems\n"),
    }
}

fn problem_text(problem: Problem) -> String {
    match problem {
        Problem::MapPage(block, count) => {
            format!(
                "a page of the map is damaged: blocks {} to {} cannot be read",
                block.0,
                block.0 + count - 1
            )
        }
        Problem::MapLost(block, count) => {
            format!(
                "a page of the map was damaged: of blocks {} to {}, only what the journal says of them was left",
                block.0,
                block.0 + count - 1
            )
        }
        Problem::TablePage(chunk, count) => {
            format!("a page of the table is damaged: chunks {} to {}", chunk.0, chunk.0 + count - 1)
        }
        Problem::NoChunk(block, chunk) => {
            format!("block {} leads to chunk {}, which does not exist: it is lost", block.0, chunk.0)
        }
        Problem::Damaged(chunk) => format!("chunk {} is damaged", chunk.0),
        Problem::Lost(block) => {
            format!("block {} (bytes {} to {}) is lost", block.0, block.0 * 4096, block.0 * 4096 + 4095)
        }
        Problem::References(chunk, said, counted) => {
            format!("chunk {} has {counted} references, not the {said} that are recorded", chunk.0)
        }
        Problem::Live(segment, said, counted) => {
            format!("segment {} has {counted} live bytes, not the {said} that are recorded", segment.0)
        }
        Problem::Chunks(said, counted) => {
            format!("there are {counted} chunks, not the {said} that are recorded")
        }
        Problem::Mapped(said, counted) => {
            format!("{counted} blocks hold data, not the {said} that are recorded")
        }
        Problem::SpacePage(level, index) => {
            format!(
                "page {index} on level {level} of the space tree, which says how full segments are, is damaged"
            )
        }
        Problem::List => "the list of segments that hold metadata is damaged".to_owned(),
        Problem::Kept(chunk) => {
            format!("chunk {} does not exist, but blocks lead there: no new chunk gets that number", chunk.0)
        }
        Problem::Stray(block, chunk) => {
            format!(
                "block {} led to chunk {}, which does not exist: it is marked as lost, and no new chunk is read in its place",
                block.0, chunk.0
            )
        }
        Problem::Twin(chunk, twin) => {
            format!(
                "chunk {} is damaged; chunk {} has the same contents, and its blocks lead there now",
                chunk.0, twin.0
            )
        }
    }
}

fn found_json(found: &Found) -> Value {
    let lost: Vec<u64> = found
        .named
        .iter()
        .filter_map(|problem| match problem {
            Problem::Lost(block) | Problem::NoChunk(block, _) => Some(block.0),
            _ => None,
        })
        .collect();
    json!({
        "blocks": found.blocks,
        "chunks": found.chunks,
        "problems": found.problems,
        "named": texts(found),
        "lost_blocks": lost,
    })
}
