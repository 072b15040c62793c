//! Where secrets come from: asked for, or read from files. Wiped when dropped.

use std::{fs::File, io::Read, path::Path};

use sluice_engine::{
    format::SlotKind,
    keys::{RecoveryCode, key_file_secret},
};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    failure::{Failure, Kind, Result},
    output::Output,
};

/// Longest passphrase or key file that is read, in bytes. Anything longer was not meant.
const LONGEST: u64 = 16 << 20;

/// Something that may open key slots.
pub(crate) enum Secret {
    /// As it was typed; perhaps a recovery code.
    Passphrase(Zeroizing<Vec<u8>>),
    /// Stands for a key file's contents.
    KeyFile(Zeroizing<[u8; 32]>),
    /// A recovery code.
    Recovery(RecoveryCode),
}

impl Secret {
    /// The secret that is to open a volume.
    pub(crate) fn existing(passphrase: Option<&Path>, key: Option<&Path>, output: &Output) -> Result<Self> {
        match (passphrase, key) {
            (_, Some(path)) => key_file(path),
            (Some(path), None) => passphrase_file(path),
            (None, None) => {
                let typed = ask("Passphrase or recovery code: ", output)?;
                Ok(Self::Passphrase(Zeroizing::new(std::mem::take(&mut *Zeroizing::new(typed)).into_bytes())))
            }
        }
    }

    /// The secret that shall open a volume: a passphrase is asked for twice.
    pub(crate) fn chosen(passphrase: Option<&Path>, key: Option<&Path>, output: &Output) -> Result<Self> {
        let secret = match (passphrase, key) {
            (_, Some(path)) => key_file(path)?,
            (Some(path), None) => passphrase_file(path)?,
            (None, None) => {
                let mut first = ask("New passphrase: ", output)?;
                let mut second = ask("The same again: ", output)?;
                let same = first == second;
                second.zeroize();
                if !same {
                    first.zeroize();
                    return Err(Failure::new(Kind::Usage, "the two passphrases differ"));
                }
                Self::Passphrase(Zeroizing::new(first.into_bytes()))
            }
        };
        match &secret {
            Self::Passphrase(text) if text.is_empty() => {
                Err(Failure::new(Kind::Usage, "an empty passphrase protects nothing"))
            }
            _ => Ok(secret),
        }
    }

    /// A recovery code made up now.
    pub(crate) fn made_up() -> Result<Self> {
        Ok(Self::Recovery(RecoveryCode::from_random(&mut random()?)))
    }

    /// What opens a slot of this kind, if this can at all.
    pub(crate) fn bytes_for(&self, kind: SlotKind) -> Option<Zeroizing<Vec<u8>>> {
        match (self, kind) {
            (Self::Passphrase(text), SlotKind::Passphrase) => Some(text.clone()),
            (Self::Passphrase(text), SlotKind::RecoveryCode) => {
                let code = RecoveryCode::read(std::str::from_utf8(text).ok()?)?;
                Some(Zeroizing::new(code.secret().to_vec()))
            }
            (Self::KeyFile(hash), SlotKind::KeyFile) => Some(Zeroizing::new(hash.to_vec())),
            (Self::Recovery(code), SlotKind::RecoveryCode) => Some(Zeroizing::new(code.secret().to_vec())),
            _ => None,
        }
    }

    /// What kind of slot it shall fill.
    pub(crate) fn kind(&self) -> SlotKind {
        match self {
            Self::Passphrase(_) => SlotKind::Passphrase,
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::Recovery(_) => SlotKind::RecoveryCode,
        }
    }

    /// A recovery code as it is written down.
    pub(crate) fn recovery_text(&self) -> Option<String> {
        match self {
            Self::Recovery(code) => Some(String::from_utf8_lossy(&code.write()).into_owned()),
            _ => None,
        }
    }
}

/// Random bytes from the system.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::new(Kind::Io, format!("the system gives no random numbers: {error}")))?;
    Ok(bytes)
}

fn passphrase_file(path: &Path) -> Result<Secret> {
    let mut text = contents(path, "passphrase")?;
    // What an editor or `echo` adds is not part of it.
    if text.last() == Some(&b'\n') {
        text.pop();
        if text.last() == Some(&b'\r') {
            text.pop();
        }
    }
    Ok(Secret::Passphrase(text))
}

fn key_file(path: &Path) -> Result<Secret> {
    let contents = contents(path, "key file")?;
    if contents.is_empty() {
        return Err(Failure::new(Kind::File, format!("the key file {} is empty", path.display())));
    }
    Ok(Secret::KeyFile(Zeroizing::new(key_file_secret(&contents))))
}

fn contents(path: &Path, what: &str) -> Result<Zeroizing<Vec<u8>>> {
    let failed = |error: &std::io::Error| Failure::io(&format!("read the {what}"), path, error);
    let mut contents = Zeroizing::new(Vec::with_capacity(4096));
    let read = if path == Path::new("-") {
        std::io::stdin().take(LONGEST + 1).read_to_end(&mut contents)
    } else {
        File::open(path).map_err(|error| failed(&error))?.take(LONGEST + 1).read_to_end(&mut contents)
    };
    match read.map_err(|error| failed(&error))? as u64 {
        0..=LONGEST => Ok(contents),
        _ => Err(Failure::new(Kind::File, format!("{} is longer than {LONGEST} bytes", path.display()))),
    }
}

fn ask(question: &str, output: &Output) -> Result<String> {
    let none = || {
        Failure::new(Kind::Usage, "no passphrase was given, and nobody can be asked for one")
            .hint("use --passphrase-file FILE (`-` for standard input) or --key-file FILE")
    };
    if !output.can_ask() {
        return Err(none());
    }
    rpassword::prompt_password(question).map_err(|_| none())
}
