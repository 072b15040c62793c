//! `docs/format.md` and the types say the same.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::mem::offset_of;

use sluice_engine::format::{RawHeader, RawSlot};

macro_rules! fields {
    ($type:ident: $($field:ident)*) => {{
        let value = <$type as zerocopy::FromZeros>::new_zeroed();
        vec![$((offset_of!($type, $field), size_of_val(&value.$field), stringify!($field).to_owned())),*]
    }};
}

/// The rows of each table that begins with a column of offsets.
fn tables() -> Vec<Vec<(usize, usize, String)>> {
    let text = include_str!("../../../docs/format.md");
    let mut tables = Vec::new();
    for line in text.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        match cells.as_slice() {
            ["", "offset", "size", "field", ..] => tables.push(Vec::new()),
            ["", offset, size, field, ..] => {
                if let (Ok(offset), Ok(size), Some(table)) = (offset.parse(), size.parse(), tables.last_mut())
                {
                    table.push((offset, size, (*field).to_owned()));
                }
            }
            _ => {}
        }
    }
    tables
}

#[test]
fn the_tables_are_the_types() {
    let header = fields!(RawHeader: magic version incompatible read_only_compatible compatible sequence uuid kind
        cipher sector_size reserved1 disk_bytes copy_b_offset data_offset volume_bytes stages created label mac
        checksum journal_bytes segment_bytes index_bytes level discard open_key index_area stage_name stage_place reserved2 slots);
    let slot = fields!(RawSlot: kind kdf memory_kib iterations lanes reserved1 salt wrapped_key label created
        reserved2);
    // No field is missing: each begins where the one before ends, up to the end of the type.
    for (fields, size) in [(&header, size_of::<RawHeader>()), (&slot, size_of::<RawSlot>())] {
        let end = fields.iter().fold(0, |end, (offset, size, name)| {
            assert_eq!(*offset, end, "{name}");
            end + size
        });
        assert_eq!(end, size);
    }
    assert_eq!(tables(), [header, slot]);
}
