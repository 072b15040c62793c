//! What may be typed.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand};
use sluice_chain::registration::Place;
use sluice_engine::format::ForeignStage;

/// Encryption below the file system: volumes, keys, and reading them anywhere.
#[derive(Debug, Parser)]
#[command(
    name = "sluice",
    version,
    after_help = "Exit codes: 0 done; 1 failed; 2 wrong usage; 3 no key fits; 4 not a Sluice volume; \
5 damaged, or of a newer version, or not for this disk; 6 in use; 7 refused, because something would be lost; \
8 no driver. docs/command.md describes the objects that --json prints."
)]
pub(crate) struct Args {
    /// One JSON object on standard output instead of text.
    #[arg(long, global = true)]
    pub json: bool,
    /// Show no progress.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    #[command(subcommand)]
    pub command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Make a volume on a disk or image. What lay there is lost.
    Format(Format),
    /// Show what a disk or image is; with a key, also what space a mapped volume takes.
    Info(Info),
    /// Verify everything that is stored. Changes nothing, but with --repair.
    Check(Check),
    /// Decrypt a volume, or a part of it, to standard output or a file.
    Cat(Cat),
    /// Make a volume of a disk or image with all that it holds, in another place or where it lies; or the other way round.
    Convert(Convert),
    /// Show the structures of a mapped volume, to understand or rescue it, also one that does not open. Changes nothing.
    Dump(Dump),
    /// Let a mapped volume take all of a disk that has become larger, or be larger itself. The disk must be locked.
    Grow(Grow),
    /// Put together what a mapped volume stores, so that more of its disk is free. The disk must be locked. May be
    /// interrupted at any time.
    Compact(Compact),
    /// Serve volumes to this machine or others as network block devices (NBD), until stopped. Needs nbdkit.
    Serve(Serve),
    /// Measure this build beside other servers that are installed, in one run. Needs fio, and some minutes.
    Bench(Bench),
    /// Mount the file system in a volume on a folder of this machine. Needs nbdkit and FUSE.
    Mount(Mount),
    /// Unmount what `mount` has mounted, and wait until the volume is closed.
    Unmount(Unmount),
    /// Watch the volumes that are served on this machine: throughput, latency, savings, memory. On Windows, the driver's.
    Top(Top),
    /// Make a page (HTML, one file) about a volume: where its space goes, what is shared, how fast it is served.
    Report(Report),
    /// Change how a mapped volume compresses, de-duplicates and tells its disk what is free, from its next opening on.
    Set(Set),
    /// Look after the keys of a volume.
    #[command(subcommand)]
    Key(Key),
    /// Look after the header of a volume.
    #[command(subcommand)]
    Header(Header),
    /// Unlock a disk in the Windows driver.
    Unlock(Unlock),
    /// Lock a disk in the Windows driver; its volumes are dismounted first.
    Lock(Lock),
    /// Show the disks of the Windows driver, and what has passed through them.
    Status,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Image {
    /// Image file, block device, `\\.\PhysicalDriveN`, or the URI of an NBD server's disk (`nbd://...`; Linux).
    pub image: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Info {
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub secret: SecretSource,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    #[command(flatten)]
    pub image: Image,
    /// Put right what can be derived from what is whole: counts, the accounting of space, chunks that are stored
    /// twice, the header's other copy. The disk must be locked.
    #[arg(long)]
    pub repair: bool,
    #[command(flatten)]
    pub secret: SecretSource,
}

/// Where a secret comes from; asked for if nothing is given.
#[derive(Debug, ClapArgs, Clone, Default)]
pub(crate) struct SecretSource {
    /// Read the passphrase from the first line of this file; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "secret", global = true)]
    pub passphrase_file: Option<PathBuf>,
    /// The contents of this file are the key.
    #[arg(long, value_name = "FILE", group = "secret", global = true)]
    pub key_file: Option<PathBuf>,
    /// Read the recovery code from the first line of this file; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "secret", global = true)]
    pub recovery_file: Option<PathBuf>,
}

/// What trying a secret costs. Measured on this machine if not given.
#[derive(Debug, ClapArgs, Clone, Copy)]
pub(crate) struct Cost {
    /// Argon2id memory in MiB.
    #[arg(long, value_name = "MIB", value_parser = clap::value_parser!(u32).range(1..=4096))]
    pub kdf_memory: Option<u32>,
    /// Argon2id passes.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    pub kdf_time: Option<u32>,
}

/// What a volume will be.
#[derive(Debug, ClapArgs, Clone)]
pub(crate) struct Wanted {
    #[command(flatten)]
    pub cost: Cost,
    /// Bytes of a sector: the disk's own; 512 for an image.
    #[arg(long, value_parser = ["512", "4096"])]
    pub sector_size: Option<String>,
    /// A name for the volume, up to 64 bytes.
    #[arg(long, default_value = "")]
    pub label: String,
    #[command(flatten)]
    pub mapped: Mapped,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Format {
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub secret: SecretSource,
    #[command(flatten)]
    pub wanted: Wanted,
    /// Also make a recovery code, and print it.
    #[arg(long)]
    pub recovery_code: bool,
    /// All data passes this stage of another Windows driver, which changes it: without it the volume is never opened, and
    /// nowhere but in the driver.
    #[arg(long, value_name = "NAME", value_parser = stage_name)]
    pub stage: Option<String>,
    /// That stage sees what the disk sees, not what the file system does.
    #[arg(long, requires = "stage", conflicts_with = "mapped")]
    pub stage_below: bool,
    /// Format although something is there.
    #[arg(long)]
    pub force: bool,
    /// Do not ask whether that is really meant.
    #[arg(long, short)]
    pub yes: bool,
}

/// A mapped volume, and what it does.
#[derive(Debug, ClapArgs, Clone)]
pub(crate) struct Mapped {
    /// De-duplicate, compress, and take space only for what is written, instead of encrypting in place.
    #[arg(long)]
    pub mapped: bool,
    /// Size of the volume as the file system sees it, such as 500G or 10T; it may be more than the disk has. If not
    /// given: what fits although nothing is saved.
    #[arg(long, value_name = "BYTES", requires = "mapped", value_parser = bytes)]
    pub size: Option<u64>,
    /// zstd's level: higher saves more and takes longer.
    #[arg(long, value_name = "-5..19", requires = "mapped", default_value_t = 1, allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-5..=19))]
    pub level: i32,
    /// Memory for recognising blocks that are there already, such as 256M. If not given, a 4096th of the disk, for
    /// one block in eight: beyond that, what was written together is still found together.
    #[arg(long, value_name = "BYTES", requires = "mapped", value_parser = bytes)]
    pub dedup_memory: Option<u64>,
    /// Store equal blocks as often as they are written.
    #[arg(long, requires = "mapped", conflicts_with = "dedup_memory")]
    pub no_dedup: bool,
    /// Store blocks as they are.
    #[arg(long, requires = "mapped", conflicts_with = "level")]
    pub no_compression: bool,
    /// Tell the disk what is free, so that an SSD or a thin image can use it. Who sees the disk then sees how much is
    /// stored.
    #[arg(long, requires = "mapped")]
    pub discard: bool,
    /// Anybody can read the volume; it has no keys.
    #[arg(long, requires = "mapped", conflicts_with_all = ["secret", "recovery_code", "kdf_memory", "kdf_time"])]
    pub no_encryption: bool,
}

/// `500G`: powers of 1024.
fn stage_name(text: &str) -> Result<String, String> {
    let name = ForeignStage::new(text, Place::ABOVE).map(|_| text.to_owned());
    name.ok_or_else(|| "a name has 1 to 16 printable ASCII characters".into())
}

fn bytes(text: &str) -> Result<u64, parse_size::Error> {
    parse_size::Config::new().with_binary().parse_size(text)
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Grow {
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub secret: SecretSource,
    /// New size of the volume as the file system sees it, such as 500G or 10T; it stays what it is if not given.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub size: Option<u64>,
}

#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("change").args(["level", "dedup_memory", "discard"]).required(true).multiple(true))]
pub(crate) struct Set {
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub secret: SecretSource,
    /// zstd's level: higher saves more and takes longer.
    #[arg(long, value_name = "-5..19", allow_negative_numbers = true,
        value_parser = clap::value_parser!(i32).range(-5..=19))]
    pub level: Option<i32>,
    /// Memory for recognising blocks that are there already, such as 256M.
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub dedup_memory: Option<u64>,
    /// Whether the disk is told what is free, so that an SSD or a thin image can use it. Who sees the disk then sees how
    /// much is stored.
    #[arg(long, value_name = "on|off")]
    pub discard: Option<Switch>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Switch {
    On,
    Off,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Compact {
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub secret: SecretSource,
    /// Also tell the disk what is free, this once: an image file shrinks. Who sees the disk then sees how much is stored.
    #[arg(long)]
    pub discard: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Serve {
    /// Image files or block devices. Clients ask for a volume by its name: the file's name without its ending, or NAME.
    /// Who gives no name gets the first.
    #[arg(required = true, value_name = "[NAME=]IMAGE")]
    pub images: Vec<PathBuf>,
    #[command(flatten)]
    pub secret: SecretSource,
    /// Listen on this Unix socket.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["port", "bind", "tls"])]
    pub socket: Option<PathBuf>,
    /// Listen on this TCP port.
    #[arg(long, default_value_t = 10809)]
    pub port: u16,
    /// Listen on this address. One that others can reach needs --tls.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    pub bind: std::net::IpAddr,
    /// Serve by TLS alone, with the certificates in this folder: ca-cert.pem, server-cert.pem, server-key.pem.
    #[arg(long, value_name = "FOLDER")]
    pub tls: Option<PathBuf>,
    /// Change nothing: what clients write is refused, and the image is only read.
    #[arg(long)]
    pub read_only: bool,
    /// Who carries out a mapped volume's I/O: threads, or on a file or device the kernel's io_uring.
    #[arg(long, value_name = "HOW", value_parser = ["threads", "uring"], default_value = "threads")]
    pub io: String,
    /// The nbdkit plugin, if it does not lie beside this program.
    #[arg(long, value_name = "FILE")]
    pub plugin: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Bench {
    /// How much data, such as 1G.
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value = "1G")]
    pub size: u64,
    /// How often everything is measured.
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub rounds: u32,
    /// How long each kind of random access is measured.
    #[arg(long, value_name = "N", default_value_t = 5)]
    pub seconds: u32,
    /// Images lie in this folder; if not given, in memory where there is room.
    #[arg(long, value_name = "FOLDER")]
    pub folder: Option<PathBuf>,
    /// Measure these alone.
    #[cfg(unix)]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    pub contestants: Vec<crate::commands::Contestant>,
    /// Also write bench.md, bench.json and bench.svg into this folder.
    #[arg(long, value_name = "FOLDER")]
    pub report: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Mount {
    #[command(flatten)]
    pub image: Image,
    /// The folder.
    pub dir: PathBuf,
    #[command(flatten)]
    pub secret: SecretSource,
    /// Which partition, if the volume has several.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=128))]
    pub partition: Option<u32>,
    /// Change nothing: the image is only read.
    #[arg(long)]
    pub read_only: bool,
    /// The nbdkit plugin, if it does not lie beside this program.
    #[arg(long, value_name = "FILE")]
    pub plugin: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Unmount {
    /// The folder.
    pub dir: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Top {
    /// Seconds between two looks.
    #[arg(long, value_name = "SECONDS", default_value_t = 1.0, value_parser = interval)]
    interval: f64,
    /// With --json: how many intervals, a line each.
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub count: u64,
    /// Print everything once, as text for Prometheus or its node_exporter.
    #[arg(long, conflicts_with_all = ["json", "count"])]
    pub prometheus: bool,
}

impl Top {
    pub(crate) fn interval(&self) -> std::time::Duration {
        std::time::Duration::from_secs_f64(self.interval)
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Report {
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub secret: SecretSource,
    /// Write to this file, which must not exist, instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Take latencies from this record of `sluice top --json`, instead of asking whoever serves the volume.
    #[arg(long, value_name = "FILE")]
    pub record: Option<PathBuf>,
}

fn interval(text: &str) -> Result<f64, String> {
    let seconds = text.parse().ok().filter(|seconds| (0.05..=86_400.0).contains(seconds));
    seconds.ok_or_else(|| "from 0.05 to 86400 seconds".into())
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Cat {
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub secret: SecretSource,
    /// First byte.
    #[arg(long, default_value_t = 0)]
    pub offset: u64,
    /// Number of bytes; up to the end if not given.
    #[arg(long)]
    pub length: Option<u64>,
    /// Write to this file, which must not exist, instead of standard output.
    #[arg(long, short, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
#[command(group = clap::ArgGroup::new("place").args(["to", "in_place"]).required(true))]
pub(crate) struct Convert {
    /// Image file, block device, or `\\.\PhysicalDriveN`: as it is, or a Sluice volume, which is decrypted.
    pub source: PathBuf,
    /// Make the volume on this disk or image, and copy. A file that does not exist is made as large as is needed. The source
    /// stays as it is.
    #[arg(long, value_name = "TARGET")]
    pub to: Option<PathBuf>,
    /// Encrypt the disk or image where it lies. May be interrupted at any time; the same command goes on. Keep a backup.
    #[arg(long, conflicts_with_all = ["mapped", "recovery_code"])]
    pub in_place: bool,
    /// Decrypt a volume where it lies, or what is encrypted so far.
    #[arg(long, conflicts_with_all = ["to", "kdf_memory", "kdf_time", "sector_size", "label"])]
    pub decrypt: bool,
    /// Give up the end of the disk for the headers, 2 MiB or a little more. A file system or partition there must have been
    /// made smaller before. Without this, an image file grows.
    #[arg(long, conflicts_with_all = ["to", "decrypt"])]
    pub reduce: bool,
    /// How far the data moves up, in whole MiB: so much is made durable at once. On hard disks more is faster; so much more
    /// is given up. If not given, a 512th of the disk, from 1M to 16M.
    #[arg(long, value_name = "BYTES", conflicts_with_all = ["to", "decrypt"], value_parser = bytes)]
    pub shift: Option<u64>,
    /// Write what the source holds as it is, not as a volume.
    #[arg(long, conflicts_with_all = ["in_place", "mapped", "recovery_code", "kdf_memory", "kdf_time", "sector_size",
        "label"])]
    pub raw: bool,
    /// Do not read back what was copied.
    #[arg(long, conflicts_with = "in_place")]
    pub no_verify: bool,
    /// The secret of the volume that is made; with --decrypt or --raw, of the one there is.
    #[command(flatten)]
    pub secret: SecretSource,
    /// Of a source that is a volume itself: its passphrase is the first line of this file; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "source_secret", conflicts_with = "in_place")]
    pub source_passphrase_file: Option<PathBuf>,
    /// Likewise: the contents of this file are its key.
    #[arg(long, value_name = "FILE", group = "source_secret", conflicts_with = "in_place")]
    pub source_key_file: Option<PathBuf>,
    #[command(flatten)]
    pub wanted: Wanted,
    /// Also make a recovery code, and print it. For a disk in place, `sluice key add` makes one afterwards.
    #[arg(long)]
    pub recovery_code: bool,
    /// Copy to the target although something is there; give up the end of a disk although a partition or file system reaches
    /// into it.
    #[arg(long)]
    pub force: bool,
    /// Do not ask whether that is really meant; give up the end of a disk although it is not all zeros.
    #[arg(long, short)]
    pub yes: bool,
}

impl Convert {
    /// The volume that is to be made.
    pub(crate) fn format(&self, target: PathBuf) -> Format {
        Format {
            image: Image { image: target },
            secret: self.secret.clone(),
            wanted: self.wanted.clone(),
            recovery_code: self.recovery_code,
            stage: None,
            stage_below: false,
            force: self.force,
            yes: self.yes,
        }
    }

    /// What opens a source that is a volume.
    pub(crate) fn source_secret(&self) -> SecretSource {
        if self.raw && self.secret.is_given() {
            return self.secret.clone();
        }
        SecretSource {
            passphrase_file: self.source_passphrase_file.clone(),
            key_file: self.source_key_file.clone(),
            recovery_file: None,
        }
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Dump {
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub secret: SecretSource,
    #[command(subcommand)]
    pub view: Option<View>,
}

/// What is shown of a mapped volume. Trees are shown as of the last checkpoint.
#[derive(Debug, Clone, Copy, Subcommand)]
pub(crate) enum View {
    /// Where everything lies, and the root records; also what is shown if nothing is chosen.
    Roots,
    /// The frames in the journal, and which of them opening the volume would apply.
    Journal {
        /// Every record of each.
        #[arg(long)]
        records: bool,
    },
    /// The index of de-duplication, as it was kept when the volume was closed.
    Index,
    /// Every segment: what is recorded of it, and what it holds.
    Segments,
    /// What lies in a segment, and whether anything still leads there.
    Segment {
        /// The segment.
        number: u32,
    },
    /// Where blocks of 4096 bytes of the volume lead.
    Map {
        /// The first.
        block: u64,
        /// How many.
        #[arg(default_value_t = 1)]
        count: u64,
    },
    /// What the table says of a chunk, and whether its bytes are there and match.
    Chunk {
        /// The chunk.
        number: u64,
    },
    /// Every page of a tree.
    Tree {
        /// The tree: block to chunk, chunk to place, or segment to live bytes.
        tree: TreeName,
        /// Only those that are not good.
        #[arg(long)]
        damaged: bool,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(crate) enum TreeName {
    Map,
    Table,
    Space,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Key {
    /// Show the key slots.
    List(Image),
    /// Add a key beside those there are.
    Add(KeyAdd),
    /// Replace the key that opens the volume by another.
    Change(KeyAdd),
    /// Remove a key.
    Remove(KeyRemove),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyAdd {
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub secret: SecretSource,
    #[command(flatten)]
    pub cost: Cost,
    /// Read the new passphrase from the first line of this file; `-` is standard input.
    #[arg(long, value_name = "FILE", group = "new")]
    pub new_passphrase_file: Option<PathBuf>,
    /// The contents of this file are the new key.
    #[arg(long, value_name = "FILE", group = "new")]
    pub new_key_file: Option<PathBuf>,
    /// Make a recovery code, and print it.
    #[arg(long, group = "new")]
    pub new_recovery_code: bool,
    /// A name for the key, up to 64 bytes.
    #[arg(long, default_value = "")]
    pub label: String,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct KeyRemove {
    #[command(flatten)]
    pub image: Image,
    #[command(flatten)]
    pub secret: SecretSource,
    /// The slot to empty; see `key list`.
    #[arg(long, value_name = "0-7", value_parser = clap::value_parser!(u8).range(0..8))]
    pub slot: u8,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Header {
    /// Copy the header to a file. It holds no secret in the clear, but opens with its keys for ever.
    Backup(HeaderBackup),
    /// Put a header back from a file.
    Restore(HeaderRestore),
    /// Write a damaged or outdated copy of the header anew from the good one.
    Repair(HeaderRepair),
}

#[derive(Debug, ClapArgs)]
pub(crate) struct HeaderBackup {
    #[command(flatten)]
    pub image: Image,
    /// The file; must not exist.
    pub file: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct HeaderRestore {
    #[command(flatten)]
    pub image: Image,
    /// The file.
    pub file: PathBuf,
    /// Restore although the disk holds another volume's header, or no trace of one.
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct HeaderRepair {
    #[command(flatten)]
    pub image: Image,
    /// Overwrite copy B although it is good and of another volume or history.
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Disk {
    /// The disk: its number or its volume's UUID, as `status` shows them. Not needed where there is only one.
    pub disk: Option<String>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Lock {
    #[command(flatten)]
    pub disk: Disk,
    /// Lock although files are open on the disk. Programs that use them fail, and may lose what they have not written.
    #[arg(long)]
    pub force: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Unlock {
    #[command(flatten)]
    pub disk: Disk,
    #[command(flatten)]
    pub secret: SecretSource,
}

impl Command {
    /// As it is called.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Format(_) => "format",
            Self::Info(_) => "info",
            Self::Check(_) => "check",
            Self::Cat(_) => "cat",
            Self::Convert(_) => "convert",
            Self::Dump(_) => "dump",
            Self::Grow(_) => "grow",
            Self::Compact(_) => "compact",
            Self::Serve(_) => "serve",
            Self::Bench(_) => "bench",
            Self::Mount(_) => "mount",
            Self::Unmount(_) => "unmount",
            Self::Top(_) => "top",
            Self::Report(_) => "report",
            Self::Set(_) => "set",
            Self::Key(Key::List(_)) => "key list",
            Self::Key(Key::Add(_)) => "key add",
            Self::Key(Key::Change(_)) => "key change",
            Self::Key(Key::Remove(_)) => "key remove",
            Self::Header(Header::Backup(_)) => "header backup",
            Self::Header(Header::Restore(_)) => "header restore",
            Self::Header(Header::Repair(_)) => "header repair",
            Self::Unlock(_) => "unlock",
            Self::Lock(_) => "lock",
            Self::Status => "status",
        }
    }

    /// Whether standard output carries data, so that nothing else may.
    pub(crate) fn fills_stdout(&self) -> bool {
        match self {
            Self::Cat(cat) => cat.output.is_none(),
            Self::Report(report) => report.output.is_none(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<Command, clap::Error> {
        Args::try_parse_from(line.split(' ')).map(|args| args.command)
    }

    #[test]
    fn lock_takes_a_disk_and_force() {
        for (line, disk, forced) in [
            ("sluice lock", None, false),
            ("sluice lock 2", Some("2"), false),
            ("sluice lock --force", None, true),
            ("sluice lock 2 --force", Some("2"), true),
            ("sluice lock --force 2", Some("2"), true),
        ] {
            let Ok(Command::Lock(lock)) = parse(line) else { panic!("{line}") };
            assert_eq!((lock.disk.disk.as_deref(), lock.force), (disk, forced), "{line}");
        }
        assert!(parse("sluice lock -f 2").is_err(), "too easily typed");
        assert!(parse("sluice lock --force=no").is_err());
        assert!(parse("sluice unlock --force").is_err(), "there is nothing to force");
    }
}
