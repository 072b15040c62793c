//! The answer to REPORT LUNS (SPC-5 6.33): an 8-byte head, then 8 bytes for each unit.

const HEAD: usize = 8;

/// The units that `answer` names and that an SRB's address can name as well: one level, numbers below 256. Total: any
/// bytes may be given.
pub fn units(answer: &[u8]) -> impl Iterator<Item = u8> {
    let length = answer.first_chunk().map_or(0, |head| u32::from_be_bytes(*head) as usize);
    let list = answer.get(HEAD..).unwrap_or(&[]);
    let (entries, _) = list.get(..length.min(list.len())).unwrap_or(&[]).as_chunks::<HEAD>();
    entries.iter().filter_map(single_level)
}

/// SAM-5 4.7.7: the upper two bits say how the unit is addressed.
fn single_level(entry: &[u8; HEAD]) -> Option<u8> {
    const PERIPHERAL: u8 = 0;
    const FLAT: u8 = 1;
    let &[first, second, ref lower @ ..] = entry;
    let known = matches!(first >> 6, PERIPHERAL | FLAT);
    (known && first & 0x3F == 0 && lower.iter().all(|byte| *byte == 0)).then_some(second)
}
