//! What an adapter looks like, and what became of what its miniport said.

use std::collections::HashMap;

use sluice_port::services::{BusPlace, Event};
use sluice_shim::storport::srb::Address;

/// A simulated adapter.
#[derive(Clone, Debug)]
pub struct Hardware {
    /// Where it is.
    pub place: BusPlace,
    /// Its configuration space.
    pub configuration: Vec<u8>,
    /// Lengths of its memory ranges (BARs), in bytes.
    pub ranges: Vec<u32>,
    /// What the first range holds before the miniport looks for its adapter; zeros follow.
    pub registers: Vec<u8>,
    /// Interrupt messages; 0: a line.
    pub messages: u32,
    /// It finds only memory that was allocated for it.
    pub translated: bool,
    /// Registry values: key and name (`adapter/Name`, `all/Name`, `hardware/subkey/Name`) to type and data.
    pub registry: HashMap<String, (u32, Vec<u8>)>,
}

impl Default for Hardware {
    /// A PCI function with a BAR of 64 KiB and a line.
    fn default() -> Self {
        let place = BusPlace { interface: 5, bus: 0, slot: 3, interrupt_level: 5, interrupt_vector: 0x31 };
        let mut configuration = vec![0; 256];
        configuration[..4].copy_from_slice(&[0x34, 0x12, 0x78, 0x56]); // vendor 1234, device 5678
        Self {
            place,
            configuration,
            ranges: vec![64 << 10],
            registers: Vec::new(),
            messages: 0,
            translated: false,
            registry: HashMap::new(),
        }
    }
}

/// An event log entry: unit, error, number, data.
pub type Logged = (Option<Address>, u32, u32, Vec<u8>);
/// A trace event: number, description, named values.
pub type Traced = (u32, String, Vec<(String, u64)>);

/// What the miniport has said to its port's host.
#[derive(Clone, Debug, Default)]
pub struct Record {
    /// See [`Event`].
    pub events: Vec<Event>,
    /// The event log.
    pub log: Vec<Logged>,
    /// Trace events.
    pub traces: Vec<Traced>,
    /// WMI events.
    pub wmi: Vec<Vec<u8>>,
    /// IRPs that a virtual miniport has completed.
    pub completed_irps: Vec<usize>,
}
