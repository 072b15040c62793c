//! Requests for the miniport itself, as IOCTL_SCSI_MINIPORT and as SRB IO_CONTROL: failure prediction reaches the
//! device, and nothing else does.

use crate::{
    device::Error,
    disk::{Disk, Request},
    report::check,
    suites::policy::State,
};

const IOCTL_SCSI_MINIPORT: u32 = 0x4d008;
const SRB_FUNCTION_IO_CONTROL: u32 = 2;

/// SRB_IO_CONTROL, and SENDCMDINPARAMS with these registers.
fn request(signature: &[u8; 8], code: u32, command: u8, features: u8, number: u8) -> Vec<u8> {
    let mut b = vec![0; 28 + 544];
    b[..4].copy_from_slice(&28u32.to_le_bytes());
    b[4..12].copy_from_slice(signature);
    b[12..16].copy_from_slice(&10u32.to_le_bytes());
    b[16..20].copy_from_slice(&code.to_le_bytes());
    b[24..28].copy_from_slice(&544u32.to_le_bytes());
    (b[32], b[34], b[38]) = (features, number, command);
    b
}

/// (name, whether it passes, the request).
fn rows() -> Vec<(&'static str, bool, Vec<u8>)> {
    let smart = |code: u32, command, features, number| {
        request(b"SCSIDISK", 0x1b_0000 | code, command, features, number)
    };
    let mut short = smart(0x502, 0xb0, 0xd0, 0);
    short.truncate(38); // ends before the command register
    let mut header = smart(0x502, 0xb0, 0xd0, 0);
    header[0] = 29;
    vec![
        ("SMART_VERSION", true, smart(0x500, 0, 0, 0)),
        ("IDENTIFY", true, smart(0x501, 0xec, 0, 0)),
        ("READ_SMART_ATTRIBS", true, smart(0x502, 0xb0, 0xd0, 0)),
        ("READ_SMART_THRESHOLDS", true, smart(0x503, 0xb0, 0xd1, 0)),
        ("ENABLE_SMART", true, smart(0x504, 0xb0, 0xd8, 0)),
        ("RETURN_STATUS", true, smart(0x506, 0xb0, 0xda, 0)),
        ("EXECUTE_OFFLINE_DIAGS, short", true, smart(0x509, 0xb0, 0xd4, 1)),
        ("EXECUTE_OFFLINE_DIAGS, captive", false, smart(0x509, 0xb0, 0xd4, 0x81)),
        ("DISABLE_SMART", false, smart(0x505, 0xb0, 0xd9, 0)),
        ("WRITE_SMART_LOG", false, smart(0x50c, 0xb0, 0xd6, 0)),
        ("NVCACHE", false, smart(0x600, 0, 0, 0)),
        ("READ_SMART_ATTRIBS with WRITE SECTORS", false, smart(0x502, 0x30, 0xd0, 0)),
        ("READ_SMART_ATTRIBS with SMART WRITE LOG", false, smart(0x502, 0xb0, 0xd6, 0)),
        ("a vendor's signature", false, request(b"NvmeMini", 0xe000_2000, 0, 0, 0)),
        ("FIRMWARE", false, request(b"FIRMWARE", 0x1b_0780, 0, 0, 0)),
        ("a request that is cut off", false, short),
        ("a header of another length", false, header),
    ]
}

fn row(disk: &Disk, state: State, name: &str, passes: bool, data: &[u8]) -> Result<(), Error> {
    let passes = passes || state == State::Plain;
    let word = if passes { "reaches the device" } else { "is refused" };
    let before = disk.statistics()?;
    let outcome = disk.top.control(IOCTL_SCSI_MINIPORT, data, data.len());
    let reached = disk.statistics()?.ioctls - before.ioctls;
    check(
        &format!("miniport control: {name} {word}"),
        reached == u64::from(passes) && outcome.is_ok() == passes,
        format!("{:?}, reached {reached}", outcome.map(|b| b.len())),
    );
    for extended in [false, true] {
        let before = disk.statistics()?;
        let a = disk.send(&Request::function(SRB_FUNCTION_IO_CONTROL).writes(data).extended(extended))?;
        let reached = disk.statistics()?.srbs - before.srbs;
        let kind = if extended { "extended" } else { "legacy" };
        check(
            &format!("miniport control: {name} {word} as an SRB ({kind})"),
            reached == u64::from(passes) && (passes || !a.good()),
            format!("{}, reached {reached}", a.text()),
        );
    }
    Ok(())
}

/// All rows on a disk in `state`.
pub(crate) fn run(disk: &Disk, state: State) -> Result<(), Error> {
    rows().iter().try_for_each(|(name, passes, data)| row(disk, state, name, *passes, data))
}
