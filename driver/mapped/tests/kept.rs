//! The index of de-duplication over restarts: what a volume still recognises.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use sluice_mapped::{Options, Volume, io::Request, layout::Layout, units::BLOCK};
#[path = "support/memory.rs"]
mod memory;

use memory::{Memory, sealer};

const DEVICE: usize = 48 << 20;
/// Of a device for 6,000 blocks: three pieces.
const INDEX: usize = 150 << 10;
const BLOCKS: u64 = 6000;

fn layout() -> Layout {
    let layout = Layout::new(DEVICE as u64, 512, 3 * BLOCKS, 256 << 10, 64 << 10).unwrap();
    layout.keeping(INDEX as u64).unwrap()
}

fn open(disk: &mut Memory, index: usize) -> Box<Volume> {
    Volume::open(disk, layout(), sealer(), Options::new(4 << 20, index, None)).unwrap()
}

fn ask(volume: &mut Volume, disk: &mut Memory, request: Request) {
    volume.submit(0, request).unwrap();
    volume.drive(disk);
    volume.next_done().unwrap().result.unwrap();
}

/// Writes the same blocks as ever from `first` on.
fn write(volume: &mut Volume, disk: &mut Memory, first: u64) {
    for block in 0..BLOCKS {
        let buffer: Vec<u8> = (0..BLOCK / 8).flat_map(|i| (block << 16 | i as u64).to_le_bytes()).collect();
        let offset = (first + block) * BLOCK as u64;
        ask(volume, disk, Request::Write { offset, buffer, fua: false });
    }
}

/// A volume with the blocks, closed or not.
fn written(close: bool) -> Memory {
    let mut disk = Memory(vec![0; DEVICE]);
    Volume::format(&mut disk, &layout(), &sealer()).unwrap();
    let mut volume = open(&mut disk, INDEX);
    write(&mut volume, &mut disk, 0);
    assert_eq!(volume.usage().chunks, BLOCKS);
    ask(&mut volume, &mut disk, if close { Request::Close } else { Request::Flush });
    disk
}

/// Opens, lets it learn, writes the blocks once more: chunks that there are then beyond those there were, and pages that
/// had been read before the first request.
fn again(disk: &mut Memory, index: usize) -> (u64, u64) {
    let mut volume = open(disk, index);
    volume.drive(disk);
    let pages = volume.stats().page_reads;
    write(&mut volume, disk, BLOCKS);
    (volume.usage().chunks - BLOCKS, pages)
}

#[test]
fn a_closed_volume_knows_everything_without_reading_its_table() {
    let (new, pages) = again(&mut written(true), INDEX);
    assert_eq!(new, 0);
    // Of 42 leaves and one above them.
    assert!(pages < 10, "{pages} pages read");
}

#[test]
fn after_a_crash_the_table_is_read() {
    let (new, pages) = again(&mut written(false), INDEX);
    assert_eq!(new, 0);
    assert!(pages > 40, "{pages} pages read");
}

#[test]
fn after_a_crash_behind_a_closing_the_table_is_read_as_well() {
    let mut disk = written(true);
    let mut volume = open(&mut disk, INDEX);
    write(&mut volume, &mut disk, 0);
    drop(volume);
    let (new, pages) = again(&mut disk, INDEX);
    assert_eq!(new, 0);
    assert!(pages > 40, "{pages} pages read");
}

#[test]
fn damage_is_found_and_only_costs_time() {
    for offset in [8, 20, 30, 5000, 65000] {
        for piece in [0, 1, 2] {
            let mut disk = written(true);
            disk.0[(layout().index_start() + piece * 65536 + offset) as usize] ^= 1;
            let (new, pages) = again(&mut disk, INDEX);
            assert_eq!(new, 0);
            assert!(pages > 40, "{pages} pages read: damage at {offset} of piece {piece} was not noticed");
        }
    }
}

#[test]
fn pieces_in_the_wrong_places_are_none() {
    let mut disk = written(true);
    let start = layout().index_start() as usize;
    let (one, other) = disk.0[start..start + 131_072].split_at_mut(65536);
    one.swap_with_slice(other);
    let (new, pages) = again(&mut disk, INDEX);
    assert!(new == 0 && pages > 40, "{pages} pages read");
}

#[test]
fn an_index_of_another_size_learns_the_table() {
    for index in [INDEX / 2, INDEX * 2] {
        let mut disk = written(true);
        let (new, pages) = again(&mut disk, index);
        assert!(pages > 40, "{pages} pages read");
        assert!(new == 0, "{new} of {BLOCKS} were not recognised with {index} bytes");
    }
}

#[test]
fn what_is_kept_is_no_plaintext() {
    let disk = written(true);
    let start = layout().index_start() as usize;
    let area = &disk.0[start..start + layout().index_area as usize];
    for piece in area.chunks(65536) {
        // Buckets with room end with zeros.
        assert!(!piece[64..].windows(16).any(|bytes| bytes == [0; 16]));
    }
}
