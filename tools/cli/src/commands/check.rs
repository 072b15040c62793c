//! `sluice check`: everything that is stored, compared with everything that is recorded. Changes nothing.

use serde_json::{Value, json};
use sluice_engine::{
    format::{OtherCopy, Probe},
    volume::Kind,
};
use sluice_mapped::{Problem, Report as Found};

use crate::{
    args::Info,
    failure::{Failure, other_copy_text},
    image::Image,
    mapped::ReadOnly,
    output::{Report, size},
    progress,
    secret::volume_key,
};

pub(crate) fn run(args: &Info) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, false)?;
    let copies = image.copies();
    let (header, probe) = image.header(&copies)?;
    let Probe::Valid { other, .. } = probe else { return Err(Failure::NotSluice { path: image.path }) };
    let mut text = format!("header: one copy in use, the other {}\n", other_copy_text(other));
    let mut damaged = other != OtherCopy::Same;
    if damaged {
        text += "  `sluice header repair` writes it anew\n";
    }
    let key = volume_key(&header, &args.secret)?;
    text += "header: authentic\n";
    let mut json = json!({"other_copy": other_copy_text(other)});
    match header.kind() {
        Kind::InPlace(_) => text += "A volume in place has no checksums: its data cannot be verified.\n",
        Kind::Mapped(mapped) => {
            let mut volume = ReadOnly::open(&image, &header, &mapped, &key)?;
            let bar = progress::items(volume.usage().chunks, "Verifying");
            let found = volume.check(|done, _| bar.set_position(done))?;
            bar.finish_and_clear();
            damaged |= found.problems > 0;
            text += &found_text(&found);
            json["volume"] = found_json(&found);
        }
    }
    json["damaged"] = json!(damaged);
    let report = Report::new(text, json);
    if damaged { Err(Failure::Found { report: Box::new(report) }) } else { Ok(report) }
}

fn found_text(found: &Found) -> String {
    let mut text = format!(
        "volume: {} in {} blocks, {} chunks read and compared with their tags\n",
        size(found.blocks * 4096),
        found.blocks,
        found.chunks
    );
    for problem in &found.named {
        text += &format!("  {}\n", problem_text(*problem));
    }
    if found.problems > found.named.len() as u64 {
        text += &format!("  and {} more\n", found.problems - found.named.len() as u64);
    }
    text + &match found.problems {
        0 => "volume: nothing is wrong".to_owned(),
        1 => "volume: 1 problem".to_owned(),
        count => format!("volume: {count} problems"),
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
        Problem::TablePage(chunk, count) => {
            format!("a page of the table is damaged: chunks {} to {}", chunk.0, chunk.0 + count - 1)
        }
        Problem::NoChunk(block, chunk) => {
            format!("block {} leads to chunk {}, which does not exist", block.0, chunk.0)
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
    }
}

fn found_json(found: &Found) -> Value {
    let lost: Vec<u64> = found
        .named
        .iter()
        .filter_map(|problem| match problem {
            Problem::Lost(block) => Some(block.0),
            _ => None,
        })
        .collect();
    let problems: Vec<_> = found.named.iter().map(|problem| problem_text(*problem)).collect();
    json!({
        "blocks": found.blocks,
        "chunks": found.chunks,
        "problems": found.problems,
        "named": problems,
        "lost_blocks": lost,
    })
}
