//! Looking into a volume without opening it: what lies on the disk, shown piece by piece.
//!
//! Nothing is written and nothing recovered, and what is damaged is said where it is met: this also works on a volume that
//! does not open. Trees are read as the newest good root record leaves them, so as of the last checkpoint: what the journal
//! says since is shown ([`Inspector::journal`]), not applied.
//!
//! Whatever can be long is told to a closure, one line after the other, which may stop it; memory is one page for each level
//! of each tree, whatever the size of the volume.
//!
//! ```text
//!   inspect    the root records, and the one that counts
//!   pages      the trees: pages, what a block leads to, what the table says of a chunk
//!   segments   extents, what is in them, and whether anything still leads there
//!   journal    frames in the ring, and which of them recovery would apply
//!   index      the index of de-duplication, as it was kept
//! ```

mod index;
mod journal;
mod pages;
mod segments;

use alloc::{boxed::Box, vec::Vec};

use self::pages::Held;
pub use self::{
    index::{PieceInfo, PieceLine},
    journal::{Applied, Counts, Frame, FrameBody, Mentioned},
    pages::{ChunkLine, Loss, MapLine, Mapping, PageLine, PageName},
    segments::{ExtentLine, ItemLine, Part, SegmentLine, Stored},
};
pub use crate::{
    cache::Tree,
    extent::Holds,
    leaf::{Entry, Ref},
    record::Record,
};
use crate::{
    codec::Decompressor,
    disk::Disk,
    grow::written_with,
    layout::Layout,
    limits::EXTENT,
    memory::{list, zeros},
    pages::depths,
    recover::{OpenError, read_list},
    root::Root,
    seal::Sealer,
    units::{Address, BLOCK, Lsn},
    varint,
};

/// How something that has a tag was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Health {
    /// It matches its tag.
    Good,
    /// It does not, or cannot lie where it is said to.
    Damaged,
    /// The device could not read it.
    Unreadable,
}

/// A root record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootInfo {
    /// One more with each checkpoint.
    pub number: u64,
    /// The number of the root record with which the volume was opened.
    pub epoch: u64,
    /// The first frame that is not in the trees.
    pub lsn: Lsn,
    /// Where in the ring that frame goes.
    pub ring: u64,
    /// Chunk numbers in use or free below this one; those above were never used.
    pub table_size: u64,
    /// Where the search for a free chunk number goes on.
    pub cursor: u64,
    /// Chunks that are stored.
    pub chunks: u64,
    /// Blocks that are not holes.
    pub mapped: u64,
    /// Blocks of the volume when it was written.
    pub blocks: u64,
    /// Segments of the volume when it was written.
    pub segments: u64,
    /// The list of segments that hold pages,
    pub list: Ref,
    /// and its length.
    pub list_bytes: u64,
    /// The roots of map, table and space tree.
    pub trees: [Ref; 3],
}

/// What lies where a copy of a root record should, or a piece of the index, and is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoRecord {
    /// Zeros: none was ever written here.
    Empty,
    /// Something else.
    Damaged,
    /// The device could not read it.
    Unreadable,
}

/// A copy of a root record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RootCopy {
    /// Where it lies.
    pub address: Address,
    /// What lies there.
    pub found: Result<RootInfo, NoRecord>,
}

/// The root record that counts, and what follows from it.
struct Trees {
    root: Root,
    /// The layout it was written with.
    layout: Layout,
    depths: [u8; 3],
    /// A page of each level of each tree: the last one that was looked at.
    held: [Vec<Held>; 3],
    /// Segments that hold pages, in order, and their live bytes.
    page_segments: Result<Vec<(u32, u32)>, OpenError>,
}

/// A volume that is looked into.
pub struct Inspector<'a> {
    disk: &'a mut dyn Disk,
    layout: Layout,
    sealer: Sealer,
    decompressor: Decompressor,
    copies: Vec<RootCopy>,
    trees: Result<Trees, OpenError>,
    /// Header and list of an extent.
    extent: Box<[u8]>,
    /// A chunk, while it is compared with its tag.
    scratch: Box<[u8]>,
}

impl<'a> Inspector<'a> {
    /// Reads the root records.
    ///
    /// # Errors
    /// [`OpenError::NoMemory`] alone. What else keeps the volume from opening, [`Self::root`] tells.
    pub fn new(disk: &'a mut dyn Disk, layout: Layout, sealer: Sealer) -> Result<Self, OpenError> {
        let mut page = zeros(BLOCK).ok_or(OpenError::NoMemory)?;
        let mut copies = list(4).ok_or(OpenError::NoMemory)?;
        let mut newest: Option<Root> = None;
        for offset in layout.roots(0).into_iter().chain(layout.roots(1)) {
            let found = root_at(disk, &sealer, offset, &mut page);
            newest = newest.into_iter().chain(found.ok()).max_by_key(|root| root.number);
            copies.push(RootCopy { address: Address(offset), found: found.map(|root| info(&root)) });
        }
        let trees = match newest.ok_or(OpenError::NoRoot) {
            Ok(root) => Trees::new(disk, &layout, &sealer, root),
            Err(error) => Err(error),
        };
        if matches!(trees, Err(OpenError::NoMemory)) {
            return Err(OpenError::NoMemory);
        }
        Ok(Self {
            decompressor: Decompressor::new().map_err(|_| OpenError::NoMemory)?,
            extent: zeros(EXTENT.min(layout.segment_bytes as usize)).ok_or(OpenError::NoMemory)?,
            scratch: page,
            disk,
            layout,
            sealer,
            copies,
            trees,
        })
    }

    /// All four copies of root records, those of slot 0 first.
    pub fn copies(&self) -> &[RootCopy] {
        &self.copies
    }

    /// The root record that counts: the trees are read as it leaves them.
    ///
    /// # Errors
    /// [`OpenError::NoRoot`], or [`OpenError::Larger`]: what is asked of trees is not found, but journal and segments are.
    pub fn root(&self) -> Result<RootInfo, OpenError> {
        self.trees.as_ref().map(|trees| info(&trees.root)).map_err(|error| *error)
    }

    /// Levels of map, table and space tree; 0 without a root record.
    pub fn depths(&self) -> [u8; 3] {
        self.trees.as_ref().map_or([0; 3], |trees| trees.depths)
    }

    /// Whether the list of segments that hold pages is good.
    pub fn list(&self) -> Health {
        match self.trees.as_ref().map(|trees| &trees.page_segments) {
            Ok(Ok(_)) => Health::Good,
            Ok(Err(OpenError::Device)) => Health::Unreadable,
            _ => Health::Damaged,
        }
    }
}

impl Trees {
    fn new(disk: &mut dyn Disk, layout: &Layout, sealer: &Sealer, root: Root) -> Result<Self, OpenError> {
        let layout = written_with(&root, layout)?;
        let depths = depths(&layout);
        let mut held = [const { Vec::new() }; 3];
        for (pages, depth) in held.iter_mut().zip(depths) {
            *pages = list(usize::from(depth)).ok_or(OpenError::NoMemory)?;
            for _ in 0..depth {
                pages.push(Held::new().ok_or(OpenError::NoMemory)?);
            }
        }
        let page_segments = page_segments(disk, &layout, sealer, &root);
        Ok(Self { root, layout, depths, held, page_segments })
    }
}

fn root_at(disk: &mut dyn Disk, sealer: &Sealer, offset: u64, page: &mut [u8]) -> Result<Root, NoRecord> {
    disk.read(offset, page).map_err(|_| NoRecord::Unreadable)?;
    if page.iter().all(|&byte| byte == 0) {
        return Err(NoRecord::Empty);
    }
    Root::decode(sealer, page).filter(Root::is_sane).ok_or(NoRecord::Damaged)
}

fn page_segments(
    disk: &mut dyn Disk,
    layout: &Layout,
    sealer: &Sealer,
    root: &Root,
) -> Result<Vec<(u32, u32)>, OpenError> {
    let bytes = read_list(disk, layout, sealer, root)?;
    // Each takes two bytes at least.
    let mut all = list(bytes.len() / 2).ok_or(OpenError::NoMemory)?;
    let mut rest = &bytes[..];
    while let (Some(segment), Some(live)) = (varint::take(&mut rest), varint::take(&mut rest)) {
        if live == 0 {
            break;
        }
        let (Ok(segment), Ok(live)) = (segment.try_into(), live.try_into()) else {
            return Err(OpenError::List);
        };
        all.push((segment, live));
    }
    all.sort_unstable();
    Ok(all)
}

fn info(root: &Root) -> RootInfo {
    RootInfo {
        number: root.number,
        epoch: root.epoch,
        lsn: root.lsn,
        ring: root.ring,
        table_size: root.table_size,
        cursor: root.cursor,
        chunks: root.chunks,
        mapped: root.mapped,
        blocks: root.blocks,
        segments: root.segments,
        list: Ref { address: root.list, tag: root.list_tag },
        list_bytes: root.list_bytes,
        trees: root.trees,
    }
}
