//! How `sluice top` looks: all volumes in a table, and what there is to say of the chosen one below it.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use ratatui::{
    Frame,
    layout::{Constraint, Layout, Rect},
    style::{Color, Style, Stylize},
    text::Line,
    widgets::{Block, Cell, Paragraph, RenderDirection, Row, Sparkline, Table, TableState},
};
use sluice_statistics::{Mapped, Volume};

use super::{
    collect::Collected,
    rates::{Flow, Rates, Share},
};
use crate::output::size;

/// Intervals that are remembered.
const HISTORY: usize = 512;

/// Names a volume for as long as its server runs.
type Name = (u32, String, String);

/// A volume as it is shown.
struct Shown {
    name: Name,
    volume: Volume,
    rates: Option<Rates>,
}

/// The whole screen.
pub(super) struct View {
    interval: Duration,
    shown: Vec<Shown>,
    resident: u64,
    servers: usize,
    notes: Vec<String>,
    chosen: Option<Name>,
    history: HashMap<Name, VecDeque<u64>>,
    table: TableState,
}

impl View {
    pub(super) fn new(interval: Duration) -> Self {
        Self {
            interval,
            shown: Vec::new(),
            resident: 0,
            servers: 0,
            notes: Vec::new(),
            chosen: None,
            history: HashMap::new(),
            table: TableState::new(),
        }
    }

    /// New numbers have come.
    pub(super) fn take(&mut self, before: &Collected, now: &Collected) {
        self.servers = now.servers.len();
        self.resident = now.servers.iter().filter_map(|server| server.resident_bytes).sum();
        self.notes = now.problems.iter().map(|problem| printable(problem)).collect();
        if !now.stale.is_empty() {
            self.notes.push(format!("{} killed servers left their sockets", now.stale.len()));
        }
        self.shown.clear();
        for server in &now.servers {
            for volume in &server.volumes {
                let rates = Rates::of(before, server, volume);
                let name = (server.pid, volume.uuid.clone(), volume.export.clone());
                let history = self.history.entry(name.clone()).or_default();
                history.push_front(rates.as_ref().map_or(0, |rates| rates.all.bytes_per_second as u64));
                history.truncate(HISTORY);
                self.shown.push(Shown { name, volume: volume.clone(), rates });
            }
        }
        let shown = &self.shown;
        self.history.retain(|name, _| shown.iter().any(|one| one.name == *name));
        self.choose(0);
    }

    /// Another volume is chosen, so many lines below.
    pub(super) fn choose(&mut self, lines: isize) {
        let at = self.shown.iter().position(|one| Some(&one.name) == self.chosen.as_ref()).unwrap_or(0);
        let at = at.saturating_add_signed(lines).min(self.shown.len().saturating_sub(1));
        self.chosen = self.shown.get(at).map(|one| one.name.clone());
        self.table.select(self.chosen.as_ref().map(|_| at));
    }

    pub(super) fn draw(&mut self, frame: &mut Frame<'_>) {
        let rows = self.shown.len() as u16 + 2;
        let most = (frame.area().height / 3).max(4);
        let [head, table, below, foot] = Layout::vertical([
            Constraint::Length(1),
            Constraint::Length(rows.min(most)),
            Constraint::Min(0),
            Constraint::Length(1),
        ])
        .areas(frame.area());
        frame.render_widget(self.head(), head);
        frame.render_stateful_widget(table_of(&self.shown), table, &mut self.table);
        if let Some(one) = self.table.selected().and_then(|at| self.shown.get(at)) {
            let history = self.history.get(&one.name);
            detail(frame, below, one, history);
        } else {
            let text = "Nothing is being served. `sluice serve IMAGE` serves a volume.";
            frame.render_widget(Paragraph::new(text).dim(), below);
        }
        let keys = Line::from(vec!["q".bold(), " ends  ".into(), "↑ ↓".bold(), " choose a volume".into()]);
        frame.render_widget(keys, foot);
    }

    fn head(&self) -> Line<'static> {
        let mut spans = vec![
            "sluice top".bold(),
            format!(
                "  {} in {}, {} of memory, every {} s",
                count(self.shown.len(), "volume"),
                count(self.servers, "server"),
                size(self.resident),
                self.interval.as_secs_f64()
            )
            .into(),
        ];
        spans.extend(self.notes.iter().map(|note| format!("  {note}").yellow()));
        Line::from(spans)
    }
}

fn count(number: usize, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

/// Without what a terminal would take for commands.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn time(nanoseconds: f64) -> String {
    match nanoseconds {
        ns if ns < 1e3 => format!("{ns:.0} ns"),
        ns if ns < 1e6 => format!("{:.1} us", ns / 1e3),
        ns if ns < 1e9 => format!("{:.1} ms", ns / 1e6),
        ns => format!("{:.1} s", ns / 1e9),
    }
}

fn maybe_time(nanoseconds: Option<u64>) -> String {
    nanoseconds.map_or_else(|| "-".into(), |ns| time(ns as f64))
}

fn speed(bytes: f64) -> String {
    if bytes < 1.0 { "-".into() } else { format!("{}/s", size(bytes as u64)) }
}

fn rate(times: f64) -> String {
    if times == 0.0 { "-".into() } else { format!("{times:.0}") }
}

fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".into(), |share| format!("{:.1} %", share * 100.0))
}

fn factor(ratio: Option<f64>) -> String {
    ratio.map_or_else(|| "-".into(), |ratio| format!("{ratio:.2}"))
}

/// What people know it by.
fn title(volume: &Volume) -> String {
    let file = volume.path.rsplit(['/', '\\']).next().unwrap_or_default();
    let export = if volume.export.is_empty() { file } else { &volume.export };
    printable(if export.is_empty() { &volume.uuid } else { export })
}

/// A line of right-aligned cells after the first.
fn row(cells: Vec<String>) -> Row<'static> {
    let mut cells = cells.into_iter();
    let first = Cell::from(cells.next().unwrap_or_default());
    Row::new(std::iter::once(first).chain(cells.map(|cell| Cell::from(Line::from(cell).right_aligned()))))
}

fn head_row(cells: &[&str]) -> Row<'static> {
    row(cells.iter().map(|cell| (*cell).to_owned()).collect()).style(Style::new().bold().fg(Color::Cyan))
}

fn table_of(shown: &[Shown]) -> Table<'static> {
    let rows = shown.iter().map(|Shown { volume, rates, .. }| {
        let speed_of = |name: &str| {
            let flow = rates.iter().flat_map(|rates| &rates.operations).find(|flow| flow.name == name);
            flow.map_or_else(|| "-".into(), |flow| speed(flow.bytes_per_second))
        };
        let all = rates.as_ref().map(|rates| rates.all.clone()).unwrap_or_default();
        let saved = volume.mapped.as_ref().map(|mapped| {
            let space = mapped.space;
            let written = space.written_bytes as f64;
            if written > 0.0 { 1.0 - space.stored_bytes as f64 / written } else { 0.0 }
        });
        let failed = volume.mapped.as_ref().is_some_and(|mapped| mapped.log.failed);
        let errors: u64 = volume.operations.iter().map(|operation| operation.errors).sum();
        let line = row(vec![
            title(volume),
            volume.kind.replace('_', " "),
            size(volume.volume_bytes),
            speed_of("read"),
            speed_of("write"),
            rate(all.requests_per_second),
            maybe_time(all.p50_ns),
            maybe_time(all.p99_ns),
            maybe_time(all.max_ns),
            format!("{:.1}", all.depth),
            percent(saved),
            errors.to_string(),
        ]);
        if failed || errors > 0 { line.red() } else { line }
    });
    let widths = [16, 8, 10, 12, 12, 8, 9, 9, 9, 6, 8, 7].map(Constraint::Length);
    let widths =
        widths.into_iter().enumerate().map(|(n, width)| if n == 0 { Constraint::Min(16) } else { width });
    Table::new(rows, widths)
        .header(head_row(&[
            "volume", "kind", "size", "read", "written", "IOPS", "p50", "p99", "max", "depth", "saved",
            "errors",
        ]))
        .row_highlight_style(Style::new().reversed())
        .highlight_symbol("> ")
}

fn detail(frame: &mut Frame<'_>, area: Rect, one: &Shown, history: Option<&VecDeque<u64>>) {
    let [spark, middle, below] =
        Layout::vertical([Constraint::Length(6), Constraint::Length(9), Constraint::Min(0)]).areas(area);
    let name = format!(" {}  {} ", printable(&one.volume.path), one.volume.uuid);
    let data: Vec<u64> = history.into_iter().flatten().copied().collect();
    let most = size(data.iter().copied().max().unwrap_or(0));
    let block = Block::bordered().title(name).title_bottom(format!(" throughput, at most {most}/s "));
    let line = Sparkline::default()
        .data(&data)
        .direction(RenderDirection::RightToLeft)
        .style(Style::new().fg(Color::Green))
        .block(block);
    frame.render_widget(line, spark);
    let [requests, work] =
        Layout::horizontal([Constraint::Percentage(50), Constraint::Percentage(50)]).areas(middle);
    let flows = one.rates.as_ref().map(|rates| rates.operations.as_slice()).unwrap_or_default();
    frame.render_widget(requests_of(flows, &one.volume), requests);
    let shares = one.rates.as_ref().map(|rates| rates.stages.as_slice()).unwrap_or_default();
    frame.render_widget(work_of(shares), work);
    if let Some(mapped) = &one.volume.mapped {
        insides(frame, below, mapped, one.rates.as_ref());
    } else {
        let text = if one.volume.kind == "mapped" {
            "The engine did not answer in time."
        } else if one.volume.kind == "in_place" {
            "A volume in place stores every block where it is: there is no space to account for, and no log."
        } else {
            "The driver tells no more of a volume than this."
        };
        frame.render_widget(Paragraph::new(text).dim(), below);
    }
}

fn requests_of(flows: &[Flow], volume: &Volume) -> Table<'static> {
    let rows: Vec<_> = flows
        .iter()
        .map(|flow| {
            let all = volume.operations.iter().find(|operation| operation.name == flow.name);
            row(vec![
                flow.name.clone(),
                rate(flow.requests_per_second),
                speed(flow.bytes_per_second),
                maybe_time(flow.p50_ns),
                maybe_time(flow.p99_ns),
                maybe_time(flow.max_ns),
                all.map_or(0, |all| all.errors).to_string(),
            ])
        })
        .collect();
    Table::new(rows, [8, 8, 13, 9, 9, 9, 7].map(Constraint::Length))
        .header(head_row(&["request", "a second", "bytes", "p50", "p99", "max", "errors"]))
        .block(Block::bordered().title(" requests "))
}

fn work_of(shares: &[Share]) -> Table<'static> {
    let rows: Vec<_> = shares
        .iter()
        .map(|share| {
            row(vec![
                share.name.replace('_', " "),
                rate(share.times_per_second),
                speed(share.bytes_per_second),
                share.mean_ns.map_or_else(|| "-".into(), time),
                format!("{:.2}", share.threads),
            ])
        })
        .collect();
    Table::new(rows, [23, 9, 13, 9, 8].map(Constraint::Length))
        .header(head_row(&["stage", "a second", "bytes", "each", "threads"]))
        .block(Block::bordered().title(" work inside "))
}

/// What a mapped volume's engine says.
fn insides(frame: &mut Frame<'_>, area: Rect, mapped: &Mapped, rates: Option<&Rates>) {
    let [space, log, memory] = Layout::horizontal([Constraint::Fill(1); 3]).areas(area);
    let part = |title: &'static str, lines: Vec<String>| {
        let lines: Vec<_> = lines.into_iter().map(Line::from).collect();
        Paragraph::new(lines).block(Block::bordered().title(title))
    };
    let ratios = rates.and_then(|rates| rates.mapped.as_ref());
    let of = &mapped.space;
    frame.render_widget(
        part(
            " space ",
            vec![
                format!("logical     {}", size(of.written_bytes)),
                format!("unique      {}  {} by duplicates", size(of.unique_bytes), size(of.saved_by_dedup)),
                format!("stored      {}  {} by zstd", size(of.stored_bytes), size(of.saved_by_compression)),
                format!("metadata    {}", size(of.metadata_bytes)),
                format!("in segments {}", size(of.segment_bytes_in_use)),
                format!("room for    {}", size(of.free_bytes)),
                format!("hits now    {}", percent(ratios.and_then(|ratios| ratios.dedup_hits))),
                format!("zstd now    {}", factor(ratios.and_then(|ratios| ratios.compression))),
            ],
        ),
        space,
    );
    let of = &mapped.log;
    let busy = match (of.failed, of.cleaning, of.checkpointing) {
        (true, ..) => "a write has failed: read only",
        (_, true, true) => "cleaning, checkpoint",
        (_, true, _) => "cleaning",
        (_, _, true) => "checkpoint",
        _ => "nothing in the background",
    };
    let full = of.journal_used_bytes as f64 / of.journal_bytes.max(1) as f64;
    let reads = ratios.map_or(0.0, |ratios| ratios.page_reads_per_second);
    let moved = ratios.map_or(0.0, |ratios| ratios.cleaned_bytes_per_second);
    frame.render_widget(
        part(
            " log and cleaner ",
            vec![
                busy.to_owned(),
                format!("segments  {} of {} are free", of.free_segments, of.segments),
                format!("dead      {}, kept {}", of.dead_segments, of.reserved_segments),
                format!("journal   {} of {}", percent(Some(full)), size(of.journal_bytes)),
                format!("cleaned   {} segments, {}", mapped.engine.segments_cleaned, speed(moved)),
                format!("trees     {} checkpoints", mapped.engine.checkpoints),
                format!(
                    "device    {} bytes for each written",
                    factor(ratios.and_then(|ratios| ratios.write_amplification))
                ),
                format!("requests  {} in the engine", of.requests),
            ],
        ),
        log,
    );
    let of = &mapped.memory;
    let known = of.index_used as f64 / of.index_capacity.max(1) as f64;
    frame.render_widget(
        part(
            " memory ",
            vec![
                format!("pages     {}", size(of.cache_bytes)),
                format!("changed   {}", size(of.dirty_bytes)),
                format!("missed    {} pages a second", rate(reads)),
                format!("index     {}", size(of.index_bytes)),
                format!("filled    {} ({} chunks)", percent(Some(known)), of.index_used),
            ],
        ),
        memory,
    );
}

#[cfg(test)]
#[path = "view_tests.rs"]
mod tests;
