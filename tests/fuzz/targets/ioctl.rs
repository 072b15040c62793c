//! A device control request with any code and buffer: nothing that moves data gets past the chain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_shim::scsi::{
    cdb::Command,
    inspect::inspect,
    ioctl::code,
    policy::{RequestKind, Treatment, VolumeState, treatment},
};

/// Codes whose buffers are looked at, and one that is not.
const CODES: [u32; 10] = [
    code::SCSI_PASS_THROUGH,
    code::SCSI_PASS_THROUGH_DIRECT,
    code::SCSI_PASS_THROUGH_EX,
    code::SCSI_PASS_THROUGH_DIRECT_EX,
    code::ATA_PASS_THROUGH,
    code::ATA_PASS_THROUGH_DIRECT,
    code::SCSI_MINIPORT,
    code::STORAGE_QUERY_PROPERTY,
    code::STORAGE_PROTOCOL_COMMAND,
    code::STORAGE_MANAGE_DATA_SET_ATTRIBUTES,
];

fuzz_target!(|input: &[u8]| {
    let Some((&which, buffer)) = input.split_first() else { return };
    let code = CODES[usize::from(which) % CODES.len()];
    let Some(request) = inspect(code, buffer) else { return };
    let passes = |state: &VolumeState| {
        matches!(treatment(&request, *state), Treatment::Pass | Treatment::PassUnqueued)
    };
    let passed = VolumeState::ALL.iter().filter(|state| **state != VolumeState::Plain).any(passes);
    match request {
        RequestKind::Command(
            Command::Read(_)
            | Command::Write(_)
            | Command::Xor
            | Command::WriteSame(_)
            | Command::Unmap { .. }
            | Command::WriteUsingToken
            | Command::Other(_),
        ) => assert!(!passed, "{request:?}"),
        RequestKind::Command(Command::AtaPassThrough(ata)) if passed => {
            // READ and WRITE SECTORS, DMA and NCQ; trim; format; security erase.
            assert!(!matches!(
                ata.command,
                0x20 | 0x25 | 0x30 | 0x35 | 0x60 | 0x61 | 0xC8 | 0xCA | 0x06 | 0xF4
            ));
        }
        RequestKind::MiniportControl(_) if passed => {
            // The registers that a miniport sends: IDENTIFY, or a part of SMART that writes nothing. SMART_VERSION has
            // none.
            let (code, command, features) = (&buffer[16..20], buffer.get(38), buffer.get(32));
            assert_eq!(buffer[4..12], *b"SCSIDISK");
            assert!(
                code == 0x1B_0500u32.to_le_bytes()
                    || matches!(command, Some(0xEC | 0xA1))
                    || command == Some(&0xB0)
                        && matches!(features, Some(0xD0 | 0xD1 | 0xD4 | 0xD5 | 0xD8 | 0xDA))
            );
        }
        _ => {}
    }
});
