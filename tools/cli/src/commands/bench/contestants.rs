//! What is measured: each is a recipe of commands, in a folder of its own.

use std::{
    fs::File,
    io,
    path::{Path, PathBuf},
    process::Command,
};

use crate::failure::Failure;

/// Whom Sluice is set against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum Contestant {
    /// A volume in place, encrypted.
    SluiceInPlace,
    /// A mapped volume: de-duplicated, compressed at level 1, encrypted.
    SluiceMapped,
    /// nbdkit with a raw file: what a server costs that does nothing to the data.
    NbdkitFile,
    /// nbdkit with a LUKS file.
    NbdkitLuks,
    /// nbdkit that keeps everything in memory.
    NbdkitMemory,
    /// nbdkit that keeps everything in memory, compressed by zstd.
    NbdkitMemoryZstd,
    /// qemu-nbd with a raw file.
    QemuRaw,
    /// qemu-nbd with a LUKS file.
    QemuLuks,
    /// qemu-nbd with a qcow2 file that it compresses by zstd.
    QemuQcow2Zstd,
    /// nbdkit with a file on btrfs, which compresses by zstd at level 1, on a loop device.
    BtrfsZstd,
}

use Contestant::{
    BtrfsZstd, NbdkitFile, NbdkitLuks, NbdkitMemory, NbdkitMemoryZstd, QemuLuks, QemuQcow2Zstd, QemuRaw,
    SluiceInPlace, SluiceMapped,
};

const PASSPHRASE: &str = "only for measuring";

/// Where a contestant lives, and how much it has to hold.
pub(super) struct Ground<'a> {
    /// A folder of its own.
    pub folder: &'a Path,
    /// Bytes that clients see.
    pub size: u64,
}

impl Ground<'_> {
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join("socket")
    }

    pub(super) fn image(&self) -> PathBuf {
        self.folder.join("image")
    }

    fn passphrase(&self) -> PathBuf {
        self.folder.join("passphrase")
    }

    fn mount(&self) -> PathBuf {
        self.folder.join("mount")
    }
}

impl Contestant {
    pub(super) const ALL: [Self; 10] = [
        SluiceInPlace,
        SluiceMapped,
        NbdkitFile,
        NbdkitLuks,
        NbdkitMemory,
        NbdkitMemoryZstd,
        QemuRaw,
        QemuLuks,
        QemuQcow2Zstd,
        BtrfsZstd,
    ];

    pub(super) fn name(self) -> &'static str {
        match self {
            SluiceInPlace => "sluice, in place",
            SluiceMapped => "sluice, mapped",
            NbdkitFile => "nbdkit file",
            NbdkitLuks => "nbdkit file, luks",
            NbdkitMemory => "nbdkit memory",
            NbdkitMemoryZstd => "nbdkit memory, zstd",
            QemuRaw => "qemu-nbd raw",
            QemuLuks => "qemu-nbd luks",
            QemuQcow2Zstd => "qemu-nbd qcow2, zstd",
            BtrfsZstd => "nbdkit file on btrfs, zstd",
        }
    }

    /// Those that a contestant of ours is set against.
    pub(super) fn rivals(self) -> &'static [Self] {
        match self {
            SluiceInPlace => &[NbdkitFile, NbdkitLuks, QemuRaw, QemuLuks],
            SluiceMapped => &[NbdkitMemory, NbdkitMemoryZstd, QemuQcow2Zstd, BtrfsZstd],
            _ => &[],
        }
    }

    /// Whether the server's processes do all the work. Of btrfs the kernel's threads do most.
    pub(super) fn works_alone(self) -> bool {
        self != BtrfsZstd
    }

    /// Whether what it stores is in its image.
    pub(super) fn has_image(self) -> bool {
        !matches!(self, NbdkitMemory | NbdkitMemoryZstd)
    }

    /// The file that its server reads.
    pub(super) fn file(self, ground: &Ground<'_>) -> Option<PathBuf> {
        match self {
            BtrfsZstd => Some(ground.mount().join("file")),
            _ => self.has_image().then(|| ground.image()),
        }
    }

    /// Programs that must be there.
    fn programs(self) -> &'static [&'static str] {
        match self {
            SluiceInPlace | SluiceMapped | NbdkitFile | NbdkitMemory | NbdkitMemoryZstd => &["nbdkit"],
            NbdkitLuks => &["nbdkit", "qemu-img"],
            QemuRaw => &["qemu-nbd"],
            QemuLuks | QemuQcow2Zstd => &["qemu-nbd", "qemu-img"],
            BtrfsZstd => &["nbdkit", "mkfs.btrfs", "mount"],
        }
    }

    /// Why it cannot be measured here, as far as that is known before.
    pub(super) fn absent(self) -> Option<String> {
        let missing: Vec<_> = self.programs().iter().copied().filter(|program| !installed(program)).collect();
        (!missing.is_empty()).then(|| format!("{} is not installed", missing.join(" and ")))
    }

    /// Makes what it serves.
    pub(super) fn make(self, ground: &Ground<'_>) -> Result<(), Failure> {
        let io = |what, source| Failure::io(what, ground.folder, source);
        std::fs::write(ground.passphrase(), PASSPHRASE).map_err(|e| io("write in", e))?;
        let secret = format!("secret,id=key,file={}", ground.passphrase().display());
        let size = ground.size.to_string();
        match self {
            SluiceInPlace => {
                sparse(&ground.image(), ground.size + (4 << 20)).map_err(|e| io("write in", e))?;
                done(sluice("format", ground)?.args(COST))
            }
            SluiceMapped => {
                // Twice the size: what overwriting leaves has to lie somewhere.
                sparse(&ground.image(), 2 * ground.size + (64 << 20)).map_err(|e| io("write in", e))?;
                done(sluice("format", ground)?.args(COST).args(["--mapped", "--size", &size]))
            }
            NbdkitFile | QemuRaw => sparse(&ground.image(), ground.size).map_err(|e| io("write in", e)),
            NbdkitMemory | NbdkitMemoryZstd => Ok(()),
            NbdkitLuks | QemuLuks => done(
                Command::new("qemu-img")
                    .args(["create", "-q", "-f", "luks", "--object", &secret])
                    .args(["-o", "key-secret=key,iter-time=10"])
                    .arg(ground.image())
                    .arg(size),
            ),
            QemuQcow2Zstd => done(
                Command::new("qemu-img")
                    .args(["create", "-q", "-f", "qcow2", "-o", "compression_type=zstd"])
                    .arg(ground.image())
                    .arg(size),
            ),
            BtrfsZstd => {
                sparse(&ground.image(), 2 * ground.size + (256 << 20)).map_err(|e| io("write in", e))?;
                std::fs::create_dir(ground.mount()).map_err(|e| io("write in", e))?;
                done(Command::new("mkfs.btrfs").arg("-q").arg(ground.image()))?;
                let mut mount = Command::new("mount");
                mount.args(["-t", "btrfs", "-o", "loop,compress-force=zstd:1"]);
                done(mount.arg(ground.image()).arg(ground.mount()))?;
                sparse(&ground.mount().join("file"), ground.size).map_err(|e| io("write in", e))
            }
        }
    }

    /// The command that serves it on the ground's socket until it is told to end.
    pub(super) fn serve(self, ground: &Ground<'_>) -> Result<Command, Failure> {
        let nbdkit = |plugin: &str| {
            let mut command = Command::new("nbdkit");
            command.arg("--foreground").arg("--unix").arg(ground.socket()).arg(plugin);
            command
        };
        let qemu = || {
            let mut command = Command::new("qemu-nbd");
            command.args(["--persistent", "--shared=0", "--cache=writeback"]);
            command.arg("--socket").arg(ground.socket());
            command
        };
        let key = ground.passphrase();
        let (image, mut command) = (ground.image(), qemu());
        Ok(match self {
            SluiceInPlace | SluiceMapped => {
                let mut command = sluice("serve", ground)?;
                command.arg("--socket").arg(ground.socket());
                command
            }
            NbdkitFile => {
                let mut command = nbdkit("file");
                command.arg(image);
                command
            }
            NbdkitLuks => {
                let mut command = nbdkit("file");
                command.arg(image).arg("--filter=luks").arg(format!("passphrase=+{}", key.display()));
                command
            }
            NbdkitMemory | NbdkitMemoryZstd => {
                let mut command = nbdkit("memory");
                command.arg(ground.size.to_string());
                command.args((self == NbdkitMemoryZstd).then_some("allocator=zstd"));
                command
            }
            QemuRaw => {
                command.args(["--format=raw"]).arg(image);
                command
            }
            QemuLuks => {
                command.arg("--object").arg(format!("secret,id=key,file={}", key.display()));
                let what =
                    format!("driver=luks,key-secret=key,file.driver=file,file.filename={}", image.display());
                command.arg("--image-opts").arg(what);
                command
            }
            QemuQcow2Zstd => {
                let what = "driver=compress,file.driver=qcow2,file.file.driver=file,file.file.filename=";
                command.arg("--image-opts").arg(format!("{what}{}", image.display()));
                command
            }
            BtrfsZstd => {
                let mut command = nbdkit("file");
                command.args(self.file(ground));
                command
            }
        })
    }

    /// Takes away what removing the folder would not.
    pub(super) fn clear(self, ground: &Ground<'_>) {
        if self == BtrfsZstd && ground.mount().is_dir() {
            let _ = Command::new("umount").arg(ground.mount()).output(); // it may not have come so far
        }
    }
}

/// Keys that take no time: they are not what is measured.
const COST: [&str; 5] = ["--yes", "--kdf-memory", "1", "--kdf-time", "1"];

/// This very program, on the ground's image.
fn sluice(what: &str, ground: &Ground<'_>) -> Result<Command, Failure> {
    let own = std::env::current_exe()
        .map_err(|error| Failure::Bench { what: format!("where this program lies is not known: {error}") })?;
    let mut command = Command::new(own);
    command.arg("--quiet").arg(what).arg(ground.image());
    command.arg("--passphrase-file").arg(ground.passphrase());
    Ok(command)
}

fn sparse(path: &Path, bytes: u64) -> io::Result<()> {
    File::create(path)?.set_len(bytes)
}

/// Runs a command to its end, which must be a good one.
fn done(command: &mut Command) -> Result<(), Failure> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .map_err(|error| Failure::Bench { what: format!("{name} does not start: {error}") })?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(Failure::Bench { what: format!("{name} ended with {}: {}", output.status, said.trim()) })
}

/// Whether a program is on the path, or where those of administrators are.
pub(super) fn installed(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders = std::env::split_paths(&path).chain(["/usr/sbin", "/sbin"].map(PathBuf::from));
    folders.map(|folder| folder.join(program)).any(|file| file.is_file())
}
