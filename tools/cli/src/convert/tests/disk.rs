//! A disk in memory that loses power, fails, and forgets any part of what was not flushed.

use std::{cell::RefCell, collections::BTreeMap, io, path::Path, sync::Arc};

use crate::{convert::Disk, failure::Failure};

pub(super) const BLOCK: usize = 512;

type Block = [u8; BLOCK];

/// What is on the medium; blocks that are missing are zeros. Shared by all the disks that begin with it.
pub(super) type Medium = BTreeMap<u64, Arc<Block>>;

#[derive(Clone)]
pub(super) struct Model {
    bytes: u64,
    medium: Medium,
    /// What was written and not flushed, oldest first.
    cache: BTreeMap<u64, Vec<Arc<Block>>>,
    /// Writes, flushes and changes of size until the power fails; `None`: it does not.
    left: Option<u64>,
    crashed: bool,
    /// Flushes do nothing.
    pub(super) lies: bool,
    /// How many there were.
    pub(super) changes: u64,
    /// Ranges that cannot be read.
    bad: Vec<std::ops::Range<u64>>,
    is_file: bool,
}

pub(super) struct ModelDisk(RefCell<Model>);

impl Model {
    pub(super) fn new(bytes: u64, is_file: bool) -> Self {
        Self {
            bytes,
            medium: Medium::new(),
            cache: BTreeMap::new(),
            left: None,
            crashed: false,
            lies: false,
            changes: 0,
            bad: Vec::new(),
            is_file,
        }
    }

    /// Runs something on it; what it answers, and the disk afterwards.
    pub(super) fn run<T>(
        &self,
        left: Option<u64>,
        run: impl FnOnce(&ModelDisk) -> Result<T, Failure>,
    ) -> (Result<T, Failure>, Self) {
        let disk = ModelDisk(RefCell::new(Self { left, crashed: false, changes: 0, ..self.clone() }));
        let result = run(&disk);
        (result, disk.0.into_inner())
    }

    pub(super) fn get(&self, offset: u64, into: &mut [u8]) {
        for (number, part) in (offset / BLOCK as u64..).zip(into.chunks_mut(BLOCK)) {
            let cached = self.cache.get(&number).and_then(|versions| versions.last());
            match cached.or_else(|| self.medium.get(&number)) {
                Some(block) => part.copy_from_slice(&block[..part.len()]),
                None => part.fill(0),
            }
        }
    }

    pub(super) fn read_all(&self) -> Vec<u8> {
        let mut all = vec![0; self.bytes as usize];
        let newest = self.cache.iter().filter_map(|(number, versions)| Some((number, versions.last()?)));
        for (number, block) in self.medium.iter().chain(newest) {
            all[*number as usize * BLOCK..][..BLOCK].copy_from_slice(&block[..]);
        }
        all
    }

    /// Every block that is not zeros, as a reader sees it.
    pub(super) fn blocks(&self) -> Medium {
        let mut all = self.medium.clone();
        let newest = self.cache.iter().filter_map(|(number, versions)| Some((*number, versions.last()?)));
        newest.for_each(|(number, block)| store(&mut all, number, block));
        all
    }

    /// Whether these bytes lie there.
    pub(super) fn has(&self, offset: u64, bytes: &[u8]) -> bool {
        let mut found = vec![0; bytes.len()];
        self.get(offset, &mut found);
        found == bytes
    }

    pub(super) fn put(&mut self, offset: u64, bytes: &[u8]) {
        for (number, part) in (offset / BLOCK as u64..).zip(bytes.chunks_exact(BLOCK)) {
            let mut there = [0; BLOCK];
            self.get(number * BLOCK as u64, &mut there);
            // What changes nothing can leave no other state.
            if there != *part {
                self.cache.entry(number).or_default().push(Arc::new(part.try_into().unwrap()));
            }
        }
    }

    pub(super) fn settle(&mut self) {
        for (number, versions) in std::mem::take(&mut self.cache) {
            store(&mut self.medium, number, versions.last().unwrap());
        }
    }

    /// Durable at once, which what was written before is not.
    pub(super) fn resize(&mut self, bytes: u64) {
        self.medium.retain(|&number, _| number * (BLOCK as u64) < bytes);
        self.cache.retain(|&number, _| number * (BLOCK as u64) < bytes);
        self.bytes = bytes;
    }

    pub(super) fn spoil(&mut self, range: std::ops::Range<u64>) {
        self.bad.push(range);
    }

    pub(super) fn heal(&mut self) {
        self.bad.clear();
    }

    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Blocks that a power failure may leave in more than one state, each with those states.
    pub(super) fn open_blocks(&self) -> Vec<(u64, Vec<Arc<Block>>)> {
        let zeros = Arc::new([0; BLOCK]);
        let states = |(&number, versions): (&u64, &Vec<Arc<Block>>)| {
            let mut states = vec![Arc::clone(self.medium.get(&number).unwrap_or(&zeros))];
            for version in versions {
                if !states.contains(version) {
                    states.push(Arc::clone(version));
                }
            }
            (states.len() > 1).then_some((number, states))
        };
        self.cache.iter().filter_map(states).collect()
    }

    /// The disk after a power failure; `choose` says which of a block's states, by its place among the open blocks.
    pub(super) fn after_crash(&self, mut choose: impl FnMut(usize, usize) -> usize) -> Self {
        let mut medium = self.medium.clone();
        for (place, (number, states)) in self.open_blocks().into_iter().enumerate() {
            store(&mut medium, number, &states[choose(place, states.len())]);
        }
        Self { medium, cache: BTreeMap::new(), left: None, changes: 0, ..self.clone() }
    }
}

/// Zeros take no room.
fn store(medium: &mut Medium, number: u64, block: &Arc<Block>) {
    if **block == [0; BLOCK] {
        medium.remove(&number);
    } else {
        medium.insert(number, Arc::clone(block));
    }
}

fn failed(what: &'static str) -> Failure {
    Failure::io(what, Path::new("model"), io::Error::other("no power, or a bad sector"))
}

impl Model {
    fn change(&mut self) -> Result<(), Failure> {
        self.changes += 1;
        match &mut self.left {
            Some(0) => {
                self.crashed = true;
                Err(failed("write to"))
            }
            Some(left) => {
                *left -= 1;
                Ok(())
            }
            None => Ok(()),
        }
    }
}

impl Disk for ModelDisk {
    fn path(&self) -> &Path {
        Path::new("model")
    }

    fn bytes(&self) -> u64 {
        self.0.borrow().bytes
    }

    fn read(&self, offset: u64, into: &mut [u8]) -> Result<(), Failure> {
        let model = self.0.borrow();
        let end = offset + into.len() as u64;
        let bad = model.bad.iter().any(|bad| bad.start < end && offset < bad.end);
        if model.crashed || bad || end > model.bytes {
            return Err(failed("read"));
        }
        assert!(offset.is_multiple_of(BLOCK as u64) && into.len().is_multiple_of(BLOCK));
        model.get(offset, into);
        Ok(())
    }

    fn write(&self, offset: u64, bytes: &[u8]) -> Result<(), Failure> {
        let mut model = self.0.borrow_mut();
        assert!(offset.is_multiple_of(BLOCK as u64) && bytes.len().is_multiple_of(BLOCK));
        // What is under way when the power fails may be written or not, like everything before it.
        if !model.crashed && offset + bytes.len() as u64 <= model.bytes {
            model.put(offset, bytes);
        }
        model.change()
    }

    fn flush(&self) -> Result<(), Failure> {
        let mut model = self.0.borrow_mut();
        model.change()?;
        if !model.lies {
            model.settle();
        }
        Ok(())
    }

    fn resize(&self, bytes: u64) -> Result<bool, Failure> {
        let mut model = self.0.borrow_mut();
        model.change()?;
        if model.is_file {
            model.resize(bytes);
        }
        Ok(model.is_file)
    }
}
