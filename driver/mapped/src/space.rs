//! The segments: which are free, how much in the others is live, and which the cleaner should take.

use alloc::vec::Vec;

use crate::{
    checkpoint::page_segments_most,
    layout::Layout,
    limits::{FULL_PERCENT, PAGES_WORTH_PERCENT, SPARSE_PERCENT, STREAMS, WORTH_PERCENT},
    ranks::Ranks,
    reuse::Waiting,
    units::{Lsn, Segment},
};

/// What a segment is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// Nothing: it may be filled.
    Free,
    /// Nothing, and the device is being told so.
    Discarding,
    /// A stream fills it.
    Open,
    /// Filled.
    Full,
    /// Filled, and nothing in it is live. A crash now would need it nevertheless: it waits for the journal ([`Waiting`])
    /// or a checkpoint.
    Dead,
    /// Dead before the checkpoint under way began: free when that is done.
    Dying,
}

struct One {
    state: State,
    pages: bool,
    /// The cleaner could not empty it: something in it is damaged.
    stuck: bool,
    /// It is free, and the device has not been told.
    stale: bool,
    live: u32,
}

/// All segments of a volume.
pub(crate) struct Space {
    all: Vec<One>,
    /// Those that are worth cleaning.
    ranks: Ranks,
    /// Bytes of one that can be live.
    fillable: u64,
    /// Where the search for a free one goes on.
    hand: usize,
    free: usize,
    /// Free ones of which the device has not been told, and where the search for one goes on.
    stale: usize,
    stale_hand: usize,
    /// Dead or dying.
    dead: usize,
    waiting: Waiting,
    /// Recovery: segments of which frames speak that are not applied yet, and the frame in which each died.
    claims: Vec<(u32, Option<Lsn>)>,
    live: u64,
    /// Of those, in pages.
    pages_live: u64,
    /// Segments with live pages, and how many there can be.
    page_segments: usize,
    page_segments_most: usize,
    /// Segments that new data may not take: the cleaner's and the checkpoint's.
    reserve: usize,
    /// What the cleaner reads is not freed meanwhile.
    pub(crate) pinned: Option<Segment>,
}

impl Space {
    /// All segments, free. `None` when memory has run out.
    pub(crate) fn new(layout: &Layout, reserve: usize) -> Option<Self> {
        let count = layout.segments;
        let mut all = Vec::new();
        all.try_reserve_exact(count as usize).ok()?;
        all.resize_with(count as usize, || One {
            state: State::Free,
            pages: false,
            stuck: false,
            stale: false,
            live: 0,
        });
        Some(Self {
            all,
            ranks: Ranks::new(count as usize, layout.segment_bytes)?,
            fillable: layout.fillable() as u64,
            hand: 0,
            free: count as usize,
            stale: 0,
            stale_hand: 0,
            dead: 0,
            waiting: Waiting::new()?,
            claims: Vec::new(),
            live: 0,
            pages_live: 0,
            page_segments: 0,
            page_segments_most: page_segments_most(layout),
            reserve,
            pinned: None,
        })
    }

    /// Segments that may be filled at once.
    pub(crate) fn free(&self) -> usize {
        self.free
    }

    /// Segments that a checkpoint would free.
    pub(crate) fn dead(&self) -> usize {
        let dying = |segment: Segment| self.all[segment.0 as usize].state != State::Full;
        self.dead - usize::from(self.pinned.is_some_and(dying))
    }

    /// Segments that new data may not take.
    pub(crate) fn reserve(&self) -> usize {
        self.reserve
    }

    /// Live bytes in all segments, metadata with them.
    pub(crate) fn live(&self) -> u64 {
        self.live
    }

    /// Live bytes, with those of pages counted twice: each checkpoint leaves gaps where pages were, and to close them costs
    /// other pages, those above and the list. Segments of pages that are half full are emptied at a gain.
    pub(crate) fn charged(&self) -> u64 {
        self.live.saturating_add(self.pages_live)
    }

    /// Whether more than so many of a hundred segments that can hold pages do.
    pub(crate) fn pages_exceed(&self, percent: usize) -> bool {
        self.page_segments * 100 > self.page_segments_most * percent
    }

    /// Whether it is, or was last, filled with pages.
    pub(crate) fn holds_pages(&self, segment: Segment) -> bool {
        self.all[segment.0 as usize].pages
    }

    /// Live bytes of one.
    pub(crate) fn live_in(&self, segment: Segment) -> u32 {
        self.all[segment.0 as usize].live
    }

    /// Most live bytes with which the volume takes new data: so many that the cleaner still finds segments worth its
    /// while, with the three that are being filled left out.
    pub(crate) fn capacity(&self) -> u64 {
        let usable = self.all.len().saturating_sub(self.reserve + STREAMS + 2) as u64;
        usable * self.fillable / 100 * FULL_PERCENT
    }

    /// A free segment, to be filled with pages or with chunks.
    pub(crate) fn take(&mut self, pages: bool) -> Option<Segment> {
        if self.free == 0 {
            return None;
        }
        for _ in 0..self.all.len() {
            let at = self.hand;
            self.hand = (self.hand + 1) % self.all.len();
            let segment = &mut self.all[at];
            if segment.state == State::Free {
                (segment.state, segment.pages, segment.stuck) = (State::Open, pages, false);
                self.free -= 1;
                self.stale -= usize::from(core::mem::take(&mut segment.stale));
                return Some(Segment(at as u32));
            }
        }
        None
    }

    /// A stream has filled it. `now`: the frame being gathered.
    pub(crate) fn close(&mut self, segment: Segment, now: Lsn) {
        self.all[segment.0 as usize].state = State::Full;
        self.settle(segment, Some(now));
        self.rank(segment);
    }

    /// Something was stored in it. In recovery, a free one is in use by that.
    pub(crate) fn add(&mut self, segment: Segment, bytes: u32, pages: bool) {
        // Nothing that was made here overflows; what somebody else has made must do no harm.
        self.live = self.live.saturating_add(u64::from(bytes));
        let one = &mut self.all[segment.0 as usize];
        one.live = one.live.saturating_add(bytes);
        let was = one.state;
        // One that is being discarded is not filled.
        if matches!(was, State::Free | State::Dead | State::Dying) {
            self.free -= usize::from(was == State::Free);
            self.dead -= usize::from(was != State::Free);
            self.stale -= usize::from(core::mem::take(&mut one.stale));
            (one.state, one.pages, one.stuck) = (State::Full, pages, false);
        }
        if one.pages {
            self.page_segments += usize::from(one.live == bytes && bytes > 0);
            self.pages_live = self.pages_live.saturating_add(u64::from(bytes));
        }
        self.rank(segment);
    }

    /// Something in it is no longer needed, as the frame being gathered, `now`, says; without that, because the checkpoint
    /// under way has replaced it.
    pub(crate) fn remove(&mut self, segment: Segment, bytes: u32, now: Option<Lsn>) {
        self.live = self.live.saturating_sub(u64::from(bytes));
        let one = &mut self.all[segment.0 as usize];
        let had = one.live > 0;
        one.live = one.live.saturating_sub(bytes);
        if one.pages {
            let emptied = had && one.live == 0;
            self.page_segments = self.page_segments.saturating_sub(usize::from(emptied));
            self.pages_live = self.pages_live.saturating_sub(u64::from(bytes));
        }
        if let Ok(at) = self.find_claim(segment) {
            self.claims[at].1 = now;
        }
        self.settle(segment, now);
        self.rank(segment);
    }

    fn settle(&mut self, segment: Segment, now: Option<Lsn>) {
        let one = &mut self.all[segment.0 as usize];
        if one.live > 0 || one.state != State::Full {
            return;
        }
        self.dead += 1;
        one.state = if now.is_some() { State::Dead } else { State::Dying };
        if let Some(now) = now.filter(|_| !one.pages) {
            self.waiting.add(segment, now);
        }
    }

    /// The frame in which the first segment died that could become free without a checkpoint.
    pub(crate) fn first_waiting(&self) -> Option<Lsn> {
        self.waiting.first()
    }

    /// Segments that died up to `known` are free, but for those that are `busy`; whether there were any.
    pub(crate) fn free_waiting(&mut self, known: Lsn, busy: impl Fn(Segment) -> bool) -> bool {
        let (pinned, before) = (self.pinned, self.free);
        while let Some(segment) = self.waiting.take(known, |one| pinned == Some(one) || busy(one)) {
            self.dead -= 1;
            self.set_free(segment, true);
        }
        self.free > before
    }

    /// A checkpoint begins: what is dead now will be free when it is done.
    pub(crate) fn checkpoint_begins(&mut self) {
        for one in &mut self.all {
            if one.state == State::Dead {
                one.state = State::Dying;
            }
        }
    }

    /// The checkpoint is on the disk.
    pub(crate) fn checkpoint_ends(&mut self) {
        let pinned = self.pinned;
        for at in (0..self.all.len() as u32).map(Segment) {
            if self.all[at.0 as usize].state == State::Dying && pinned != Some(at) {
                self.dead -= 1;
                self.set_free(at, true);
            }
        }
        let all = &self.all;
        self.waiting.retain(|one| matches!(all[one.0 as usize].state, State::Dead | State::Dying));
    }

    fn set_free(&mut self, segment: Segment, stale: bool) {
        let one = &mut self.all[segment.0 as usize];
        (one.state, one.stale) = (State::Free, stale);
        self.free += 1;
        self.stale += usize::from(stale);
    }

    /// Whether the device has not been told of some segment that is free.
    pub(crate) fn has_stale(&self) -> bool {
        self.stale > 0
    }

    /// A free segment of which the device is to be told. It is not free meanwhile.
    pub(crate) fn next_stale(&mut self) -> Option<Segment> {
        if self.stale == 0 {
            return None;
        }
        for _ in 0..self.all.len() {
            let at = self.stale_hand;
            self.stale_hand = (self.stale_hand + 1) % self.all.len();
            let one = &mut self.all[at];
            if core::mem::take(&mut one.stale) {
                one.state = State::Discarding;
                self.free -= 1;
                self.stale -= 1;
                return Some(Segment(at as u32));
            }
        }
        None
    }

    /// The device has been told.
    pub(crate) fn told(&mut self, segment: Segment) {
        // With a mistake it may be filled already.
        if self.all[segment.0 as usize].state == State::Discarding {
            self.set_free(segment, false);
        }
    }

    /// One that a recovery would need: for a mistake.
    pub(crate) fn some_dead(&self) -> Option<Segment> {
        let dead = self.all.iter().position(|one| one.state == State::Dead);
        dead.map(|at| Segment(at as u32))
    }

    /// As if the device had never been told: of what was free before the volume was opened, it is not known.
    pub(crate) fn forget_told(&mut self) {
        for one in &mut self.all {
            self.stale += usize::from(one.state == State::Free && !one.stale);
            one.stale |= one.state == State::Free;
        }
    }

    /// Recovery: frames not applied yet speak of this segment. It is as if a stream still filled it: whatever becomes
    /// of what is in it, a checkpoint in the middle of recovery must not free it. `None` when memory has run out.
    pub(crate) fn claim(&mut self, segment: Segment) -> Option<()> {
        match self.find_claim(segment) {
            Ok(at) => self.claims[at].1 = None,
            Err(at) => {
                self.claims.try_reserve(1).ok()?;
                self.claims.insert(at, (segment.0, None));
            }
        }
        let one = &mut self.all[segment.0 as usize];
        if one.state == State::Free {
            self.free -= 1;
            self.stale -= usize::from(core::mem::take(&mut one.stale));
        }
        one.state = State::Open;
        self.rank(segment);
        Some(())
    }

    /// Where a segment's claim is, or would be: they are in order.
    fn find_claim(&self, segment: Segment) -> Result<usize, usize> {
        self.claims.binary_search_by_key(&segment.0, |(claimed, _)| *claimed)
    }

    /// Every frame is applied: what was claimed is filled. `now`: the next frame.
    pub(crate) fn release_claims(&mut self, now: Lsn) {
        for (segment, died) in core::mem::take(&mut self.claims) {
            self.close(Segment(segment), died.unwrap_or(now));
        }
    }

    /// The filled segment with the fewest live bytes, if cleaning it gains anything, and unless it is `busy`.
    pub(crate) fn victim(&self, busy: impl Fn(Segment) -> bool) -> Option<Segment> {
        let least = |segments: &mut dyn Iterator<Item = Segment>| {
            segments.filter(|one| !busy(*one)).min_by_key(|one| (self.live_in(*one), one.0))
        };
        let victim = self.ranks.each().find_map(|mut rank| least(&mut rank));
        debug_assert_eq!(
            victim,
            least(&mut (0..self.all.len() as u32).map(Segment).filter(|one| self.is_worthy(*one)))
        );
        victim
    }

    /// Pages are only worth it when much is gained: moving them makes others.
    fn is_worthy(&self, segment: Segment) -> bool {
        let one = &self.all[segment.0 as usize];
        let percent = if one.pages { PAGES_WORTH_PERCENT } else { WORTH_PERCENT };
        one.state == State::Full && !one.stuck && u64::from(one.live) * 100 < self.fillable * percent
    }

    /// Its state, or what is live in it, has changed.
    fn rank(&mut self, segment: Segment) {
        let live = self.live_in(segment);
        self.ranks.set(segment, self.is_worthy(segment).then_some(live));
    }

    /// Whether a compaction should clean a segment.
    pub(crate) fn is_sparse(&self, segment: Segment) -> bool {
        self.is_sparse_one(&self.all[segment.0 as usize])
    }

    fn is_sparse_one(&self, one: &One) -> bool {
        let percent = if one.pages { PAGES_WORTH_PERCENT } else { SPARSE_PERCENT };
        one.state == State::Full && !one.stuck && u64::from(one.live) * 100 < self.fillable * percent
    }

    /// Segments that a compaction would clean.
    pub(crate) fn sparse(&self) -> u64 {
        self.all.iter().filter(|one| self.is_sparse_one(one)).count() as u64
    }

    /// The cleaner gives up on a segment.
    pub(crate) fn set_stuck(&mut self, segment: Segment) {
        self.all[segment.0 as usize].stuck = true;
        self.rank(segment);
    }

    /// Segments filled with pages, and their live bytes: what the space tree does not hold.
    pub(crate) fn page_segments(&self) -> impl Iterator<Item = (Segment, u32)> + '_ {
        self.all
            .iter()
            .enumerate()
            .filter(|(_, one)| one.pages && one.live > 0)
            .map(|(at, one)| (Segment(at as u32), one.live))
    }
}
