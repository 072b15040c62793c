//! `sluice-bench virtio`: the virtio-blk miniport beside the driver that libblkio is made of, on the same vhost-user device of
//! QEMU's storage daemon, one after the other in turns.
//!
//! Random transfers of 4 KiB at depth 32 on one queue, from memory that the device reaches, by one thread that waits for the
//! queue's event. The last figure is the miniport as it is used: hosted by the shim, with an empty chain.

use std::{
    os::fd::AsFd,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, poll};
use sluice_chain::{Chain, Direction, Segment, bytes::Target};
use sluice_miniport_virtio_blk::{
    Device, Settings, VirtioBlk,
    config::Facts,
    request::{Asked, List, Outcome, Request},
};
use sluice_shim::{miniport::Srb, storport::SrbKind};
use sluice_user_host::{Disk, Executor, Setup};
use sluice_vhost_user::{Buffer, Daemon, Export, Format, VhostUser, device};
use virtio_driver::{
    VhostUser as RivalTransport, VirtioBlkFeatureFlags, VirtioBlkQueue, VirtioBlkTransport,
    VirtioFeatureFlags,
};

const DEPTH: usize = 32;
const LENGTH: usize = 4096;
/// Rounds, of which the median is shown, and how long each takes.
const ROUNDS: usize = 5;
const ROUND: Duration = Duration::from_millis(800);
/// Bytes of the part of the disk that is used.
const SPAN: u64 = 64 << 20;
/// Longer than any transfer takes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Measures and prints.
pub(crate) fn run() -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("sluice-bench-virtio-{}", std::process::id()));
    std::fs::create_dir_all(&folder).map_err(|error| error.to_string())?;
    let result = [("no medium", Format::Nothing), ("a raw image", Format::Raw)]
        .into_iter()
        .try_for_each(|(name, format)| compare(name, format, &folder.join("image")));
    let _ = std::fs::remove_dir_all(&folder);
    result
}

fn compare(name: &str, format: Format, image: &Path) -> Result<(), String> {
    let file = std::fs::File::create(image).and_then(|file| file.set_len(SPAN));
    file.map_err(|error| format!("{}: {error}", image.display()))?;
    let export = Export { format, block: 512, queues: 1, writable: true };
    let daemon = Daemon::start(image, &export).map_err(|error| error.to_string())?;
    println!("{LENGTH} bytes at depth {DEPTH} on {name}, transfers a second, median of {ROUNDS}:");
    for write in [false, true] {
        let mut figures = [const { Vec::new() }; 3];
        for _ in 0..ROUNDS {
            // One client at a time: that is all the daemon takes.
            figures[0].push(miniport(daemon.socket(), write)?);
            figures[1].push(rival(daemon.socket(), write)?);
            figures[2].push(hosted(daemon.socket(), write)?);
        }
        let [ours, theirs, hosted] = figures.map(|mut figures| {
            figures.sort_by(f64::total_cmp);
            figures[ROUNDS / 2]
        });
        println!(
            "  {}  libblkio's driver {theirs:8.0}   miniport {ours:8.0}, {:.2} of it   through the shim {hosted:8.0}, {:.2}",
            if write { "write" } else { "read " },
            ours / theirs,
            hosted / theirs,
        );
    }
    Ok(())
}

fn settings() -> Settings {
    Settings { queues: 1, descriptors: 128, requests: 64, ..Settings::default() }
}

/// One of the transfers under way.
struct Lane {
    buffer: Buffer,
    write: bool,
    block: u64,
    free: Arc<Mutex<Vec<Result<Lane, String>>>>,
}

impl Request for Lane {
    fn ask(&mut self, _: &Facts, _: &mut List) -> Asked {
        let (block, bytes) = (self.block, LENGTH as u32);
        if self.write {
            Asked::Write { block, bytes, durable: false }
        } else {
            Asked::Read { block, bytes, deliver: true }
        }
    }

    fn data(&mut self) -> Target<'_> {
        self.buffer.bytes().into()
    }

    fn end(self, outcome: Outcome) {
        let free = Arc::clone(&self.free);
        let result =
            if outcome == Outcome::Moved(LENGTH as u32) { Ok(self) } else { Err(format!("{outcome:?}")) };
        free.lock().unwrap_or_else(PoisonError::into_inner).push(result);
    }
}

fn block(random: &mut fastrand::Rng) -> u64 {
    random.u64(0..SPAN / LENGTH as u64) * (LENGTH as u64 / 512)
}

fn miniport(socket: &Path, write: bool) -> Result<f64, String> {
    // There is no memory for copies: all that is moved is moved by the device.
    let (device, region) =
        device::<Lane>(socket, Settings { copy: 0, ..settings() }).map_err(|e| e.to_string())?;
    let device: Device<VhostUser, Lane> = device;
    let free = Arc::new(Mutex::new(Vec::new()));
    for _ in 0..DEPTH {
        let buffer = region.buffer(LENGTH).ok_or("the region is too small")?;
        let lane = Lane { buffer, write, block: 0, free: Arc::clone(&free) };
        free.lock().unwrap_or_else(PoisonError::into_inner).push(Ok(lane));
    }
    let mut random = fastrand::Rng::with_seed(1);
    let (start, mut done) = (Instant::now(), 0_u32);
    while start.elapsed() < ROUND {
        let ready = std::mem::take(&mut *free.lock().unwrap_or_else(PoisonError::into_inner));
        done += ready.len() as u32;
        for lane in ready {
            device.start(Lane { block: block(&mut random), ..lane? });
        }
        if !device.transport().wait(0, PATIENCE) {
            return Err("the device is silent".into());
        }
        device.interrupt(0);
    }
    let speed = f64::from(done - DEPTH as u32) / start.elapsed().as_secs_f64();
    device.stop();
    Ok(speed)
}

fn rival(socket: &Path, write: bool) -> Result<f64, String> {
    let told = |error: std::io::Error| error.to_string();
    let features = VirtioFeatureFlags::VERSION_1.bits()
        | VirtioFeatureFlags::RING_EVENT_IDX.bits()
        | VirtioFeatureFlags::RING_INDIRECT_DESC.bits()
        | VirtioBlkFeatureFlags::MQ.bits()
        | VirtioBlkFeatureFlags::FLUSH.bits();
    let path = socket.to_str().ok_or("a path that is no text")?;
    let mut transport: Box<VirtioBlkTransport> = Box::new(RivalTransport::new(path, features).map_err(told)?);
    let region = sluice_vhost_user::Region::new(1 << 20).map_err(told)?;
    let (start, length, file) = region.mapping();
    transport.map_mem_region(start, length, file, 0).map_err(told)?;
    let mut buffers = Vec::new();
    for _ in 0..DEPTH {
        buffers.push(region.buffer(LENGTH).ok_or("the region is too small")?);
    }
    let mut queues = VirtioBlkQueue::<usize>::setup_queues(&mut *transport, 1, 128).map_err(told)?;
    let queue = queues.first_mut().ok_or("no queue")?;
    let (notifier, event) = (transport.get_submission_notifier(0), transport.get_completion_fd(0));
    let mut random = fastrand::Rng::with_seed(1);
    let mut free: Vec<usize> = (0..DEPTH).collect();
    let (start, mut done) = (Instant::now(), 0_u32);
    while start.elapsed() < ROUND {
        for lane in free.drain(..) {
            let (offset, bytes) = (block(&mut random) * 512, buffers[lane].bytes());
            let queued =
                if write { queue.write(offset, bytes, lane) } else { queue.read(offset, bytes, lane) };
            queued.map_err(told)?;
        }
        if queue.avail_notif_needed() {
            notifier.notify().map_err(told)?;
        }
        // As libblkio waits: no events but when there is nothing to do.
        queue.set_used_notif_enabled(true);
        if !queue.completions().has_next() {
            let fd = event.as_fd();
            poll(&mut [PollFd::new(&fd, PollFlags::IN)], None).map_err(|error| error.to_string())?;
            event.read().map_err(told)?;
        }
        queue.set_used_notif_enabled(false);
        for completion in queue.completions() {
            if completion.ret != 0 {
                return Err(format!("libblkio's driver: {}", completion.ret));
            }
            free.push(completion.context);
            done += 1;
        }
    }
    Ok(f64::from(done) / start.elapsed().as_secs_f64())
}

fn hosted(socket: &Path, write: bool) -> Result<f64, String> {
    let (device, region) = device::<Srb>(socket, settings()).map_err(|error| error.to_string())?;
    let miniport = Arc::new(VirtioBlk::new(device, SrbKind::Extended));
    let setup = Setup { requests: DEPTH, executor: Executor::Inline, ..Setup::default() };
    let disk = Disk::new(Arc::clone(&miniport), 512, Chain::new(), &setup);
    let (device, direction) = (miniport.device(), if write { Direction::WRITE } else { Direction::READ });
    let mut buffers = Vec::new();
    for _ in 0..DEPTH {
        buffers.push(region.buffer(LENGTH).ok_or("the region is too small")?);
    }
    let mut random = fastrand::Rng::with_seed(1);
    let mut start = |buffer: &mut Buffer| {
        let bytes = buffer.bytes();
        let memory = Segment { address: bytes.as_mut_ptr(), length: bytes.len() };
        // SAFETY: the buffers outlive the tickets, and are not touched.
        unsafe { disk.start_at(direction, block(&mut random), memory) }
    };
    let mut under_way: Vec<_> = buffers.iter_mut().map(&mut start).collect();
    let (begun, mut done) = (Instant::now(), 0_u32);
    while begun.elapsed() < ROUND {
        if !device.transport().wait(0, PATIENCE) {
            return Err("the device is silent".into());
        }
        device.interrupt(0);
        disk.run_until_idle();
        for (ticket, buffer) in under_way.iter_mut().zip(&mut buffers) {
            let Some(answer) = ticket.answer() else { continue };
            if answer.transferred != LENGTH as u32 {
                return Err(format!("{answer:?}"));
            }
            done += 1;
            *ticket = start(buffer);
        }
    }
    let speed = f64::from(done) / begun.elapsed().as_secs_f64();
    while under_way.iter().any(|ticket| ticket.answer().is_none()) {
        device.interrupt(0);
        disk.run_until_idle();
    }
    drop(under_way);
    device.stop();
    Ok(speed)
}
