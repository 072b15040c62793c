//! Hosts the miniport whose object files it is linked with: finds its adapter, asks every unit who it is, writes to it and reads
//! back, and says what the port has counted. `docs/miniports.md` has the commands. Arguments are the miniport's parameters:
//! NAME=NUMBER. The first 64 KiB of its units are overwritten.

#![allow(clippy::print_stdout, reason = "what a program is for")]

use std::{ffi::c_void, sync::Arc};

use sluice_chain::{Chain, Status};
use sluice_port::{command::Special, port::Timing, status::NtStatus};
use sluice_port_host::{Adapter, Hardware, left, load, violations};
use sluice_shim::storport::{SrbFlags, SrbRequest, SrbStatus, srb::Address};
use sluice_user_host::Setup;

unsafe extern "system" {
    fn DriverEntry(driver: *mut c_void, path: *mut c_void) -> u32;
}

fn main() -> Result<(), String> {
    let mut hardware = Hardware::default();
    for argument in std::env::args().skip(1) {
        let (name, number) = argument.split_once('=').ok_or("parameters are NAME=NUMBER")?;
        let number: u32 = number.parse().map_err(|error| format!("{argument}: {error}"))?;
        hardware.registry.insert(format!("all/{name}"), (4, number.to_le_bytes().to_vec()));
    }
    let hosted = host(hardware).map_err(|status| format!("NTSTATUS {:#010x}", status.0))?;
    println!("left behind: {}; broken rules: {:?}", left(), violations());
    if hosted == 0 { Err("it has no unit that works".to_owned()) } else { Ok(()) }
}

/// Answers how many of its units work.
pub(crate) fn host(hardware: Hardware) -> Result<usize, NtStatus> {
    // SAFETY: the miniport that is linked to this.
    let registration = unsafe { load(DriverEntry) }?;
    let adapter = Adapter::start(&registration, hardware, Timing::default())?;
    let extent =
        adapter.port().settings().map_or((0, 0, 0), |found| (found.buses, found.targets, found.units));
    let mut working = 0;
    for path in 0..extent.0 {
        for target in 0..extent.1 {
            for lun in 0..extent.2 {
                working += usize::from(try_unit(&adapter, Address { path, target, lun })?);
            }
        }
    }
    let faults: Vec<_> = adapter.port().faults().iter().filter(|(_, count)| *count > 0).collect();
    println!("faults: {faults:?}; events: {:?}", adapter.record().events);
    Ok(working)
}

fn try_unit(adapter: &Arc<Adapter>, address: Address) -> Result<bool, NtStatus> {
    let Address { path, target, lun } = address;
    let inquiry = ask(adapter, address, &[0x12, 0, 0, 0, 36, 0], 36)?;
    let Some(name) = inquiry.filter(|data| data[0] >> 5 == 0).map(|data| data[8..36].to_vec()) else {
        return Ok(false);
    };
    println!("{path}.{target}.{lun}: {}", String::from_utf8_lossy(&name));
    let Some(capacity) = ask(adapter, address, &[0x25, 0, 0, 0, 0, 0, 0, 0, 0, 0], 8)? else {
        println!("  no answer to READ CAPACITY");
        return Ok(false);
    };
    let word = |at: usize| u32::from_be_bytes([0, 1, 2, 3].map(|byte| capacity[at + byte]));
    let (sectors, sector) = (u64::from(word(0)) + 1, word(4));
    let disk = adapter.disk(address, sector, Chain::new(), &Setup::default())?;
    let bytes = (sectors * u64::from(sector)).min(64 << 10) as usize;
    let data: Vec<u8> = (0..bytes as u32).map(|byte| (byte.wrapping_mul(0x9e37_79b9) >> 24) as u8).collect();
    let mut back = vec![0; bytes];
    let statuses = [
        disk.write(0, &data, Default::default()).status,
        disk.flush().status,
        disk.read(0, &mut back).status,
        disk.read(sectors, &mut [0; 4096][..(sector as usize).min(4096)]).status,
    ];
    let [.., beyond] = statuses;
    let well =
        statuses[..3].iter().all(|status| *status == Status::OK) && back == data && beyond != Status::OK;
    println!("  {sectors} sectors of {sector} bytes; write, flush, read, read beyond the end: {statuses:?}");
    Ok(well)
}

/// Sends a command that brings so many bytes; `None` if it fails.
fn ask(adapter: &Adapter, at: Address, cdb: &[u8], bytes: u32) -> Result<Option<Vec<u8>>, NtStatus> {
    let mut data = vec![0u8; bytes as usize];
    let unit = adapter.add_unit(at.path, at.target, at.lun)?;
    let flags = SrbFlags::DATA_IN | SrbFlags::NO_QUEUE_FREEZE;
    let command = SrbRequest { timeout: 10, ..SrbRequest::command(cdb) };
    let reply =
        adapter.command(unit, &command.with_data(flags, data.as_mut_ptr().cast(), bytes), Special::None);
    Ok((reply.answer.srb_status.code() == SrbStatus::SUCCESS).then_some(data))
}
