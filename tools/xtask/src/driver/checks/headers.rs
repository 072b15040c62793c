//! What the image's headers say.

use super::{Arch, Subject};
use anyhow::{Result, ensure};
use object::{LittleEndian as LE, pe};

pub(super) fn machine(subject: &Subject) -> Result<String> {
    let (expected, name) = match subject.arch {
        Arch::X64 => (pe::IMAGE_FILE_MACHINE_AMD64, "x86_64"),
        Arch::Arm64 => (pe::IMAGE_FILE_MACHINE_ARM64, "aarch64"),
    };
    let machine = subject.image.parse()?.nt_headers().file_header.machine.get(LE);
    ensure!(machine == expected, "machine {machine:#x} is not {name}");
    Ok(name.to_owned())
}

pub(super) fn subsystem(subject: &Subject) -> Result<String> {
    let subsystem = subject.image.optional_header()?.subsystem.get(LE);
    ensure!(subsystem == pe::IMAGE_SUBSYSTEM_NATIVE, "subsystem {subsystem} is not native (1)");
    Ok("native".to_owned())
}

/// The loader calls the address in the header; `DriverEntry` must be that address.
pub(super) fn entry_point(subject: &Subject) -> Result<String> {
    let entry = subject.image.optional_header()?.address_of_entry_point.get(LE);
    ensure!(entry != 0, "there is none");
    let wanted = super::symbols::public(subject, "DriverEntry")?;
    ensure!(wanted == entry, "the entry point {entry:#x} is not DriverEntry, which is at {wanted:#x}");
    Ok(format!("DriverEntry at {entry:#x}"))
}

/// HVCI refuses an image with a section that is writable and executable.
pub(super) fn sections(subject: &Subject) -> Result<String> {
    let image = subject.image.parse()?;
    let mut names = Vec::new();
    for section in image.section_table().iter() {
        let name = String::from_utf8_lossy(section.raw_name()).into_owned();
        let flags = section.characteristics.get(LE);
        let both = pe::IMAGE_SCN_MEM_WRITE | pe::IMAGE_SCN_MEM_EXECUTE;
        ensure!(flags & both != both, "{name} is writable and executable");
        names.push(name);
    }
    let alignment = subject.image.optional_header()?.section_alignment.get(LE);
    ensure!(
        alignment >= 0x1000,
        "sections are aligned to {alignment:#x}: pages of different rights would be shared"
    );
    Ok(format!("{}: none writable and executable", names.join(" ")))
}

pub(super) fn mitigations(subject: &Subject) -> Result<String> {
    let flags = subject.image.optional_header()?.dll_characteristics.get(LE);
    for (flag, name) in [
        (pe::IMAGE_DLLCHARACTERISTICS_NX_COMPAT, "NX"),
        (pe::IMAGE_DLLCHARACTERISTICS_DYNAMIC_BASE, "ASLR"),
        (pe::IMAGE_DLLCHARACTERISTICS_FORCE_INTEGRITY, "forced integrity"),
    ] {
        ensure!(flags & flag != 0, "the header does not ask for {name}");
    }
    Ok("NX, ASLR, forced integrity".to_owned())
}

pub(super) fn checksum(subject: &Subject) -> Result<String> {
    let stored = subject.image.optional_header()?.check_sum.get(LE);
    let computed = subject.image.computed_checksum();
    ensure!(stored == computed, "the header says {stored:#x}, the file's is {computed:#x}");
    Ok(format!("{stored:#x}"))
}
