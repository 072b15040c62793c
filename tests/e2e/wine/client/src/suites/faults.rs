//! A device that fails, answers short, is busy or refuses: the error arrives,
//! nothing else is touched, and afterwards all is well.

use crate::{
    copy::Random,
    device::Error,
    disk::{Disk, Request, cdb},
    interface::*,
    report::check,
};

const MIB: usize = 1 << 20;

fn pattern(seed: u64, length: usize) -> Vec<u8> {
    let mut r = Random(seed);
    (0..length / 8).flat_map(|_| r.next().to_le_bytes()).collect()
}

/// Windows error codes that the tests expect.
const ERROR_CRC: u32 = 23;
const ERROR_WRITE_PROTECT: u32 = 19;
const ERROR_NO_SYSTEM_RESOURCES: u32 = 1450;

pub(crate) fn run(disk: &Disk) {
    let data = pattern(3, MIB);
    let base = 8 * MIB as u64;
    let outcome = (|| -> Result<(), Error> {
        disk.class(CLASS_EXTENDED | CLASS_CDB16, 0, 3)?;
        disk.port(|_| ())?;
        disk.write(base, &data)?;
        medium(disk, base, &data)?;
        short(disk, base, &data)?;
        busy(disk, base, &data)?;
        protected(disk, base, &data)?;
        dropped(disk, base, &data)?;
        recovered(disk, base, &data)?;
        internal(disk, base)?;
        disk.port(|_| ())?;
        disk.class(0, 0, 0)?;
        let back = disk.top.read(base, MIB)?;
        check("after all faults the data is as written", back == data, back.len());
        Ok(())
    })();
    check("fault suite ran to its end", outcome.is_ok(), format!("{outcome:?}"));
}

fn medium(disk: &Disk, base: u64, data: &[u8]) -> Result<(), Error> {
    for (name, extended) in [("legacy", false), ("extended", true)] {
        disk.class(if extended { CLASS_EXTENDED } else { 0 }, 0, 0)?;
        disk.port(|m| (m.fault, m.fault_on, m.fault_skip, m.fault_count) = (FAULT_MEDIUM, ON_READ, 3, 1))?;
        let r = disk.top.read(base, MIB);
        check(
            &format!("medium error on the 4th piece of a read arrives ({name})"),
            r == Err(ERROR_CRC),
            format!("{:?}", r.map(|d| d.len())),
        );
        let again = disk.top.read(base, MIB)?;
        check(&format!("reading again succeeds ({name})"), again == data, again.len());
        disk.port(|m| (m.fault, m.fault_on, m.fault_skip, m.fault_count) = (FAULT_MEDIUM, ON_WRITE, 0, 1))?;
        let w = disk.write(base, data);
        check(&format!("medium error on a write arrives ({name})"), w == Err(ERROR_CRC), format!("{w:?}"));
        disk.write(base, data)?;
    }
    disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_MEDIUM, ON_READ, u32::MAX))?;
    let block = (base / disk.sector) as u32;
    let a = disk.send(&Request::cdb(&cdb::read10(block, 8)).reads(8 * disk.sector as usize))?;
    check(
        "sense data of a medium error arrives unchanged",
        a.sense == [3, 0x11, 0] && a.srb_status == 4,
        a.text(),
    );
    disk.port(|_| ())
}

fn short(disk: &Disk, base: u64, data: &[u8]) -> Result<(), Error> {
    let block = (base / disk.sector) as u32;
    let bytes = 8 * disk.sector as usize;
    for extended in [false, true] {
        disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_SHORT, ON_READ, 1))?;
        let a = disk.send(&Request::cdb(&cdb::read10(block, 8)).reads(bytes).extended(extended))?;
        check(
            "a short read tells its length and decrypts what came",
            a.transferred as usize == bytes / 2 && a.data[..bytes / 2] == data[..bytes / 2],
            a.text(),
        );
        disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_SHORT_OVERRUN, ON_READ, 1))?;
        let a = disk.send(&Request::cdb(&cdb::read10(block, 8)).reads(bytes).extended(extended))?;
        check(
            "an overrun is handed on with its length",
            a.srb_status == 0x12 && a.transferred as usize <= bytes / 2,
            a.text(),
        );
        disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_SHORT, ON_WRITE, 1))?;
        let a =
            disk.send(&Request::cdb(&cdb::write10(block, 8)).writes(&data[..bytes]).extended(extended))?;
        check(
            "a short write tells its length",
            a.transferred as usize == bytes / 2 && !a.buffer_changed,
            a.text(),
        );
    }
    disk.port(|_| ())
}

fn busy(disk: &Disk, base: u64, data: &[u8]) -> Result<(), Error> {
    disk.class(CLASS_EXTENDED, 65536, 3)?;
    let before = disk.statistics()?.busy_retries;
    disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_BUSY, ON_WRITE, 2))?;
    let w = disk.write(base, data);
    let after = disk.statistics()?;
    check(
        "a write is sent again from the same buffer after BUSY",
        w == Ok(data.len()) && after.busy_retries == before + 2,
        format!("{w:?}, {} retries", after.busy_retries - before),
    );
    disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_BUSY, ON_READ, 2))?;
    let back = disk.top.read(base, MIB)?;
    check("what was written after BUSY reads back", back == data, back.len());
    disk.port(|_| ())
}

fn protected(disk: &Disk, base: u64, data: &[u8]) -> Result<(), Error> {
    disk.class(0, 0, 0)?;
    disk.port(|m| m.write_protect = 1)?;
    let w = disk.write(base, &vec![0; MIB]);
    check("a write-protected medium refuses the write", w == Err(ERROR_WRITE_PROTECT), format!("{w:?}"));
    let back = disk.top.read(base, MIB)?;
    check("and keeps its data", back == data, back.len());
    disk.port(|_| ())
}

/// Requests that the port gives up on, and a flush that fails.
fn dropped(disk: &Disk, base: u64, data: &[u8]) -> Result<(), Error> {
    for (name, fault, srb_status) in [("timed out", FAULT_TIMEOUT, 9), ("aborted", FAULT_ABORTED, 2)] {
        disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (fault, ON_READ | ON_WRITE, 2))?;
        let block = (base / disk.sector) as u32;
        let bytes = 8 * disk.sector as usize;
        let r = disk.send(&Request::cdb(&cdb::read10(block, 8)).reads(bytes).extended(true))?;
        let w = disk.send(&Request::cdb(&cdb::write10(block, 8)).writes(&data[..bytes]))?;
        check(
            &format!("a request that {name} says so"),
            r.srb_status == srb_status && w.srb_status == srb_status && !w.buffer_changed,
            format!("{} / {}", r.text(), w.text()),
        );
    }
    disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_MEDIUM, ON_FLUSH, 1))?;
    let f = disk.send(&Request::cdb(&cdb::ten(0x35, 0, 0)))?;
    check("a flush that fails is not called a success", !f.good(), f.text());
    disk.port(|_| ())
}

/// An error that the device has overcome: class drivers call it a success, so the data must be right.
fn recovered(disk: &Disk, base: u64, data: &[u8]) -> Result<(), Error> {
    for (name, flags) in [("legacy", 0), ("extended", CLASS_EXTENDED)] {
        disk.class(flags, 0, 0)?;
        disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_RECOVERED, ON_READ, 3))?;
        let back = disk.top.read(base, MIB)?;
        check(&format!("a read with recovered errors is decrypted ({name})"), back == data, back.len());
        disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_RECOVERED, ON_WRITE, 3))?;
        let w = disk.write(base, data);
        check(
            &format!("a write with recovered errors succeeds ({name})"),
            w == Ok(data.len()),
            format!("{w:?}"),
        );
    }
    disk.port(|_| ())
}

/// A failure whose NTSTATUS stands in the SRB.
fn internal(disk: &Disk, base: u64) -> Result<(), Error> {
    for (name, flags) in [("legacy", 0), ("extended", CLASS_EXTENDED)] {
        disk.class(flags, 0, 0)?;
        disk.port(|m| (m.fault, m.fault_on, m.fault_count) = (FAULT_INTERNAL, ON_READ, 1))?;
        let r = disk.top.read(base, MIB);
        check(
            &format!("the status behind an internal error arrives ({name})"),
            r == Err(ERROR_NO_SYSTEM_RESOURCES),
            format!("{:?}", r.map(|d| d.len())),
        );
    }
    disk.port(|_| ())
}

impl Disk {
    fn write(&self, at: u64, data: &[u8]) -> Result<usize, Error> {
        self.top.write(at, data)
    }
}
