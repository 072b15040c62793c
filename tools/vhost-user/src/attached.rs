//! A disk on a device of another process.

use std::{io, ops::Deref, path::Path, sync::Arc};

use sluice_chain::Chain;
use sluice_miniport_virtio_blk::{Device, Settings, VirtioBlk};
use sluice_shim::{miniport::Srb, platform::Platform, storport::SrbKind};
use sluice_user_host::{Disk, Executor, Setup, User};

use crate::{
    events::{AsDevice, Events},
    region::Region,
    transport::VhostUser,
};

/// Bytes of a region for everything.
const REGION: usize = 64 << 20;
/// Bytes of it for queues and copies.
const QUEUES: usize = 48 << 20;

impl AsDevice for VirtioBlk<VhostUser> {
    type Request = Srb;
    fn device(&self) -> &Device<VhostUser, Srb> {
        VirtioBlk::device(self)
    }
}

/// The shim's disk over the miniport over a device of another process. Fields are dropped in this order: the device is
/// stopped (`drop`), and the region goes last.
pub struct Attached {
    events: Option<Events<VirtioBlk<VhostUser>>>,
    disk: Arc<Disk>,
    miniport: Arc<VirtioBlk<VhostUser>>,
    region: Arc<Region>,
}

/// The platform of everything in this process: its locks need no state.
pub(crate) fn platform() -> &'static dyn Platform {
    static PLATFORM: std::sync::LazyLock<User> = std::sync::LazyLock::new(User::new);
    &*PLATFORM
}

/// A device at `path`, started.
///
/// # Errors
/// The system's, or why the device cannot be used.
pub fn device<R: sluice_miniport_virtio_blk::request::Request>(
    path: &Path,
    settings: Settings,
) -> io::Result<(Device<VhostUser, R>, Arc<Region>)> {
    let region = Region::new(REGION)?;
    // SAFETY: the caller gets the region beside the device, to be kept as long.
    let shared = unsafe { region.shared(QUEUES) };
    let transport = VhostUser::new(path, Arc::clone(&region))?;
    let device = shared.and_then(|mut shared| Device::new(transport, platform(), &mut shared, settings));
    let device = device.ok_or(io::ErrorKind::OutOfMemory)?;
    device.reset().map_err(|failure| io::Error::other(format!("the device cannot be used: {failure:?}")))?;
    Ok((device, region))
}

impl Attached {
    /// Connects to the device at `path`, and puts `chain` before it.
    ///
    /// # Errors
    /// See [`device`].
    pub fn new(
        path: &Path,
        settings: Settings,
        kind: SrbKind,
        chain: Chain,
        requests: usize,
    ) -> io::Result<Self> {
        let (device, region) = device::<Srb>(path, settings)?;
        let block = device.facts().block_size;
        let miniport = Arc::new(VirtioBlk::new(device, kind));
        let setup = Setup { requests, executor: Executor::Inline, ..Setup::default() };
        let disk = Arc::new(Disk::new(Arc::clone(&miniport), block, chain, &setup));
        let after = Arc::clone(&disk);
        let events = Events::start(Arc::clone(&miniport), move || after.run_until_idle());
        Ok(Self { events: Some(events), disk, miniport, region })
    }

    /// The device.
    #[must_use]
    pub fn device(&self) -> &Device<VhostUser, Srb> {
        VirtioBlk::device(&self.miniport)
    }

    /// For buffers that the device reaches.
    #[must_use]
    pub fn region(&self) -> &Arc<Region> {
        &self.region
    }
}

impl Deref for Attached {
    type Target = Disk;
    fn deref(&self) -> &Disk {
        &self.disk
    }
}

impl Drop for Attached {
    fn drop(&mut self) {
        self.events = None;
        self.device().stop();
    }
}
