//! An image, its daemon, and the miniport on it.

#![allow(dead_code, reason = "each test uses a part of it")]

use std::{
    fs,
    path::{Path, PathBuf},
    process,
    sync::{
        Arc,
        mpsc::{Sender, channel},
    },
};

use sluice_chain::{Chain, Status, bytes::Target};
use sluice_miniport_virtio_blk::{
    Device, Settings,
    commands::understand,
    config::Facts,
    request::{Asked, List, Outcome, Request},
};
use sluice_shim::{scsi::cdb::Command, storport::SrbKind};
use sluice_user_host::Answer;
use sluice_vhost_user::{Attached, Daemon, Events, Export, Format, Region, VhostUser, device};

pub(crate) const MIB: u64 = 1 << 20;
pub(crate) const FORMATS: [Format; 2] = [Format::Raw, Format::Qcow2];

pub(crate) const EXPORT: Export = Export { format: Format::Raw, block: 512, queues: 1, writable: true };

/// A folder of its own, with an image in it.
pub(crate) struct Image {
    folder: PathBuf,
    pub(crate) format: Format,
}

/// Runs a program to its end, which must be a good one.
pub(crate) fn run(program: &str, arguments: &[&str]) -> String {
    let output = process::Command::new(program).args(arguments).output();
    let output = output.unwrap_or_else(|error| panic!("{program}: {error}; `./x setup` installs it"));
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{program} {arguments:?}: {}\n{said}", output.status);
    said
}

impl Image {
    pub(crate) fn new(name: &str, format: Format, bytes: u64) -> Self {
        let name = format!("sluice-virtio-{}-{name}-{}", std::process::id(), format.name());
        let folder = std::env::temp_dir().join(name);
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir_all(&folder).unwrap();
        let image = Self { folder, format };
        run("qemu-img", &["create", "-q", "-f", format.name(), image.text(), &bytes.to_string()]);
        image
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.join("image")
    }

    fn text(&self) -> &str {
        Box::leak(self.path().to_string_lossy().into_owned().into_boxed_str())
    }

    pub(crate) fn serve(&self, export: Export) -> Daemon {
        Daemon::start(&self.path(), &Export { format: self.format, ..export }).unwrap()
    }

    /// What QEMU's own tools find on the disk is `bytes`, to the last.
    pub(crate) fn holds(&self, bytes: &[u8]) {
        let expected = self.folder.join("expected");
        fs::write(&expected, bytes).unwrap();
        let expected = expected.to_string_lossy();
        let format = self.format.name();
        run("qemu-img", &["compare", "-f", "raw", "-F", format, &expected, self.text()]);
        if self.format == Format::Qcow2 {
            run("qemu-img", &["check", "-q", self.text()]);
        }
    }

    /// Makes it longer, while nobody serves it.
    pub(crate) fn resize(&self, bytes: u64) {
        run("qemu-img", &["resize", "-q", "-f", self.format.name(), self.text(), &bytes.to_string()]);
    }

    /// Bytes of it that take space, as QEMU's tools see them.
    pub(crate) fn allocated(&self) -> u64 {
        let map = run("qemu-img", &["map", "-f", self.format.name(), "--output=json", self.text()]);
        let entries = map.split('{').filter(|entry| entry.contains("\"data\": true"));
        let length = |entry: &str| entry.split("\"length\": ").nth(1)?.split(',').next()?.parse::<u64>().ok();
        entries.filter_map(length).sum::<u64>()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            let _ = fs::remove_dir_all(&self.folder);
        }
    }
}

pub(crate) fn settings() -> Settings {
    Settings { queues: 4, requests: 32, copy: 256 << 10, ..Settings::default() }
}

pub(crate) fn attach(socket: &Path, settings: Settings, kind: SrbKind) -> Attached {
    let chain = Chain::new();
    Attached::new(socket, settings, kind, chain, 64).unwrap()
}

#[track_caller]
pub(crate) fn well(answer: &Answer, bytes: usize) {
    let device = answer.device.map(|device| (device.srb_status, device.sense().to_vec()));
    assert!(answer.status == Status::OK && answer.transferred as usize == bytes, "{answer:?} {device:?}");
}

/// A command of its own, past the shim: for those that units do not send.
pub(crate) struct Cdb {
    command: Command,
    data: Vec<u8>,
    answer: Sender<(Outcome, Vec<u8>)>,
}

impl Request for Cdb {
    fn ask(&mut self, facts: &Facts, list: &mut List) -> Asked {
        let asked = understand(&self.command, facts, Target::from(&mut self.data[..]), list);
        asked.unwrap_or_else(|refusal| Asked::Nothing(Outcome::Refused(refusal)))
    }

    fn data(&mut self) -> Target<'_> {
        Target::from(&mut self.data[..])
    }

    fn end(self, outcome: Outcome) {
        let _ = self.answer.send((outcome, self.data)); // nobody waits any more
    }
}

/// A device asked by commands.
pub(crate) struct Direct {
    _events: Events<Device<VhostUser, Cdb>>,
    pub(crate) device: Arc<Device<VhostUser, Cdb>>,
    _region: Arc<Region>,
}

impl Direct {
    pub(crate) fn new(socket: &Path, settings: Settings) -> Self {
        let (device, region) = device::<Cdb>(socket, settings).unwrap();
        let device = Arc::new(device);
        Self { _events: Events::start(Arc::clone(&device), || {}), device, _region: region }
    }

    /// Sends a command and waits for its end.
    pub(crate) fn send(&self, cdb: &[u8], data: Vec<u8>) -> (Outcome, Vec<u8>) {
        let (answer, result) = channel();
        self.device.start(Cdb { command: Command::parse(cdb).unwrap(), data, answer });
        result.recv().unwrap()
    }
}

impl Drop for Direct {
    fn drop(&mut self) {
        self.device.stop();
    }
}
