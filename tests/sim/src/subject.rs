//! What is under test, as the simulator sees it.

use sluice_mapped::{
    disk::Disk,
    io::{Buffer, DeviceError, DeviceIo, Done, IoId, Request},
};

use crate::keys::Keys;

/// How a volume is set up. The seed chose it; a subject takes the nearest it can do.
#[derive(Clone, Debug)]
pub struct Setup {
    /// What keys and UUIDs are made from; another one for each time that the device is formatted.
    pub identity: u64,
    /// Bytes of the device: 6 to 36 MiB.
    pub device: u64,
    /// Bytes of the device's sector: 512 or 4096. All device I/O must be a multiple of it.
    pub sector: u32,
    /// Bytes of the volume that its user would like to see; may be more than the device has.
    pub volume: u64,
    /// Bytes of a segment, a power of two; at least 26 fit, beside the journal and two times 1 MiB.
    pub segment: u32,
    /// Bytes of the journal: at least 64 KiB.
    pub journal: u32,
    /// Bytes of memory for caches and the index.
    pub memory: u64,
    /// Find blocks that are already stored.
    pub dedup: bool,
    /// Compress.
    pub compress: bool,
    /// Encrypt.
    pub encrypt: bool,
    /// What opens it, if it is encrypted.
    pub keys: Keys,
    /// The deliberate mistake to make: one of [`Subject::MUTANTS`].
    pub mutant: Option<&'static str>,
}

impl Setup {
    /// What the device grows by each time, and with it the volume.
    pub const GROWTH: u64 = 1 << 20;

    /// The setup after the device has grown so often.
    #[must_use]
    pub fn grown(&self, times: u64) -> Self {
        let by = times * Self::GROWTH;
        Self { device: self.device + by, volume: self.volume + by, ..self.clone() }
    }
}

/// What a volume can be told besides requests. All of it is advice: the simulator only expects that the volume goes
/// on keeping its promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Steer {
    /// Begin a checkpoint.
    Checkpoint,
    /// Clean, even if there is no need yet.
    Clean,
    /// The volume is about to be let go: no request is outstanding, and none follows. Everything acknowledged must be
    /// durable when it has come to rest.
    Close,
}

/// A deliberate mistake.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// Its name, as in [`Setup::mutant`].
    pub name: &'static str,
    /// Where it can be noticed.
    pub mode: crate::plan::Mode,
}

/// A volume under test.
pub trait Subject: Sized {
    /// The mistakes it can make on purpose.
    const MUTANTS: &'static [Mutant] = &[];

    /// Whether [`Self::grow`] does something.
    const GROWS: bool = false;

    /// Whether volumes set up like this have keys, so that [`Self::rekey`] does something.
    fn rekeys(setup: &Setup) -> bool {
        let _ = setup;
        false
    }

    /// Bytes of the volume that `setup` gives.
    fn volume_size(setup: &Setup) -> u64;

    /// Bytes that must fit, whatever they are, before the volume may say `NoSpace`.
    fn guaranteed(setup: &Setup) -> u64 {
        let _ = setup;
        0
    }

    /// Makes an empty volume of whatever is on `disk`.
    ///
    /// # Errors
    /// The disk failed.
    fn format(disk: &mut dyn Disk, setup: &Setup) -> Result<(), String>;

    /// Opens what is there, recovering what a crash left, with each of the setup's keys: if one is missing, or there is one
    /// more, that is an error. After a crash in [`Self::grow`] that may still have its old size;
    /// `setup` is then what it shall grow to.
    ///
    /// # Errors
    /// The disk failed, or what is there is no volume, or damaged.
    fn open(disk: &mut dyn Disk, setup: &Setup) -> Result<Self, String>;

    /// Opens what is there like [`Self::open`], but believes as little as it can, and repairs the rest; answers what that
    /// was. Of a volume that a crash has left, it is nothing.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    fn repair(disk: &mut dyn Disk, setup: &Setup) -> Result<(Self, Option<String>), String> {
        Self::open(disk, setup).map(|volume| (volume, None))
    }

    /// Verifies everything that is stored, right after [`Self::open`]. False: it cannot.
    ///
    /// # Errors
    /// What is wrong.
    fn check(&mut self, disk: &mut dyn Disk) -> Result<bool, String> {
        let _ = disk;
        Ok(false)
    }

    /// The device has grown; `setup` is what the volume shall be now. It is closed, unless power failed in an earlier
    /// attempt at this.
    ///
    /// # Errors
    /// The disk failed, or what is there is no volume.
    fn grow(disk: &mut dyn Disk, setup: &Setup) -> Result<(), String> {
        let _ = (disk, setup);
        Ok(())
    }

    /// The keys are changed from those of `setup` to `keys`, which differ in one slot. The volume is closed. After a crash
    /// or an error they are what they were, or what they should be.
    ///
    /// # Errors
    /// The disk failed, or what is there is no volume with the keys of `setup`.
    fn rekey(disk: &mut dyn Disk, setup: &Setup, keys: &Keys) -> Result<(), String> {
        let _ = (disk, setup, keys);
        Ok(())
    }

    /// Whether what is there can be opened with each of the setup's keys, and with no others.
    fn has_keys(disk: &mut dyn Disk, setup: &Setup) -> bool {
        let _ = (disk, setup);
        true
    }

    /// Takes a request; `user` names it.
    fn submit(&mut self, user: u64, request: Request);

    /// The next I/O that the volume wants done.
    fn next_io(&mut self) -> Option<DeviceIo>;

    /// An I/O ended. The buffer comes back, after a read filled.
    fn complete(&mut self, id: IoId, result: Result<(), DeviceError>, buffer: Option<Buffer>);

    /// The next request that ended.
    fn next_done(&mut self) -> Option<Done>;

    /// Advice: see [`Steer`].
    fn steer(&mut self, steer: Steer) {
        let _ = steer;
    }
}
