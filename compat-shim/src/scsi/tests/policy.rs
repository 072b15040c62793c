//! The table, row by row and state by state. Written from windows.md's rows, not from the code: each line says
//! what a locked, a broken and an in-place volume must do.

use crate::scsi::{
    cdb::{AtaPassThrough, Command},
    ioctl::{code, property},
    miniport::MiniportControl,
    policy::{Answer, Edit, Inspect, RequestKind, Treatment, VolumeState, treatment},
    sense::Refusal,
};
use crate::storport::codes::SrbFunction;

use Treatment::{Discard, Drain, Pass, PassUnqueued, Quiesce, Refuse, Transform};

const INVALID: Treatment = Refuse(Refusal::InvalidOpcode);
const FIELD: Treatment = Refuse(Refusal::InvalidField);
const NO_KEY: Treatment = Refuse(Refusal::NotAuthorised);
const LOST: Treatment = Refuse(Refusal::Medium);
const PROTECTED: Treatment = Refuse(Refusal::WriteProtected);

const IN_PLACE: VolumeState = VolumeState::InPlace { read_only: false, discards: true };

/// Checks one row: locked, broken, in place, and in place read-only.
fn row(name: &str, request: RequestKind, [locked, broken, in_place, read_only]: [Treatment; 4]) {
    let at = |state| treatment(&request, state);
    assert_eq!(at(VolumeState::Plain), Pass, "{name}, plain");
    assert_eq!(at(VolumeState::Locked), locked, "{name}, locked");
    assert_eq!(at(VolumeState::Damaged), broken, "{name}, damaged");
    assert_eq!(at(VolumeState::Unreadable), broken, "{name}, unreadable");
    assert_eq!(at(IN_PLACE), in_place, "{name}, in place");
    let state = VolumeState::InPlace { read_only: true, discards: true };
    assert_eq!(at(state), read_only, "{name}, read-only");
}

/// A command by its first bytes; the rest are zeros.
fn cdb(head: &[u8]) -> RequestKind {
    let mut bytes = [0; 32];
    bytes[..head.len()].copy_from_slice(head);
    RequestKind::Command(Command::parse(&bytes).unwrap())
}

/// A 32-byte command by its service action.
fn long(service: u8) -> RequestKind {
    cdb(&[0x7F, 0, 0, 0, 0, 0, 0, 24, 0, service])
}

fn commands(rows: &[(&str, &[u8], [Treatment; 4])]) {
    for (name, head, expected) in rows {
        row(name, cdb(head), *expected);
    }
}

const READS: [Treatment; 4] = [NO_KEY, LOST, Transform, Transform];
const WRITES: [Treatment; 4] = [PROTECTED, PROTECTED, Transform, PROTECTED];
const WRITES_REFUSED: [Treatment; 4] = [PROTECTED, PROTECTED, INVALID, PROTECTED];
const REFUSED: [Treatment; 4] = [INVALID; 4];
const PASSED: [Treatment; 4] = [Pass; 4];

#[test]
fn reads_and_writes_are_transformed() {
    for (name, operation) in [("READ 6", 0x08), ("READ 10", 0x28), ("READ 12", 0xA8), ("READ 16", 0x88)] {
        row(name, cdb(&[operation]), READS);
    }
    for (name, operation) in [("WRITE 6", 0x0A), ("WRITE 10", 0x2A), ("WRITE 12", 0xAA), ("WRITE 16", 0x8A)] {
        row(name, cdb(&[operation]), WRITES);
    }
    row("READ 32", long(0x09), READS);
    row("WRITE 32", long(0x0B), WRITES);
    commands(&[
        ("READ with RDPROTECT", &[0x28, 0x20], [NO_KEY, LOST, FIELD, FIELD]),
        ("WRITE with WRPROTECT", &[0x2A, 0x20], [PROTECTED, PROTECTED, FIELD, PROTECTED]),
    ]);
}

#[test]
fn unusual_writes_are_refused() {
    for operation in [0x2E, 0xAE, 0x8E, 0x89, 0x50, 0x51, 0x52, 0x53, 0x8B, 0x9A, 0x3F, 0x41, 0x93] {
        row("unusual write", cdb(&[operation]), WRITES_REFUSED);
    }
    for service in [0x03, 0x04, 0x06, 0x07, 0x0C, 0x0D, 0x0E] {
        row("unusual long write", long(service), WRITES_REFUSED);
    }
    commands(&[
        ("READ LONG 10", &[0x3E], [NO_KEY, LOST, INVALID, INVALID]),
        ("READ LONG 16", &[0x9E, 0x11], [NO_KEY, LOST, INVALID, INVALID]),
        ("WRITE LONG 16", &[0x9F, 0x11], WRITES_REFUSED),
        ("WRITE SAME with UNMAP", &[0x93, 0x08], WRITES_REFUSED),
    ]);
}

#[test]
fn verify_goes_through_without_data_only() {
    for operation in [0x2F, 0xAF, 0x8F] {
        row("VERIFY", cdb(&[operation]), READS);
        for check in [0x02, 0x04, 0x06] {
            row("VERIFY with data", cdb(&[operation, check]), [NO_KEY, LOST, FIELD, FIELD]);
        }
        row("VERIFY with VRPROTECT", cdb(&[operation, 0x20]), [NO_KEY, LOST, FIELD, FIELD]);
    }
    row("VERIFY 32", long(0x0A), READS);
}

#[test]
fn unmap_follows_the_policy() {
    commands(&[
        ("UNMAP", &[0x42], [PROTECTED, PROTECTED, Discard, PROTECTED]),
        ("UNMAP with ANCHOR", &[0x42, 1], [PROTECTED, PROTECTED, FIELD, PROTECTED]),
    ]);
    let hidden = VolumeState::InPlace { read_only: false, discards: false };
    assert_eq!(treatment(&cdb(&[0x42]), hidden), Treatment::Answer(Answer::Done));
    assert_eq!(treatment(&cdb(&[0x2A]), hidden), Transform);
    row("GET LBA STATUS", cdb(&[0x9E, 0x12]), REFUSED);
}

#[test]
fn copies_are_refused_and_hidden() {
    commands(&[
        ("POPULATE TOKEN", &[0x83, 0x10], [NO_KEY, LOST, INVALID, INVALID]),
        ("WRITE USING TOKEN", &[0x83, 0x11], WRITES_REFUSED),
        ("EXTENDED COPY", &[0x83, 0x00], [NO_KEY, LOST, INVALID, INVALID]),
        ("EXTENDED COPY LID4", &[0x83, 0x01], [NO_KEY, LOST, INVALID, INVALID]),
        ("RECEIVE COPY RESULTS", &[0x84], [NO_KEY, LOST, INVALID, INVALID]),
        ("VPD third-party copy", &[0x12, 1, 0x8F], [FIELD; 4]),
    ]);
    row("copy offload property", RequestKind::Property(property::COPY_OFFLOAD), REFUSED);
}

#[test]
fn flushes_drain_the_chain() {
    for operation in [0x35, 0x91] {
        row("SYNCHRONIZE CACHE", cdb(&[operation]), [Pass, Pass, Drain, Drain]);
    }
    for function in [SrbFunction::FLUSH, SrbFunction::SHUTDOWN] {
        row("flush", RequestKind::Function(function), [Pass, Pass, Drain, Drain]);
    }
}

#[test]
fn the_size_is_the_volumes() {
    for (head, answer) in [(&[0x25_u8][..], Answer::Capacity10), (&[0x9E, 0x10], Answer::Capacity16)] {
        let ours = Treatment::Answer(answer);
        row("READ CAPACITY", cdb(head), [ours, Pass, ours, ours]);
    }
}

#[test]
fn requests_about_the_device_pass() {
    commands(&[
        ("INQUIRY", &[0x12], PASSED),
        ("VPD 00", &[0x12, 1, 0x00], PASSED),
        ("VPD 80", &[0x12, 1, 0x80], PASSED),
        ("VPD 83", &[0x12, 1, 0x83], PASSED),
        ("VPD B0", &[0x12, 1, 0xB0], PASSED),
        ("VPD B1", &[0x12, 1, 0xB1], PASSED),
        ("VPD B2", &[0x12, 1, 0xB2], PASSED),
        ("MODE SENSE 6", &[0x1A, 0, 8], PASSED),
        ("MODE SENSE 10", &[0x5A, 0, 8], PASSED),
        ("MODE SELECT 6", &[0x15], [Treatment::Inspect(Inspect::ModeParameters); 4]),
        ("MODE SELECT 10", &[0x55], [Treatment::Inspect(Inspect::ModeParameters); 4]),
        ("REPORT LUNS", &[0xA0], PASSED),
        ("TEST UNIT READY", &[0x00], PASSED),
        ("REQUEST SENSE", &[0x03], PASSED),
        ("PERSISTENT RESERVE IN", &[0x5E], PASSED),
        ("PERSISTENT RESERVE OUT", &[0x5F], PASSED),
        ("RESERVE 6", &[0x16], PASSED),
        ("RELEASE 10", &[0x57], PASSED),
        ("PREVENT ALLOW", &[0x1E, 0, 0, 0, 1], PASSED),
        ("START STOP UNIT", &[0x1B], [PassUnqueued; 4]),
    ]);
}

#[test]
fn destructive_and_unknown_commands_are_refused() {
    for operation in [0x04, 0x48, 0x07, 0xA2, 0xB5, 0x3B, 0x3C] {
        row("administration", cdb(&[operation]), REFUSED);
    }
    for operation in [0x34, 0x4D, 0x5D, 0x90, 0x9C, 0xA3, 0xA4, 0xC0, 0xFF] {
        row("not listed", cdb(&[operation]), REFUSED);
    }
    row("not listed", cdb(&[0x9E, 0x13]), REFUSED);
    row("not listed", long(0x77), REFUSED);
}

#[test]
fn ata_commands_pass_by_list() {
    let ata = |command, features| {
        RequestKind::Command(Command::AtaPassThrough(AtaPassThrough {
            protocol: 4,
            extended: false,
            from_device: true,
            command,
            features,
        }))
    };
    for command in [0xEC, 0xA1, 0xE5, 0xE0, 0xE2, 0x2F, 0x47] {
        row("harmless ATA", ata(command, 0), PASSED);
    }
    for features in [0xD0, 0xD1, 0xD5, 0xDA] {
        row("SMART", ata(0xB0, features), PASSED);
    }
    row("SMART WRITE LOG", ata(0xB0, 0xD6), REFUSED);
    // READ and WRITE in all ways, DATA SET MANAGEMENT (trim), SECURITY, DOWNLOAD MICROCODE, SANITIZE.
    for command in [0x20, 0x24, 0x25, 0x60, 0xC8, 0x30, 0x35, 0x61, 0xCA, 0x06, 0xF4, 0x92, 0xB4, 0x3F] {
        row("harmful ATA", ata(command, 0), REFUSED);
    }
}

#[test]
fn control_codes_pass_by_list() {
    let all = |code, what| row("ioctl", RequestKind::Ioctl(code), [what; 4]);
    for code in [0x4D004, 0x4D014, 0x4D044, 0x4D048] {
        all(code, Treatment::Inspect(Inspect::Cdb));
    }
    all(0x4D02C, Treatment::Inspect(Inspect::TaskFile));
    all(0x4D030, Treatment::Inspect(Inspect::TaskFile));
    all(0x4D008, Treatment::Inspect(Inspect::Miniport));
    all(0x2D_D3C0, Treatment::Inspect(Inspect::Protocol));
    all(0x2D_1400, Treatment::Inspect(Inspect::Property));
    all(0x2D_9404, INVALID);
    all(0x4D028, INVALID);
    for code in [code::SCSI_GET_DUMP_POINTERS, code::SCSI_FREE_DUMP_POINTERS, 0, u32::MAX, 0x2D_DC04] {
        all(code, INVALID);
    }
    for code in [code::SCSI_GET_ADDRESS, code::STORAGE_CHECK_VERIFY, code::STORAGE_GET_HOTPLUG_INFO] {
        all(code, Pass);
    }
}

#[test]
fn what_inspection_finds_is_judged() {
    row("SMART", RequestKind::MiniportControl(MiniportControl::Smart), PASSED);
    row("vendor's", RequestKind::MiniportControl(MiniportControl::Other), REFUSED);
    row("Get Log Page", RequestKind::NvmeAdmin(Some(2)), PASSED);
    row("Identify", RequestKind::NvmeAdmin(Some(6)), PASSED);
    for admin in [Some(0x10), Some(0x11), Some(0x80), Some(0x84), Some(0xC0), None] {
        row("NVMe", RequestKind::NvmeAdmin(admin), REFUSED);
    }
    let ours = Treatment::Edit(Edit::MaximumTransfer);
    row("adapter", RequestKind::Property(property::ADAPTER), [ours; 4]);
    for id in [property::DEVICE, property::TRIM, property::ACCESS_ALIGNMENT, property::LB_PROVISIONING] {
        row("property", RequestKind::Property(id), PASSED);
    }
    for id in [49, 50, 999] {
        row("unknown property", RequestKind::Property(id), REFUSED);
    }
}

#[test]
fn functions() {
    let function = |function, expected| row("function", RequestKind::Function(function), expected);
    function(SrbFunction::EXECUTE_SCSI, [Treatment::Inspect(Inspect::Cdb); 4]);
    function(SrbFunction::IO_CONTROL, [Treatment::Inspect(Inspect::Miniport); 4]);
    for code in [SrbFunction::LOCK_QUEUE, SrbFunction::QUIESCE_DEVICE] {
        function(code, [PassUnqueued, PassUnqueued, Quiesce, Quiesce]);
    }
    for code in [0x04, 0x12, 0x13, 0x15, 0x19, 0x20] {
        function(SrbFunction(code), [PassUnqueued; 4]);
    }
    for code in [0x01, 0x05, 0x06, 0x16, 0x17, 0x24, 0x25] {
        function(SrbFunction(code), PASSED);
    }
    // Dump pointers, abort, terminate, protocol command, NVMe, crypto, and what does not exist.
    for code in [0x0A, 0x26, 0x27, 0x10, 0x14, 0x09, 0x29, 0x03, 0x77] {
        function(SrbFunction(code), REFUSED);
    }
}
