//! Looking into volumes: what is shown is what was written, and what is damaged is named where it lies.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{ops::ControlFlow, ops::Range};

use sluice_mapped::{
    OpenError, Options, Volume,
    disk::Disk,
    inspect::{
        Entry, Health, Holds, Inspector, ItemLine, Loss, MapLine, Mapping, NoRecord, PageLine, Part, Record,
        SegmentLine, Stored, Tree,
    },
    io::{DeviceError, Request},
    layout::Layout,
    seal::Sealer,
    units::{BLOCK, Block, Chunk, Kind, Segment},
};
use sluice_xts::Backend;

const DEVICE: usize = 16 << 20;
/// Enough for a map of two levels.
const BLOCKS: u64 = 2000;

/// Reads alone.
struct Memory {
    bytes: Vec<u8>,
    bad: Option<usize>,
    writable: bool,
}

fn range(offset: u64, length: usize) -> Range<usize> {
    offset as usize..offset as usize + length
}

impl Disk for Memory {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        assert!(offset.is_multiple_of(512) && buffer.len().is_multiple_of(512), "{offset} {}", buffer.len());
        if self.bad.is_some_and(|bad| range(offset, buffer.len()).contains(&bad)) {
            return Err(DeviceError);
        }
        buffer.copy_from_slice(self.bytes.get(range(offset, buffer.len())).ok_or(DeviceError)?);
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        assert!(self.writable, "looking writes");
        self.bytes[range(offset, buffer.len())].copy_from_slice(buffer);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

fn layout() -> Layout {
    Layout::new(DEVICE as u64, 512, BLOCKS, 256 << 10, 64 << 10).unwrap()
}

fn sealer() -> Sealer {
    Sealer::new(&core::array::from_fn(|i| i as u8), &[2; 16], true, Backend::detect_xmm()).unwrap()
}

fn ask(volume: &mut Volume, disk: &mut Memory, request: Request) {
    volume.submit(0, request).unwrap();
    volume.drive(disk);
    volume.next_done().unwrap().result.unwrap();
}

fn write(volume: &mut Volume, disk: &mut Memory, block: u64, value: u64) {
    let bytes: Vec<u8> = (0..BLOCK as u64 / 8).flat_map(|i| (value + i / 16).to_le_bytes()).collect();
    ask(volume, disk, Request::Write { offset: block * BLOCK as u64, buffer: bytes, fua: true });
}

/// Blocks 10 to 29 hold ten chunks twice, block 1900 one of its own; behind the checkpoint, in the journal, block 40 one more,
/// and block 10 is a hole.
fn written() -> Memory {
    let mut disk = Memory { bytes: vec![0; DEVICE], bad: None, writable: true };
    Volume::format(&mut disk, &layout(), &sealer()).unwrap();
    let options = Options::new(1 << 20, 1 << 16, Some(1));
    let mut volume = Volume::open(&mut disk, layout(), sealer(), options).unwrap();
    for block in 10..30 {
        write(&mut volume, &mut disk, block, block % 10 * 1000);
    }
    write(&mut volume, &mut disk, 1900, 50_000);
    ask(&mut volume, &mut disk, Request::Checkpoint);
    write(&mut volume, &mut disk, 40, 60_000);
    ask(&mut volume, &mut disk, Request::Discard { offset: 10 * BLOCK as u64, length: BLOCK as u64 });
    ask(&mut volume, &mut disk, Request::Flush);
    disk.writable = false;
    disk
}

fn look<T>(disk: &mut Memory, see: impl FnOnce(&mut Inspector<'_>) -> T) -> T {
    see(&mut Inspector::new(disk, layout(), sealer()).unwrap())
}

/// All lines of a view.
macro_rules! all {
    ($inspector:expr, $view:ident $(, $argument:expr)*) => {{
        let mut lines = Vec::new();
        let ended: ControlFlow<()> = $inspector.$view($($argument,)* |line| {
            lines.push(line);
            ControlFlow::Continue(())
        });
        assert_eq!(ended, ControlFlow::Continue(()));
        lines
    }};
}

fn map(disk: &mut Memory, first: u64, count: u64) -> Vec<MapLine> {
    look(disk, |inspector| all!(inspector, map, Block(first), count))
}

fn tree(disk: &mut Memory, tree: Tree) -> Vec<PageLine> {
    look(disk, |inspector| all!(inspector, tree, tree))
}

fn segments(disk: &mut Memory) -> Vec<SegmentLine> {
    look(disk, |inspector| all!(inspector, segments))
}

fn segment(disk: &mut Memory, of: u64) -> Vec<Part> {
    let segment = layout().segment_of(sluice_mapped::units::Address(of)).unwrap();
    look(disk, |inspector| all!(inspector, segment, segment))
}

fn items(parts: &[Part]) -> Vec<ItemLine> {
    let item = |part: &Part| match part {
        Part::Item(item) => Some(*item),
        _ => None,
    };
    parts.iter().filter_map(item).collect()
}

fn entry(disk: &mut Memory, block: u64) -> (Chunk, Entry) {
    match map(disk, block, 1)[..] {
        [MapLine { what: Mapping::Chunk(chunk, Ok(Some(entry))), .. }] => (chunk, entry),
        ref other => panic!("{other:?}"),
    }
}

#[test]
fn a_block_that_was_written_leads_to_a_chunk_that_lives_in_its_segment() {
    let mut disk = written();
    for block in (10..30).chain([1900]) {
        let (chunk, entry) = entry(&mut disk, block);
        assert_eq!((entry.references, entry.place.kind), (if block < 30 { 2 } else { 1 }, Kind::Zstd));
        let line = look(&mut disk, |inspector| inspector.chunk(chunk));
        assert_eq!((line.entry, line.health), (Ok(Some(entry)), Some(Health::Good)));
        let found = items(&segment(&mut disk, entry.place.address.0));
        let found: Vec<_> = found.iter().filter(|item| item.address == entry.place.address).collect();
        assert_eq!(found.len(), 1, "block {block}");
        assert_eq!(found[0].item, Stored::Chunk(chunk));
        assert_eq!((found[0].bytes, found[0].live), (u64::from(entry.place.length), Ok(Some(Health::Good))));
    }
    // Equal blocks are one chunk.
    assert_eq!(entry(&mut disk, 10), entry(&mut disk, 20));
    assert_ne!(entry(&mut disk, 10).0, entry(&mut disk, 11).0);
}

#[test]
fn holes_are_one_line_however_far_they_reach() {
    let mut disk = written();
    let lines = map(&mut disk, 0, u64::MAX);
    let holes: Vec<_> = lines
        .iter()
        .filter(|line| line.what == Mapping::Hole)
        .map(|line| (line.block.0, line.count))
        .collect();
    // What the journal says of blocks 10 and 40 is not in the trees.
    assert_eq!(holes, [(0, 10), (30, 1870), (1901, 99)]);
    assert_eq!(lines.len(), 3 + 21);
    assert_eq!(map(&mut disk, 100, 7), [MapLine { block: Block(100), count: 7, what: Mapping::Hole }]);
    assert_eq!(map(&mut disk, BLOCKS, 5), []);
}

#[test]
fn the_newest_root_record_counts_and_says_what_was_written() {
    let mut disk = written();
    let (copies, root) =
        look(&mut disk, |inspector| (inspector.copies().to_vec(), inspector.root().unwrap()));
    assert_eq!((root.mapped, root.chunks, root.blocks), (21, 11, BLOCKS));
    assert_eq!(root.segments, u64::from(layout().segments));
    let newest = copies.iter().filter(|copy| copy.found == Ok(root)).count();
    assert_eq!((copies.len(), newest), (4, 2));
    let slot = layout().roots(root.number);
    for (offset, bad) in [(slot[0], false), (slot[1], true)] {
        let mut disk = written();
        if bad {
            disk.bad = Some(offset as usize);
        } else {
            disk.bytes[offset as usize + 100] ^= 1;
        }
        let (copies, again) = look(&mut disk, |inspector| (inspector.copies().to_vec(), inspector.root()));
        assert_eq!(again, Ok(root));
        let state = copies.iter().find(|copy| copy.address.0 == offset).unwrap().found;
        assert_eq!(state, Err(if bad { NoRecord::Unreadable } else { NoRecord::Damaged }));
    }
}

#[test]
fn the_journal_shows_what_opening_applies() {
    let mut disk = written();
    let root = look(&mut disk, |inspector| inspector.root().unwrap());
    let applied = look(&mut disk, |inspector| inspector.applied().unwrap());
    let mut after = Vec::new();
    let mut before = 0;
    look(&mut disk, |inspector| {
        let _: ControlFlow<()> = inspector
            .journal(|frame| {
                let body = frame.body.as_ref().unwrap();
                assert!(body.extents.iter().flatten().all(|extent| extent.health == Health::Good));
                assert_eq!(applied.frames.contains(&frame.ring), frame.lsn >= root.lsn);
                if frame.lsn >= root.lsn {
                    after.extend(body.records());
                } else {
                    before += body.counts().store;
                }
                ControlFlow::Continue(())
            })
            .unwrap();
    });
    assert_eq!(before, 11);
    // What the trees do not know yet lies where the journal says.
    let new = items(&segment(&mut disk, applied.extents[0].0));
    let new: Vec<_> = new.iter().filter(|item| item.live == Ok(None)).collect();
    assert!(matches!(new[..], [item] if item.address > applied.extents[0]));
    assert_eq!(applied.extents.len(), 1);
    assert!(matches!(after[..], [Record::Store { block: Block(40), .. }, Record::Hole { block: Block(10) }]));
}

#[test]
fn a_damaged_frame_is_shown_and_not_applied() {
    let mut disk = written();
    let (ring, address) = look(&mut disk, |inspector| {
        let ring = *inspector.applied().unwrap().frames.first().unwrap();
        (ring, ring as usize + sluice_mapped::layout::JOURNAL_START as usize)
    });
    disk.bytes[address + 60] ^= 4;
    look(&mut disk, |inspector| {
        assert!(
            matches!(inspector.applied(), Err(OpenError::Journal(_))),
            "a later frame says it was durable"
        );
        let mut whole = Vec::new();
        let _: ControlFlow<()> = inspector
            .journal(|frame| {
                whole.extend((frame.body.is_none()).then_some(frame.ring));
                ControlFlow::Continue(())
            })
            .unwrap();
        assert_eq!(whole, [ring]);
    });
}

#[test]
fn data_of_a_frame_that_has_changed_is_not_there() {
    let mut disk = written();
    let extent = |disk: &mut Memory| {
        let mut found = None;
        look(disk, |inspector| {
            let _: ControlFlow<()> = inspector
                .journal(|frame| {
                    found = frame.body.as_ref().unwrap().extents[0].or(found);
                    ControlFlow::Continue(())
                })
                .unwrap();
        });
        found.unwrap()
    };
    let good = extent(&mut disk);
    assert_eq!(good.health, Health::Good);
    disk.bytes[good.address.0 as usize + 90] ^= 1;
    assert_eq!(extent(&mut disk).health, Health::Damaged);
    disk.bad = Some(good.address.0 as usize);
    assert_eq!(extent(&mut disk).health, Health::Unreadable);
}

#[test]
fn segments_hold_what_is_recorded() {
    let mut disk = written();
    let (_, one) = entry(&mut disk, 10);
    let lines = segments(&mut disk);
    assert_eq!(lines.len(), layout().segments as usize);
    let mut live = 0;
    for line in &lines {
        let parts = segment(&mut disk, line.address.0);
        let sum = |pages: bool| -> u64 {
            let of = |item: &&ItemLine| !matches!(item.item, Stored::Chunk(_)) == pages;
            let items = items(&parts);
            items.iter().filter(of).filter(|item| item.live != Ok(None)).map(|item| item.bytes).sum()
        };
        assert_eq!(line.chunk_bytes, Ok(sum(false) as u32));
        assert_eq!(line.page_bytes, Some(sum(true) as u32));
        live += sum(false);
        let extents = parts.iter().filter(|part| matches!(part, Part::Extent(_))).count();
        assert_eq!(line.extents as usize, extents, "segment {}", line.segment.0);
        let bytes: u64 = parts
            .iter()
            .map(|part| match part {
                Part::Extent(extent) => extent.bytes,
                Part::Gap { bytes, .. } => *bytes,
                Part::Item(_) => 0,
            })
            .sum();
        assert_eq!(bytes, layout().segment_bytes);
    }
    assert!(live > 0);
    let of = layout().segment_of(one.place.address).unwrap();
    assert_eq!(lines[of.0 as usize].holds, Some(Holds::Chunks));
    let parts = look(&mut disk, |inspector| all!(inspector, segment, Segment(layout().segments)));
    assert_eq!(parts, []);
}

#[test]
fn a_chunk_that_is_damaged_is_named_and_no_other() {
    let mut disk = written();
    let (chunk, at) = entry(&mut disk, 15);
    disk.bytes[at.place.address.0 as usize + 3] ^= 0x10;
    assert_eq!(look(&mut disk, |inspector| inspector.chunk(chunk)).health, Some(Health::Damaged));
    let bad: Vec<_> = items(&segment(&mut disk, at.place.address.0))
        .into_iter()
        .filter(|item| item.live == Ok(Some(Health::Damaged)))
        .collect();
    assert!(matches!(bad[..], [ItemLine { item: Stored::Chunk(found), .. }] if found == chunk), "{bad:?}");
    disk.bad = Some(at.place.address.0 as usize);
    assert_eq!(look(&mut disk, |inspector| inspector.chunk(chunk)).health, Some(Health::Unreadable));
}

#[test]
fn behind_an_extent_whose_header_is_damaged_the_next_is_found() {
    let mut disk = written();
    let (_, at) = entry(&mut disk, 10);
    let parts = segment(&mut disk, at.place.address.0);
    let Some(Part::Extent(first)) = parts.first() else { panic!("{parts:?}") };
    disk.bytes[first.address.0 as usize + 17] ^= 1;
    let left = segment(&mut disk, at.place.address.0);
    assert_eq!(left[0], Part::Gap { address: first.address, bytes: first.bytes, unreadable: false });
    let next = parts.iter().skip(1).position(|part| matches!(part, Part::Extent(_))).unwrap() + 1;
    assert_eq!(left[1..], parts[next..]);
}

#[test]
fn a_damaged_page_is_named_and_what_it_led_to_is_lost() {
    for (bad, health) in [(false, Health::Damaged), (true, Health::Unreadable)] {
        let mut disk = written();
        let pages = tree(&mut disk, Tree::Map);
        let names: Vec<_> = pages.iter().map(|line| (line.page.level, line.page.index)).collect();
        // Nothing is on the leaf between.
        assert_eq!(names, [(1, 0), (0, 0), (0, 2)]);
        assert!(pages.iter().all(|line| line.health == Health::Good));
        let place = pages[1].at.address.0 as usize + 4000;
        if bad {
            disk.bad = Some(place);
        } else {
            disk.bytes[place] ^= 1;
        }
        let damaged = PageLine { health, ..pages[1] };
        assert_eq!(tree(&mut disk, Tree::Map), [pages[0], damaged, pages[2]]);
        let lines = map(&mut disk, 5, BLOCKS);
        let lost = Mapping::Lost(Loss::Page(damaged));
        assert_eq!(lines[0], MapLine { block: Block(5), count: 811, what: lost });
        assert!(matches!(lines[2], MapLine { block: Block(1900), what: Mapping::Chunk(_, Ok(Some(_))), .. }));
        // The page itself still is what leads to it says lies there.
        let found = items(&segment(&mut disk, pages[1].at.address.0));
        let found: Vec<_> = found.iter().filter(|item| item.live == Ok(Some(health))).collect();
        assert!(matches!(found[..], [ItemLine { item: Stored::Page(page), .. }] if *page == damaged.page));
        // The root of the tree: everything is lost, on one line.
        disk.bytes[pages[0].at.address.0 as usize] ^= 1;
        assert_eq!(map(&mut disk, 0, BLOCKS).len(), 1);
        assert_eq!(tree(&mut disk, Tree::Map).len(), 1);
    }
}

#[test]
fn a_damaged_page_of_the_table_leaves_the_map_to_be_read() {
    let mut disk = written();
    let (chunk, _) = entry(&mut disk, 10);
    let leaf = *tree(&mut disk, Tree::Table).last().unwrap();
    assert_eq!(leaf.page.level, 0);
    disk.bytes[leaf.at.address.0 as usize] ^= 1;
    let lost = Loss::Page(PageLine { health: Health::Damaged, ..leaf });
    let line = MapLine { block: Block(10), count: 1, what: Mapping::Chunk(chunk, Err(lost)) };
    assert_eq!(map(&mut disk, 10, 1), [line]);
    let at = segments(&mut disk).iter().find(|line| line.holds == Some(Holds::Chunks)).unwrap().address.0;
    let items = items(&segment(&mut disk, at));
    // The table never reached as far as the one that the journal alone knows.
    let states: Vec<_> = items.iter().map(|item| item.live == Err(lost)).collect();
    assert_eq!(states, [[true; 11].as_slice(), &[false]].concat());
}

/// The lines of the table of chunks.
fn table(disk: &mut Memory) -> Vec<(Chunk, Result<Entry, Loss>)> {
    let mut lines = Vec::new();
    let ended: ControlFlow<()> = look(disk, |inspector| {
        inspector.table(|chunk, entry| {
            lines.push((chunk, entry));
            ControlFlow::Continue(())
        })
    });
    assert_eq!(ended, ControlFlow::Continue(()));
    lines
}

#[test]
fn the_table_tells_each_chunk_once_and_damage_with_its_first() {
    let mut disk = written();
    let lines = table(&mut disk);
    let references: Vec<_> = lines.iter().map(|(_, entry)| entry.unwrap().references).collect();
    assert_eq!(references, [[2; 10].as_slice(), &[1]].concat());
    let (chunk, found) = entry(&mut disk, 15);
    assert!(lines.contains(&(chunk, Ok(found))));
    let leaf = *tree(&mut disk, Tree::Table).last().unwrap();
    disk.bytes[leaf.at.address.0 as usize] ^= 1;
    let lost = Loss::Page(PageLine { health: Health::Damaged, ..leaf });
    assert_eq!(table(&mut disk), [(Chunk(0), Err(lost))]);
    // It ends when it is told to.
    let ended = look(&mut disk, |inspector| inspector.table(|chunk, _| ControlFlow::Break(chunk)));
    assert_eq!(ended, ControlFlow::Break(Chunk(0)));
}

#[test]
fn without_a_root_record_journal_and_segments_can_still_be_read() {
    let mut disk = written();
    let (_, at) = entry(&mut disk, 10);
    let good = items(&segment(&mut disk, at.place.address.0)).len();
    for slot in [0, 1] {
        for offset in layout().roots(slot) {
            disk.bytes[offset as usize + 500] ^= 1;
        }
    }
    look(&mut disk, |inspector| {
        assert_eq!(
            (inspector.root(), inspector.applied().err()),
            (Err(OpenError::NoRoot), Some(OpenError::NoRoot))
        );
        let mut frames = 0;
        let _: ControlFlow<()> = inspector
            .journal(|_| {
                frames += 1;
                ControlFlow::Continue(())
            })
            .unwrap();
        assert!(frames > 20, "{frames}");
        assert_eq!(all!(inspector, tree, Tree::Table), []);
        assert_eq!(inspector.chunk(Chunk(0)).entry, Err(Loss::NoRoot));
    });
    assert_eq!(
        map(&mut disk, 0, 9),
        [MapLine { block: Block(0), count: 9, what: Mapping::Lost(Loss::NoRoot) }]
    );
    let items = items(&segment(&mut disk, at.place.address.0));
    assert_eq!(items.len(), good);
    assert!(items.iter().all(|item| item.live == Err(Loss::NoRoot)));
}

#[test]
fn a_view_ends_when_it_is_told_to() {
    let mut disk = written();
    look(&mut disk, |inspector| {
        let mut seen = 0;
        let mut stop = || {
            seen += 1;
            ControlFlow::Break(seen)
        };
        assert_eq!(inspector.map(Block(0), BLOCKS, |_| stop()), ControlFlow::Break(1));
        assert_eq!(inspector.segments(|_| stop()), ControlFlow::Break(2));
        assert_eq!(inspector.segment(Segment(0), |_| stop()), ControlFlow::Break(3));
        assert_eq!(inspector.tree(Tree::Map, |_| stop()), ControlFlow::Break(4));
        assert_eq!(inspector.journal(|_| stop()), Ok(ControlFlow::Break(5)));
    });
}
