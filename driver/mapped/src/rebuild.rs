//! Opening without believing what is recorded about space: what is live is counted, from the trees.
//!
//! The space tree and the list of page segments say nothing that cannot be found out. Which chunks live, and where, says
//! the table; which pages live, and where, say the pages above them. So a damaged page of the space tree, a damaged list and
//! a wrong number of live bytes can all be put right, and must be *before* anything is allocated: a segment wrongly
//! believed free would be filled, and what lives in it destroyed. That is why repairing opens a volume in this way and in no
//! other, and why this is done between reading the root record and replaying the journal.
//!
//! What is needed for it: every page of the table (its leaves say where chunks lie), and every inner page of the map (they
//! say where its leaves lie). If one of them is damaged, nobody knows which segments hold what it spoke of. The volume is
//! then refused, and nothing has been written. A damaged leaf of the map is no obstacle: no place is in it. (What becomes of it
//! when the journal goes on in it: `salvage`.)
//!
//! The pages of the space tree count as live where they can still be reached, and so does the list, damaged or not. A crash
//! before the next root record finds the old ones as they were.

use alloc::{boxed::Box, vec::Vec};

use crate::{
    Volume,
    cache::{PageKey, State, Tree},
    check::{Problem, Report},
    disk::Disk,
    engine::Options,
    layout::Layout,
    leaf::{self, FANOUT, MAP_ENTRIES, SPACE_ENTRIES, TABLE_ENTRIES},
    limits::EXTENT,
    memory::list,
    pages::most_chunks,
    recover::OpenError,
    root::Root,
    salvage::Overwritten,
    seal::Sealer,
    units::{Address, BLOCK, Chunk, Segment},
};

/// Space as it was counted.
#[derive(Default)]
pub(crate) struct Accounts {
    /// Live bytes of chunks and of pages in each segment.
    chunks: Vec<u32>,
    pages: Vec<u32>,
    /// What the list of page segments says; empty if it is damaged.
    listed: Vec<u32>,
    /// An inner page of the space tree is gone, and with it what its leaves said.
    inner_lost: bool,
    /// What was not as it is recorded.
    pub(crate) found: Report,
    /// Chunks that lie where frames have written.
    pub(crate) overwritten: Overwritten,
    /// Blocks that the volume had when the root record was written.
    pub(crate) blocks: u64,
}

impl Volume {
    /// Opens a volume as [`Self::open`] does, but counts what is live instead of reading it, and records that. The
    /// report says where the two differed.
    ///
    /// # Errors
    /// See [`OpenError`]. With [`OpenError::Irreplaceable`], nothing has been written.
    pub fn open_rebuilding(
        disk: &mut dyn Disk,
        layout: Layout,
        sealer: Sealer,
        options: Options,
    ) -> Result<(Box<Self>, Report), OpenError> {
        let mut accounts = Accounts::default();
        let volume = Self::open_as(disk, layout, sealer, options, Some(&mut accounts))?;
        Ok((volume, accounts.found))
    }

    /// Counts what is live with the root record's trees. Only reads.
    pub(crate) fn count_space(
        &mut self,
        disk: &mut dyn Disk,
        root: &Root,
        accounts: &mut Accounts,
    ) -> Result<(), OpenError> {
        accounts.blocks = root.blocks;
        accounts.chunks = self.a_number_for_each_segment()?;
        accounts.pages = self.a_number_for_each_segment()?;
        self.count_tree(disk, Tree::Map, accounts)?;
        self.count_tree(disk, Tree::Table, accounts)?;
        accounts.overwritten.sort();
        // Places that overlap: with so many live bytes the volume would not open again.
        let counted = (0..).map(Segment).zip(accounts.chunks.iter().zip(&accounts.pages));
        for (segment, (&chunks, &pages)) in counted {
            if u64::from(chunks) + u64::from(pages) > self.layout.segment_bytes {
                return Err(OpenError::Overlap(segment));
            }
        }
        // The other two are written anew.
        self.count_list(disk, root, accounts)?;
        self.count_tree(disk, Tree::Space, accounts)?;
        for ((segment, &said), &counted) in (0..).map(Segment).zip(&accounts.listed).zip(&accounts.pages) {
            if said != counted {
                accounts.found.add(Problem::Live(segment, said, counted));
            }
        }
        let counted = accounts.chunks.iter().zip(&accounts.pages);
        for (segment, (&chunks, &pages)) in (0..).map(Segment).zip(counted) {
            // What a segment holds is what was first added to it.
            for (bytes, are_pages) in [(pages, true), (chunks, false)] {
                if bytes > 0 {
                    self.space.add(segment, bytes, are_pages);
                }
            }
        }
        Ok(())
    }

    fn count_tree(
        &mut self,
        disk: &mut dyn Disk,
        tree: Tree,
        accounts: &mut Accounts,
    ) -> Result<(), OpenError> {
        let depth = self.trees[tree as usize].depth;
        let mut next = Some(PageKey::new(tree, depth.saturating_sub(1), 0));
        while let Some(key) = next {
            let below = self.count_page(disk, key, accounts)?;
            next = after(key, depth, below);
        }
        Ok(())
    }

    fn a_number_for_each_segment(&self) -> Result<Vec<u32>, OpenError> {
        let count = self.layout.segments as usize;
        let mut numbers = list(count).ok_or(OpenError::NoMemory)?;
        numbers.resize(count, 0);
        Ok(numbers)
    }

    /// The list of page segments: where it lies, the root record says.
    fn count_list(
        &mut self,
        disk: &mut dyn Disk,
        root: &Root,
        accounts: &mut Accounts,
    ) -> Result<(), OpenError> {
        let length = u32::try_from(root.list_bytes).ok().filter(|&length| length as usize <= EXTENT);
        if let (Some(segment), Some(length @ 1..)) = (self.layout.segment_of(root.list), length) {
            count(&mut accounts.pages, segment, length);
            // The next one takes its place.
            self.list = Some((root.list, length));
        }
        let mut listed = self.a_number_for_each_segment()?;
        match self.load_page_segments(disk, root, |_, segment, live| count(&mut listed, segment, live)) {
            Ok(()) => accounts.listed = listed,
            Err(OpenError::NoMemory) => return Err(OpenError::NoMemory),
            Err(_) => accounts.found.add(Problem::List),
        }
        Ok(())
    }

    /// Counts a page, and the chunks in it. Answers whether there is anything below.
    fn count_page(
        &mut self,
        disk: &mut dyn Disk,
        key: PageKey,
        accounts: &mut Accounts,
    ) -> Result<bool, OpenError> {
        let (tree, level) = (key.tree(), key.level());
        if self.is_beyond(key) {
            return Ok(false);
        }
        let reference = self.pump(disk, |volume| volume.reference(key))?;
        if reference.address == Address(0) && self.cache.find(key).is_none() {
            return Ok(false);
        }
        if let Some(segment) = self.layout.segment_of(reference.address) {
            count(&mut accounts.pages, segment, BLOCK as u32);
        }
        if level == 0 && tree != Tree::Table {
            return Ok(false);
        }
        match self.page_or_none(disk, key)? {
            Some(_) if level > 0 => Ok(true),
            Some(frame) => {
                let first = key.index() * TABLE_ENTRIES;
                let entries = TABLE_ENTRIES.min(self.table_size.saturating_sub(first));
                let page = self.cache.page(frame);
                for (chunk, entry) in
                    (0..entries).filter_map(|i| Some((Chunk(first + i), leaf::table(page, i)?)))
                {
                    accounts.overwritten.see(chunk, entry.place.address)?;
                    if let Some(segment) = self.layout.segment_of(entry.place.address) {
                        count(&mut accounts.chunks, segment, u32::from(entry.place.length));
                    }
                }
                Ok(false)
            }
            None if tree == Tree::Space => {
                self.replace_page(key)?;
                accounts.inner_lost = true;
                accounts.found.add(Problem::SpacePage(level, key.index()));
                Ok(false)
            }
            None => Err(OpenError::Irreplaceable(tree, level, key.index())),
        }
    }

    /// Whether a page is none that the tree needs.
    fn is_beyond(&self, key: PageKey) -> bool {
        let (entries, a_leaf) = match key.tree() {
            Tree::Map => (self.layout.blocks, MAP_ENTRIES),
            Tree::Table => (most_chunks(&self.layout), TABLE_ENTRIES),
            Tree::Space => (u64::from(self.layout.segments), SPACE_ENTRIES),
        };
        let reach = FANOUT.saturating_pow(u32::from(key.level())).saturating_mul(a_leaf);
        key.index().saturating_mul(reach) >= entries
    }

    /// Puts a page of zeros in the place of a damaged one: in memory, until the next checkpoint.
    pub(crate) fn replace_page(&mut self, key: PageKey) -> Result<crate::cache::FrameId, OpenError> {
        self.cache.begin_step();
        let frame = self.cache.insert(key, State::Dirty).ok_or(OpenError::NoMemory)?;
        self.cache.page_mut(frame).fill(0);
        Ok(frame)
    }

    /// Makes the space tree say what was counted. Whatever is written for that is written to segments that hold nothing, by
    /// the count and by the journal: its frames must have been claimed.
    pub(crate) fn write_space(
        &mut self,
        disk: &mut dyn Disk,
        accounts: &mut Accounts,
    ) -> Result<(), OpenError> {
        for (index, counted) in (0..).zip(accounts.chunks.chunks(SPACE_ENTRIES as usize)) {
            let key = PageKey::new(Tree::Space, 0, index);
            let frame = match self.page_or_none(disk, key)? {
                Some(frame) => {
                    let page = self.cache.page(frame);
                    let said = (0..counted.len() as u64).map(|entry| leaf::space(page, entry));
                    if said.clone().eq(counted.iter().copied()) {
                        continue;
                    }
                    let forgotten = accounts.inner_lost && said.clone().all(|said| said == 0);
                    let first = index * SPACE_ENTRIES;
                    for ((segment, said), &counted) in (first..).zip(said).zip(counted) {
                        if said != counted && !forgotten {
                            accounts.found.add(Problem::Live(Segment(segment as u32), said, counted));
                        }
                    }
                    self.pump(disk, |volume| volume.page_to_change(key))?
                }
                None => {
                    accounts.found.add(Problem::SpacePage(0, index));
                    self.replace_page(key)?
                }
            };
            for (entry, &live) in (0..).zip(counted) {
                leaf::set_space(self.cache.page_mut(frame), entry, live);
            }
            if self.cache.dirty() >= self.dirty_most {
                self.checkpoint_now(disk)?;
            }
        }
        Ok(())
    }
}

fn count(live: &mut [u32], segment: Segment, bytes: u32) {
    if let Some(live) = live.get_mut(segment.0 as usize) {
        *live = live.saturating_add(bytes);
    }
}

/// The page that follows in a walk from above: the first one below, or the next one beside, or beside those above.
fn after(key: PageKey, depth: u8, below: bool) -> Option<PageKey> {
    let (tree, mut level, mut index) = (key.tree(), key.level(), key.index());
    if below && level > 0 {
        return Some(PageKey::new(tree, level - 1, index * FANOUT));
    }
    while level + 1 < depth {
        index += 1;
        if !index.is_multiple_of(FANOUT) {
            return Some(PageKey::new(tree, level, index));
        }
        (level, index) = (level + 1, index / FANOUT - 1);
    }
    None
}
