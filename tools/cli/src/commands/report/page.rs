//! The page.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use sluice_statistics::{Operation, Space, Volume};
use time::OffsetDateTime;

use super::{
    charts::{self, Heat},
    facts::{Facts, Log, References, Segments},
};
use crate::output::size;

/// Nothing is asked for, from nobody.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";
const STYLE: &str = include_str!("page.css");

pub(super) fn page(facts: &Facts) -> Markup {
    let now = OffsetDateTime::now_utc();
    let name = facts.path.rsplit(['/', '\\']).next().unwrap_or(&facts.path);
    html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                meta name="generator" content=(concat!("sluice ", env!("CARGO_PKG_VERSION")));
                title { "Sluice: " (name) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                header {
                    h1 { (name) }
                    p.sub { (facts.path) " · " (now.date()) " " (format!("{:02}:{:02}", now.hour(), now.minute())) " UTC" }
                }
                main {
                    @for note in &facts.notes { p.note role="note" { (note) } }
                    (summary(facts))
                    (volume(facts))
                    (space(facts))
                    @if let Some(references) = &facts.references { (shared(references)) }
                    @if let Some(segments) = &facts.segments { (heat(segments)) }
                    (served(facts))
                }
                footer { "Made by sluice " (env!("CARGO_PKG_VERSION")) ". This page is one file: nothing in it asks for anything else." }
            }
        }
    }
}

/// The few numbers that somebody looks for first.
fn summary(facts: &Facts) -> Markup {
    let mut tiles = vec![("size", size(facts.volume_bytes))];
    if let Some(Log { space, segments_bytes }) = &facts.space {
        let used = space.segment_bytes_in_use as f64 * 100.0 / (*segments_bytes).max(1) as f64;
        tiles.push(("data in it", size(space.written_bytes)));
        tiles.push(("takes", size(space.stored_bytes + space.metadata_bytes)));
        tiles.push((
            "saved",
            percent(space.written_bytes.saturating_sub(space.stored_bytes), space.written_bytes),
        ));
        tiles.push(("segments in use", format!("{used:.1} %")));
    }
    html! {
        section.tiles aria-label="At a glance" {
            @for (name, value) in &tiles { div.tile { span { (name) } strong { (value) } } }
        }
    }
}

fn percent(part: u64, whole: u64) -> String {
    if whole == 0 { "nothing yet".into() } else { format!("{:.1} %", part as f64 * 100.0 / whole as f64) }
}

fn volume(facts: &Facts) -> Markup {
    html! {
        section aria-labelledby="volume" {
            h2 id="volume" { "Volume" }
            table.facts {
                tbody {
                    @for (name, value) in facts.lines.iter().filter(|line| !line.1.is_empty()) {
                        tr { th scope="row" { (name) } td data-field=(name) colspan="2" { (value) } }
                    }
                    (bytes_row("size for clients", "volume_bytes", facts.volume_bytes))
                    @if facts.image_bytes > 0 { (bytes_row("size of the image", "image_bytes", facts.image_bytes)) }
                }
            }
        }
    }
}

/// A number for people, with the number itself beside it.
fn bytes_row(name: &str, field: &str, bytes: u64) -> Markup {
    html! {
        tr { th scope="row" { (name) } td data-field=(field) data-value=(bytes) { (size(bytes)) } td.exact { (bytes) " bytes" } }
    }
}

fn space(facts: &Facts) -> Markup {
    html! {
        section aria-labelledby="space" {
            h2 id="space" { "Space" }
            @if let Some(log) = &facts.space {
                (by_cause(facts.volume_bytes, log))
            } @else if facts.mapped {
                p { "What it holds is not known." }
            } @else {
                p {
                    "A volume in place encrypts every sector where it lies. It takes all of its image, whatever is in it, and does "
                    "not know what its file system uses: there is nothing to account for."
                }
            }
        }
    }
}

fn by_cause(volume_bytes: u64, Log { space, segments_bytes }: &Log) -> Markup {
    let Space { written_bytes, unique_bytes, stored_bytes, metadata_bytes, segment_bytes_in_use, .. } =
        *space;
    let unmapped = volume_bytes.saturating_sub(written_bytes);
    let dead = segment_bytes_in_use.saturating_sub(stored_bytes + metadata_bytes);
    let free = segments_bytes.saturating_sub(segment_bytes_in_use);
    html! {
        (charts::bar("logical", "The volume as clients see it:", &[
            ("accent", "data", written_bytes),
            ("pale", "never written, discarded, or zeros", unmapped),
        ], written_bytes + unmapped))
        (charts::bar("saved", "What became of the data:", &[
            ("accent", "stored", stored_bytes),
            ("warm", "saved by compression", space.saved_by_compression),
            ("leaf", "saved as duplicates", space.saved_by_dedup),
        ], written_bytes))
        (charts::bar("device", "The segments on the image:", &[
            ("accent", "data", stored_bytes),
            ("plum", "metadata", metadata_bytes),
            ("grey", "dead or not yet filled", dead),
            ("pale", "free", free),
        ], *segments_bytes))
        table.numbers {
            caption { "The same in numbers" }
            tbody {
                (bytes_row("data that clients have written", "written_bytes", written_bytes))
                (bytes_row("never written, discarded, or zeros", "unmapped_bytes", unmapped))
                (bytes_row("unique among it", "unique_bytes", unique_bytes))
                (bytes_row("saved as duplicates", "saved_by_dedup", space.saved_by_dedup))
                (bytes_row("stored, after compression", "stored_bytes", stored_bytes))
                (bytes_row("saved by compression", "saved_by_compression", space.saved_by_compression))
                (bytes_row("metadata", "metadata_bytes", metadata_bytes))
                (bytes_row("segments in use", "segment_bytes_in_use", segment_bytes_in_use))
                (bytes_row("room for more, stored as it is", "free_bytes", space.free_bytes))
            }
        }
    }
}

fn shared(references: &References) -> Markup {
    let name = |class: usize| match class {
        0 => "1".to_owned(),
        1 => "2".to_owned(),
        n => format!("{}\u{2013}{}", (1_u64 << (n - 1)) + 1, 1_u64 << n),
    };
    let columns: Vec<_> = references.chunks.iter().enumerate().map(|(n, count)| (name(n), *count)).collect();
    let chunks: u64 = references.chunks.iter().sum();
    html! {
        section aria-labelledby="references" {
            h2 id="references" { "De-duplication" }
            @if references.lost > 0 {
                p.note role="note" { "Pages of the table of chunks that are damaged: " (references.lost) ". What they say is missing here." }
            }
            @if chunks == 0 {
                p { "Nothing is stored yet." }
            } @else {
                p { "How many blocks of the volume share a stored chunk; at most " (references.most) "." }
                (charts::columns("shared", "Chunks by the number of blocks that lead to them", "chunks", &columns))
                table.numbers {
                    caption { "The same in numbers" }
                    thead { tr { th scope="col" { "blocks that share it" } th scope="col" { "chunks" } th scope="col" { "blocks" } } }
                    tbody {
                        @for (n, (chunks, blocks)) in references.chunks.iter().zip(&references.blocks).enumerate() {
                            tr { th scope="row" { (name(n)) } td data-chunks=(chunks) { (chunks) } td data-blocks=(blocks) { (blocks) } }
                        }
                    }
                }
            }
        }
    }
}

fn heat(segments: &Segments) -> Markup {
    let all: u64 = segments.classes.iter().sum();
    let names = ["nothing", "up to a quarter", "up to a half", "up to three quarters", "more", "not known"];
    let told: Vec<_> =
        names.iter().zip(segments.classes).map(|(name, count)| format!("{name}: {count}")).collect();
    let each = if segments.each == 1 { "a segment".into() } else { format!("{} segments", segments.each) };
    html! {
        section aria-labelledby="segments" {
            h2 id="segments" { "Segments" }
            p { (all) " segments of " (size(segments.segment_bytes)) ", in the order in which they lie on the image; a square is " (each) "." }
            div.pair {
                div {
                    (charts::map("live", "How much of them lives", &format!("Segments by what lives in them. {}.", told.join(", ")), segments, Heat::Live))
                    (scale("empty", "full"))
                }
                div {
                    (charts::map("age", "When they were filled", "Segments in use by when they were filled.", segments, Heat::Age))
                    (scale("free · old", "new"))
                }
            }
            table.numbers {
                caption { "Segments by how much of them lives" }
                tbody {
                    @for (n, (name, count)) in names.iter().zip(segments.classes).enumerate() {
                        @if n < 5 || count > 0 {
                            tr { th scope="row" { (name) } td data-class=(n) data-value=(count) { (count) } }
                        }
                    }
                }
            }
        }
    }
}

fn scale(from: &str, to: &str) -> Markup {
    html! {
        p.scale { (from) " " @for step in 0..5 { span.key.(format!("heat{step}")) aria-hidden="true" {} } " " (to) }
    }
}

fn served(facts: &Facts) -> Markup {
    html! {
        section aria-labelledby="latency" {
            h2 id="latency" { "Latency" }
            @match &facts.counted {
                Some((volume, from)) => {
                    p { (from) }
                    (requests(volume))
                    (work(volume))
                }
                None => p {
                    "It is not being served. While it is, or with a record of " code { "sluice top --json" }
                    " (" code { "--record" } "), this says how long requests take."
                }
            }
        }
    }
}

/// The first power of two of nanoseconds in a chart, and the last.
const OCTAVES: std::ops::Range<u32> = 9..34;

fn requests(volume: &Volume) -> Markup {
    let busy: Vec<_> = volume.operations.iter().filter(|operation| operation.requests > 0).collect();
    html! {
        @if busy.is_empty() { p { "No request has come." } }
        @for operation in &busy {
            (charts::columns(&format!("latency-{}", operation.name), &format!("How long a {} takes", operation.name), "requests", &octaves(operation)))
        }
        @if !busy.is_empty() {
            table.numbers {
                caption { "Requests" }
                thead { tr {
                    th scope="col" { "" } th scope="col" { "requests" } th scope="col" { "bytes" } th scope="col" { "errors" }
                    th scope="col" { "half within" } th scope="col" { "99 % within" } th scope="col" { "all within" }
                } }
                tbody {
                    @for operation in &busy {
                        tr {
                            th scope="row" { (operation.name) }
                            td data-requests=(operation.name) data-value=(operation.requests) { (operation.requests) }
                            td { (size(operation.bytes)) }
                            td { (operation.errors) }
                            @for share in [0.5, 0.99, 1.0] { td { (operation.latency.within(share).map(duration).unwrap_or_default()) } }
                        }
                    }
                }
            }
        }
    }
}

/// Requests by the power of two of nanoseconds that they took; those beyond the ends with the ends.
fn octaves(operation: &Operation) -> Vec<(String, u64)> {
    let octave = |end: u64| end.saturating_sub(1).max(1).ilog2().clamp(OCTAVES.start, OCTAVES.end - 1);
    let pairs = &operation.latency.0;
    let used = || pairs.iter().map(|pair| octave(pair.0));
    let (Some(first), Some(last)) = (used().min(), used().max()) else { return Vec::new() };
    let count = |power| pairs.iter().filter(|pair| octave(pair.0) == power).map(|pair| pair.1).sum();
    (first..=last).map(|power| (format!("< {}", duration(2 << power)), count(power))).collect()
}

fn work(volume: &Volume) -> Markup {
    html! {
        table.numbers {
            caption { "Work inside the server" }
            thead { tr { th scope="col" { "" } th scope="col" { "times" } th scope="col" { "bytes" } th scope="col" { "each" } th scope="col" { "in all" } } }
            tbody {
                @for stage in &volume.stages {
                    tr {
                        th scope="row" { (stage.name.replace('_', " ")) }
                        td { (stage.times) }
                        td { (size(stage.bytes)) }
                        td { (stage.nanoseconds.checked_div(stage.times).map(duration).unwrap_or_default()) }
                        td { (duration(stage.nanoseconds)) }
                    }
                }
            }
        }
    }
}

fn duration(nanoseconds: u64) -> String {
    let value = nanoseconds as f64;
    let (value, unit) = match nanoseconds {
        0 => return "0".into(),
        1..1_000 => (value, "ns"),
        1_000..1_000_000 => (value / 1e3, "µs"),
        1_000_000..1_000_000_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    if value < 10.0 { format!("{value:.1} {unit}") } else { format!("{value:.0} {unit}") }
}

#[cfg(test)]
mod tests {
    use sluice_statistics::Latency;

    use super::*;

    #[test]
    fn no_text_becomes_markup() {
        let bad = "</title><script>alert(1)</script>\"'&";
        let volume = Volume {
            operations: vec![Operation {
                name: bad.into(),
                requests: 1,
                latency: Latency(vec![(u64::MAX, 1)]),
                ..Operation::default()
            }],
            ..Volume::default()
        };
        let facts = Facts {
            path: bad.into(),
            lines: vec![("label", bad.into())],
            notes: vec![bad.into()],
            counted: Some((volume, bad.into())),
            ..Facts::default()
        };
        let page = page(&facts).into_string();
        assert!(!page.contains("<script") && !page.contains("&\"") && !page.contains("\"'&"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
        assert_eq!(page.matches("<title>Sluice: ").count(), 1);
    }

    #[test]
    fn the_page_says_nothing_of_other_places() {
        let page = page(&Facts::default()).into_string();
        assert!(!page.contains("://") && !page.contains("url(") && !page.contains("@import"), "{page}");
    }

    #[test]
    fn requests_are_put_beside_those_that_took_as_long() {
        let operation = Operation {
            latency: Latency(vec![(1, 1), (1024, 2), (1280, 4), (4096, 8)]),
            ..Operation::default()
        };
        let found = octaves(&operation);
        let counts: Vec<_> = found.iter().map(|(_, count)| *count).collect();
        assert_eq!(counts, [3, 4, 8], "{found:?}");
        assert_eq!(found[0].0, "< 1.0 µs");
    }
}
