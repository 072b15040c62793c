//! Several volumes at once, each with its own name, lock and key.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use sluice_engine::{format::COPY_BYTES, keys::VolumeKey, volume::Kind};
use zerocopy::IntoBytes;

use crate::{args::SecretSource, failure::Failure, image::Image, secret::Keys};

/// A volume that is locked against others and unlocked for us.
pub(crate) struct Volume {
    /// What clients ask for it by.
    pub name: String,
    pub image: Image,
    pub kind: Kind,
    pub uuid: [u8; 16],
    /// The copy of the header that counts.
    pub header: Box<[u8; COPY_BYTES]>,
    pub key: Box<VolumeKey>,
    /// What the volume holds.
    pub bytes: u64,
}

impl Volume {
    /// The least that it can be asked for, and what every request must be a multiple of.
    pub(crate) fn grain(&self) -> u32 {
        match self.kind {
            Kind::InPlace(place) => place.sector_size,
            Kind::Mapped(_) => 512,
        }
    }

    pub(crate) fn open(name: String, path: &Path, write: bool, keys: &mut Keys<'_>) -> Result<Self, Failure> {
        let image = Image::open(path, write)?;
        let copies = image.copies();
        let (header, _) = image.header(&copies)?;
        let key = keys.of(&name, &header)?;
        let mut raw = Box::new([0; COPY_BYTES]);
        raw.copy_from_slice(header.raw().as_bytes());
        let (kind, uuid, bytes) = (header.kind(), header.uuid(), header.volume_bytes());
        Ok(Self { name, image, kind, uuid, header: raw, key, bytes })
    }
}

/// Opens all of them, or none.
pub(super) fn open(given: &[PathBuf], write: bool, secret: &SecretSource) -> Result<Vec<Volume>, Failure> {
    let named: Vec<_> = given.iter().map(|given| named(given)).collect::<Result<_, _>>()?;
    let mut names = BTreeSet::new();
    if let Some((name, _)) = named.iter().find(|(name, _)| !names.insert(name)) {
        return Err(Failure::Names(format!("two volumes are called {name}")));
    }
    let mut keys = Keys::new(secret);
    let several = named.len() > 1;
    let opened = named.into_iter().map(|(name, path)| {
        let volume = name.clone();
        Volume::open(name, path, write, &mut keys).map_err(|failure| match several {
            true => Failure::Of { volume, failure: Box::new(failure) },
            false => failure,
        })
    });
    let volumes: Vec<Volume> = opened.collect::<Result<_, _>>()?;
    // nbdkit's filter has one block size for all, and would leave out what remains.
    let grain = volumes.iter().map(Volume::grain).max().unwrap_or(512);
    if let Some(odd) = volumes.iter().find(|volume| !volume.bytes.is_multiple_of(grain.into())) {
        let Volume { name, bytes, .. } = odd;
        return Err(Failure::Names(format!(
            "{name} has {bytes} bytes, and cannot be served beside a volume with sectors of {grain}: serve it by itself"
        )));
    }
    // A file or device is locked; of a server's disk, only its UUID says that it is here twice.
    let twice = volumes.iter().enumerate().find_map(|(place, one)| {
        let other = volumes.iter().take(place).find(|other| {
            other.uuid == one.uuid
                && (one.image.backend().file().is_none() || other.image.backend().file().is_none())
        });
        Some((other?, one))
    });
    match twice.filter(|_| write) {
        Some((one, other)) => {
            Err(Failure::Names(format!("{} and {} are the same volume, by its UUID", one.name, other.name)))
        }
        None => Ok(volumes),
    }
}

/// `NAME=PATH`, or a path alone, of which the name is what a person would call it. No name has a slash: `./a=b` is a path.
fn named(given: &Path) -> Result<(String, &Path), Failure> {
    let text = given.to_str();
    if let Some((name, path)) =
        text.and_then(|text| text.split_once('=')).filter(|(name, _)| !name.contains('/'))
    {
        return match name.len() {
            1..=255 => Ok((name.into(), Path::new(path))),
            _ => Err(Failure::Names(format!("{} gives no name of 1 to 255 bytes", given.display()))),
        };
    }
    match given.file_stem().and_then(|stem| stem.to_str()) {
        Some(name) => Ok((name.into(), given)),
        None => Err(Failure::Names(format!("{} has no name to call a volume by", given.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_given_or_those_of_the_files() {
        for (given, name, path) in [
            ("a.img", "a", "a.img"),
            ("/dev/sdb", "sdb", "/dev/sdb"),
            ("some/disk.old.img", "disk.old", "some/disk.old.img"),
            ("n=a.img", "n", "a.img"),
            ("a name=/x=y", "a name", "/x=y"),
            ("./a=b.img", "a=b", "./a=b.img"),
        ] {
            let (found, at) = named(Path::new(given)).ok().unwrap_or_else(|| panic!("{given}"));
            assert_eq!((found.as_str(), at), (name, Path::new(path)));
        }
        for wrong in ["=a.img", "..", "/"] {
            assert!(named(Path::new(wrong)).is_err(), "{wrong}");
        }
        assert!(named(Path::new(&format!("{}=a", "n".repeat(256)))).is_err());
    }
}
