//! From DriverEntry to a request and back.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod support;

use std::sync::{Arc, Mutex};

use sluice_chain::{Chain, Flags};
use sluice_port::command::Special;
use sluice_shim::storport::{SrbFunction, SrbKind, SrbRequest, SrbStatus, srb::Address};
use sluice_user_host::Setup;
use support::{Script, SrbAt, start, succeed};

const KINDS: [SrbKind; 2] = [SrbKind::Legacy, SrbKind::Extended];

#[test]
fn a_command_goes_to_the_miniport_and_comes_back() {
    for kind in KINDS {
        let adapter = start(Script {
            kind,
            start: Box::new(|ext, srb| {
                let mut view = srb.view();
                assert_eq!(view.function(), SrbFunction::EXECUTE_SCSI);
                assert_eq!(view.address(), Address { path: 0, target: 1, lun: 2 });
                assert!(!view.miniport_context().is_null());
                view.set_data_transfer_length(7);
                succeed(ext, srb);
                true
            }),
            ..Script::default()
        });
        let unit = adapter.add_unit(0, 1, 2).unwrap();
        let reply = adapter.command(unit, &SrbRequest::command(&[0; 6]), Special::None);
        assert_eq!(reply.answer.srb_status, SrbStatus::SUCCESS);
        assert_eq!(reply.answer.data_transfer_length, 7);
        assert_eq!(unit.outstanding(), 0);
    }
    assert_eq!(sluice_port_host::violations(), Vec::<String>::new());
}

/// What a RAM disk does with a READ or WRITE (10).
fn transfer(memory: &mut [u8], srb: SrbAt) {
    let view = srb.view();
    let cdb = view.cdb();
    let lba = u32::from_be_bytes([cdb[2], cdb[3], cdb[4], cdb[5]]) as usize;
    let length = view.data_transfer_length() as usize;
    // SAFETY: the SRB's data is mapped while the miniport has it.
    let data = unsafe { std::slice::from_raw_parts_mut(view.data_buffer().cast::<u8>(), length) };
    let place = &mut memory[lba * 512..][..length];
    match cdb[0] {
        0x28 => data.copy_from_slice(place),
        0x2A => place.copy_from_slice(data),
        other => panic!("command {other:#x}"),
    }
}

#[test]
fn a_disk_over_a_miniport_reads_and_writes() {
    for kind in KINDS {
        let memory = Arc::new(Mutex::new(vec![0u8; 1 << 20]));
        let disk = Arc::clone(&memory);
        let adapter = start(Script {
            kind,
            start: Box::new(move |ext, srb| {
                transfer(&mut disk.lock().unwrap(), srb);
                succeed(ext, srb);
                true
            }),
            ..Script::default()
        });
        let disk = adapter.disk(Address::default(), 512, Chain::default(), &Setup::default()).unwrap();
        let bytes: Vec<u8> = (0..8192u32).map(|n| n as u8 ^ (n >> 8) as u8).collect();
        assert_eq!(disk.write(16, &bytes, Flags::default()).transferred, 8192);
        let mut read = vec![0; 8192];
        assert_eq!(disk.read(16, &mut read).transferred, 8192);
        assert_eq!(read, bytes);
        assert_eq!(&memory.lock().unwrap()[16 * 512..][..8192], &bytes[..]);
    }
}
