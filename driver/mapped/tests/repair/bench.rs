//! A volume with data in it, and ways to damage it in a certain place: the trees are read as `docs/mapped.md` describes
//! them, and sealed again after a change that is to look as if the volume had made it.

use std::collections::BTreeMap;

use sluice_mapped::{
    OpenError, Options, Report, Tree, Volume,
    disk::Disk,
    io::{DeviceError, Error, Request},
    layout::Layout,
    seal::{Domain, Sealer},
    units::{BLOCK, SECTOR, Tag},
};
use sluice_xts::Backend;

pub(crate) const FANOUT: u64 = 170;

/// Sectors that were written; what was not holds anything.
#[derive(Clone, Default, PartialEq)]
pub(crate) struct Sparse {
    sectors: BTreeMap<u64, [u8; SECTOR]>,
    /// Writes until power fails.
    pub(crate) left: Option<usize>,
    pub(crate) writes: usize,
    /// A sector that cannot be read.
    pub(crate) unreadable: Option<u64>,
}

impl Disk for Sparse {
    fn read(&mut self, offset: u64, buffer: &mut [u8]) -> Result<(), DeviceError> {
        let range = offset..offset + buffer.len() as u64;
        if self.unreadable.is_some_and(|sector| range.contains(&sector)) {
            return Err(DeviceError);
        }
        for (at, sector) in (offset..).step_by(SECTOR).zip(buffer.chunks_exact_mut(SECTOR)) {
            match self.sectors.get(&at) {
                Some(bytes) => sector.copy_from_slice(bytes),
                None => sector.fill((at >> 9) as u8 | 1),
            }
        }
        Ok(())
    }

    fn write(&mut self, offset: u64, buffer: &[u8]) -> Result<(), DeviceError> {
        if self.left == Some(self.writes) {
            return Err(DeviceError);
        }
        self.writes += 1;
        for (at, sector) in (offset..).step_by(SECTOR).zip(buffer.chunks_exact(SECTOR)) {
            self.sectors.insert(at, sector.try_into().unwrap());
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// A reference: an address and a tag.
type Ref = (u64, Tag);

fn reference(bytes: &[u8]) -> Ref {
    (u64::from_le_bytes(bytes[..8].try_into().unwrap()), Tag(bytes[8..24].try_into().unwrap()))
}

/// One volume.
#[derive(Clone)]
pub(crate) struct Bench {
    pub(crate) disk: Sparse,
    pub(crate) layout: Layout,
    pub(crate) encrypted: bool,
    pub(crate) cache: usize,
    /// Of map, table and space tree.
    pub(crate) depths: [u8; 3],
    /// What its blocks hold, by the number of [`contents`].
    pub(crate) model: BTreeMap<u64, u64>,
}

/// A block: half of them compress.
pub(crate) fn contents(number: u64) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let word = move |i: usize| {
        if number.is_multiple_of(2) && !i.is_multiple_of(8) {
            return number.to_le_bytes();
        }
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    (0..BLOCK / 8).flat_map(word).collect()
}

impl Bench {
    /// Map, table and space tree with 3, 4 and 2 levels.
    pub(crate) fn formatted(encrypted: bool) -> Self {
        let layout = Layout::new(300 << 20, 512, 1 << 20, 512 << 10, 64 << 10).unwrap();
        Self::of(layout, [3, 4, 2], encrypted)
    }

    pub(crate) fn of(layout: Layout, depths: [u8; 3], encrypted: bool) -> Self {
        let mut bench = Self {
            disk: Sparse::default(),
            layout,
            encrypted,
            cache: 1 << 18,
            depths,
            model: BTreeMap::new(),
        };
        let sealer = bench.sealer();
        Volume::format(&mut bench.disk, &layout, &sealer).unwrap();
        bench
    }

    /// Blocks that share chunks, twins (blocks 100 to 109 hold what 0 to 9 do, in chunks of their own), and a few blocks
    /// that only the journal knows.
    pub(crate) fn filled(encrypted: bool) -> Self {
        let mut bench = Self::formatted(encrypted);
        let mut volume = bench.open(1 << 16).unwrap();
        for block in 0..60 {
            bench.write(&mut volume, block, 1 + block % 40);
        }
        // Another leaf of the map.
        bench.write(&mut volume, 5000, 77);
        bench.ask(&mut volume, Request::Checkpoint).unwrap();
        let mut volume = bench.open(0).unwrap();
        for block in 100..110 {
            bench.write(&mut volume, block, 1 + block - 100);
        }
        bench.ask(&mut volume, Request::Checkpoint).unwrap();
        for block in 200..205 {
            bench.write(&mut volume, block, block);
        }
        bench.write(&mut volume, 59, 300);
        bench
    }

    pub(crate) fn sealer(&self) -> Sealer {
        let key = core::array::from_fn(|i| i as u8);
        Sealer::new(&key, &[2; 16], self.encrypted, Backend::detect_xmm()).unwrap()
    }

    pub(crate) fn open(&mut self, index: usize) -> Result<Box<Volume>, OpenError> {
        let sealer = self.sealer();
        Volume::open(&mut self.disk, self.layout, sealer, Options::new(self.cache, index, Some(1)))
    }

    pub(crate) fn open_rebuilding(&mut self) -> Result<(Box<Volume>, Report), OpenError> {
        let sealer = self.sealer();
        let options = Options::new(self.cache, 1 << 16, Some(1));
        Volume::open_rebuilding(&mut self.disk, self.layout, sealer, options, |_, _| {})
    }

    /// What was repaired, and what is still wrong.
    pub(crate) fn repair(&mut self) -> Result<(Report, Report), OpenError> {
        let (mut volume, mut repaired) = self.open_rebuilding()?;
        let remaining = volume.repair(&mut self.disk, &mut repaired, |_, _| {})?;
        Ok((repaired, remaining))
    }

    pub(crate) fn ask(&mut self, volume: &mut Volume, request: Request) -> Result<Option<Vec<u8>>, Error> {
        volume.submit(0, request).unwrap();
        volume.drive(&mut self.disk);
        let done = volume.next_done().unwrap();
        done.result.map(|()| done.buffer)
    }

    pub(crate) fn write(&mut self, volume: &mut Volume, block: u64, number: u64) {
        let buffer = contents(number);
        self.ask(volume, Request::Write { offset: block * BLOCK as u64, buffer, fua: true }).unwrap();
        self.model.insert(block, number);
    }

    pub(crate) fn read(&mut self, volume: &mut Volume, block: u64) -> Result<Vec<u8>, Error> {
        let buffer = vec![0; BLOCK];
        let read = self.ask(volume, Request::Read { offset: block * BLOCK as u64, buffer })?;
        Ok(read.unwrap())
    }

    /// Opens it as anybody would: nothing is wrong, and everything is there.
    pub(crate) fn assert_good(&mut self, what: &str) {
        let mut volume = self.open(1 << 16).unwrap_or_else(|error| panic!("{what}: {error:?}"));
        let report = volume.check(&mut self.disk, |_, _| {}).unwrap();
        assert_eq!(report.problems, 0, "{what}: {:?}", report.named);
        assert_eq!(report.blocks, self.model.len() as u64, "{what}");
        self.assert_readable(&mut volume, what);
    }

    pub(crate) fn assert_readable(&mut self, volume: &mut Volume, what: &str) {
        for (block, number) in self.model.clone() {
            let read = self.read(volume, block).unwrap_or_else(|error| panic!("{what}: {block}: {error:?}"));
            assert!(read == contents(number), "{what}: block {block}");
        }
    }

    pub(crate) fn dies_after(&self, writes: usize) -> Self {
        Self { disk: Sparse { left: Some(writes), writes: 0, ..self.disk.clone() }, ..self.clone() }
    }

    pub(crate) fn revived(&self) -> Self {
        Self { disk: Sparse { left: None, writes: 0, ..self.disk.clone() }, ..self.clone() }
    }

    /// The newest root record, opened.
    pub(crate) fn root(&mut self) -> Vec<u8> {
        let sealer = self.sealer();
        let number = |page: &[u8]| u64::from_le_bytes(page[16..24].try_into().unwrap());
        let mut found: Vec<Vec<u8>> = Vec::new();
        for offset in [0, 1].iter().flat_map(|slot| self.layout.roots(*slot)) {
            let mut page = vec![0; BLOCK];
            self.disk.read(offset, &mut page).unwrap();
            let tag = Tag(page[..16].try_into().unwrap());
            sealer.open(&tag, &mut page[24..]);
            if sealer.tag(Domain::Root, number(&page), &[&page[16..]]) == tag {
                found.push(page);
            }
        }
        found.into_iter().max_by_key(|page| number(page)).unwrap()
    }

    /// Changes the newest root record.
    pub(crate) fn edit_root(&mut self, change: impl FnOnce(&mut [u8])) {
        let (mut page, sealer) = (self.root(), self.sealer());
        change(&mut page);
        let number = u64::from_le_bytes(page[16..24].try_into().unwrap());
        let tag = sealer.tag(Domain::Root, number, &[&page[16..]]);
        page[..16].copy_from_slice(&tag.0);
        sealer.seal(&tag, &mut page[24..]);
        for offset in self.layout.roots(number) {
            self.disk.write(offset, &page).unwrap();
        }
    }

    /// What refers to a page.
    fn reference(&mut self, tree: Tree, level: u8, index: u64) -> Ref {
        if level + 1 == self.depths[tree as usize] {
            return reference(&self.root()[128 + 24 * tree as usize..]);
        }
        let above = self.page(tree, level + 1, index / FANOUT);
        reference(&above[(index % FANOUT) as usize * 24..])
    }

    /// A page, opened.
    pub(crate) fn page(&mut self, tree: Tree, level: u8, index: u64) -> Vec<u8> {
        let (address, tag) = self.reference(tree, level, index);
        let mut page = vec![0; BLOCK];
        if address > 0 {
            self.disk.read(address, &mut page).unwrap();
            self.sealer().open(&tag, &mut page);
        }
        page
    }

    /// Where a page lies.
    pub(crate) fn place(&mut self, tree: Tree, level: u8, index: u64) -> u64 {
        let (address, _) = self.reference(tree, level, index);
        assert!(address > 0, "{tree:?} {level} {index} is a page of zeros");
        address
    }

    /// Changes a page where it lies, and what refers to it.
    pub(crate) fn edit(&mut self, tree: Tree, level: u8, index: u64, change: &dyn Fn(&mut [u8])) {
        let (address, mut page) = (self.place(tree, level, index), self.page(tree, level, index));
        change(&mut page);
        let key = (tree as u64) << 62 | u64::from(level) << 56 | index;
        let sealer = self.sealer();
        let tag = sealer.tag(Domain::Page, key, &[&page]);
        sealer.seal(&tag, &mut page);
        if level + 1 == self.depths[tree as usize] {
            let at = 128 + 24 * tree as usize;
            self.edit_root(|root| root[at + 8..at + 24].copy_from_slice(&tag.0));
        } else {
            let at = (index % FANOUT) as usize * 24;
            self.edit(tree, level + 1, index / FANOUT, &|above| {
                above[at + 8..at + 24].copy_from_slice(&tag.0);
            });
        }
        self.disk.write(address, &page).unwrap();
    }

    /// Flips a bit of what lies at `offset`.
    pub(crate) fn flip(&mut self, offset: u64) {
        let sector = offset / SECTOR as u64 * SECTOR as u64;
        let mut bytes = [0; SECTOR];
        self.disk.read(sector, &mut bytes).unwrap();
        bytes[(offset - sector) as usize] ^= 4;
        self.disk.write(sector, &bytes).unwrap();
    }

    /// Changes a byte of something that was written.
    pub(crate) fn damage(&mut self, rng: &mut fastrand::Rng) {
        let sectors = self.disk.sectors.len();
        if let Some(sector) = self.disk.sectors.values_mut().nth(rng.usize(..sectors)) {
            sector[rng.usize(..SECTOR)] ^= rng.u8(1..);
        }
    }

    /// The chunk of a block, by the last root record.
    pub(crate) fn chunk(&mut self, block: u64) -> u64 {
        let page = self.page(Tree::Map, 0, block / 816);
        let at = (block % 816) as usize * 5;
        let mut wide = [0; 8];
        wide[..5].copy_from_slice(&page[at..at + 5]);
        u64::from_le_bytes(wide) - 1
    }

    /// Where a chunk lies.
    pub(crate) fn chunk_place(&mut self, chunk: u64) -> u64 {
        let page = self.page(Tree::Table, 0, chunk / 146);
        let at = (chunk % 146) as usize * 28 + 16;
        let mut wide = [0; 8];
        wide[..6].copy_from_slice(&page[at..at + 6]);
        u64::from_le_bytes(wide)
    }

    /// Has the table count other references to a chunk.
    pub(crate) fn set_references(&mut self, chunk: u64, change: impl Fn(u32) -> u32) {
        let at = (chunk % 146) as usize * 28 + 24;
        self.edit(Tree::Table, 0, chunk / 146, &|page| {
            let references = u32::from_le_bytes(page[at..at + 4].try_into().unwrap());
            page[at..at + 4].copy_from_slice(&change(references).to_le_bytes());
        });
    }

    /// Has the map lead a block to another chunk, or nowhere.
    pub(crate) fn set_chunk(&mut self, block: u64, chunk: Option<u64>) {
        let at = (block % 816) as usize * 5;
        let value = chunk.map_or(0, |chunk| chunk + 1).to_le_bytes();
        self.edit(Tree::Map, 0, block / 816, &|page| page[at..at + 5].copy_from_slice(&value[..5]));
    }
}
