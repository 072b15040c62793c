//! Slots: what the miniport has of a request. Allocated once, as many as it takes at a time.
//!
//! A slot's SRB is found again by arithmetic on its address, so nothing that a miniport completes is followed before it
//! is known to be one of ours. Who has a slot is one word; taking it away is one exchange, so that it happens once.

use core::{
    cell::UnsafeCell,
    ffi::c_void,
    mem::size_of,
    ptr::{self, NonNull},
    sync::atomic::{
        AtomicBool, AtomicPtr, AtomicU32, AtomicU64, AtomicUsize,
        Ordering::{AcqRel, Acquire, Relaxed, Release},
    },
};

use sluice_shim::storport::SrbStorage;

use crate::{
    mdl::REQUEST_ROOM,
    memory::{Block, TAG},
    services::{Dma, DmaRequest, Services},
    types::{ScatterElement, ScatterHead},
    unit::LogicalUnit,
};

/// Most slots of one port.
pub(crate) const MOST: usize = 1024;
const WORDS: usize = MOST / 64;
/// Never given to an ordinary request: resets need it when all others are out.
const RESERVED: u32 = 0;

/// The low bits of [`Slot::holder`]; the rest counts how often the slot was given to the miniport.
const STATE: u32 = 3;
/// The port has it, or nobody.
const PORT: u32 = 0;
/// The miniport has it.
const MINIPORT: u32 = 1;
/// The miniport has it, and nobody waits for it any more.
const LOST: u32 = 2;
const TURN: u32 = 4;

/// One giving of a slot to the miniport.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Given(u32);

/// How a completion found its slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The miniport had it.
    Now,
    /// It had it, but had been given up.
    Late,
    /// It did not have it.
    Not,
}

/// Where a slot's SRB comes from and goes back to: a shim's request or a [`crate::command::Command`]. Both begin with
/// an SRB in an [`SrbStorage`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    pub(crate) srb: NonNull<SrbStorage>,
    pub(crate) is_command: bool,
}

/// See the module.
#[repr(C, align(64))]
pub(crate) struct Slot {
    srb: UnsafeCell<SrbStorage>,
    holder: AtomicU32,
    index: u32,
    /// Times that it was started over after a reset.
    pub(crate) retries: AtomicU32,
    /// And because the miniport was too busy.
    pub(crate) waits: AtomicU32,
    /// Whether its scatter list has been made.
    pub(crate) scattered: AtomicBool,
    /// Whether its MDL has been made, and the memory of that, if it has ever had one.
    pub(crate) mapped: AtomicBool,
    pub(crate) mdl: AtomicPtr<c_void>,
    /// Whether it was given up when it came back, so that it only has to be freed.
    pub(crate) is_late: AtomicBool,
    is_command: AtomicBool,
    origin: AtomicPtr<SrbStorage>,
    /// In the list of completed ones, or of those to be started over.
    pub(crate) next: AtomicPtr<Slot>,
    pub(crate) unit: AtomicPtr<LogicalUnit>,
    /// When its time is up, in microseconds of the system's clock; 0: never.
    pub(crate) deadline: AtomicU64,
    extension: *mut c_void,
    scatter: *mut ScatterHead,
    copy: *mut u8,
}

impl Slot {
    /// The SRB's address.
    pub(crate) fn srb(&self) -> *mut SrbStorage {
        self.srb.get()
    }

    /// The SrbExtension.
    pub(crate) fn extension(&self) -> *mut c_void {
        self.extension
    }

    /// Room for its scatter list.
    pub(crate) fn scatter(&self) -> *mut ScatterHead {
        self.scatter
    }

    /// Room for its data, if that is copied; else null.
    pub(crate) fn copy(&self) -> *mut u8 {
        self.copy
    }

    pub(crate) fn index(&self) -> u32 {
        self.index
    }

    pub(crate) fn origin(&self) -> Option<Origin> {
        let srb = NonNull::new(self.origin.load(Relaxed))?;
        Some(Origin { srb, is_command: self.is_command.load(Relaxed) })
    }

    pub(crate) fn set_origin(&self, origin: Origin) {
        self.origin.store(origin.srb.as_ptr(), Relaxed);
        self.is_command.store(origin.is_command, Relaxed);
    }

    pub(crate) fn unit(&self) -> Option<&LogicalUnit> {
        // SAFETY: units stay where they are until their port goes.
        unsafe { self.unit.load(Relaxed).as_ref() }
    }

    /// Whether the miniport has it, and it is waited for.
    pub(crate) fn is_out(&self) -> bool {
        self.holder.load(Acquire) & STATE == MINIPORT
    }

    /// The port gives it to the miniport.
    pub(crate) fn give(&self) -> Given {
        let given = (self.holder.load(Relaxed) & !STATE).wrapping_add(TURN) | MINIPORT;
        self.holder.store(given, Release);
        Given(given)
    }

    /// The miniport has not taken what it was given; `false` if it has completed it nevertheless.
    pub(crate) fn take_back(&self, given: Given) -> bool {
        let to = given.0 & !STATE | PORT;
        self.holder.compare_exchange(given.0, to, AcqRel, Relaxed).is_ok()
    }

    /// The miniport completes it.
    pub(crate) fn take(&self) -> Taken {
        let now = self.holder.load(Acquire);
        let found = match now & STATE {
            MINIPORT => Taken::Now,
            LOST => Taken::Late,
            _ => return Taken::Not,
        };
        if self.holder.compare_exchange(now, now & !STATE | PORT, AcqRel, Relaxed).is_ok() {
            found
        } else {
            Taken::Not
        }
    }

    /// Takes it from the miniport if it is a request of a unit that `fits`.
    pub(crate) fn take_of(&self, fits: impl Fn(&LogicalUnit) -> bool) -> bool {
        self.change_of(fits, PORT).is_some()
    }

    /// Gives up a request of a unit that `fits`: the miniport may still come with it. Answers where it came from, if
    /// the miniport had it; the caller then answers for it.
    pub(crate) fn lose_of(&self, fits: impl Fn(&LogicalUnit) -> bool) -> Option<Origin> {
        self.change_of(fits, LOST)
    }

    /// What is looked at here belongs to one giving: if the slot has gone on meanwhile, nothing happens.
    fn change_of(&self, fits: impl Fn(&LogicalUnit) -> bool, to: u32) -> Option<Origin> {
        let now = self.holder.load(Acquire);
        if now & STATE != MINIPORT || !self.unit().is_some_and(fits) {
            return None;
        }
        let origin = self.origin()?;
        let changed = self.holder.compare_exchange(now, now & !STATE | to, AcqRel, Relaxed);
        changed.is_ok().then_some(origin)
    }
}

/// How large everything is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sizes {
    /// Requests at once, without the reserved one.
    pub(crate) slots: usize,
    /// SrbExtensionSize.
    pub(crate) extension: usize,
    /// Elements of a scatter list.
    pub(crate) elements: usize,
    /// Whether devices reach all addresses.
    pub(crate) reaches_all_memory: bool,
    /// Bytes of a slot's data that are copied.
    pub(crate) copy: usize,
}

/// All slots of a port.
pub(crate) struct Slots {
    slots: Block,
    extensions: Option<Dma>,
    copies: Option<Dma>,
    copy: usize,
    scatters: Block,
    services: &'static dyn Services,
    count: usize,
    elements: usize,
    stride: usize,
    free: [AtomicU64; WORDS],
    /// Where the search for a free one begins: behind the last one found, so that one that was just freed, and that a
    /// miniport may complete once more, rests for a while.
    cursor: AtomicUsize,
}

// SAFETY: the memory is the slots' own; who may touch a slot is said by its holder.
unsafe impl Send for Slots {}
// SAFETY: as above.
unsafe impl Sync for Slots {}

impl Slots {
    /// `None` if memory is out. PASSIVE_LEVEL.
    pub(crate) fn new(services: &'static dyn Services, sizes: &Sizes) -> Option<Self> {
        let (system, count) = (services.system(), sizes.slots.clamp(1, MOST - 1) + 1);
        let list = size_of::<ScatterHead>() + sizes.elements * size_of::<ScatterElement>();
        // At least a page, for its alignment.
        let slots = Block::new(system, (count * size_of::<Slot>()).max(4096))?;
        let scatters = Block::new(system, count * list)?;
        // Devices read what lies there: each one in one piece, at a multiple of 128 bytes.
        let stride = sizes.extension.next_multiple_of(128);
        let for_device = |each: usize| match each {
            0 => Some(None),
            _ => Some(Some(services.allocate_dma(&DmaRequest {
                bytes: each * count,
                lowest: 0,
                highest: if sizes.reaches_all_memory { u64::MAX } else { u64::from(u32::MAX) },
                boundary: 0,
                caching: 1,
                node: u32::MAX,
            })?)),
        };
        let free = [const { AtomicU64::new(0) }; WORDS];
        // Freed by its drop from here on, also if there is no room for copies.
        let mut all = Self {
            slots,
            extensions: for_device(stride)?,
            copies: None,
            copy: sizes.copy,
            scatters,
            services,
            count,
            elements: sizes.elements,
            stride,
            free,
            cursor: AtomicUsize::new(1),
        };
        all.copies = for_device(sizes.copy)?;
        for index in 0..count {
            all.make(index, list);
        }
        Some(all)
    }

    /// The memory that SRB extensions and copies lie in.
    pub(crate) fn for_device(&self) -> [Option<&Dma>; 2] {
        [self.extensions.as_ref(), self.copies.as_ref()]
    }

    fn make(&self, index: usize, list: usize) {
        // SAFETY: `new` has allocated room for `count` of each.
        let (place, extension, copy, scatter) = unsafe {
            let part = |of: &Option<Dma>, each: usize| match of {
                Some(dma) => dma.address.as_ptr().add(index * each),
                None => ptr::null_mut(),
            };
            let (extension, copy) = (part(&self.extensions, self.stride), part(&self.copies, self.copy));
            let scatter = self.scatters.start().as_ptr().add(index * list).cast();
            (self.at(index), extension.cast(), copy, scatter)
        };
        let slot = Slot {
            srb: UnsafeCell::new(SrbStorage::new()),
            holder: AtomicU32::new(PORT),
            index: index as u32,
            retries: AtomicU32::new(0),
            waits: AtomicU32::new(0),
            scattered: AtomicBool::new(false),
            mapped: AtomicBool::new(false),
            mdl: AtomicPtr::new(ptr::null_mut()),
            is_late: AtomicBool::new(false),
            is_command: AtomicBool::new(false),
            origin: AtomicPtr::new(ptr::null_mut()),
            next: AtomicPtr::new(ptr::null_mut()),
            unit: AtomicPtr::new(ptr::null_mut()),
            deadline: AtomicU64::new(0),
            extension,
            scatter,
            copy,
        };
        // SAFETY: room for it, used by nobody yet.
        unsafe { place.write(slot) };
        self.set_free(index);
    }

    /// # Safety
    /// `index < self.count`.
    unsafe fn at(&self, index: usize) -> *mut Slot {
        // SAFETY: the caller's contract.
        unsafe { self.slots.start().cast::<Slot>().as_ptr().add(index) }
    }

    fn set_free(&self, index: usize) {
        if let Some(word) = self.free.get(index / 64) {
            word.fetch_or(1 << (index % 64), Release);
        }
    }

    /// Elements of a scatter list.
    pub(crate) fn elements(&self) -> usize {
        self.elements
    }

    /// Every slot, the reserved one too.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Slot> {
        // SAFETY: `new` has made `count` slots, which live as long as `self`.
        (0..self.count).map(|index| unsafe { &*self.at(index) })
    }

    /// The slot around an SRB, if it is one.
    pub(crate) fn of_srb(&self, srb: *const c_void) -> Option<&Slot> {
        let offset = (srb as usize).checked_sub(self.slots.start().as_ptr() as usize)?;
        let index = offset / size_of::<Slot>();
        // SAFETY: below `count`; the SRB is a slot's first field.
        (offset % size_of::<Slot>() == 0 && index < self.count).then(|| unsafe { &*self.at(index) })
    }

    /// A free slot. Any IRQL.
    pub(crate) fn take(&self) -> Option<&Slot> {
        let start = self.cursor.load(Relaxed) % MOST;
        // Once from there to the end of its word, then all words, that one again in whole.
        for step in 0..=WORDS {
            let number = (start / 64 + step) % WORDS;
            let mut wanted = if step == 0 { u64::MAX << (start % 64) } else { u64::MAX };
            if number == 0 {
                wanted &= !(1 << RESERVED);
            }
            if let Some(index) = self.take_of(number, wanted) {
                self.cursor.store(index + 1, Relaxed);
                // SAFETY: only slots that exist are ever set free.
                return Some(unsafe { &*self.at(index) });
            }
        }
        None
    }

    /// The reserved one, if it is free.
    pub(crate) fn take_reserved(&self) -> Option<&Slot> {
        // SAFETY: there are always at least two.
        self.take_of(0, 1 << RESERVED).map(|index| unsafe { &*self.at(index) })
    }

    fn take_of(&self, number: usize, wanted: u64) -> Option<usize> {
        let word = self.free.get(number)?;
        let mut now = word.load(Relaxed);
        loop {
            let bits = now & wanted;
            if bits == 0 {
                return None;
            }
            let bit = bits.trailing_zeros();
            match word.compare_exchange_weak(now, now & !(1 << bit), Acquire, Relaxed) {
                Ok(_) => return Some(number * 64 + bit as usize),
                Err(other) => now = other,
            }
        }
    }

    /// Gives one back. The caller has it.
    pub(crate) fn give(&self, slot: &Slot) {
        slot.origin.store(ptr::null_mut(), Relaxed);
        slot.deadline.store(0, Relaxed);
        slot.retries.store(0, Relaxed);
        slot.waits.store(0, Relaxed);
        self.set_free(slot.index as usize);
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        for slot in self.iter() {
            if let Some(mdl) = NonNull::new(slot.mdl.load(Acquire)) {
                // SAFETY: allocated by `Port::original_mdl`; nobody has a request any more when the port goes.
                unsafe { self.services.system().free(mdl.cast(), REQUEST_ROOM, TAG) };
            }
        }
        for dma in self.for_device().into_iter().flatten() {
            // SAFETY: allocated in `new`; the miniport and its device have stopped when its port goes.
            unsafe { self.services.free_dma(dma) };
        }
    }
}

/// A list that any number push to, at any IRQL, and one takes as a whole.
pub(crate) struct Stack(AtomicPtr<Slot>);

impl Stack {
    pub(crate) const fn new() -> Self {
        Self(AtomicPtr::new(ptr::null_mut()))
    }

    /// `true` if it was empty.
    pub(crate) fn push(&self, slot: &Slot) -> bool {
        let mut head = self.0.load(Relaxed);
        loop {
            slot.next.store(head, Relaxed);
            let new = ptr::from_ref(slot).cast_mut();
            match self.0.compare_exchange_weak(head, new, Release, Relaxed) {
                Ok(_) => return head.is_null(),
                Err(other) => head = other,
            }
        }
    }

    /// All, oldest first, linked by their `next`.
    pub(crate) fn take(&self) -> *mut Slot {
        if self.0.load(Relaxed).is_null() {
            return ptr::null_mut();
        }
        let (mut newest, mut oldest) = (self.0.swap(ptr::null_mut(), Acquire), ptr::null_mut());
        // SAFETY: slots in the list exist as long as their port.
        while let Some(slot) = unsafe { newest.as_ref() } {
            let next = slot.next.load(Relaxed);
            slot.next.store(oldest, Relaxed);
            oldest = newest;
            newest = next;
        }
        oldest
    }
}
