//! The answer of GET LBA STATUS (SBC-4 5.7.2).
//!
//! ```text
//!   0   u32  bytes that follow this field: 4 + 16 per descriptor
//!   4   u32  reserved
//!   8        descriptors of 16 bytes: u64 first block, u32 number of blocks, u8 provisioning status, 3 reserved
//! ```

/// Bytes before the first descriptor.
pub const HEADER: usize = 8;
/// Bytes of a descriptor.
pub const DESCRIPTOR: usize = 16;

const DEALLOCATED: u8 = 1;

/// Writes what is known from block `first` on: `holds` says, for each stretch of `stretch` blocks, the first of which
/// holds `first`, whether there is data. Answers the bytes written: as many descriptors as fit into `answer`, which is
/// allowed to end the list. Nothing if not even one fits.
#[must_use]
pub fn write(first: u64, stretch: u32, holds: impl Iterator<Item = bool>, answer: &mut [u8]) -> usize {
    let Some((header, body)) = answer.split_first_chunk_mut::<HEADER>() else { return 0 };
    let mut places = body.as_chunks_mut::<DESCRIPTOR>().0.iter_mut();
    let (mut run, mut count): (Option<(u64, u64, bool)>, usize) = (None, 0);
    let mut put = |(from, to, data): (u64, u64, bool)| {
        let Some(place) = places.next() else { return false };
        *place = [0; DESCRIPTOR];
        place[..8].copy_from_slice(&from.to_be_bytes());
        place[8..12].copy_from_slice(&u32::try_from(to - from).unwrap_or(u32::MAX).to_be_bytes());
        place[12] = if data { 0 } else { DEALLOCATED };
        count += 1;
        true
    };
    let begin = first - first % u64::from(stretch.max(1));
    let mut more = true;
    for (index, data) in (0_u64..).zip(holds) {
        let from = begin.saturating_add(index * u64::from(stretch));
        let to = from.saturating_add(u64::from(stretch));
        run = match run {
            Some((start, _, same)) if same == data => Some((start, to, same)),
            Some(ended) => {
                more = put(ended);
                Some((from, to, data))
            }
            None => Some((first, to, data)),
        };
        if !more {
            break;
        }
    }
    if let Some(last) = run.filter(|_| more) {
        put(last);
    }
    *header = [0; HEADER];
    header[..4].copy_from_slice(&((HEADER - 4 + DESCRIPTOR * count) as u32).to_be_bytes());
    HEADER + DESCRIPTOR * count
}
