//! The root record: where a checkpoint begins.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 16 | tag of the rest; the context is the number |
//! | 16 | 8 | number, in the clear |
//! | 24 | | sealed, 8 bytes each: next frame's number, its place in the ring, epoch, size of the table, its cursor, chunks, blocks mapped, place and length of the list of page segments |
//! | 96 | 16 | tag of that list |
//! | 112 | 8 each | blocks and segments of the volume, from which the depths of the trees follow |
//! | 128 | 24 each | references to the roots of map, table and space tree |

use crate::{
    layout::Layout,
    leaf::Ref,
    pages::most_chunks,
    seal::{Domain, Sealer},
    units::{Address, Lsn, Tag},
};

/// See the table above.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Root {
    pub(crate) number: u64,
    pub(crate) lsn: Lsn,
    pub(crate) ring: u64,
    pub(crate) epoch: u64,
    pub(crate) table_size: u64,
    pub(crate) cursor: u64,
    pub(crate) chunks: u64,
    pub(crate) mapped: u64,
    pub(crate) list: Address,
    pub(crate) list_bytes: u64,
    pub(crate) list_tag: Tag,
    /// Blocks and segments when it was written. The header may have grown since.
    pub(crate) blocks: u64,
    pub(crate) segments: u64,
    pub(crate) trees: [Ref; 3],
}

const SEALED: usize = 24;
/// No number here is larger in a volume's life, and sums of two do not overflow.
const LARGEST: u64 = 1 << 56;

impl Root {
    /// Writes it into `page`, all of which it takes: kernel stacks have no room for one.
    pub(crate) fn encode(&self, sealer: &Sealer, page: &mut [u8]) {
        page.fill(0);
        let numbers = [
            self.number,
            self.lsn.0,
            self.ring,
            self.epoch,
            self.table_size,
            self.cursor,
            self.chunks,
            self.mapped,
            self.list.0,
            self.list_bytes,
        ];
        for (i, number) in numbers.into_iter().enumerate() {
            page[16 + 8 * i..24 + 8 * i].copy_from_slice(&number.to_le_bytes());
        }
        page[96..112].copy_from_slice(&self.list_tag.0);
        page[112..120].copy_from_slice(&self.blocks.to_le_bytes());
        page[120..128].copy_from_slice(&self.segments.to_le_bytes());
        for (i, tree) in self.trees.iter().enumerate() {
            let at = 128 + 24 * i;
            page[at..at + 8].copy_from_slice(&tree.address.0.to_le_bytes());
            page[at + 8..at + 24].copy_from_slice(&tree.tag.0);
        }
        let tag = sealer.tag(Domain::Root, self.number, &[&page[16..]]);
        page[..16].copy_from_slice(&tag.0);
        sealer.seal(&tag, &mut page[SEALED..]);
    }

    /// Whether these numbers can be a volume's. Who can read the header of a volume without encryption can make others.
    pub(crate) fn is_sane(&self) -> bool {
        let ordinary = |number: u64| (1..LARGEST).contains(&number);
        ordinary(self.number)
            && ordinary(self.lsn.0)
            && self.epoch <= self.number
            && ordinary(self.blocks)
            && ordinary(self.segments)
            && self.mapped <= self.blocks
            && self.cursor <= self.table_size
            && self.chunks <= self.table_size
    }

    /// Whether it can be of a volume that had this layout when it was written.
    pub(crate) fn fits(&self, layout: &Layout) -> bool {
        self.ring <= layout.journal_bytes
            && self.ring.is_multiple_of(u64::from(layout.sector))
            && self.table_size <= most_chunks(layout)
    }

    /// `None` if `page` is no root record, or was damaged.
    pub(crate) fn decode(sealer: &Sealer, page: &mut [u8]) -> Option<Self> {
        let tag = Tag(page[..16].try_into().ok()?);
        sealer.open(&tag, &mut page[SEALED..]);
        let number = |i: usize| page[16 + 8 * i..24 + 8 * i].try_into().map(u64::from_le_bytes).unwrap_or(0);
        let tag_at = |at: usize| page[at..at + 16].try_into().map(Tag).unwrap_or_default();
        if !sealer.matches(&tag, Domain::Root, number(0), &[&page[16..]]) {
            return None;
        }
        let tree = |i: usize| Ref { address: Address(number(14 + 3 * i)), tag: tag_at(136 + 24 * i) };
        Some(Self {
            number: number(0),
            lsn: Lsn(number(1)),
            ring: number(2),
            epoch: number(3),
            table_size: number(4),
            cursor: number(5),
            chunks: number(6),
            mapped: number(7),
            list: Address(number(8)),
            list_bytes: number(9),
            list_tag: tag_at(96),
            blocks: number(12),
            segments: number(13),
            trees: [tree(0), tree(1), tree(2)],
        })
    }
}
