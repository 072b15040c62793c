//! `sluice-bench parts`: what a mapped volume does to each block of 4096 bytes, beside what else it could do.
//!
//! One thread. Each round runs every contender once over all blocks of its set, so that a change of the clock's rate
//! meets all of them; the figures are medians of the rounds.

use std::{hint::black_box, path::Path, time::Instant};

use sha2::Digest;
use sluice_mapped::{
    codec::{Compressor, Decompressor, LONGEST},
    index::Index,
    seal::{Domain, Sealer},
    units::{BLOCK, Chunk, Tag},
};
use sluice_xts::Backend;
use zstd_safe::{CCtx, CParameter, FrameFormat};

use crate::data::{Page, Random};

const ROUNDS: usize = 41;
/// Blocks of a set: a mebibyte, which stays in the cache.
const BLOCKS: usize = 256;
const LEVELS: [i32; 5] = [-1, 1, 2, 3, 9];

/// Something to be measured: a name, and what it does to all blocks of its set. Answers the bytes that come out.
struct Contender<'a> {
    group: String,
    name: String,
    blocks: usize,
    run: Box<dyn FnMut() -> usize + 'a>,
    seconds: Vec<f64>,
    out: usize,
}

#[derive(Default)]
struct Contest<'a>(Vec<Contender<'a>>);

impl<'a> Contest<'a> {
    fn add(&mut self, group: &str, name: &str, blocks: usize, run: impl FnMut() -> usize + 'a) {
        let (group, name, run) = (group.to_owned(), name.to_owned(), Box::new(run));
        self.0.push(Contender { group, name, blocks, run, seconds: Vec::new(), out: 0 });
    }

    fn hold(&mut self) {
        for round in 0..=ROUNDS {
            for contender in &mut self.0 {
                let start = Instant::now();
                contender.out = (contender.run)();
                // The first round warms caches and branch predictors.
                if round > 0 {
                    contender.seconds.push(start.elapsed().as_secs_f64());
                }
            }
        }
    }

    fn report(&mut self) {
        let mut group = String::new();
        for contender in &mut self.0 {
            if group != contender.group {
                group.clone_from(&contender.group);
                println!("\n{group}");
            }
            contender.seconds.sort_by(f64::total_cmp);
            let median = contender.seconds[ROUNDS / 2] / contender.blocks as f64;
            let size = match contender.out {
                0 => String::new(),
                out => {
                    format!("{:6.1} % of its size", out as f64 * 100.0 / (contender.blocks * BLOCK) as f64)
                }
            };
            println!(
                "  {:<34} {:9.3} us a block {:7.2} GB/s {size}",
                contender.name,
                median * 1e6,
                BLOCK as f64 / median / 1e9
            );
        }
    }
}

/// The blocks of files, evenly spread.
fn of_files(files: &[String]) -> Result<Vec<Page>, String> {
    let mut all = Vec::new();
    for file in files {
        let bytes = std::fs::read(Path::new(file)).map_err(|error| format!("{file}: {error}"))?;
        all.extend(bytes.as_chunks::<BLOCK>().0);
    }
    let step = (all.len() / BLOCKS).max(1);
    Ok(all.into_iter().step_by(step).take(BLOCKS).collect())
}

/// Measures and prints. `files` are compressed too, beside made data and this program.
pub(crate) fn run(files: &[String]) -> Result<(), String> {
    let mut random = Random::new(1);
    let noise: Vec<Page> = (0..BLOCKS).map(|_| random.noise()).collect();
    let half: Vec<Page> = (0..BLOCKS).map(|_| random.half()).collect();
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let mut sets = vec![
        ("half compressible data", half),
        ("noise", noise.clone()),
        ("this program", of_files(&[program.to_string_lossy().into_owned()])?),
    ];
    if !files.is_empty() {
        sets.push(("the files", of_files(files)?));
    }
    let sealer = Sealer::new(&core::array::from_fn(|i| i as u8), &[7; 16], true, Backend::detect_xmm())
        .map_err(|error| format!("{error:?}"))?;
    let mut contest = Contest::default();
    fingerprints(&mut contest, &sealer, &noise);
    sealing(&mut contest, &sealer, &noise);
    look_ups(&mut contest)?;
    for (name, set) in &sets {
        compression(&mut contest, name, set)?;
    }
    for (name, set) in &sets {
        decompression(&mut contest, name, set)?;
    }
    println!("Blocks of {BLOCK} bytes, one thread, medians of {ROUNDS} interleaved rounds");
    contest.hold();
    contest.report();
    Ok(())
}

fn fingerprints<'a>(contest: &mut Contest<'a>, sealer: &'a Sealer, pages: &'a [Page]) {
    let group = "fingerprint";
    contest.add(group, "tag (POLYVAL, AES-256)", pages.len(), || {
        pages.iter().for_each(|page| _ = black_box(sealer.tag(Domain::Chunk, 0, &[black_box(page)])));
        0
    });
    contest.add(group, "SHA-256 (sha2)", pages.len(), || {
        pages.iter().for_each(|page| _ = black_box(sha2::Sha256::digest(black_box(page))));
        0
    });
    contest.add(group, "BLAKE3 keyed (widest vectors)", pages.len(), || {
        pages.iter().for_each(|page| _ = black_box(blake3::keyed_hash(&[7; 32], black_box(page))));
        0
    });
}

fn sealing<'a>(contest: &mut Contest<'a>, sealer: &'a Sealer, pages: &[Page]) {
    for (name, open) in [("seal (AES-256-XTS, XMM)", false), ("open", true)] {
        let mut pages = pages.to_vec();
        contest.add("encryption", name, pages.len(), move || {
            for page in &mut pages {
                match open {
                    true => sealer.open(&Tag([3; 16]), page),
                    false => sealer.seal(&Tag([3; 16]), page),
                }
            }
            0
        });
    }
}

fn look_ups(contest: &mut Contest<'_>) -> Result<(), String> {
    let mut random = Random::new(2);
    let mut tag = move || Tag(random.0.u128(..).to_le_bytes());
    let mut index = Index::new(64 << 20).ok_or("no memory")?;
    let count = index.capacity() as u64 * 7 / 10;
    let tags: Vec<Tag> = (0..count).map(|_| tag()).collect();
    tags.iter().zip(0..).for_each(|(tag, chunk)| index.insert(tag, Chunk(chunk)));
    let mut at = 0;
    contest.add("index of 64 MiB", "look up", BLOCKS, move || {
        for _ in 0..BLOCKS {
            at = (at + 1) % tags.len();
            black_box(index.candidates(&tags[at]).count());
        }
        0
    });
    Ok(())
}

/// zstd as it comes, but for the frame's format.
fn plain(level: i32) -> Result<CCtx<'static>, String> {
    let mut context = CCtx::try_create().ok_or("no memory")?;
    for parameter in [
        CParameter::CompressionLevel(level),
        CParameter::Format(FrameFormat::Magicless),
        CParameter::ContentSizeFlag(false),
    ] {
        context.set_parameter(parameter).map_err(|code| zstd_safe::get_error_name(code).to_owned())?;
    }
    Ok(context)
}

fn compression<'a>(contest: &mut Contest<'a>, name: &str, pages: &'a [Page]) -> Result<(), String> {
    let group = format!("compress {name}");
    for level in LEVELS {
        let mut ours = Compressor::new(level).map_err(|error| format!("{error:?}"))?;
        let mut out = [0; BLOCK];
        contest.add(&group, &format!("ours, level {level}"), pages.len(), move || {
            pages.iter().map(|page| ours.compress(page, &mut out).unwrap_or(BLOCK)).sum()
        });
        let mut plain = plain(level)?;
        contest.add(&group, &format!("zstd, level {level}"), pages.len(), move || {
            pages.iter().map(|page| plain.compress2(&mut out[..LONGEST], page).unwrap_or(BLOCK)).sum()
        });
    }
    let mut out = [0; 2 * BLOCK];
    contest.add(&group, "lz4_flex", pages.len(), move || {
        let sizes = pages.iter().map(|page| lz4_flex::block::compress_into(page, &mut out));
        sizes.map(|size| size.ok().filter(|size| *size <= LONGEST).unwrap_or(BLOCK)).sum()
    });
    Ok(())
}

fn decompression(contest: &mut Contest<'_>, name: &str, pages: &[Page]) -> Result<(), String> {
    let group = format!("decompress {name}");
    let mut back = [0; BLOCK];
    for level in [-1, 1, 3] {
        let mut compressor = Compressor::new(level).map_err(|error| format!("{error:?}"))?;
        let mut out = [0; BLOCK];
        let mut frames = Vec::new();
        for page in pages {
            frames.extend(compressor.compress(page, &mut out).map(|length| out[..length].to_vec()));
        }
        let mut decompressor = Decompressor::new().map_err(|error| format!("{error:?}"))?;
        if frames.is_empty() {
            return Ok(());
        }
        contest.add(&group, &format!("ours, level {level}"), frames.len(), move || {
            frames.iter().filter(|frame| decompressor.decompress(frame, &mut back).is_err()).count()
        });
    }
    let frames: Vec<Vec<u8>> = pages.iter().map(|page| lz4_flex::block::compress(page)).collect();
    contest.add(&group, "lz4_flex", frames.len(), move || {
        frames.iter().filter(|frame| lz4_flex::block::decompress_into(frame, &mut back).is_err()).count()
    });
    Ok(())
}
