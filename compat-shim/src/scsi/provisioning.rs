//! What a disk says of its thin provisioning: how much one UNMAP may name (SBC-4 6.6.4, 6.6.6).

use super::answers::page;

/// Most bytes of any page that is looked at.
pub const PAGE: usize = 64;

/// Whether a disk has both pages that [`most_unmapped`] needs, by its list of pages: some hang when asked for others.
#[must_use]
pub fn tells(supported: &[u8]) -> bool {
    let pages = body(supported, page::SUPPORTED);
    [page::LIMITS, page::PROVISIONING].iter().all(|wanted| pages.contains(wanted))
}

/// Most blocks of one UNMAP of one range, by the pages of limits and of provisioning; 0 if the disk does not take it. Where
/// it matters, they are a multiple of what it unmaps together, so that a range in pieces loses nothing between them.
#[must_use]
pub fn most_unmapped(limits: &[u8], provisioning: &[u8]) -> u32 {
    const LBPU: u8 = 0x80;
    // Offsets in a page less the four bytes in front of its body.
    let field = |at: usize| {
        let bytes = body(limits, page::LIMITS).get(at - 4..).and_then(<[u8]>::first_chunk);
        bytes.copied().map_or(0, u32::from_be_bytes)
    };
    let takes = body(provisioning, page::PROVISIONING).get(1).is_some_and(|flags| flags & LBPU != 0);
    let (blocks, descriptors, granularity) = (field(20), field(24), field(28));
    match (takes && descriptors > 0, granularity) {
        (false, _) => 0,
        (true, 2..) if granularity <= blocks => blocks - blocks % granularity,
        (true, _) => blocks,
    }
}

/// What follows a page's head: no more than it says, no more than there is; nothing of another page.
fn body(page: &[u8], code: u8) -> &[u8] {
    match page.split_first_chunk() {
        Some((&[_, found, high, low], rest)) if found == code => {
            let length = usize::from(u16::from_be_bytes([high, low]));
            rest.get(..length).unwrap_or(rest)
        }
        _ => &[],
    }
}
