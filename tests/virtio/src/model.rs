//! Registers, and a disk that obeys.

use std::sync::{Arc, Mutex, MutexGuard};

use sluice_miniport_virtio_blk::{
    memory::{Part, Shared},
    spec::{CONFIG, blk, feature, status},
    transport::{Continuity, Failure, Rings, Transport},
};

use crate::{
    memory::Memory,
    rings::{Chain, Side},
};

/// Sectors of the disk.
pub const CAPACITY: u64 = 2048;

/// What a device offers, and how it answers.
#[derive(Clone, Debug)]
pub struct Behaviour {
    /// Features offered.
    pub offered: u64,
    /// Its configuration.
    pub configuration: [u8; CONFIG],
    /// Descriptors of each queue.
    pub sizes: Vec<u16>,
    /// The configuration's generation changes at each look.
    pub restless: bool,
    /// It takes no features.
    pub stubborn: bool,
    /// It does not answer resets.
    pub deaf: bool,
    /// Its next reset finds it another device.
    pub replaced: bool,
    /// It asks for a reset.
    pub needs_reset: bool,
    /// A driver that breaks the rules is a failed test. Not where the memory may hold anything.
    pub strict: bool,
}

impl Behaviour {
    /// A disk of [`CAPACITY`] sectors with everything that the miniport uses.
    #[must_use]
    pub fn new(packed: bool) -> Self {
        let mut configuration = [0; CONFIG];
        let mut put = |at: usize, value: u32| configuration[at..at + 4].copy_from_slice(&value.to_le_bytes());
        put(0, CAPACITY as u32);
        put(12, 8); // seg_max
        put(20, 512);
        put(24, 3);
        put(32, 2 << 16); // num_queues
        put(36, 256);
        put(40, 4);
        put(44, 8);
        put(48, 512);
        put(52, 1);
        put(56, 1);
        let offered = sluice_miniport_virtio_blk::config::KNOWN & !(feature::RO | feature::SIZE_MAX);
        let offered = if packed { offered } else { offered & !feature::RING_PACKED };
        Self {
            offered,
            configuration,
            sizes: vec![16, 16],
            restless: false,
            stubborn: false,
            deaf: false,
            replaced: false,
            needs_reset: false,
            strict: true,
        }
    }
}

/// The device.
#[derive(Debug)]
pub struct Model {
    state: Mutex<State>,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) memory: Memory,
    pub(crate) behaviour: Behaviour,
    pub(crate) status: u8,
    features: u64,
    generation: u32,
    pub(crate) sides: Vec<Option<Side>>,
    kicked: Vec<bool>,
    /// What was taken and not given back.
    pub(crate) taken: Vec<(u16, Chain)>,
    disk: Vec<u8>,
    /// Requests carried out, by type.
    done: Vec<u32>,
    notified: usize,
}

/// The model, as a transport.
#[derive(Clone, Debug)]
pub struct Line(pub Arc<Model>);

impl Line {
    /// A device whose driver has so much memory.
    #[must_use]
    pub fn new(behaviour: Behaviour, memory: usize) -> Self {
        let queues = behaviour.sizes.len();
        Self(Arc::new(Model {
            state: Mutex::new(State {
                memory: Memory::new(memory),
                behaviour,
                status: 0,
                features: 0,
                generation: 0,
                sides: (0..queues).map(|_| None).collect(),
                kicked: vec![false; queues],
                taken: Vec::new(),
                disk: vec![0; CAPACITY as usize * 512],
                done: Vec::new(),
                notified: 0,
            }),
        }))
    }
}

impl Model {
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    /// For the driver. It must be gone before the model is.
    #[must_use]
    pub fn shared(&self) -> Shared {
        self.state().memory.driver()
    }

    /// Changes what it is like.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        let mut state = self.state();
        change(&mut state.behaviour);
        state.generation = state.generation.wrapping_add(1);
    }

    /// Its bytes.
    #[must_use]
    pub fn disk(&self) -> Vec<u8> {
        self.state().disk.clone()
    }

    /// The types of the requests that it has carried out, in order.
    #[must_use]
    pub fn done(&self) -> Vec<u32> {
        self.state().done.clone()
    }

    /// The memory that it shares with its driver.
    #[must_use]
    pub fn memory(&self) -> Part {
        *self.state().memory.whole()
    }

    /// How often the driver has told it of something.
    #[must_use]
    pub fn notified(&self) -> usize {
        self.state().notified
    }

    /// Gives the oldest buffer back as it is told to: another identifier, another length, a status without having done
    /// anything. Keeps it, to give it back once more, if `again`.
    pub fn answer(&self, id: Option<u32>, length: Option<u32>, status: u8, again: bool) {
        let mut state = self.state();
        state.take_all();
        let (queue, chain) = state.taken.first().cloned().unwrap();
        if !again {
            state.taken.remove(0);
        }
        let last = chain.segments.last().unwrap();
        state.memory.at(last.address, 1).unwrap().copy_in([status][..].into());
        let into = chain.segments.iter().filter(|segment| segment.writable);
        let length = length.unwrap_or_else(|| into.map(|segment| segment.length).sum());
        if let Some(side) = &mut state.sides[usize::from(queue)] {
            side.push(id.unwrap_or(u32::from(chain.id)), chain.count, length);
        }
    }

    /// Takes what the driver has told it of, and gives back all but `keep` of it, in an order that `choose` gives (a
    /// number below its argument). Answers which queues' interrupts are wanted.
    pub fn run(&self, keep: usize, choose: &mut dyn FnMut(usize) -> usize) -> Vec<u16> {
        let mut state = self.state();
        state.take_all();
        while state.taken.len() > keep {
            let one = choose(state.taken.len());
            let (queue, chain) = state.taken.swap_remove(one);
            let written = state.carry_out(&chain);
            if let Some(side) = &mut state.sides[usize::from(queue)] {
                side.push(u32::from(chain.id), chain.count, written);
            }
        }
        let sides = state.sides.iter_mut().zip(0_u16..);
        sides.filter_map(|(side, queue)| side.as_mut()?.wanted().then_some(queue)).collect()
    }
}

impl State {
    pub(crate) fn take_all(&mut self) {
        for queue in 0..self.sides.len() {
            if !std::mem::take(&mut self.kicked[queue]) {
                continue;
            }
            let Some(side) = &mut self.sides[queue] else { continue };
            side.listen(false);
            // Once more after listening again: what came between was not told.
            for _ in 0..2 {
                while let Some(chain) = side.pop(&self.memory) {
                    self.taken.push((queue as u16, chain));
                }
                side.listen(true);
            }
        }
    }

    /// Carries a request out (5.2.6); answers the bytes written.
    pub(crate) fn carry_out(&mut self, chain: &Chain) -> u32 {
        let first_writable = chain.segments.iter().position(|segment| segment.writable).unwrap();
        let (out, into) = chain.segments.split_at(first_writable);
        assert!(into.iter().all(|segment| segment.writable), "2.7.4.2: what is read comes first");
        let sum =
            |segments: &[crate::rings::Segment]| segments.iter().map(|s| s.length as usize).sum::<usize>();
        let mut sent = vec![0; sum(out)];
        let mut at = 0;
        for segment in out {
            let part = self.memory.at(segment.address, segment.length as usize).unwrap();
            at += part.copy_out(sluice_chain::bytes::Target::from(&mut sent[at..]));
        }
        let mut answer = vec![0; sum(into)];
        let (data, status) = answer.split_at_mut(sum(into) - 1);
        let header = &sent[..16];
        let kind = u32::from_le_bytes(header[..4].try_into().unwrap());
        let sector = u64::from_le_bytes(header[8..].try_into().unwrap());
        status[0] = Self::act(&mut self.disk, kind, sector, &sent[16..], data);
        self.done.push(kind);
        let mut rest = &answer[..];
        for segment in into {
            let part = self.memory.at(segment.address, segment.length as usize).unwrap();
            let count = part.copy_in(rest.into());
            rest = &rest[count..];
        }
        answer.len() as u32
    }

    fn act(disk: &mut [u8], kind: u32, sector: u64, sent: &[u8], data: &mut [u8]) -> u8 {
        let range = |sector: u64, length: usize| {
            let start = usize::try_from(sector).ok()?.checked_mul(512)?;
            (start.checked_add(length)? <= CAPACITY as usize * 512).then_some(start..start + length)
        };
        match kind {
            blk::IN => match range(sector, data.len()) {
                Some(range) => data.copy_from_slice(&disk[range]),
                None => return blk::IOERR,
            },
            blk::OUT => match range(sector, sent.len()) {
                Some(range) => disk[range].copy_from_slice(sent),
                None => return blk::IOERR,
            },
            blk::FLUSH => {}
            blk::GET_ID => data[..8].copy_from_slice(b"model-01"),
            blk::DISCARD | blk::WRITE_ZEROES => {
                for entry in sent.chunks(16) {
                    let sector = u64::from_le_bytes(entry[..8].try_into().unwrap());
                    let count = u32::from_le_bytes(entry[8..12].try_into().unwrap());
                    let Some(range) = range(sector, count as usize * 512) else { return blk::IOERR };
                    disk[range].fill(0);
                }
            }
            _ => return blk::UNSUPP,
        }
        blk::OK
    }
}

impl Transport for Line {
    fn reset(&self) -> Result<Continuity, Failure> {
        let mut state = self.0.state();
        state.status = 0;
        state.sides.iter_mut().for_each(|side| *side = None);
        state.kicked.fill(false);
        state.taken.clear();
        state.behaviour.needs_reset = false;
        if state.behaviour.deaf {
            return Err(Failure::Reset);
        }
        let replaced = std::mem::take(&mut state.behaviour.replaced);
        Ok(if replaced { Continuity::Broken } else { Continuity::Kept })
    }

    fn status(&self) -> u8 {
        let state = self.0.state();
        let taken = if state.behaviour.stubborn { !status::FEATURES_OK } else { !0 };
        state.status & taken | if state.behaviour.needs_reset { status::NEEDS_RESET } else { 0 }
    }

    fn set_status(&self, status: u8) {
        self.0.state().status = status;
    }

    fn features(&self) -> Result<u64, Failure> {
        Ok(self.0.state().behaviour.offered)
    }

    fn accept(&self, features: u64) -> Result<(), Failure> {
        let mut state = self.0.state();
        assert_eq!(features & !state.behaviour.offered, 0, "2.2.1: what was not offered");
        state.features = features;
        Ok(())
    }

    fn configuration(&self, into: &mut [u8; CONFIG]) -> Result<(), Failure> {
        *into = self.0.state().behaviour.configuration;
        Ok(())
    }

    fn generation(&self) -> u32 {
        let mut state = self.0.state();
        if state.behaviour.restless {
            state.generation = state.generation.wrapping_add(1);
        }
        state.generation
    }

    fn queue_size(&self, queue: u16) -> u16 {
        self.0.state().behaviour.sizes.get(usize::from(queue)).copied().unwrap_or(0)
    }

    fn enable(&self, queue: u16, rings: &Rings) -> Result<(), Failure> {
        let mut state = self.0.state();
        assert_ne!(state.status & status::FEATURES_OK, 0, "3.1.1: features come first");
        let event_index = state.features & feature::EVENT_IDX != 0;
        assert_eq!(rings.packed, state.features & feature::RING_PACKED != 0);
        let mut side = Side::new(*rings, event_index, state.behaviour.strict);
        side.listen(true);
        state.sides[usize::from(queue)] = Some(side);
        Ok(())
    }

    fn notify(&self, queue: u16) {
        let mut state = self.0.state();
        state.kicked[usize::from(queue)] = true;
        state.notified += 1;
    }
}
