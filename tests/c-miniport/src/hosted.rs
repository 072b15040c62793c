//! One miniport in the port, with its adapter if it has one.

use std::{
    ffi::c_void,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use sluice_chain::Chain;
use sluice_engine::stages::Encrypt;
use sluice_port::{
    command::Special,
    port::{Port, Timing},
    status::NtStatus,
    unit::LogicalUnit,
};
use sluice_port_host::{Adapter as Machine, Hardware};
use sluice_shim::storport::{ScsiStatus, SrbFlags, SrbFunction, SrbRequest, SrbStatus, srb::Address};
use sluice_user_host::{Disk, Setup};
use sluice_xts::{Backend, Xts256};

use crate::{
    adapter::{self, Adapter, Bus, IDENTITY},
    counters::{self, Counters},
    miniports::Miniport,
};

/// An adapter for `plain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Device {
    /// Queues.
    pub queues: u32,
    /// Interrupt messages; 0: a line.
    pub messages: u32,
    /// Blocks of its disk.
    pub blocks: u64,
    /// It finds only memory that was allocated for it.
    pub translated: bool,
}

/// What a miniport is started with.
#[derive(Clone, Debug)]
pub struct Parameters {
    /// Its adapter; a disk in memory if it has none.
    pub device: Option<Device>,
    /// Numbers in the registry.
    pub registry: Vec<(&'static str, u32)>,
    /// How patient the port is.
    pub timing: Timing,
}

impl Default for Parameters {
    /// Patience of a test's length.
    fn default() -> Self {
        let timing = Timing { tick: 10_000, step: 100_000, reset_hold: 10_000 };
        Self { device: None, registry: Vec::new(), timing }
    }
}

/// How an SRB was answered.
#[derive(Clone, Debug)]
pub struct Answer {
    /// With its flags.
    pub status: SrbStatus,
    /// The SCSI status byte.
    pub scsi_status: ScsiStatus,
    /// Bytes, as the miniport says.
    pub transferred: u32,
    /// What the miniport has made of the data.
    pub data: Vec<u8>,
    /// Sense data; empty if there is none.
    pub sense: Vec<u8>,
}

/// The machine around the adapter: its own memory and interrupt.
struct Slot {
    machine: Arc<Machine>,
    messages: u32,
}

impl Bus for Slot {
    fn memory(&self, physical: u64, length: usize) -> *mut u8 {
        // SAFETY: the driver names memory that stays while the adapter is enabled or busy.
        let place = unsafe { self.machine.device_view(physical, length) };
        place.map_or(std::ptr::null_mut(), |place| place.as_ptr())
    }

    fn interrupt(&self, message: u32) {
        if self.messages > 0 {
            self.machine.message_interrupt(message.min(self.messages - 1));
        } else {
            self.machine.interrupt();
        }
    }
}

/// The adapter, and the thread that plays it.
struct Played {
    adapter: Arc<Adapter>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Drop for Played {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// A miniport that runs. The adapter stops before the machine goes.
pub struct Hosted {
    played: Option<Played>,
    machine: Arc<Machine>,
}

const UNIT: Address = Address { path: 0, target: 0, lun: 0 };
const SECTOR: u32 = adapter::BLOCK as u32;

impl Hosted {
    /// Loads the miniport, finds its adapter and starts it.
    ///
    /// # Errors
    /// What the port says.
    pub fn start(miniport: &Miniport, parameters: &Parameters) -> Result<Self, NtStatus> {
        let mut hardware = Hardware::default();
        for (name, value) in &parameters.registry {
            hardware.registry.insert(format!("all/{name}"), (4, value.to_le_bytes().to_vec()));
        }
        if let Some(device) = parameters.device {
            hardware.configuration[..4].copy_from_slice(&IDENTITY);
            hardware.messages = device.messages;
            hardware.translated = device.translated;
            hardware.registers = adapter::at_first(device.queues, device.blocks);
        }
        // SAFETY: a miniport's entry, written for this interface.
        let registration = unsafe { sluice_port_host::load(miniport.entry) }?;
        let machine = Machine::start(&registration, hardware, parameters.timing)?;
        machine.add_unit(UNIT.path, UNIT.target, UNIT.lun)?;
        let played = parameters.device.and_then(|device| play(&machine, device));
        Ok(Self { played, machine })
    }

    /// The port.
    #[must_use]
    pub fn port(&self) -> &Port {
        self.machine.port()
    }

    /// The machine's side, to look at what it was told.
    #[must_use]
    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The adapter that is played.
    #[must_use]
    pub fn adapter(&self) -> Option<&Adapter> {
        self.played.as_ref().map(|played| &*played.adapter)
    }

    /// The unit as a disk, with `chain` above it.
    ///
    /// # Panics
    /// If the port has no such unit.
    #[must_use]
    pub fn disk(&self, chain: Chain) -> Disk {
        self.disk_with(chain, &Setup::default())
    }

    /// As [`Self::disk`], with other means.
    ///
    /// # Panics
    /// As above.
    #[must_use]
    #[allow(clippy::expect_used, reason = "a test that cannot go on stops")]
    pub fn disk_with(&self, chain: Chain, setup: &Setup) -> Disk {
        self.machine.disk(UNIT, SECTOR, chain, setup).expect("a unit")
    }

    /// A chain that encrypts, as that of a volume does.
    ///
    /// # Panics
    /// Never: the key is a good one.
    #[must_use]
    #[allow(clippy::expect_used, reason = "a test that cannot go on stops")]
    pub fn encrypting(&self) -> Chain {
        let mut chain = Chain::new();
        let key = std::array::from_fn(|index| index as u8);
        let cipher = Xts256::new(&key, Backend::Portable).expect("two halves");
        chain.push_owned(Box::new(Encrypt::new(cipher))).expect("room for one");
        chain
    }

    #[allow(clippy::expect_used, reason = "a test that cannot go on stops")]
    fn unit(&self) -> &LogicalUnit {
        self.port().unit(UNIT).expect("a unit")
    }

    /// Sends an SRB of any function to the unit, with data in both directions, and waits for its answer.
    #[must_use]
    pub fn command(&self, function: SrbFunction, special: Special, data: Vec<u8>) -> Answer {
        let both = SrbFlags::DATA_IN | SrbFlags::DATA_OUT;
        let flags = if data.is_empty() { SrbFlags::NONE } else { both };
        self.send(
            SrbRequest { flags: flags | SrbFlags::NO_QUEUE_FREEZE, ..SrbRequest::function(function) },
            special,
            data,
        )
    }

    /// Sends a SCSI command.
    #[must_use]
    pub fn scsi(&self, cdb: &[u8], data: Vec<u8>, writes: bool) -> Answer {
        let flags = if writes { SrbFlags::DATA_OUT } else { SrbFlags::DATA_IN };
        let flags = flags | SrbFlags::NO_QUEUE_FREEZE;
        self.send(SrbRequest { flags, timeout: 1, ..SrbRequest::command(cdb) }, Special::None, data)
    }

    fn send(&self, request: SrbRequest<'_>, special: Special, mut data: Vec<u8>) -> Answer {
        let buffer = if data.is_empty() { std::ptr::null_mut() } else { data.as_mut_ptr().cast::<c_void>() };
        let request = SrbRequest { data_buffer: buffer, data_transfer_length: data.len() as u32, ..request };
        let reply = self.machine.command(self.unit(), &request, special);
        Answer {
            status: reply.answer.srb_status,
            scsi_status: reply.answer.scsi_status,
            transferred: reply.answer.data_transfer_length,
            data,
            sense: reply.sense,
        }
    }

    /// Tells the miniport something about its unit.
    ///
    /// # Errors
    /// What it says.
    pub fn unit_control(&self, kind: u32) -> Result<(), NtStatus> {
        self.port().unit_control(self.unit(), kind)
    }

    /// Asks for all of the counters' WMI data block: the answer's data is a `WNODE_ALL_DATA`.
    #[must_use]
    pub fn query_wmi(&self) -> Answer {
        let mut data = vec![0; 512];
        data[..4].copy_from_slice(&512_u32.to_le_bytes());
        data[24..40].copy_from_slice(&counters::GUID);
        let guid = counters::GUID;
        let special = Special::Wmi { minor: 0, flags: 0, path: guid.as_ptr() as usize };
        self.command(SrbFunction::WMI, special, data)
    }

    /// What the miniport has counted.
    ///
    /// # Panics
    /// If it does not say.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let data = counters::io_control(counters::READ, &[0; counters::BYTES]);
        let answer = self.command(SrbFunction::IO_CONTROL, Special::None, data);
        assert_eq!(answer.status.code(), SrbStatus::SUCCESS);
        Counters::parse(&answer.data[counters::HEADER..])
    }

    /// What the port has counted of the miniport's mistakes, without zeros.
    #[must_use]
    pub fn faults(&self) -> Vec<(&'static str, u32)> {
        self.port().faults().iter().filter(|(_, count)| *count > 0).collect()
    }

    /// The adapter is pulled out.
    pub fn surprise_remove(&self) {
        self.port().surprise_remove();
    }

    /// The adapter is taken away in order.
    pub fn stop(&self) {
        self.port().stop();
    }
}

fn play(machine: &Arc<Machine>, device: Device) -> Option<Played> {
    let registers = machine.range(0)?.cast::<u8>();
    // SAFETY: the range stays as long as the machine, which the thread keeps.
    let adapter = Arc::new(unsafe { Adapter::new(registers, device.blocks) });
    let stop = Arc::new(AtomicBool::new(false));
    let slot = Slot { machine: Arc::clone(machine), messages: device.messages };
    let (playing, seen) = (Arc::clone(&adapter), Arc::clone(&stop));
    let thread = thread::spawn(move || playing.run(&slot, &seen));
    Some(Played { adapter, stop, thread: Some(thread) })
}
