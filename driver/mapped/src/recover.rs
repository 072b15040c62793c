//! Making, opening and recovering a volume: one thing after the other, on a [`Disk`].
//!
//! Recovery finds the newest root record, follows the journal from there, decides where the crash was, applies the
//! frames before that, and makes a checkpoint. It writes nothing that an interrupted recovery would need.

use alloc::{boxed::Box, vec::Vec};

use sluice_chain::try_box;

use crate::{
    Volume,
    cache::{Cache, PageKey, Tree},
    checkpoint::list_most,
    codec::{Compressor, Decompressor},
    disk::Disk,
    engine::{Gathering, Options, Stats, Stop, Stream, Tail},
    grow::written_with,
    index::Index,
    io::{DeviceError, DeviceIo, DeviceOp, Error},
    journal::{EXTENTS, Frame, Mention, Ring},
    kept::Learning,
    layout::{JOURNAL_START, Layout},
    leaf::{self, SPACE_ENTRIES},
    limits::{
        self, DIRTY_MOST_PERCENT, EXTENT, EXTENT_BUFFERS, FRAME, FRAMES, LARGE, OPS, PAGES_LEAST, REQUESTS,
        RESERVE_SEGMENTS, SMALL,
    },
    line::Line,
    memory::{list, numbers, queue, several, shared, zeros},
    mutants::Mutant,
    neighbours::Neighbours,
    pages::{TreeRoot, depths, with_parents},
    rebuild::Accounts,
    root::Root,
    seal::{Domain, Sealer},
    space::Space,
    spare::Spare,
    units::{BLOCK, Lsn, Segment},
    varint,
};

/// Why a volume could not be made or opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// The device could not read or write.
    Device,
    /// There is no root record that this key fits.
    NoRoot,
    /// The newest root record is damaged in both copies: the journal goes on after a later one than is left.
    RootLost,
    /// The list of segments that hold metadata is damaged.
    List,
    /// A page of the space tree is damaged.
    Space,
    /// A metadata page is damaged.
    Page,
    /// A metadata page is damaged without which nobody knows what else is stored where: the tree, the level in it (0 is a
    /// leaf), and the number on that level. Only [`Volume::open_rebuilding`] says so, and has changed nothing then.
    Irreplaceable(Tree, u8, u64),
    /// More is said to be live in this segment than it holds: somebody has made the trees, and nobody knows what lies there.
    /// Only [`Volume::open_rebuilding`] says so, and has changed nothing then.
    Overlap(Segment),
    /// A journal frame that was durable is damaged or missing: this one. What came after it cannot be applied.
    Journal(u64),
    /// Memory has run out.
    NoMemory,
    /// The device has no room for the checkpoint that opening needs.
    NoSpace,
    /// The volume has more blocks or segments than the layout: an old header.
    Larger,
}

/// A frame that recovery has found.
pub(crate) struct Found {
    pub(crate) at: u64,
    lsn: Lsn,
    head: u64,
    used: u64,
    pub(crate) mentions: [Option<Mention>; EXTENTS],
}

impl Volume {
    /// Makes an empty volume: everything reads as zeros.
    ///
    /// # Errors
    /// [`OpenError::Device`].
    pub fn format(disk: &mut dyn Disk, layout: &Layout, sealer: &Sealer) -> Result<(), OpenError> {
        let (blocks, segments) = (layout.blocks, u64::from(layout.segments));
        let root = Root { number: 1, lsn: Lsn(1), epoch: 1, blocks, segments, ..Root::default() };
        let mut page = zeros(BLOCK).ok_or(OpenError::NoMemory)?;
        for offset in layout.roots(0) {
            disk.write(offset, &page).map_err(|_| OpenError::Device)?;
        }
        root.encode(sealer, &mut page);
        for offset in layout.roots(1) {
            disk.write(offset, &page).map_err(|_| OpenError::Device)?;
        }
        disk.flush().map_err(|_| OpenError::Device)
    }

    /// Opens a volume, after a crash or not.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(
        disk: &mut dyn Disk,
        layout: Layout,
        sealer: Sealer,
        options: Options,
    ) -> Result<Box<Self>, OpenError> {
        Self::open_as(disk, layout, sealer, options, None)
    }

    /// Opens a volume; with `accounts`, what is recorded about space is not believed, but counted into them.
    pub(crate) fn open_as(
        disk: &mut dyn Disk,
        layout: Layout,
        sealer: Sealer,
        options: Options,
        mut accounts: Option<&mut Accounts>,
    ) -> Result<Box<Self>, OpenError> {
        // What is read from here on is durable. A root record that an earlier opening wrote and could not flush would
        // otherwise be believed, what the one before it needs be written over, and then power could fail.
        disk.flush().map_err(|_| OpenError::Device)?;
        let root = newest_root(disk, &layout, &sealer, accounts.is_none())?;
        let depths = depths(&written_with(&root, &layout)?);
        let mut volume = Self::empty(layout, sealer, options, &root, depths).ok_or(OpenError::NoMemory)?;
        volume.raise_trees()?;
        let verify = !volume.errs(Mutant::DataNotVerified);
        let (frames, known) = find_frames(disk, &volume.layout, &volume.sealer, &root, verify)?;
        volume.known = known;
        match &mut accounts {
            None => {
                volume
                    .load_page_segments(disk, &root, |space, segment, live| space.add(segment, live, true))?;
                volume.load_space(disk)?;
            }
            Some(accounts) => {
                accounts.overwritten = volume.find_overwritten(disk, &frames)?;
                volume.count_space(disk, &root, accounts)?;
            }
        }
        let unchanged = frames.is_empty().then_some(root.number);
        for mention in frames.iter().flat_map(|frame| frame.mentions.iter().flatten()) {
            if let Some(segment) = volume.layout.segment_of(mention.address) {
                volume.space.claim(segment).ok_or(OpenError::NoMemory)?;
            }
        }
        if let Some(accounts) = &mut accounts {
            // Up to here nothing has been written: what is refused is as it was.
            if newest_root(disk, &volume.layout, &volume.sealer, true)? != root {
                return Err(OpenError::Device);
            }
            volume.write_space(disk, accounts)?;
        }
        for frame in frames {
            volume.replay(disk, &frame, accounts.as_deref_mut())?;
        }
        // A checkpoint on the way may have begun a segment of pages.
        if let Some(segment) = volume.tails[Stream::Pages as usize].segment.take() {
            volume.space.close(segment, volume.lsn);
        }
        volume.space.release_claims(volume.lsn);
        volume.free_dead();
        volume.epoch = volume.root_number + 1;
        volume.checkpoint_now(disk)?;
        volume.recovering = false;
        volume.learning = volume.learn_after(unchanged);
        Ok(volume)
    }

    // Apart from its caller: kernel stacks are small, and the values here are not.
    #[inline(never)]
    fn empty(
        layout: Layout,
        sealer: Sealer,
        options: Options,
        root: &Root,
        depths: [u8; 3],
    ) -> Option<Box<Self>> {
        let pages = (options.cache_bytes / BLOCK).max(PAGES_LEAST);
        let dirty_most = dirty_most(&layout, pages);
        try_box(Self {
            compressor: options.level.map(Compressor::new).transpose().ok()?,
            decompressor: Decompressor::new().ok()?,
            cache: Cache::new(pages)?,
            trees: [0, 1, 2].map(|i| TreeRoot { root: root.trees[i], depth: depths[i] }),
            space: Space::new(&layout, reserve(&layout, dirty_most))?,
            index: Index::new(options.index_bytes.max(64))?,
            neighbours: Neighbours::new()?,
            tails: [Tail::default(); 3],
            ring: Ring { bytes: layout.journal_bytes, head: root.ring, used: 0 },
            lsn: root.lsn,
            epoch: root.epoch,
            generations: root.number << 32,
            gathering: Gathering { records: list(FRAME)?, extents: [None, None] },
            flying: queue(FRAMES)?,
            written: Lsn(root.lsn.0 - 1),
            durable: Lsn(root.lsn.0 - 1),
            known: Lsn(root.lsn.0 - 1),
            evidence: None,
            flushing: false,
            table_size: root.table_size,
            cursor: root.cursor,
            chunks: root.chunks,
            mapped: root.mapped,
            root_number: root.number,
            list: None,
            ops: several(OPS, || Some(None))?,
            spare: Spare::new()?,
            order: queue(OPS)?,
            ready: Line::new(OPS)?,
            stalled: Line::new(OPS)?,
            for_page: several(OPS, || Some(None))?,
            for_frames: Line::new(OPS)?,
            waiting: queue(REQUESTS)?,
            bad_pages: queue(limits::BAD_PAGES)?,
            suspects: queue(limits::SUSPECTS)?,
            ios: several(limits::IOS, || Some(None))?,
            free_ios: numbers(limits::IOS)?,
            out: queue(limits::IOS)?,
            done: queue(REQUESTS)?,
            small: several(SMALL, || zeros(4 * BLOCK))?,
            large: several(LARGE, || zeros(EXTENT + 4 * BLOCK))?,
            extent_buffers: several(EXTENT_BUFFERS, || shared(EXTENT.min(layout.segment_bytes as usize)))?,
            frame_buffers: several(FRAMES + 1, || shared(layout.frame_bytes()))?,
            page_buffers: list(EXTENT_BUFFERS)?,
            segment_buffer: Some(zeros(layout.segment_bytes as usize)?),
            list_bytes: list(list_most(&layout))?,
            root_page: shared(BLOCK)?,
            scratch: zeros(BLOCK)?,
            copy: zeros(BLOCK)?,
            checkpoint: None,
            checkpoint_wanted: false,
            pages_leave: false,
            cleaning: None,
            cleaner_stuck: None,
            compacting: 0,
            discards: 0,
            learning: Learning::Nothing,
            recovering: true,
            replayed: 0,
            dirty_most,
            write_out: false,
            failed: false,
            stats: Stats::default(),
            layout,
            sealer,
            options,
        })
    }

    /// Makes device I/O as it comes until `step` has what it needs.
    pub(crate) fn pump<T>(
        &mut self,
        disk: &mut dyn Disk,
        mut step: impl FnMut(&mut Self) -> Result<T, Stop>,
    ) -> Result<T, OpenError> {
        loop {
            self.cache.begin_step();
            match step(self) {
                Ok(value) => return Ok(value),
                Err(Stop::Failed(Error::NoSpace)) => return Err(OpenError::NoSpace),
                Err(Stop::Failed(_)) => return Err(OpenError::Page),
                Err(_) if self.out.is_empty() => return Err(OpenError::NoMemory),
                Err(_) => {}
            }
            while let Some(io) = self.out.pop_front() {
                self.perform(disk, io);
            }
        }
    }

    /// Makes one device I/O.
    fn perform(&mut self, disk: &mut dyn Disk, io: DeviceIo) {
        match io.op {
            DeviceOp::Read { offset, length, mut buffer } => {
                let result = disk.read(offset, &mut buffer[..length]);
                self.complete(io.id, result, Some(buffer));
            }
            DeviceOp::Write { offset, length, data } => {
                let result = disk.write(offset, &data[..length]);
                drop(data);
                self.complete(io.id, result, None);
            }
            DeviceOp::Flush => {
                let result = disk.flush();
                self.complete(io.id, result, None);
            }
            DeviceOp::Discard { offset, length } => {
                let result = disk.discard(offset, length);
                self.complete(io.id, result, None);
            }
        }
    }

    /// Makes all device I/O that is wanted, until nothing is: for hosts that have nothing else to do meanwhile.
    pub fn drive(&mut self, disk: &mut dyn Disk) {
        self.drive_watched(disk, |_| {});
    }

    /// The same; `watch` sees the volume before each of them.
    pub fn drive_watched(&mut self, disk: &mut dyn Disk, mut watch: impl FnMut(&Self)) {
        while let Some(io) = self.next_io() {
            watch(self);
            self.perform(disk, io);
        }
    }

    pub(crate) fn checkpoint_now(&mut self, disk: &mut dyn Disk) -> Result<(), OpenError> {
        let wanted = self.root_number + 1;
        self.checkpoint_wanted = true;
        self.drive(disk);
        match (self.root_number >= wanted, self.failed) {
            (true, _) => Ok(()),
            (false, true) => Err(OpenError::Device),
            (false, false) => Err(OpenError::NoSpace),
        }
    }

    /// Reads the list of segments that hold pages; `add` is told each, and its live bytes.
    pub(crate) fn load_page_segments(
        &mut self,
        disk: &mut dyn Disk,
        root: &Root,
        mut add: impl FnMut(&mut Space, Segment, u32),
    ) -> Result<(), OpenError> {
        let bytes = read_list(disk, &self.layout, &self.sealer, root)?;
        if bytes.is_empty() {
            return Ok(());
        }
        let mut rest = &bytes[..];
        while let (Some(segment), Some(live)) = (varint::take(&mut rest), varint::take(&mut rest)) {
            if live == 0 {
                break;
            }
            if segment >= u64::from(self.layout.segments) || live > self.layout.segment_bytes {
                return Err(OpenError::List);
            }
            add(&mut self.space, Segment(segment as u32), live as u32);
        }
        self.list = Some((root.list, bytes.len() as u32));
        Ok(())
    }

    fn load_space(&mut self, disk: &mut dyn Disk) -> Result<(), OpenError> {
        let segments = u64::from(self.layout.segments);
        for index in 0..segments.div_ceil(SPACE_ENTRIES) {
            let key = PageKey::new(Tree::Space, 0, index);
            let frame = self.pump(disk, |volume| volume.page(key)).map_err(|error| match error {
                OpenError::Page => OpenError::Space,
                other => other,
            })?;
            for entry in 0..SPACE_ENTRIES.min(segments - index * SPACE_ENTRIES) {
                let live = leaf::space(self.cache.page(frame), entry);
                if u64::from(live) > self.layout.segment_bytes {
                    return Err(OpenError::Space);
                }
                if live > 0 {
                    self.space.add(Segment((index * SPACE_ENTRIES + entry) as u32), live, false);
                }
            }
        }
        Ok(())
    }

    fn replay(
        &mut self,
        disk: &mut dyn Disk,
        found: &Found,
        mut accounts: Option<&mut Accounts>,
    ) -> Result<(), OpenError> {
        let frame = frame_at(disk, &self.layout, &self.sealer, found.at)?.ok_or(OpenError::Device)?;
        if let Some(accounts) = &accounts {
            self.drop_overwritten(disk, found, &accounts.overwritten)?;
        }
        for record in frame.records() {
            if let Some(accounts) = &mut accounts {
                self.make_way(disk, &record, accounts)?;
            }
            self.pump(disk, |volume| volume.change(&record))?;
        }
        self.lsn = Lsn(found.lsn.0 + 1);
        (self.written, self.durable) = (found.lsn, found.lsn);
        (self.ring.head, self.ring.used) = (found.head, found.used - self.replayed);
        // The same changes have fitted before. Only with less memory than then, a checkpoint is needed on the way, for which
        // there is less room than at the end: what later frames speak of cannot be filled yet.
        if self.cache.dirty() > self.dirty_most {
            self.free_dead();
            self.checkpoint_now(disk)?;
            self.replayed = found.used;
        }
        Ok(())
    }
}

/// The frames to be applied, in order, and up to which frames are known to have been durable. `verify`: whether a frame
/// that may not have been needs the data it speaks of.
#[inline(never)]
pub(crate) fn find_frames(
    disk: &mut dyn Disk,
    layout: &Layout,
    sealer: &Sealer,
    root: &Root,
    verify: bool,
) -> Result<(Vec<Found>, Lsn), OpenError> {
    let mut found: Vec<Found> = Vec::new();
    let mut durable = Lsn(root.lsn.0 - 1);
    let mut ring = Ring { bytes: layout.journal_bytes, head: root.ring, used: 0 };
    let mut expected = root.lsn;
    loop {
        let mut next = None;
        for at in [ring.head, 0] {
            let Some(frame) = frame_at(disk, layout, sealer, at)? else { continue };
            let head = frame.head;
            if (head.lsn, head.epoch) == (expected, root.epoch) {
                next = Some((at, frame));
                break;
            }
        }
        let Some((at, frame)) = next else { break };
        let skipped = if at == ring.head { 0 } else { ring.bytes - ring.head };
        ring.used += skipped + frame.total as u64;
        if ring.used > ring.bytes {
            break;
        }
        ring.head = at + frame.total as u64;
        durable = durable.max(frame.head.durable);
        let mut mentions = [None; EXTENTS];
        for (place, mention) in mentions.iter_mut().zip(frame.mentions()) {
            *place = Some(mention);
        }
        found.try_reserve(1).map_err(|_| OpenError::NoMemory)?;
        found.push(Found { at, lsn: expected, head: ring.head, used: ring.used, mentions });
        expected = Lsn(expected.0 + 1);
    }
    durable = durable.max(look_elsewhere(disk, layout, sealer, root.epoch, expected)?);
    if durable >= expected {
        return Err(OpenError::Journal(expected.0));
    }
    // Behind what is known to be durable, a frame counts only with the data it speaks of.
    let mut whole = found.iter().take_while(|frame| frame.lsn <= durable).count();
    while let Some(frame) = found.get(whole) {
        if verify && !all_are_there(disk, layout, sealer, &frame.mentions)? {
            break;
        }
        whole += 1;
    }
    found.truncate(whole);
    Ok((found, durable))
}

/// The frame that lies at a place in the ring, if one does. A place that cannot be read is an error: what lies there
/// may be durable.
pub(crate) fn frame_at(
    disk: &mut dyn Disk,
    layout: &Layout,
    sealer: &Sealer,
    at: u64,
) -> Result<Option<Frame>, OpenError> {
    let sector = layout.sector as usize;
    let room = layout.journal_bytes.saturating_sub(at) as usize;
    if room < sector {
        return Ok(None);
    }
    // No more than the frame itself: what lies behind it does not matter.
    let mut first = zeros(sector).ok_or(OpenError::NoMemory)?;
    disk.read(JOURNAL_START + at, &mut first).map_err(|_| OpenError::Device)?;
    let total = Frame::length(&first).filter(|&total| total <= room && total.is_multiple_of(sector));
    let Some(total) = total else { return Ok(None) };
    let mut bytes = zeros(total).ok_or(OpenError::NoMemory)?;
    bytes[..sector].copy_from_slice(&first);
    if total > sector {
        let rest = JOURNAL_START + at + sector as u64;
        disk.read(rest, &mut bytes[sector..]).map_err(|_| OpenError::Device)?;
    }
    Ok(Frame::decode(sealer, &bytes))
}

/// Up to which frame a frame beyond the first missing one says that all were durable.
///
/// # Errors
/// [`OpenError::RootLost`]: there is a frame of a later epoch. Its root record was durable before it was written.
fn look_elsewhere(
    disk: &mut dyn Disk,
    layout: &Layout,
    sealer: &Sealer,
    epoch: u64,
    missing: Lsn,
) -> Result<Lsn, OpenError> {
    let sector = layout.sector as usize;
    let mut durable = Lsn(0);
    let mut bytes = zeros(EXTENT).ok_or(OpenError::NoMemory)?;
    let mut start = 0;
    while start < layout.journal_bytes {
        let length = (bytes.len() as u64).min(layout.journal_bytes - start) as usize;
        if disk.read(JOURNAL_START + start, &mut bytes[..length]).is_err() {
            // Sector by sector, without those that cannot be read.
            for (i, one) in bytes[..length].chunks_mut(sector).enumerate() {
                if disk.read(JOURNAL_START + start + (i * sector) as u64, one).is_err() {
                    one.fill(0);
                }
            }
        }
        for at in (0..length).step_by(sector) {
            let word = |at: usize| bytes[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or(0);
            let says_more = word(at + 16) > missing.0 && word(at + 24) == epoch && word(at + 32) >= missing.0;
            // Of what is no frame at all, hardly anything looks like this.
            let of_later = (epoch.saturating_add(1)..=epoch.saturating_add(1 << 32)).contains(&word(at + 24));
            if (says_more || of_later)
                && let Ok(Some(frame)) = frame_at(disk, layout, sealer, start + at as u64)
            {
                if frame.head.epoch > epoch {
                    return Err(OpenError::RootLost);
                }
                durable = durable.max(frame.head.durable);
            }
        }
        start += length as u64;
    }
    Ok(durable)
}

fn all_are_there(
    disk: &mut dyn Disk,
    layout: &Layout,
    sealer: &Sealer,
    mentions: &[Option<Mention>],
) -> Result<bool, OpenError> {
    for mention in mentions.iter().flatten() {
        if !is_there(disk, layout, sealer, mention)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// Whether the extent that a frame speaks of lies where it should.
pub(crate) fn is_there(
    disk: &mut dyn Disk,
    layout: &Layout,
    sealer: &Sealer,
    mention: &Mention,
) -> Result<bool, OpenError> {
    let length = mention.bytes as usize;
    if length > EXTENT || layout.segment_of(mention.address).is_none() {
        return Ok(false);
    }
    let mut bytes = zeros(length).ok_or(OpenError::NoMemory)?;
    disk.read(mention.address.0, &mut bytes).map_err(|_| OpenError::Device)?;
    Ok(sealer.matches(&mention.tag, Domain::Data, mention.address.0, &[&bytes]))
}

/// The list of segments that hold pages: numbers and live bytes by turns, until one has none.
pub(crate) fn read_list(
    disk: &mut dyn Disk,
    layout: &Layout,
    sealer: &Sealer,
    root: &Root,
) -> Result<Vec<u8>, OpenError> {
    let length = usize::try_from(root.list_bytes).map_err(|_| OpenError::List)?;
    if length == 0 {
        return Ok(Vec::new());
    }
    if length > EXTENT || layout.segment_of(root.list).is_none() {
        return Err(OpenError::List);
    }
    let mut bytes = read_unaligned(disk, layout, root.list.0, length)?;
    sealer.open(&root.list_tag, &mut bytes);
    let whole = sealer.matches(&root.list_tag, Domain::Page, u64::MAX, &[&bytes]);
    if whole { Ok(bytes) } else { Err(OpenError::List) }
}

/// Segments that a checkpoint can take when so many leaves have changed.
pub(crate) fn checkpoint_segments(layout: &Layout, leaves: usize) -> usize {
    (with_parents(layout, leaves) * BLOCK).div_ceil(layout.fillable())
}

/// Segments that new data may not take: the cleaner's, and those for a checkpoint of all leaves that may be changed.
fn reserve(layout: &Layout, dirty_most: usize) -> usize {
    RESERVE_SEGMENTS + checkpoint_segments(layout, dirty_most)
}

/// Pages that may be changed at once: part of the cache, and what fits an eighth of the segments.
fn dirty_most(layout: &Layout, pages: usize) -> usize {
    let by_device = (layout.segments as usize / 8).max(1) * (layout.fillable() / BLOCK);
    (pages * DIRTY_MOST_PERCENT / 100).min(by_device)
}

/// The newest root record of the four. With `mend`, the others are made to fit.
///
/// A crash can leave a newer record in one copy of a slot than in the other. Before anything else is written, both are
/// made to hold the newer one: what is believed now must be what is believed after the next crash, whichever copy that
/// damages, and a copy that cannot be read now must not come back with something newer.
#[inline(never)]
pub(crate) fn newest_root(
    disk: &mut dyn Disk,
    layout: &Layout,
    sealer: &Sealer,
    mend: bool,
) -> Result<Root, OpenError> {
    let mut page = zeros(BLOCK).ok_or(OpenError::NoMemory)?;
    // Four of them, and each of some two hundred bytes: too much for a kernel stack.
    let mut all: Vec<Result<Option<Root>, DeviceError>> = list(4).ok_or(OpenError::NoMemory)?;
    for offset in [0, 1].into_iter().flat_map(|slot| layout.roots(slot)) {
        all.push(read_root(disk, sealer, offset, &mut page));
    }
    let mut newest: Option<&Root> = None;
    for copies in all.chunks(2) {
        let newer = newer_of(copies);
        // Of a slot that cannot be read nothing can be said: it might hold the newest.
        if newer.is_none() && copies.iter().any(Result::is_err) {
            return Err(OpenError::Device);
        }
        newest = newest.into_iter().chain(newer).max_by_key(|root| root.number);
    }
    let newest = newest.ok_or(OpenError::NoRoot)?;
    // With a smaller layout the second copies' places are others: there lies data now.
    written_with(newest, layout)?;
    if !mend {
        return Ok(*newest);
    }
    let mut mended = false;
    for (slot, copies) in (0..).zip(all.chunks(2)) {
        let Some(newer) = newer_of(copies) else { continue };
        for (offset, copy) in layout.roots(slot).into_iter().zip(copies) {
            if !matches!(copy, Ok(Some(root)) if root == newer) {
                newer.encode(sealer, &mut page);
                disk.write(offset, &page).map_err(|_| OpenError::Device)?;
                mended = true;
            }
        }
    }
    if mended {
        disk.flush().map_err(|_| OpenError::Device)?;
    }
    Ok(*newest)
}

// Apart from its caller, and so is what lies on the stack for one record.
#[inline(never)]
fn read_root(
    disk: &mut dyn Disk,
    sealer: &Sealer,
    offset: u64,
    page: &mut [u8],
) -> Result<Option<Root>, DeviceError> {
    disk.read(offset, page)?;
    Ok(Root::decode(sealer, page).filter(Root::is_sane))
}

/// Of the two copies of a slot, the newer one that is whole.
fn newer_of(copies: &[Result<Option<Root>, DeviceError>]) -> Option<&Root> {
    copies.iter().flatten().flatten().max_by_key(|root| root.number)
}

/// `length` bytes from `offset` on, which need not begin with a sector.
pub(crate) fn read_unaligned(
    disk: &mut dyn Disk,
    layout: &Layout,
    offset: u64,
    length: usize,
) -> Result<Vec<u8>, OpenError> {
    let skip = (offset % u64::from(layout.sector)) as usize;
    let mut bytes = zeros(layout.round_up(skip + length)).ok_or(OpenError::NoMemory)?.into_vec();
    disk.read(offset - skip as u64, &mut bytes).map_err(|_| OpenError::Device)?;
    bytes.drain(..skip);
    bytes.truncate(length);
    Ok(bytes)
}
