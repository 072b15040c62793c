//! `sluice dump`: the structures of a mapped volume as they lie on the disk. Changes nothing, opens nothing.

mod text;
mod value;

use std::{io, ops::ControlFlow, path::Path};

use serde_json::{Value, json};
use sluice_engine::volume::Kind;
use sluice_mapped::{
    OpenError,
    inspect::{Health, Inspector, Part, Tree},
    layout::{JOURNAL_START, Layout},
    units::{Block, Chunk, Segment},
};

use crate::{
    args::{Dump, TreeName, View},
    failure::Failure,
    image::Image,
    mapped::{Untouched, open_error_text, parts},
    output::{Lines, Report},
    secret::volume_key,
};

pub(crate) fn run(args: &Dump, json: bool) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, false)?;
    let copies = image.copies();
    let (header, _) = image.header(&copies)?;
    let Kind::Mapped(mapped) = header.kind() else { return Err(Failure::NotMapped { path: image.path }) };
    let view = args.view.unwrap_or(View::Roots);
    let key = volume_key(&header, &args.secret)?;
    let (layout, sealer) = parts(&image, &mapped, &header.uuid(), &key)?;
    check_range(view, &layout)?;
    let mut disk = Untouched(&image);
    let failed = |error| Failure::Mapped { path: image.path.clone(), error };
    let inspector = Inspector::new(&mut disk, layout, sealer).map_err(failed)?;
    let mut dump = Dumping { inspector, layout, json };
    let said = match view {
        View::Roots => dump.roots(),
        View::Journal { records } => dump.journal(records),
        View::Index => dump.index(),
        View::Segments => dump.segments(),
        View::Segment { number } => dump.segment(Segment(number)),
        View::Map { block, count } => dump.map(Block(block), count),
        View::Chunk { number } => dump.chunk(Chunk(number)),
        View::Tree { tree, damaged } => dump.tree(tree_of(tree), damaged),
    };
    match said {
        // A reader that has gone (`sluice dump ... | head`) is no failure of ours.
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(Failure::io("write to", Path::new("standard output"), error))
        }
        _ => Ok(Report::said()),
    }
}

fn check_range(view: View, layout: &Layout) -> Result<(), Failure> {
    let (what, number, count) = match view {
        View::Map { block, .. } => ("block", block, layout.blocks),
        View::Segment { number } => ("segment", number.into(), layout.segments.into()),
        _ => return Ok(()),
    };
    if number < count { Ok(()) } else { Err(Failure::NoSuch { what, number, count }) }
}

fn tree_of(name: TreeName) -> Tree {
    match name {
        TreeName::Map => Tree::Map,
        TreeName::Table => Tree::Table,
        TreeName::Space => Tree::Space,
    }
}

/// A volume, and how it is shown.
struct Dumping<'a> {
    inspector: Inspector<'a>,
    layout: Layout,
    json: bool,
}

/// Stops at the first line that could not be said.
fn flow(said: io::Result<()>) -> ControlFlow<io::Error> {
    said.map_or_else(ControlFlow::Break, ControlFlow::Continue)
}

fn said(flow: ControlFlow<io::Error>) -> io::Result<()> {
    match flow {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(error) => Err(error),
    }
}

impl Dumping<'_> {
    /// Says which root record the trees are read from, and begins the list.
    fn begin(&self, view: &str, list: &str, more: &str, fields: Value) -> io::Result<Lines> {
        let root = self.inspector.root();
        let text = match &root {
            Ok(root) if view == "journal" => {
                format!(
                    "Frames before number {} are in the trees of root record {}.\n",
                    root.lsn.0, root.number
                )
            }
            Ok(root) => format!(
                "As of the last checkpoint: root record {}. What the journal says since is not in it.\n",
                root.number
            ),
            Err(error) => format!("Nothing leads to the trees: {}.\n", open_error_text(*error)),
        };
        let mut json = fields;
        json["view"] = json!(view);
        json["root"] = json!(root.ok().map(|root| root.number));
        json["problem"] = json!(root.err().map(open_error_text));
        Lines::begin(self.json, "dump", &Report::new(text + more, json), list)
    }

    fn roots(&mut self) -> io::Result<()> {
        let Layout { sector, blocks, journal_bytes, index_area, segment_bytes, segments, copy_b } =
            self.layout;
        let segments_at = self.layout.segment_start(Segment(0)).0;
        let depths = self.inspector.depths();
        let layout = json!({
            "sector": sector, "blocks": blocks, "journal_at": JOURNAL_START, "journal_bytes": journal_bytes,
            "index_at": self.layout.index_start(), "index_area_bytes": index_area,
            "segments_at": segments_at, "segments": segments, "segment_bytes": segment_bytes,
            "copy_a": 0, "copy_b": copy_b,
        });
        let list = self.inspector.list();
        let fields = json!({"layout": layout, "depths": depths, "list": value::health(list)});
        let more = text::layout(&self.layout, depths, list);
        let counts = self.inspector.root().ok().map(|root| root.number);
        let mut lines = self.begin("roots", "roots", &more, fields)?;
        for copy in self.inspector.copies() {
            let counts = copy.found.is_ok_and(|root| Some(root.number) == counts);
            lines.line(|| text::root(copy, counts), || value::root(copy, counts))?;
        }
        lines.end()
    }

    fn journal(&mut self, records: bool) -> io::Result<()> {
        let applied = self.inspector.applied();
        let mut lines = self.begin(
            "journal",
            "frames",
            &text::applied(&applied),
            json!({
                "recovery": value::applied(&applied),
                "journal_at": JOURNAL_START,
                "journal_bytes": self.layout.journal_bytes,
            }),
        )?;
        let mut applied = applied.map(|applied| applied.frames).unwrap_or_default();
        // They are found in the order of their places, which is another where the ring has wrapped.
        applied.sort_unstable();
        let ended = self.inspector.journal(|frame| {
            let applies = applied.binary_search(&frame.ring).is_ok();
            flow(
                lines.line(|| text::frame(frame, applies, records), || value::frame(frame, applies, records)),
            )
        });
        said(ended.map_err(|_| io::ErrorKind::OutOfMemory)?)?;
        lines.end()
    }

    fn index(&mut self) -> io::Result<()> {
        let fields =
            json!({"index_at": self.layout.index_start(), "index_area_bytes": self.layout.index_area});
        let mut lines = self.begin("index", "pieces", "", fields)?;
        let root = self.inspector.root().ok().map(|root| root.number);
        let (mut pieces, mut complete) = (0u64, 0u64);
        let ended = self.inspector.index(|line| {
            pieces += 1;
            let of = line.found.ok().and_then(|piece| piece.complete_for);
            complete += u64::from(root.is_some() && of == root);
            flow(lines.line(|| text::piece(line), || value::piece(line)))
        });
        said(ended.map_err(|_| io::ErrorKind::OutOfMemory)?)?;
        lines.remark(&format!(
            "{pieces} pieces, {complete} of them complete for the root record that counts"
        ))?;
        lines.end()
    }

    fn segments(&mut self) -> io::Result<()> {
        let mut lines = self.begin("segments", "segments", "", json!({}))?;
        said(
            self.inspector
                .segments(|line| flow(lines.line(|| text::segment(&line), || value::segment(&line)))),
        )?;
        lines.end()
    }

    fn segment(&mut self, segment: Segment) -> io::Result<()> {
        let mut lines = self.begin("segment", "parts", "", json!({"segment": segment.0}))?;
        let journal = self.inspector.applied().map(|applied| applied.extents).unwrap_or_default();
        let mut generation = None;
        said(self.inspector.segment(segment, |part| {
            // Those of another than the first were left by an earlier filling.
            let old = matches!(part, Part::Extent(extent)
                if *generation.get_or_insert(extent.generation) != extent.generation);
            let new = matches!(part, Part::Extent(extent) if journal.binary_search(&extent.address).is_ok());
            flow(lines.line(|| text::part(&part, old, new), || value::part(&part, new)))
        }))?;
        lines.end()
    }

    fn map(&mut self, block: Block, count: u64) -> io::Result<()> {
        let mut lines = self.begin("map", "blocks", "", json!({}))?;
        said(
            self.inspector
                .map(block, count, |line| flow(lines.line(|| text::map(&line), || value::map(&line)))),
        )?;
        lines.end()
    }

    fn chunk(&mut self, chunk: Chunk) -> io::Result<()> {
        let mut lines = self.begin("chunk", "chunks", "", json!({}))?;
        let line = self.inspector.chunk(chunk);
        lines.line(|| text::chunk(chunk, &line), || value::chunk(chunk, &line))?;
        lines.end()
    }

    fn tree(&mut self, tree: Tree, damaged: bool) -> io::Result<()> {
        let mut lines =
            self.begin("tree", "pages", "", json!({"tree": text::tree(tree), "damaged_only": damaged}))?;
        let (mut pages, mut bad) = (0u64, 0u64);
        said(self.inspector.tree(tree, |line| {
            pages += 1;
            bad += u64::from(line.health != Health::Good);
            if damaged && line.health == Health::Good {
                return ControlFlow::Continue(());
            }
            flow(lines.line(|| text::page(&line), || value::page(&line)))
        }))?;
        lines.remark(&format!("{pages} pages, {bad} of them not good"))?;
        lines.end()
    }
}

/// Why recovery does not get as far as applying frames.
fn no_recovery(error: OpenError) -> String {
    format!("opening fails: {}", open_error_text(error))
}

/// In hexadecimal, as everybody writes it.
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
