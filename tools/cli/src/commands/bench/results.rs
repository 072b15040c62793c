//! Figures of all rounds, and what they come to.

use std::fmt::Write as _;

use serde_json::{Value, json};

use super::{
    client::{Figure, Work},
    contestants::Contestant,
    machine::Machine,
    parts::{Pair, Part},
};
use crate::output::size;

/// What one turn of a contestant gave, by [`Work::ALL`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Turn {
    pub figures: [Option<Figure>; 4],
    /// Seconds of processor time of the server for each GiB.
    pub processor: [Option<f64>; 4],
    /// Bytes of the image that were taken after writing all of it.
    pub stored: Option<u64>,
    /// Most bytes of memory of the server.
    pub memory: u64,
}

/// A contestant and its turns.
pub(super) struct Row {
    pub contestant: Contestant,
    pub turns: Vec<Turn>,
    /// Why there are no more.
    pub trouble: Option<String>,
}

impl Row {
    pub(super) fn new(contestant: Contestant) -> Self {
        Self { contestant, turns: Vec::new(), trouble: None }
    }

    fn median_of(&self, what: impl Fn(&Turn) -> Option<f64>) -> Option<f64> {
        median(self.turns.iter().filter_map(what).collect())
    }

    pub(super) fn speed(&self, place: usize) -> Option<f64> {
        self.median_of(|turn| Some(turn.figures[place]?.speed))
    }
}

/// All of it.
pub(super) struct Results {
    pub machine: Machine,
    /// Bytes that clients see.
    pub size: u64,
    pub rows: Vec<Row>,
    pub pairs: Vec<[Pair; 3]>,
}

/// The middle one, or the mean of the two in the middle.
pub(super) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let (low, high) = (figures.len().checked_sub(1)? / 2, figures.len() / 2);
    Some(f64::midpoint(figures[low], figures[high]))
}

/// How often ours is as fast as the rival, by the rounds in which both were measured.
fn ratio(ours: &Row, rival: &Row, place: usize) -> Option<f64> {
    let both = ours.turns.iter().zip(&rival.turns);
    let ratios =
        both.filter_map(|(ours, rival)| Some(ours.figures[place]?.speed / rival.figures[place]?.speed));
    median(ratios.collect())
}

fn cell(figure: Option<f64>, digits: usize) -> String {
    figure.map_or_else(|| "-".into(), |figure| format!("{figure:.digits$}"))
}

impl Results {
    /// Pairs of a contestant of ours and a rival.
    fn duels(&self) -> impl Iterator<Item = (&Row, &Row)> {
        self.rows.iter().flat_map(move |ours| {
            let rivals = ours.contestant.rivals().iter();
            rivals
                .filter_map(move |rival| Some((ours, self.rows.iter().find(|row| row.contestant == *rival)?)))
        })
    }

    /// Markdown, which people can read as it is.
    pub(super) fn text(&self) -> String {
        let mut text = format!(
            "{}\n\n{} of data, half of it duplicates, the rest compressible by half; {} rounds, medians. fio's NBD engine; \
             in order at depth 8 and synced at the end, anywhere at depth 32.\n\n",
            self.machine.text(),
            size(self.size),
            self.pairs.len()
        );
        self.put_speeds(&mut text);
        self.put_ratios(&mut text);
        self.put_parts(&mut text);
        text
    }

    fn put_speeds(&self, text: &mut String) {
        let works = Work::ALL.map(|work| format!("{}, {}", work.name(), work.unit())).join(" | ");
        let rule = "---:|".repeat(8);
        let _ = writeln!(
            text,
            "| server | {works} | CPU s/GiB written | CPU s/GiB read | stored MiB | memory MiB |\n|---|{rule}"
        );
        let mib = f64::from(1 << 20);
        for row in &self.rows {
            let _ = write!(text, "| {} |", row.contestant.name());
            if let Some(trouble) = &row.trouble {
                let _ = writeln!(text, " not measured: {trouble} |{}", " |".repeat(7));
                continue;
            }
            let speeds = (0..4).map(|place| cell(row.speed(place), 0));
            let processor = (0..2).map(|place| cell(row.median_of(|turn| turn.processor[place]), 2));
            let stored = row.median_of(|turn| Some(turn.stored? as f64 / mib));
            let memory = row.median_of(|turn| Some(turn.memory as f64 / mib));
            for cell in speeds.chain(processor).chain([cell(stored, 0), cell(memory, 0)]) {
                let _ = write!(text, " {cell} |");
            }
            text.push('\n');
        }
    }

    fn put_ratios(&self, text: &mut String) {
        let works = Work::ALL.map(Work::name).join(" | ");
        let _ = writeln!(text, "\n| as fast as | {works} |\n|---|{}", "---:|".repeat(4));
        for (ours, rival) in self.duels() {
            let _ = write!(text, "| {} : {} |", ours.contestant.name(), rival.contestant.name());
            for place in 0..4 {
                let _ = write!(text, " {} |", cell(ratio(ours, rival, place), 2));
            }
            text.push('\n');
        }
    }

    fn part(&self, place: usize) -> (Option<f64>, Option<f64>, Option<f64>) {
        let of = |what: &dyn Fn(&Pair) -> Option<f64>| {
            median(self.pairs.iter().filter_map(|pairs| what(&pairs[place])).collect())
        };
        (of(&|pair| Some(pair.ours)), of(&|pair| pair.rival), of(&|pair| Some(pair.ours / pair.rival?)))
    }

    fn put_parts(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "\n| one core, MiB/s | sluice | rival | ratio | which |\n|---|---:|---:|---:|---|"
        );
        for (place, part) in Part::ALL.into_iter().enumerate() {
            let (ours, rival, ratio) = self.part(place);
            let [ours, rival, ratio] = [cell(ours, 0), cell(rival, 0), cell(ratio, 2)];
            let _ = writeln!(text, "| {} | {ours} | {rival} | {ratio} | {} |", part.name(), part.rival());
        }
    }

    /// Everything: medians, and each round.
    pub(super) fn json(&self) -> Value {
        let rows: Vec<_> = self.rows.iter().map(row).collect();
        let ratios: Vec<_> = self
            .duels()
            .map(|(ours, rival)| {
                let works = Work::ALL.iter().enumerate();
                let works: serde_json::Map<_, _> = works
                    .map(|(place, work)| (work.key().into(), json!(ratio(ours, rival, place))))
                    .collect();
                json!({"sluice": ours.contestant.name(), "rival": rival.contestant.name(), "ratios": works})
            })
            .collect();
        let parts: Vec<_> = Part::ALL
            .iter()
            .enumerate()
            .map(|(place, part)| {
                let (ours, rival, ratio) = self.part(place);
                json!({
                    "part": part.key(), "unit": "MiB/s", "sluice": ours, "rival": rival, "ratio": ratio,
                    "rival_name": part.rival(),
                })
            })
            .collect();
        json!({
            "machine": self.machine.json(), "bytes": self.size, "rounds": self.pairs.len(), "servers": rows,
            "ratios": ratios, "parts": parts,
        })
    }
}

fn row(row: &Row) -> Value {
    let mut works = serde_json::Map::new();
    for (place, work) in Work::ALL.into_iter().enumerate() {
        let rounds: Vec<_> =
            row.turns.iter().map(|turn| turn.figures[place].map(|figure| figure.speed)).collect();
        works.insert(
            work.key().into(),
            json!({
                "unit": work.unit(), "median": row.speed(place), "rounds": rounds,
                "p99_microseconds": row.median_of(|turn| Some(turn.figures[place]?.p99)),
                "processor_seconds_per_gib": row.median_of(|turn| turn.processor[place]),
            }),
        );
    }
    json!({
        "name": row.contestant.name(), "not_measured": row.trouble, "works": works,
        "stored_bytes": row.median_of(|turn| Some(turn.stored? as f64)),
        "memory_bytes": row.median_of(|turn| Some(turn.memory as f64)),
    })
}
