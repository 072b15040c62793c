//! From an image to a mounted folder.

use std::{
    fs,
    path::{Path, PathBuf},
};

use serde_json::json;

use super::{
    disk::{Attach, Disk},
    look::{Found, Way, look, not_started, way},
    record::{Record, home},
    trouble::Trouble,
};
use crate::{
    args::Mount,
    commands::serve::system::{plugin, volumes::Volume},
    failure::Failure,
    output::Report,
    secret::Keys,
};

pub(super) fn run(args: &Mount) -> Result<Report, Failure> {
    let open = |source| Failure::Open { path: args.dir.clone(), source };
    let dir = fs::canonicalize(&args.dir).map_err(open)?;
    fs::read_dir(&dir).map_err(open)?;
    let taken = || Trouble::Taken { path: dir.clone() };
    if is_mounted(&dir)? {
        return Err(taken().into());
    }
    let plugin = plugin(args.plugin.as_deref())?;
    let name = args.image.image.display().to_string();
    let volume = Volume::open(name, &args.image.image, !args.read_only, &mut Keys::new(&args.secret))?;
    let failed = |error: std::io::Error| Trouble::Cannot(error.to_string());
    let folder = home().map_err(failed)?.join(std::process::id().to_string());
    let mut record = Record::create(&dir, &args.image.image, &folder).map_err(failed)?.ok_or_else(taken)?;
    let attach = Attach {
        plugin: &plugin,
        volume: &volume,
        read_only: args.read_only,
        partition: args.partition,
        folder: &folder,
    };
    let mounted = mount(attach, &mut record, &dir);
    if mounted.is_err() {
        record.remove();
    }
    let Mounted { file_system, partition, way } = mounted?;
    let text = format!(
        "Mounted {} ({file_system}, by {way}) on {}. `sluice unmount` ends it.",
        args.image.image.display(),
        dir.display()
    );
    let object = json!({
        "dir": dir.to_string_lossy(), "file_system": file_system, "partition": partition, "way": way,
        "read_only": args.read_only,
    });
    Ok(Report::new(text, object))
}

struct Mounted {
    file_system: String,
    partition: Option<u32>,
    way: &'static str,
}

/// Looks what there is, and mounts it. If it fails, nothing is left of it.
fn mount(mut attach: Attach<'_>, record: &mut Record, dir: &Path) -> Result<Mounted, Failure> {
    let mut disk = Disk::attach(&attach, record)?;
    let mut found = look(&disk.path())?;
    if let Found::Partitions(partitions) = &found
        && attach.partition.is_none()
    {
        let [one] = &partitions[..] else {
            let list: Vec<_> = partitions.iter().map(|partition| partition.text()).collect();
            return Err(Trouble::WhichPartition(list.join("\n")).into());
        };
        // nbdkit cuts it out.
        attach.partition = Some(one.number);
        drop(disk);
        disk = Disk::attach(&attach, record)?;
        found = look(&disk.path())?;
    }
    let Found::FileSystem(file_system) = found else {
        return Err(Trouble::Cannot("the partition holds a partition table".into()).into());
    };
    let Way { name, mut command } = way(&file_system, &disk.path(), dir, attach.read_only)?;
    let log = || disk.record().log().map_err(|error| Trouble::Cannot(error.to_string()));
    let status = command.stdout(log()?).stderr(log()?).status().map_err(|error| not_started(name, &error))?;
    if !status.success() {
        return Err(Trouble::Cannot(format!("{name} fails: {}", disk.record().last_words())).into());
    }
    disk.let_go()?;
    Ok(Mounted { file_system, partition: attach.partition, way: name })
}

/// Whether something is mounted there, also something that answers no more.
pub(super) fn is_mounted(dir: &Path) -> Result<bool, Failure> {
    const MOUNTS: &str = "/proc/self/mountinfo";
    let mounts = fs::read(MOUNTS).map_err(|e| Failure::io("read", Path::new(MOUNTS), e))?;
    let mut places =
        mounts.split(|byte| *byte == b'\n').filter_map(|line| line.split(|byte| *byte == b' ').nth(4));
    Ok(places.any(|place| plain(place) == dir))
}

/// As it is called: spaces and the like are written `\040` (proc_pid_mountinfo(5)).
fn plain(place: &[u8]) -> PathBuf {
    use std::os::unix::ffi::OsStringExt;
    let mut bytes = Vec::with_capacity(place.len());
    let mut rest = place;
    while let [first, tail @ ..] = rest {
        rest = tail;
        let code = tail.get(..3).and_then(|code| std::str::from_utf8(code).ok());
        match code.and_then(|code| u8::from_str_radix(code, 8).ok()) {
            Some(byte) if *first == b'\\' => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            _ => bytes.push(*first),
        }
    }
    PathBuf::from(std::ffi::OsString::from_vec(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_called() {
        for (written, called) in
            [("/a", "/a"), (r"/a\040b\134c", r"/a b\c"), (r"/\1", r"/\1"), (r"/\999", r"/\999"), ("", "")]
        {
            assert_eq!(plain(written.as_bytes()), Path::new(called));
        }
    }
}
