//! Programs that send commands themselves, in every form of pass-through: what they write is what the class driver reads, and
//! the other way round, and nothing of it reaches a disk below as it is.

use super::policy::{MARKER, marked};
use crate::{
    device::Error,
    disk::{Disk, Request, cdb},
    interface::DIRECT,
    report::{self, check},
};

const BUFFERED: u32 = 0x0004_d004;
const IN_MEMORY: u32 = 0x0004_d014;
const EXTENDED: u32 = 0x0004_d044;
const EXTENDED_IN_MEMORY: u32 = 0x0004_d048;
/// Where the data of the buffered forms lies, and the sense data of all.
const DATA: usize = 160;
const SENSE: usize = 96;
/// A sector that nobody else uses.
const PLACE: u64 = 1 << 20;

/// A command as a program of 64 or 32 bits says it: structure and room for sense data.
struct Said {
    code: u32,
    wide: bool,
}

impl Said {
    fn is_extended(&self) -> bool {
        self.code >= EXTENDED
    }

    /// Where in the structure the data's place is said.
    fn pointer(&self, out: bool) -> usize {
        match (self.is_extended(), self.wide, out) {
            (false, true, _) => 24,
            (false, false, _) => 20,
            (true, _, true) => 40,
            (true, true, false) => 48,
            (true, false, false) => 44,
        }
    }

    fn structure(&self, cdb: &[u8], out: bool, length: usize) -> Vec<u8> {
        let mut b = vec![0; DATA];
        let count = (length as u32).to_le_bytes();
        let at = if self.is_extended() {
            b[4] = if self.wide { 64 } else { 52 };
            (b[8], b[17], b[18], b[20], b[28]) = (cdb.len() as u8, 32, u8::from(!out), 10, SENSE as u8);
            let field = if out { 32 } else { 36 };
            b[field..field + 4].copy_from_slice(&count);
            if self.wide { 56 } else { 48 }
        } else {
            b[0] = if self.wide { 56 } else { 44 };
            (b[6], b[7], b[8], b[16]) = (cdb.len() as u8, 32, u8::from(!out), 10);
            b[if self.wide { 32 } else { 24 }] = SENSE as u8;
            b[12..16].copy_from_slice(&count);
            if self.wide { 36 } else { 28 }
        };
        b[at..at + cdb.len()].copy_from_slice(cdb);
        b[self.pointer(out)] = DATA as u8;
        b
    }

    /// SCSI status, sense key and code, and the data.
    fn send(&self, disk: &Disk, cdb: &[u8], out: Option<&[u8]>, length: usize) -> Result<Told, Error> {
        let structure = self.structure(cdb, out.is_some(), length);
        let sent = out.map_or_else(|| vec![0x5a; length], <[u8]>::to_vec);
        let whole = if matches!(self.code, IN_MEMORY | EXTENDED_IN_MEMORY) {
            let head: Vec<u8> = [
                disk.number,
                self.code,
                DATA as u32,
                length as u32,
                self.pointer(out.is_some()) as u32,
                5, // to begin anywhere
            ]
            .iter()
            .flat_map(|word| word.to_le_bytes())
            .collect();
            let answer =
                disk.bench.0.control(DIRECT, &[&head[..], &structure, &sent].concat(), 8 + DATA + length)?;
            match answer.get(..4) {
                Some([0, 0, 0, 0]) => answer.get(8..).unwrap_or(&[]).to_vec(),
                Some(status) => return Err(u32::from_le_bytes([status[0], status[1], status[2], status[3]])),
                None => return Err(1),
            }
        } else {
            let input = [structure, if out.is_some() { sent } else { Vec::new() }].concat();
            disk.top.control(self.code, &input, DATA + length)?
        };
        if whole.len() < 44 {
            return Err(122); // ERROR_INSUFFICIENT_BUFFER
        }
        let status = whole[if self.is_extended() { 16 } else { 2 }];
        let byte = |at: usize| whole.get(SENSE + at).copied().unwrap_or(0);
        let sense = if status == 2 { (byte(2) & 15, byte(12)) } else { (0, 0) };
        Ok(Told { status, sense, data: whole.get(DATA..).unwrap_or(&[]).to_vec() })
    }
}

#[derive(Debug)]
struct Told {
    status: u8,
    sense: (u8, u8),
    data: Vec<u8>,
}

fn long(action: u8, sector: u32, count: u8) -> Vec<u8> {
    let mut cdb = vec![0; 32];
    (cdb[0], cdb[7], cdb[9], cdb[31]) = (0x7f, 24, action, count);
    cdb[16..20].copy_from_slice(&sector.to_be_bytes());
    cdb[20..24].copy_from_slice(&sector.to_be_bytes());
    cdb
}

/// Whatever drives the disk.
pub(super) fn run(disk: &Disk) -> Result<(), Error> {
    let sector = disk.sector as usize;
    let first = (PLACE / u64::from(disk.sector)) as u32;
    for code in [BUFFERED, IN_MEMORY, EXTENDED, EXTENDED_IN_MEMORY] {
        // A pointer of 32 bits does not lead to where the bench's memory is.
        let widths =
            if matches!(code, IN_MEMORY | EXTENDED_IN_MEMORY) { &[true][..] } else { &[true, false] };
        for &wide in widths {
            let said = Said { code, wide };
            let name = format!("{code:x}, {} bits", if wide { 64 } else { 32 });
            let mut data = marked(8 * sector);
            data[..4].copy_from_slice(&code.to_le_bytes());
            data[4] = u8::from(wide);
            let wrote = said.send(disk, &cdb::write10(first, 8), Some(&data), data.len())?;
            let class = disk.top.read(PLACE, data.len())?;
            check(
                &format!("what a program writes is what is read ({name})"),
                wrote.status == 0 && class == data,
                format!("{wrote:?}"),
            );
            let read = said.send(disk, &cdb::read10(first, 8), None, data.len())?;
            check(
                &format!("and what it reads ({name})"),
                read.status == 0 && read.data == data,
                format!("{:?}", (read.status, read.sense)),
            );
            if said.is_extended() {
                let read = said.send(disk, &long(9, first, 8), None, data.len())?;
                check(
                    &format!("READ(32) likewise ({name})"),
                    read.status == 0 && read.data == data,
                    format!("{:?}", (read.status, read.sense)),
                );
            }
            let far = said.send(disk, &cdb::read10(u32::MAX - 8, 1), None, sector)?;
            check(
                &format!("beyond the end there is nothing ({name})"),
                (far.status, far.sense) == (2, (5, 0x21)),
                format!("{:?}", (far.status, far.sense)),
            );
            let verified = said.send(disk, &cdb::ten(0x2f, first, 8), None, 0)?;
            let flushed = said.send(disk, &cdb::ten(0x35, 0, 0), None, 0)?;
            check(
                &format!("VERIFY and SYNCHRONIZE CACHE ({name})"),
                (verified.status, flushed.status) == (0, 0),
                format!("{verified:?} {flushed:?}"),
            );
        }
    }
    let nowhere = Said { code: IN_MEMORY, wide: true };
    let mut structure = nowhere.structure(&cdb::read10(first, 1), false, sector);
    for address in [0x10_u64, 0xffff_8000_0000_0000, 0x7fff_ffff_f000] {
        structure[24..32].copy_from_slice(&address.to_le_bytes());
        let refused = disk.top.control(IN_MEMORY, &structure, DATA);
        check(
            &format!("memory that is not the program's is refused ({address:#x})"),
            refused.is_err(),
            format!("{:?}", refused.map(|b| b.len())),
        );
    }
    Ok(())
}

/// WRITE AND VERIFY is for the device of a volume in place, which gets it with what is to lie there.
fn verified(disk: &Disk, in_place: bool) -> Result<(), Error> {
    let (sector, first) = (disk.sector as usize, (PLACE / u64::from(disk.sector)) as u32 + 16);
    for (check_data, operation, reaches) in
        [(0, 0x2e, 0x2e), (2, 0x2e, 0x2e), (0, 0xae, 0x2e), (2, 0x8e, 0x8e_u8)]
    {
        let mut data = marked(8 * sector);
        (data[0], data[1]) = (operation, check_data);
        let mut cdb = cdb::ten(operation, first, 8).to_vec();
        if operation == 0xae {
            cdb = [&cdb[..6], &[0, 0, 0, 8, 0, 0]].concat();
        } else if operation == 0x8e {
            cdb = [&[operation, 0, 0, 0, 0, 0], &cdb[2..6], &[0, 0, 0, 8, 0, 0]].concat();
        }
        cdb[1] = check_data;
        let before = disk.statistics()?.opcodes[usize::from(reaches)];
        let wrote = disk.send(&Request::cdb(&cdb).writes(&data))?;
        let reached = disk.statistics()?.opcodes[usize::from(reaches)] - before;
        let back = disk.top.read(PLACE + 16 * disk.sector, data.len())?;
        let ok = match in_place {
            true => wrote.good() && reached == 1 && back == data,
            false => wrote.sense == [5, 0x20, 0] && reached == 0 && back != data,
        };
        check(&format!("WRITE AND VERIFY {cdb:02x?}"), ok, format!("{}, reached {reached}", wrote.text()));
    }
    Ok(())
}

/// An unlocked volume.
pub(crate) fn on_volume(disk: &Disk, in_place: bool) {
    let outcome = (|| -> Result<(), Error> {
        disk.watch(*MARKER)?;
        let before = disk.statistics()?.pattern_hits;
        run(disk)?;
        verified(disk, in_place)?;
        let hits = disk.statistics()?.pattern_hits - before;
        check("nothing of it reaches the disk as it is", hits == 0, hits);
        let said = Said { code: BUFFERED, wide: true };
        let wanted = [0x9e, 0x10, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 32, 0, 0];
        let size = said.send(disk, &wanted, None, 32)?;
        let sectors = u64::from_be_bytes(size.data.first_chunk().copied().unwrap_or_default()) + 1;
        let end = said.send(disk, &cdb::read10(sectors as u32 - 1, 1), None, disk.sector as usize)?;
        let behind = said.send(disk, &cdb::read10(sectors as u32, 1), None, disk.sector as usize)?;
        check(
            "READ CAPACITY tells a program the volume's size",
            (size.status, end.status, behind.sense) == (0, 0, (5, 0x21)),
            format!("{sectors} {end:?} {:?}", behind.sense),
        );
        let mut list = [0; 24];
        (list[1], list[3], list[14], list[19]) = (22, 16, 8, 8);
        let unmapped = said.send(disk, &cdb::ten(0x42, 0, 24), Some(&list), 24)?;
        check("UNMAP is done for a program", unmapped.status == 0, format!("{unmapped:?}"));
        let refused = said.send(disk, &[0x89; 16], Some(&marked(1024)), 1024);
        check("what is refused an SRB is refused a program", refused.is_err(), format!("{refused:?}"));
        Ok(())
    })();
    if let Err(e) = outcome {
        report::fatal(format!("programs: error {e} ({e:#x})"));
    }
}
