//! What a unit says of itself, and what programs ask of it, of any bytes: identifiers that Plug and Play can take, answers that
//! fit, commands that name nothing outside their buffer.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_shim::{
    enumeration::{
        descriptors::{self, Adapter, ROOM, bus},
        identifiers, luns,
        profile::Profile,
    },
    scsi::pass_through::{Data, PassThrough},
    storport::{ScsiStatus, SrbKind},
};

const ADAPTER: Adapter = Adapter {
    max_transfer: 1 << 20,
    max_pages: 257,
    alignment_mask: 0,
    bus: bus::VIRTUAL,
    srb_kind: SrbKind::Extended,
};

struct Input<'a> {
    standard: &'a [u8],
    serial: &'a [u8],
    names: &'a [u8],
}

fn unit(input: &Input<'_>, query: &[u8], room: usize) {
    let Some(profile) = Profile::new(input.standard, input.serial, input.names) else { return };
    for text in
        [identifiers::device(&profile), identifiers::hardware(&profile), identifiers::compatible(&profile)]
    {
        let legal = |unit: &u16| *unit == 0 || (0x21..0x7F).contains(unit) && *unit != u16::from(b',');
        assert!(text.as_units().iter().all(legal) && text.as_units().last() == Some(&0));
    }
    let mut into = [0; ROOM];
    if let Ok(length) = descriptors::answer(query, room, &ADAPTER, Some(&profile), &mut into) {
        assert!(length <= room.min(ROOM));
    }
    let named: usize = profile.designators().map(|one| one.identifier.len()).sum();
    assert!(named <= input.names.len());
}

fuzz_target!(|input: (Vec<u8>, Vec<u8>, Vec<u8>, Vec<u8>, u16)| {
    let (standard, serial, names, query, room) = (&input.0, &input.1, &input.2, &input.3, usize::from(input.4));
    unit(&Input { standard, serial, names }, query, room);
    assert!(luns::units(names).count() <= names.len() / 8);
    for code in [0x4_d004, 0x4_d014, 0x4_d044, 0x4_d048] {
        let Ok(request) = PassThrough::parse(code, query, room, 1 << 20) else { continue };
        let mut buffer = query.clone();
        buffer.resize(query.len().max(room), 0);
        let end = if let Data::Buffer(place) = &request.data { place.end } else { 0 };
        assert!(end <= buffer.len() && request.sense.end <= room);
        let length = request.answer(&mut buffer, ScsiStatus::CHECK_CONDITION, u32::MAX, serial);
        assert!(length <= room.max(end));
    }
});
