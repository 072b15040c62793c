//! Requests without SRBs, counted as they end.

use std::sync::{Arc, Mutex};

use sluice_chain::bytes::Target;
use sluice_miniport_virtio_blk::{
    config::Facts,
    request::{Asked, List, Outcome, Range, Request},
};

/// All that have ended, in that order: number, outcome, data.
pub type Tasks = Arc<Mutex<Vec<(usize, Outcome, Vec<u8>)>>>;

/// One request.
#[derive(Debug)]
pub struct Task {
    /// Its number.
    pub number: usize,
    /// What it asks.
    pub asked: Asked,
    /// The ranges that it names.
    pub ranges: Vec<Range>,
    /// Its payload.
    pub data: Vec<u8>,
    /// Where it goes when it ends.
    pub tasks: Tasks,
}

impl Request for Task {
    fn ask(&mut self, facts: &Facts, list: &mut List) -> Asked {
        for range in &self.ranges {
            list.push(*range);
        }
        // What a caller that knows the disk would not ask.
        let beyond = |block: u64, bytes: u32| {
            block.checked_add(u64::from(bytes / facts.block_size)).is_none_or(|end| end > facts.blocks)
        };
        match self.asked {
            Asked::Read { block, bytes, .. } | Asked::Write { block, bytes, .. } if beyond(block, bytes) => {
                Asked::Nothing(Outcome::Refused(sluice_shim::scsi::sense::Refusal::OutOfRange))
            }
            asked => asked,
        }
    }

    fn data(&mut self) -> Target<'_> {
        Target::from(&mut self.data[..])
    }

    fn end(self, outcome: Outcome) {
        self.tasks.lock().unwrap().push((self.number, outcome, self.data));
    }
}
