//! Pictures of numbers, as SVG in the page. Each has a title and a description; a table beside it has the numbers.

use maud::{Markup, html};

use super::facts::{Cell, Segments, class};
use crate::output::size;

/// A part of a bar: how it is coloured, what it is called, how many bytes.
pub(super) type Part = (&'static str, &'static str, u64);

/// A bar whose parts add up to `whole`.
pub(super) fn bar(id: &str, title: &str, parts: &[Part], whole: u64) -> Markup {
    let scale = 1000.0 / whole.max(1) as f64;
    let mut at = 0.0;
    let rects: Vec<_> = parts
        .iter()
        .map(|(colour, name, bytes)| {
            let (x, width) = (at, *bytes as f64 * scale);
            at += width;
            (*colour, format!("{name}: {}", size(*bytes)), format!("{x:.2}"), format!("{width:.2}"))
        })
        .collect();
    let told: Vec<_> = parts.iter().map(|(_, name, bytes)| format!("{name} {}", size(*bytes))).collect();
    html! {
        figure {
            figcaption { (title) " " strong { (size(whole)) } }
            svg.bar role="img" aria-labelledby=(format!("{id}-title {id}-desc")) viewBox="0 0 1000 36"
                preserveAspectRatio="none" {
                title id=(format!("{id}-title")) { (title) }
                desc id=(format!("{id}-desc")) { (told.join(", ")) "." }
                @for (colour, name, x, width) in &rects {
                    rect class=(colour) x=(x) y="0" width=(width) height="36" { title { (name) } }
                }
            }
            ul.legend {
                @for (colour, name, bytes) in parts {
                    li { span.key.(colour) aria-hidden="true" {} (name) " " b { (size(*bytes)) } }
                }
            }
        }
    }
}

/// Columns, as high as the logarithm of their numbers: few beside many are still seen.
pub(super) fn columns(id: &str, title: &str, unit: &str, columns: &[(String, u64)]) -> Markup {
    const HEIGHT: f64 = 130.0;
    let most = columns.iter().map(|column| column.1).max().unwrap_or(0);
    let step = 1000.0 / columns.len().max(1) as f64;
    let bars: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(n, (name, count))| {
            let share = (1.0 + *count as f64).ln() / (1.0 + most as f64).ln().max(1e-9);
            let height = share * HEIGHT;
            let (left, middle) = (step * (n as f64 + 0.15), step * (n as f64 + 0.5));
            (name, count, left, middle, 20.0 + HEIGHT - height, height)
        })
        .collect();
    let told: Vec<_> = columns.iter().map(|(name, count)| format!("{name}: {count}")).collect();
    html! {
        figure {
            figcaption { (title) " " small { "(columns are logarithmic)" } }
            svg.columns role="img" aria-labelledby=(format!("{id}-title {id}-desc")) viewBox="0 0 1000 175" {
                title id=(format!("{id}-title")) { (title) }
                desc id=(format!("{id}-desc")) { (unit) ": " (told.join(", ")) "." }
                @for (name, count, left, middle, top, height) in &bars {
                    rect.accent x=(format!("{left:.1}")) y=(format!("{top:.1}"))
                        width=(format!("{:.1}", step * 0.7)) height=(format!("{height:.1}")) rx="3" {
                        title { (name) ": " (count) " " (unit) }
                    }
                    @if **count > 0 {
                        text x=(format!("{middle:.1}")) y=(format!("{:.1}", top - 5.0)) { (short(**count)) }
                    }
                    text x=(format!("{middle:.1}")) y="168" { (name) }
                }
            }
        }
    }
}

/// A number with few digits.
fn short(number: u64) -> String {
    match number {
        n if n < 10_000 => n.to_string(),
        n if n < 10_000_000 => format!("{}k", n / 1000),
        n => format!("{}M", n / 1_000_000),
    }
}

/// What a map of segments shows.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Heat {
    Live,
    Age,
}

/// Cells in a row of a map.
const ROW: usize = 64;

/// A map of all segments, a cell for one or some that lie beside one another.
pub(super) fn map(id: &str, title: &str, description: &str, segments: &Segments, heat: Heat) -> Markup {
    let generations = || segments.cells.iter().filter_map(|cell| cell.generation);
    let (oldest, newest) = (generations().min().unwrap_or(0), generations().max().unwrap_or(0));
    let rows = segments.cells.len().div_ceil(ROW).max(1);
    let view = format!("0 0 {} {}", ROW * 15, rows * 15);
    html! {
        figure {
            figcaption { (title) }
            svg.map role="img" aria-labelledby=(format!("{id}-title {id}-desc")) viewBox=(view) {
                title id=(format!("{id}-title")) { (title) }
                desc id=(format!("{id}-desc")) { (description) }
                @for (n, cell) in segments.cells.iter().enumerate() {
                    rect class=(colour(cell, segments, heat, oldest, newest)) x=(n % ROW * 15) y=(n / ROW * 15)
                        width="13" height="13" rx="2" { title { (said(cell, segments)) } }
                }
            }
        }
    }
}

fn colour(cell: &Cell, segments: &Segments, heat: Heat, oldest: u64, newest: u64) -> String {
    if cell.unknown == cell.count {
        return "unknown".into();
    }
    let step = match heat {
        Heat::Live => class(cell.live, cell.count * segments.segment_bytes),
        Heat::Age => cell.generation.map_or(0, |generation| {
            // Old is 1, new is 4.
            let place = (generation - oldest) as f64 / (newest - oldest).max(1) as f64;
            1 + (place * 3.0).round() as usize
        }),
    };
    format!("heat{step}")
}

fn said(cell: &Cell, segments: &Segments) -> String {
    let whole = cell.count * segments.segment_bytes;
    let name = match cell.count {
        1 => format!("segment {}", cell.first),
        count => format!("segments {} to {}", cell.first, cell.first + count - 1),
    };
    let share = cell.live as f64 * 100.0 / whole.max(1) as f64;
    let age =
        cell.generation.map_or_else(String::new, |generation| format!(", filled as number {generation}"));
    let unknown =
        if cell.unknown > 0 { format!(", {} of them not known", cell.unknown) } else { String::new() };
    format!("{name}: {share:.0} % live{age}{unknown}")
}
