//! Journal frames, and the ring they lie in.
//!
//! | offset | size | field |
//! |---|---|---|
//! | 0 | 16 | tag of everything after it; the context is the frame's number |
//! | 16 | 8 | number |
//! | 24 | 8 | epoch: the root record's number when the volume was opened |
//! | 32 | 8 | number up to which frames were durable when this one was written |
//! | 40 | 4 | bytes of the frame, whole sectors |
//! | 44 | 4 | bytes of the body |
//! | 48 | | the body, sealed: extents (1 byte count; address 8, bytes 4, tag 16 each), then records |

use alloc::vec::Vec;

use crate::{
    limits::FRAME,
    record::Record,
    seal::{Domain, Sealer},
    units::{Address, Lsn, Tag},
};

/// Bytes of a frame's header.
pub(crate) const HEADER: usize = 48;
/// Most extents of a frame.
pub(crate) const EXTENTS: usize = 2;
/// Bytes of an extent's mention.
const MENTION: usize = 28;

/// An extent that a frame speaks of.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) address: Address,
    pub(crate) bytes: u32,
    /// Of its bytes as they lie on the disk.
    pub(crate) tag: Tag,
}

/// A frame's place in the sequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) lsn: Lsn,
    pub(crate) epoch: u64,
    pub(crate) durable: Lsn,
}

/// Writes a frame into `to`; answers its length. `None` if it does not fit.
pub(crate) fn encode(
    sealer: &Sealer,
    head: &Head,
    mentions: &[Mention],
    records: &[u8],
    sector: usize,
    to: &mut [u8],
) -> Option<usize> {
    let body = (1 + mentions.len() * MENTION + records.len()).max(16);
    let total = (HEADER + body).next_multiple_of(sector);
    let frame = to.get_mut(..total)?;
    frame.fill(0);
    for (i, value) in [head.lsn.0, head.epoch, head.durable.0].into_iter().enumerate() {
        frame[16 + 8 * i..24 + 8 * i].copy_from_slice(&value.to_le_bytes());
    }
    frame[40..44].copy_from_slice(&(total as u32).to_le_bytes());
    frame[44..48].copy_from_slice(&(body as u32).to_le_bytes());
    frame[HEADER] = mentions.len() as u8;
    for (i, mention) in mentions.iter().enumerate() {
        let at = HEADER + 1 + i * MENTION;
        frame[at..at + 8].copy_from_slice(&mention.address.0.to_le_bytes());
        frame[at + 8..at + 12].copy_from_slice(&mention.bytes.to_le_bytes());
        frame[at + 12..at + 28].copy_from_slice(&mention.tag.0);
    }
    let at = HEADER + 1 + mentions.len() * MENTION;
    frame[at..at + records.len()].copy_from_slice(records);
    let tag = sealer.tag(Domain::Journal, head.lsn.0, &[&frame[16..HEADER + body]]);
    frame[..16].copy_from_slice(&tag.0);
    sealer.seal(&tag, &mut frame[HEADER..HEADER + body]);
    Some(total)
}

/// A frame read back and checked.
pub(crate) struct Frame {
    pub(crate) head: Head,
    /// Bytes in the ring.
    pub(crate) total: usize,
    body: Vec<u8>,
}

impl Frame {
    /// How long the frame says it is that begins with these bytes.
    pub(crate) fn length(bytes: &[u8]) -> Option<usize> {
        let total = u32::from_le_bytes(bytes.get(40..44)?.try_into().ok()?) as usize;
        (HEADER..=FRAME).contains(&total).then_some(total)
    }

    /// What `bytes` begin with. `None` if that is no frame, or one that is not whole.
    pub(crate) fn decode(sealer: &Sealer, bytes: &[u8]) -> Option<Self> {
        let header = bytes.get(..HEADER)?;
        let number = |at: usize| header[at..at + 8].try_into().map(u64::from_le_bytes).unwrap_or(0);
        let tag = Tag(header[..16].try_into().ok()?);
        let head = Head { lsn: Lsn(number(16)), epoch: number(24), durable: Lsn(number(32)) };
        let (total, length) = (number(40) as u32 as usize, (number(40) >> 32) as usize);
        if total > FRAME || total > bytes.len() || length > total.checked_sub(HEADER)? || length < 16 {
            return None;
        }
        let mut body = Vec::new();
        body.try_reserve_exact(length).ok()?;
        body.extend_from_slice(&bytes[HEADER..HEADER + length]);
        sealer.open(&tag, &mut body);
        let whole = sealer.matches(&tag, Domain::Journal, head.lsn.0, &[&header[16..], &body]);
        whole.then_some(Self { head, total, body })
    }

    /// The extents it speaks of.
    pub(crate) fn mentions(&self) -> impl Iterator<Item = Mention> + '_ {
        let count = usize::from(self.body[0]).min(EXTENTS);
        self.body[1..].chunks_exact(MENTION).take(count).filter_map(|bytes| {
            Some(Mention {
                address: Address(u64::from_le_bytes(bytes[..8].try_into().ok()?)),
                bytes: u32::from_le_bytes(bytes[8..12].try_into().ok()?),
                tag: Tag(bytes[12..28].try_into().ok()?),
            })
        })
    }

    /// Its records, in order.
    pub(crate) fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let at = 1 + usize::from(self.body[0]).min(EXTENTS) * MENTION;
        let mut rest = self.body.get(at..).unwrap_or(&[]);
        core::iter::from_fn(move || Record::decode(&mut rest))
    }
}

/// Where in the ring the next frame goes, and how much of it is still needed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ring {
    /// Bytes of the ring.
    pub(crate) bytes: u64,
    /// Where the next frame goes, from the ring's start.
    pub(crate) head: u64,
    /// Bytes in front of `head` that recovery would need, with what was skipped at the ring's end.
    pub(crate) used: u64,
}

impl Ring {
    /// Takes room for a frame; answers where it goes. `None` if what is still needed leaves no room.
    pub(crate) fn take(&mut self, frame: u64) -> Option<u64> {
        let wraps = self.head + frame > self.bytes;
        let (at, skip) = if wraps { (0, self.bytes - self.head) } else { (self.head, 0) };
        if self.used + skip + frame > self.bytes {
            return None;
        }
        self.used += skip + frame;
        self.head = at + frame;
        Some(at)
    }

    /// How much of it is needed, in hundredths.
    pub(crate) fn percent(&self) -> u64 {
        self.used * 100 / self.bytes
    }
}
