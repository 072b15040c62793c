//! Passphrases, key files, recovery codes, and what it costs to try them.

use std::{
    borrow::Borrow,
    io::{BufRead, Read},
    path::Path,
    time::{Duration, Instant},
};

use sluice_engine::{
    format::{Header, RawSlot, Slot, SlotKind},
    keys::{KdfError, Kek, KeyError, RecoveryCode, VolumeKey, derive_kek, key_file_secret},
};
use zerocopy::FromZeros;
use zeroize::Zeroizing;

use crate::{
    args::{Cost, SecretSource},
    failure::Failure,
    progress,
};

/// A secret, and what kind it is. Wiped when dropped.
pub(crate) struct Secret {
    pub kind: SlotKind,
    bytes: Zeroizing<Vec<u8>>,
}

/// Longest passphrase or key file that is read, in bytes.
const MOST: u64 = 8 << 20;

impl Secret {
    /// The secret that opens a volume, from where the arguments say, or asked for.
    pub(crate) fn obtain(source: &SecretSource) -> Result<Self, Failure> {
        if let Some(path) = &source.passphrase_file {
            return Self::passphrase(first_line(path)?);
        }
        if let Some(path) = &source.key_file {
            return Self::key_file(path);
        }
        if let Some(path) = &source.recovery_file {
            let line = first_line(path)?;
            let code = std::str::from_utf8(&line).ok().and_then(RecoveryCode::read);
            let code = code
                .ok_or_else(|| Failure::Secret("this is not a recovery code, or it was mistyped".into()))?;
            return Ok(Self { kind: SlotKind::RecoveryCode, bytes: Zeroizing::new(code.secret().to_vec()) });
        }
        Self::passphrase(ask("Passphrase or recovery code: ")?)
    }

    /// A new secret: asked for twice if it is typed.
    pub(crate) fn obtain_new(passphrase: Option<&Path>, key_file: Option<&Path>) -> Result<Self, Failure> {
        if let Some(path) = passphrase {
            return Self::passphrase(first_line(path)?);
        }
        if let Some(path) = key_file {
            return Self::key_file(path);
        }
        let (first, second) = (ask("New passphrase: ")?, ask("The same again: ")?);
        if *first != *second {
            return Err(Failure::Secret("the two passphrases differ".into()));
        }
        Self::passphrase(first)
    }

    /// A new recovery code, and its printed form.
    pub(crate) fn new_recovery_code() -> Result<(Self, Zeroizing<String>), Failure> {
        let mut random = random::<20>()?;
        let code = RecoveryCode::from_random(&mut random);
        let text = Zeroizing::new(String::from_utf8_lossy(&code.write()).into_owned());
        Ok((Self { kind: SlotKind::RecoveryCode, bytes: Zeroizing::new(code.secret().to_vec()) }, text))
    }

    fn passphrase(bytes: Zeroizing<Vec<u8>>) -> Result<Self, Failure> {
        if bytes.is_empty() {
            return Err(Failure::Secret("the passphrase is empty".into()));
        }
        Ok(Self { kind: SlotKind::Passphrase, bytes })
    }

    fn key_file(path: &Path) -> Result<Self, Failure> {
        let contents = read_secret_file(path)?;
        if contents.is_empty() {
            return Err(Failure::Secret(format!("the key file {} is empty", path.display())));
        }
        let bytes = Zeroizing::new(key_file_secret(&contents).to_vec());
        Ok(Self { kind: SlotKind::KeyFile, bytes })
    }

    /// The slots that it may open, each with what opens it: a recovery code may have been typed as a passphrase.
    pub(crate) fn candidates<'a>(&self, header: &Header<'a>) -> Vec<(Slot<'a>, Self)> {
        let code = if self.kind == SlotKind::Passphrase {
            std::str::from_utf8(&self.bytes).ok().and_then(RecoveryCode::read)
        } else {
            None
        };
        let bytes_for = |kind| match (&code, kind) {
            (_, kind) if kind == self.kind => Some(self.bytes.clone()),
            (Some(code), SlotKind::RecoveryCode) => Some(Zeroizing::new(code.secret().to_vec())),
            _ => None,
        };
        let fitting = |slot: Slot<'a>| Some((slot, Self { kind: slot.kind, bytes: bytes_for(slot.kind)? }));
        header.slots().filter_map(fitting).collect()
    }

    /// For messages.
    pub(crate) fn kind_name(&self) -> &'static str {
        kind_name(self.kind)
    }

    /// Derives the key of one slot.
    pub(crate) fn derive(&self, slot: &RawSlot, uuid: &[u8; 16], index: usize) -> Result<Kek, Failure> {
        let bar = progress::spinner("Deriving the key");
        let kek = derive_kek(&self.bytes, slot, uuid, index).map_err(|error| match error {
            KdfError::NoMemory => Failure::Memory,
            KdfError::Parameters => {
                Failure::Secret(format!("key slot {index} has a cost that makes no sense"))
            }
        });
        bar.finish_and_clear();
        kek
    }

    /// Opens the volume with whichever slot fits; answers the slot.
    pub(crate) fn open(&self, header: &Header<'_>, key: &mut VolumeKey) -> Result<usize, Failure> {
        for (slot, secret) in self.candidates(header) {
            let kek = secret.derive(slot.raw, slot.uuid, slot.index)?;
            match header.unlock(slot.index, &kek, key) {
                Ok(()) => return Ok(slot.index),
                Err(KeyError::Tampered) => return Err(Failure::Tampered),
                Err(KeyError::WrongKey | KeyError::EmptySlot) => {}
            }
        }
        Err(Failure::NoKeyFits { kind: self.kind_name() })
    }
}

impl SecretSource {
    /// Whether the arguments say where a secret comes from, so that none is asked for.
    pub(crate) fn is_given(&self) -> bool {
        self.passphrase_file.is_some() || self.key_file.is_some() || self.recovery_file.is_some()
    }
}

/// The volume key, for whoever goes to the data: from whatever secret is given or typed, or of a volume without encryption from its header.
pub(crate) fn volume_key(header: &Header<'_>, source: &SecretSource) -> Result<Box<VolumeKey>, Failure> {
    key_by(header, || Secret::obtain(source))
}

fn key_by<S: Borrow<Secret>>(
    header: &Header<'_>,
    secret: impl FnOnce() -> Result<S, Failure>,
) -> Result<Box<VolumeKey>, Failure> {
    if let Some(stage) = header.foreign_stage() {
        return Err(Failure::StageNeeded(stage.name().to_owned()));
    }
    let mut key = Box::new(VolumeKey::zeroed());
    if header.is_open() {
        header.open(&mut key).map_err(|_| Failure::Tampered)?;
    } else {
        secret()?.borrow().open(header, &mut key)?;
    }
    Ok(key)
}

/// The keys of several volumes. A secret that is given is read once, and has to open all of them; if none is, each is asked
/// for.
#[cfg(unix)]
pub(crate) struct Keys<'a> {
    source: &'a SecretSource,
    given: Option<Secret>,
}

#[cfg(unix)]
impl<'a> Keys<'a> {
    pub(crate) fn new(source: &'a SecretSource) -> Self {
        Self { source, given: None }
    }

    /// The key of the volume that is called so.
    pub(crate) fn of(&mut self, name: &str, header: &Header<'_>) -> Result<Box<VolumeKey>, Failure> {
        if !self.source.is_given() {
            let prompt = format!("Passphrase or recovery code of {name}: ");
            return key_by(header, || ask(&prompt).and_then(Secret::passphrase));
        }
        key_by(header, || match &mut self.given {
            Some(given) => Ok(given),
            none => Ok(none.insert(Secret::obtain(self.source)?)),
        })
    }
}

/// For messages and lists.
pub(crate) fn kind_name(kind: SlotKind) -> &'static str {
    match kind {
        SlotKind::Passphrase => "passphrase",
        SlotKind::KeyFile => "key file",
        SlotKind::RecoveryCode => "recovery code",
    }
}

/// What a new slot's derivation costs.
#[derive(Clone, Copy, Debug)]
pub(crate) struct KdfCost {
    pub memory_kib: u32,
    pub iterations: u32,
}

impl KdfCost {
    /// As given, or measured: about a second on this machine, at 256 MiB, with no fewer than two passes.
    pub(crate) fn choose(cost: Cost) -> Result<Self, Failure> {
        const AIM: Duration = Duration::from_secs(1);
        const MEMORY_KIB: u32 = 256 << 10;
        let memory_kib = cost.kdf_memory.map_or(MEMORY_KIB, |mib| mib << 10);
        if let Some(iterations) = cost.kdf_time {
            return Ok(Self { memory_kib, iterations });
        }
        let bar = progress::spinner("Measuring what deriving a key costs on this machine");
        let mut slot = RawSlot::new_zeroed();
        slot.kdf.set(1);
        slot.memory_kib.set(memory_kib);
        slot.iterations.set(1);
        slot.lanes.set(1);
        let start = Instant::now();
        derive_kek(b"measurement", &slot, &[0; 16], 0).map_err(|_| Failure::Memory)?;
        let pass = start.elapsed().max(Duration::from_millis(1));
        bar.finish_and_clear();
        let iterations = (AIM.as_secs_f64() / pass.as_secs_f64()).round().clamp(2.0, 64.0) as u32;
        Ok(Self { memory_kib, iterations })
    }
}

/// Random bytes of the operating system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| Failure::Secret(format!("no randomness: {error}")))?;
    Ok(bytes)
}

fn ask(prompt: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
    rpassword::prompt_password(prompt).map(|text| Zeroizing::new(text.into_bytes())).map_err(|error| {
        Failure::Secret(format!("cannot ask for the passphrase ({error}); give --passphrase-file"))
    })
}

fn first_line(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let mut line = Zeroizing::new(Vec::with_capacity(1024));
    let result = if path.as_os_str() == "-" {
        std::io::stdin().lock().take(MOST).read_until(b'\n', &mut line)
    } else {
        let file = std::fs::File::open(path).map_err(|source| Failure::Open { path: path.into(), source })?;
        std::io::BufReader::new(file.take(MOST)).read_until(b'\n', &mut line)
    };
    result.map_err(|e| Failure::io("read", path, e))?;
    while matches!(line.last(), Some(b'\n' | b'\r')) {
        line.pop();
    }
    Ok(line)
}

fn read_secret_file(path: &Path) -> Result<Zeroizing<Vec<u8>>, Failure> {
    let file = std::fs::File::open(path).map_err(|source| Failure::Open { path: path.into(), source })?;
    let mut contents = Zeroizing::new(Vec::with_capacity(MOST as usize + 1));
    file.take(MOST + 1).read_to_end(&mut contents).map_err(|e| Failure::io("read", path, e))?;
    if contents.len() as u64 > MOST {
        return Err(Failure::Secret(format!("the key file {} is longer than 8 MiB", path.display())));
    }
    Ok(contents)
}
