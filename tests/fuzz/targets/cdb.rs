//! A CDB of any bytes: it parses or not, and no state of a disk lets data past the chain.
#![no_main]

use libfuzzer_sys::fuzz_target;
use sluice_shim::scsi::{
    cdb::{Command, length_of},
    encode::Cdb,
    policy::{RequestKind, Treatment, VolumeState, treatment},
};

const SLUICE: [VolumeState; 5] = [
    VolumeState::Locked,
    VolumeState::Damaged,
    VolumeState::Unreadable,
    VolumeState::InPlace { read_only: true, discards: true },
    VolumeState::InPlace { read_only: false, discards: false },
];

fuzz_target!(|cdb: &[u8]| {
    let Ok(command) = Command::parse(cdb) else { return };
    let needed = length_of(cdb[0]).unwrap_or(1);
    assert!(cdb.len() >= needed, "parsed more than there is");
    let moves_data = matches!(
        command,
        Command::Read(_)
            | Command::Write(_)
            | Command::WriteAndVerify(..)
            | Command::CompareAndWrite(_)
            | Command::Xor
            | Command::ReadLong
            | Command::WriteLong
            | Command::WriteSame(_)
            | Command::Unmap { .. }
            | Command::PopulateToken
            | Command::WriteUsingToken
            | Command::ExtendedCopy
            | Command::FormatUnit
            | Command::Sanitize
            | Command::Other(_)
    );
    for state in SLUICE {
        let treatment = treatment(&RequestKind::Command(command), state);
        assert!(
            !moves_data || !matches!(treatment, Treatment::Pass | Treatment::PassUnqueued),
            "{command:?}"
        );
        let open = matches!(state, VolumeState::InPlace { .. });
        assert!(open || treatment != Treatment::Transform, "{command:?} without a key");
    }
    if let Command::Read(read) = command
        && read.protect == 0
    {
        let again = Cdb::read(read.range, read.fua, read.dpo, read.form);
        let Ok(Command::Read(reread)) = Command::parse(again.as_bytes()) else { panic!("not a READ") };
        assert_eq!((reread.range, reread.fua, reread.dpo), (read.range, read.fua, read.dpo));
    }
});
