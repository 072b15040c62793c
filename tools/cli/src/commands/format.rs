//! `sluice format`: a new volume.

use std::{
    io::{BufRead, IsTerminal},
    path::Path,
    time::{Instant, SystemTime, UNIX_EPOCH},
};

use serde_json::json;
use sluice_chain::registration::Place;
use sluice_engine::{
    format::{COPY_BYTES, DATA_OFFSET, Draft, ForeignStage, Geometry, NewVolume, Probe, SlotSecret, plan},
    keys::VolumeKey,
    volume::Mapped,
};
use sluice_mapped::{layout::Layout, units::BLOCK};
use zeroize::Zeroizing;

use crate::{
    args::Format,
    convert::record,
    failure::Failure,
    image::Image,
    output::{Report, size, uuid},
    secret::{KdfCost, Secret, random},
};

const MIB: u64 = 1 << 20;

pub(crate) fn run(args: &Format) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, true)?;
    let new = prepare(args, &image)?;
    if let Some(mapped) = &new.volume.mapped {
        crate::mapped::format(&image, mapped, &new.volume.uuid, &new.key)?;
    }
    new.put_header(&image, &new.header)?;
    Ok(new.report(&image.path))
}

/// A volume that is to be made, and has not left a trace yet.
pub(super) struct New<'a> {
    pub volume: NewVolume<'a>,
    pub key: VolumeKey,
    keys: Option<Keys>,
    /// As it will lie on the disk.
    pub header: Box<[u8; COPY_BYTES]>,
}

impl New<'_> {
    /// Puts both copies of a header where this one's will lie.
    pub(super) fn put_header(&self, image: &Image, header: &[u8; COPY_BYTES]) -> Result<(), Failure> {
        let copy_b_offset = self.volume.geometry.copy_b_offset;
        record::forget(image, copy_b_offset)?;
        image.carry_out(&plan::replace(&image.probe(&image.copies()), copy_b_offset, header))
    }

    pub(super) fn report(&self, path: &Path) -> Report {
        report(path, &self.volume, self.keys.as_ref())
    }
}

/// Decides everything, and asks for a secret. Nothing is written.
pub(super) fn prepare<'a>(args: &'a Format, image: &Image) -> Result<New<'a>, Failure> {
    let path = &args.image.image;
    let sector_size = sector_size(args, image)?;
    let geometry = Geometry::for_disk(image.bytes, sector_size)
        .map_err(|error| Failure::Geometry { path: path.clone(), error })?;
    if !args.force {
        refuse_if_not_empty(image)?;
    }
    let mapped = args.wanted.mapped.mapped.then(|| mapped(args, geometry)).transpose()?;
    confirm(args.yes, path)?;
    seal(args, geometry, mapped)
}

/// Bytes of a sector: as given, or the disk's own.
pub(super) fn sector_size(args: &Format, image: &Image) -> Result<u32, Failure> {
    let wanted = args.wanted.sector_size.as_deref().and_then(|size| size.parse().ok());
    let sector_size = wanted.or(image.sector_size).unwrap_or(512);
    if image.sector_size.is_some_and(|own| own != sector_size) {
        let error = sluice_engine::format::GeometryError::SectorSize;
        return Err(Failure::Geometry { path: image.path.clone(), error });
    }
    Ok(sector_size)
}

/// Makes the key, asks for what opens it, and makes the header.
pub(super) fn seal<'a>(
    args: &'a Format,
    geometry: Geometry,
    mapped: Option<Mapped>,
) -> Result<New<'a>, Failure> {
    let encrypted = mapped.is_none_or(|mapped| mapped.encrypted);
    let now = now();
    let place = if args.stage_below { Place::BELOW } else { Place::ABOVE };
    let stage = args.stage.as_deref().and_then(|name| ForeignStage::new(name, place));
    let volume =
        NewVolume { geometry, mapped, stage, uuid: new_uuid()?, label: &args.wanted.label, created: now };
    let mut draft = Draft::new(&volume).map_err(Failure::Draft)?;
    let key = VolumeKey::from_random(&mut random::<64>()?);
    let keys = if encrypted {
        Some(first_keys(args, &mut draft, &key, now)?)
    } else {
        draft.leave_open(&key);
        None
    };
    let header = Box::new(*draft.seal(&key));
    Ok(New { volume, key, keys, header })
}

/// What a new volume's keys are.
struct Keys {
    cost: KdfCost,
    /// What deriving one took here.
    seconds: f64,
    recovery: Option<Zeroizing<String>>,
}

/// Fills the first slot with the secret that is given or typed, and the next with a recovery code if one is wanted.
fn first_keys(args: &Format, draft: &mut Draft, key: &VolumeKey, now: u64) -> Result<Keys, Failure> {
    let secret = match (&args.secret.passphrase_file, &args.secret.key_file, &args.secret.recovery_file) {
        (None, None, Some(_)) => Secret::obtain(&args.secret)?,
        (passphrase, key_file, _) => Secret::obtain_new(passphrase.as_deref(), key_file.as_deref())?,
    };
    let cost = KdfCost::choose(args.wanted.cost)?;
    let start = Instant::now();
    add_slot(draft, &secret, cost, "", key, now)?;
    let seconds = start.elapsed().as_secs_f64();
    let recovery = if args.recovery_code {
        let (code, text) = Secret::new_recovery_code()?;
        add_slot(draft, &code, cost, "recovery", key, now)?;
        Some(text)
    } else {
        None
    };
    Ok(Keys { cost, seconds, recovery })
}

/// What a mapped volume is to be.
fn mapped(args: &Format, geometry: Geometry) -> Result<Mapped, Failure> {
    let wanted = &args.wanted.mapped;
    let disk = geometry.disk_bytes;
    let (journal_bytes, segment_bytes) = Layout::usual(disk);
    // An entry for one block in eight: four times as many as `sluice_mapped::index` keeps longest.
    let usual = (disk / BLOCK as u64).max(MIB);
    let index_bytes = (!wanted.no_dedup).then(|| wanted.dedup_memory.unwrap_or(usual));
    let layout = |bytes: u64| {
        let blocks = bytes / BLOCK as u64;
        Layout::new(disk, geometry.sector_size, blocks, journal_bytes, segment_bytes)
            .and_then(|layout| layout.keeping(index_bytes.unwrap_or(0)))
            .map_err(|error| Failure::Layout { path: args.image.image.clone(), error })
    };
    let volume_bytes = match wanted.size {
        Some(size) => size / BLOCK as u64 * BLOCK as u64,
        None => layout(BLOCK as u64)?.without_savings(),
    };
    let index_area = layout(volume_bytes)?.index_area;
    Ok(Mapped {
        sector_size: geometry.sector_size,
        volume_bytes,
        copy_b_offset: geometry.copy_b_offset,
        journal_bytes,
        segment_bytes,
        index_bytes,
        index_area,
        discard: wanted.discard,
        level: (!wanted.no_compression).then_some(wanted.level),
        encrypted: !wanted.no_encryption,
    })
}

fn report(path: &Path, volume: &NewVolume<'_>, keys: Option<&Keys>) -> Report {
    let bytes = volume.mapped.map_or(volume.geometry.volume_bytes, |mapped| mapped.volume_bytes);
    let kind = if volume.mapped.is_some() { "mapped" } else { "in_place" };
    let sector_size = volume.geometry.sector_size;
    let mut text = format!(
        "{} is a Sluice volume now.\n  UUID    {}\n  size    {}, sectors of {sector_size} bytes\n",
        path.display(),
        uuid(&volume.uuid),
        size(bytes),
    );
    if let Some(mapped) = &volume.mapped {
        text += &super::info::mapped_text(mapped);
    }
    match keys {
        Some(Keys { cost, seconds, recovery }) => {
            text += &format!(
                "  cipher  AES-256-XTS\n  key     Argon2id, {} MiB, {} passes, {seconds:.1} s here\n",
                cost.memory_kib >> 10,
                cost.iterations,
            );
            if let Some(code) = recovery {
                text += &format!(
                    "\nWrite this recovery code down and keep it apart; it opens the volume:\n  {}\n",
                    &**code
                );
            }
            text += "\nWithout a key nobody can read it, sluice's makers included. `sluice header backup` saves its \
                     header.";
        }
        None => text += "  cipher  none: everybody can read it\n",
    }
    let json = json!({
        "uuid": uuid(&volume.uuid),
        "kind": kind,
        "volume_bytes": bytes,
        "data_offset": volume.geometry.data_offset,
        "sector_size": sector_size,
        "mapped": volume.mapped.as_ref().map(super::info::mapped_json),
        "kdf": keys.map(|Keys { cost, seconds, .. }| {
            json!({"memory_kib": cost.memory_kib, "iterations": cost.iterations, "seconds": seconds})
        }),
        "recovery_code": keys.and_then(|keys| keys.recovery.as_ref()).map(|code| code.as_str()),
    });
    Report::new(text, json)
}

/// Fills the first free slot; answers which.
pub(crate) fn add_slot(
    draft: &mut Draft,
    secret: &Secret,
    cost: KdfCost,
    label: &str,
    key: &VolumeKey,
    created: u64,
) -> Result<usize, Failure> {
    let index = draft.free_slot().map_err(Failure::Draft)?;
    put_slot(draft, index, secret, cost, label, key, created)?;
    Ok(index)
}

/// Fills slot `index`, whatever is in it.
pub(crate) fn put_slot(
    draft: &mut Draft,
    index: usize,
    secret: &Secret,
    cost: KdfCost,
    label: &str,
    key: &VolumeKey,
    created: u64,
) -> Result<(), Failure> {
    use zerocopy::FromZeros;
    let contents = SlotSecret {
        kind: secret.kind,
        memory_kib: cost.memory_kib,
        iterations: cost.iterations,
        lanes: 1,
        salt: random::<32>()?,
        label,
        created,
    };
    let mut cost = sluice_engine::format::RawSlot::new_zeroed();
    cost.kdf.set(1);
    cost.memory_kib.set(contents.memory_kib);
    cost.iterations.set(contents.iterations);
    cost.lanes.set(contents.lanes);
    cost.salt = contents.salt;
    let kek = secret.derive(&cost, &draft.uuid(), index)?;
    draft.refill(index, &contents, &kek, key).map_err(Failure::Draft)
}

/// Seconds since 1970.
pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

/// A random UUID (RFC 9562 5.4).
fn new_uuid() -> Result<[u8; 16], Failure> {
    let mut bytes = random::<16>()?;
    bytes[6] = bytes[6] & 0x0f | 0x40;
    bytes[8] = bytes[8] & 0x3f | 0x80;
    Ok(bytes)
}

/// Asks a person whether that is really meant; a script has said so by calling.
pub(super) fn confirm(yes: bool, path: &Path) -> Result<(), Failure> {
    if yes || !std::io::stdin().is_terminal() {
        return Ok(());
    }
    eprint!("Everything on {} will be lost. Type yes to go on: ", path.display());
    let mut answer = String::new();
    let _ = std::io::stdin().lock().read_line(&mut answer); // no answer is a no
    if answer.trim() == "yes" { Ok(()) } else { Err(Failure::NotConfirmed) }
}

/// What somebody may miss: a volume of ours, a known signature, or anything but zeros in the first mebibyte.
pub(super) fn refuse_if_not_empty(image: &Image) -> Result<(), Failure> {
    let found = match image.probe(&image.copies()) {
        Probe::None => first_bytes(image)?,
        Probe::Unreadable => return Err(Failure::Unreadable { path: image.path.clone() }),
        Probe::Valid { .. } => Some("it holds a Sluice volume"),
        Probe::Damaged(_) => Some("it holds a Sluice volume that is damaged, or being made or converted"),
    };
    match found {
        Some(found) => Err(Failure::NotEmpty { path: image.path.clone(), found: found.into() }),
        None => Ok(()),
    }
}

fn first_bytes(image: &Image) -> Result<Option<&'static str>, Failure> {
    let mut bytes = vec![0; DATA_OFFSET.min(image.bytes) as usize];
    image.read(0, &mut bytes)?;
    let at =
        |offset: usize, signature: &[u8]| bytes.get(offset..).is_some_and(|rest| rest.starts_with(signature));
    let known: [(usize, &[u8], &str); 9] = [
        (3, b"NTFS    ", "an NTFS file system"),
        (3, b"-FVE-FS-", "a BitLocker volume"),
        (3, b"EXFAT   ", "an exFAT file system"),
        (82, b"FAT32   ", "a FAT32 file system"),
        (0, b"LUKS\xba\xbe", "a LUKS volume"),
        (0x438, b"\x53\xef", "an ext2, ext3 or ext4 file system"),
        (0x10040, b"_BHRfS_M", "a btrfs file system"),
        (512, b"EFI PART", "a GPT partition table"),
        (510, b"\x55\xaa", "a partition table or boot sector"),
    ];
    let name = known.iter().find(|(offset, signature, _)| at(*offset, signature)).map(|known| known.2);
    Ok(name.or_else(|| bytes.iter().any(|&byte| byte != 0).then_some("its first mebibyte is not all zeros")))
}
