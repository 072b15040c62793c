//! The keys of a volume, and how they change: what `sluice key` does, between closing and opening.

use std::fmt;

use sluice_engine::format::SLOTS;

use crate::{
    device::{Device, Landing},
    plan::Mode,
    prng::Prng,
    run::{Run, Stop},
    subject::{Setup, Subject},
};

/// The secrets that open a volume, one for each key slot in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Keys(pub [Option<u64>; SLOTS]);

impl Keys {
    /// A new volume's: one.
    pub fn new(secret: u64) -> Self {
        let mut slots = [None; SLOTS];
        slots[0] = Some(secret);
        Self(slots)
    }

    /// The keys after a change; `None` if it cannot be made.
    pub fn after(mut self, change: KeyChange) -> Option<Self> {
        let used: Vec<usize> = (0..SLOTS).filter(|slot| self.0[*slot].is_some()).collect();
        let one = |pick: u64| used[pick as usize % used.len()];
        match change {
            KeyChange::Add { secret } => {
                let free = (0..SLOTS).find(|slot| self.0[*slot].is_none())?;
                self.0[free] = Some(secret);
            }
            KeyChange::Change { pick, secret } => self.0[one(pick)] = Some(secret),
            KeyChange::Remove { .. } if used.len() == 1 => return None,
            KeyChange::Remove { pick } => self.0[one(pick)] = None,
        }
        Some(self)
    }
}

/// A change of one key slot. `pick` chooses among those that are in use when it is made.
#[derive(Clone, Copy, Debug)]
pub enum KeyChange {
    /// The first free slot is filled.
    Add {
        /// The new secret.
        secret: u64,
    },
    /// A slot is filled anew.
    Change {
        /// Which.
        pick: u64,
        /// The new secret.
        secret: u64,
    },
    /// A slot is emptied, unless it is the last.
    Remove {
        /// Which.
        pick: u64,
    },
}

impl KeyChange {
    /// Any.
    pub fn new(rng: &mut Prng) -> Self {
        let (kind, pick, secret) = (rng.below(3), rng.any(), rng.any());
        match kind {
            0 => Self::Add { secret },
            1 => Self::Change { pick, secret },
            _ => Self::Remove { pick },
        }
    }
}

impl fmt::Display for KeyChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Add { .. } => "key add",
            Self::Change { .. } => "key change",
            Self::Remove { .. } => "key remove",
        })
    }
}

impl<S: Subject> Run<S> {
    /// The volume's keys are changed. Power may fail meanwhile, and the device may: then the keys are the old or the new
    /// ones, and whoever opens the volume finds out which. What has been acknowledged stays, whatever comes.
    pub(crate) fn rekey(&mut self, change: KeyChange, rng: &mut Prng) -> Result<(), Stop> {
        self.know_keys();
        if let Some(keys) = self.plan.setup.keys.after(change) {
            if self.mode == Mode::Exhaustive {
                self.try_key_change(&keys)?;
            }
            self.change_keys(keys, rng)?;
        }
        self.recover(rng)
    }

    /// What if power failed at any I/O of the change, in any way? Then the keys must be the old or the new ones.
    fn try_key_change(&mut self, keys: &Keys) -> Result<(), Stop> {
        const WAYS: [Landing; 4] = [Landing::All, Landing::Nothing, Landing::Front, Landing::Back];
        let setup = &self.plan.setup;
        let new = Setup { keys: *keys, ..setup.clone() };
        let twin = || Device::new(setup.device, setup.sector, Prng::new(setup.identity, 9));
        for life in 1.. {
            let (mut during, mut after) = (twin(), twin());
            self.device.aftermath(&mut during, |_| Landing::All);
            let mut disk = during.blocking(Some(life));
            let changed = S::rekey(&mut disk, setup, keys);
            let dead = disk.is_dead();
            // At most both copies are in the writing.
            for (older, newer) in WAYS.into_iter().flat_map(|older| WAYS.map(|newer| (older, newer))) {
                self.figures.crashes += 1;
                during.aftermath(&mut after, |index| if index == 0 { older } else { newer });
                let mut has = |setup| S::has_keys(&mut after.blocking(None), setup);
                if !(has(&new) || dead && has(setup)) {
                    return Err(Stop::Wrong(format!(
                        "power fails at I/O {life} of a change of keys, the copies land {older:?}, {newer:?}: \
                         the keys that should open the volume do not"
                    )));
                }
            }
            if !dead {
                changed.map_err(|error| format!("cannot change the keys: {error}"))?;
                break;
            }
        }
        // The twin of the other tries does not know what the device has told these.
        self.afterwards = self.afterwards.take().map(|afterwards| afterwards.anew(&self.plan));
        Ok(())
    }

    /// One attempt.
    fn change_keys(&mut self, keys: Keys, rng: &mut Prng) -> Result<(), Stop> {
        self.device.behave(false);
        let errors = self.device.counts.errors;
        let life = rng.chance(1, 2).then(|| rng.between(1, 7));
        let mut disk = self.device.blocking(life);
        let changed = S::rekey(&mut disk, &self.plan.setup, &keys);
        let dead = disk.is_dead();
        if let Some(complaint) = disk.complaint.take() {
            return Err(Stop::Wrong(complaint));
        }
        match changed {
            _ if dead => {
                self.figures.nested += 1;
                self.keys_perhaps = Some(keys);
                self.crash(rng);
            }
            Ok(()) => {
                self.figures.rekeys += 1;
                self.plan.setup.keys = keys;
                if rng.chance(1, 2) {
                    self.crash(rng);
                }
            }
            Err(_) if self.device.counts.errors > errors => self.keys_perhaps = Some(keys),
            Err(_) if self.lies() => {
                self.figures.refused += 1;
                return Err(Stop::Refused);
            }
            Err(error) => return Err(Stop::Wrong(format!("cannot change the keys: {error}"))),
        }
        Ok(())
    }

    /// After a change of keys that was not acknowledged: which of them are they? If they are neither, opening fails.
    pub(crate) fn look_at_keys(&mut self) {
        let Some(perhaps) = self.keys_perhaps else { return };
        let other = Setup { keys: perhaps, ..self.plan.setup.clone() };
        if S::has_keys(&mut self.device.blocking(None), &other) {
            self.keys_perhaps = Some(self.plan.setup.keys);
            self.plan.setup.keys = perhaps;
        }
    }

    /// The same with a device that can be read everywhere: what it says is final. The volume has been open since, so
    /// that what is there is durable.
    pub(crate) fn know_keys(&mut self) {
        self.device.behave(true);
        self.look_at_keys();
        self.keys_perhaps = None;
    }
}
