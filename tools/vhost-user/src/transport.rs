//! The front end of vhost-user, as a transport of the miniport. The protocol itself is rust-vmm's `vhost` crate.
//!
//! There is no register for the device status, so it is kept here, and a reset is a new connection: a back end answers it
//! when it has let go of the old one's memory.

use std::{
    cell::Cell,
    io,
    net::Shutdown,
    os::{fd::AsRawFd, unix::net::UnixStream},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{RecvTimeoutError, channel},
    },
    thread,
    time::Duration,
};

use rustix::{
    event::{Timespec, poll},
    net::sockopt::socket_peercred,
};
use sluice_miniport_virtio_blk::{
    pieces::Pieces,
    spec::CONFIG,
    transport::{Continuity, Failure, Rings, Transport},
};
use vhost::{
    VhostBackend, VhostUserMemoryRegionInfo, VringConfigData,
    vhost_user::{
        Frontend, FrontendReqHandler, VhostUserFrontend, VhostUserFrontendReqHandlerMut,
        VhostUserProtocolFeatures,
        message::{VhostUserConfigFlags, VhostUserHeaderFlag, VhostUserVirtioFeatures},
    },
};
use vmm_sys_util::eventfd::{EFD_CLOEXEC, EFD_NONBLOCK, EventFd};

use crate::{events::event, region::Region};

/// Most queues that are used.
const QUEUES: u16 = 16;
/// What the back end takes; the protocol does not say. Back ends in the field take 1024.
const SIZE: u16 = 1024;
/// How long a back end may take for an answer. A new connection waits for the old one's requests.
const PATIENCE: Duration = Duration::from_secs(10);

/// What the device tells us by itself.
type Backend = FrontendReqHandler<Mutex<Changes>>;

/// Counts changes of the configuration.
#[derive(Debug, Default)]
pub(crate) struct Changes(u64);

impl VhostUserFrontendReqHandlerMut for Changes {
    fn handle_config_change(&mut self) -> io::Result<u64> {
        self.0 += 1;
        Ok(0)
    }
}

/// A device of another process.
pub struct VhostUser {
    path: PathBuf,
    region: Arc<Region>,
    state: Mutex<State>,
    kicks: Vec<EventFd>,
    calls: Vec<EventFd>,
    /// Tells the events' thread that the connection is another one.
    wake: EventFd,
}

#[derive(Default)]
struct State {
    connection: Option<Connection>,
    /// The process behind the last connection.
    process: Option<i32>,
    /// It hung up.
    gone: bool,
    status: u8,
    features: u64,
    queues: u64,
    /// Queues that have been set up.
    enabled: u16,
}

struct Connection {
    frontend: Frontend,
    /// The same socket, to see it hang up.
    socket: Arc<UnixStream>,
    backend: Option<Arc<Mutex<Backend>>>,
}

fn gone<E>(_: E) -> Failure {
    Failure::Gone
}

impl VhostUser {
    /// The device that listens at `path`, reaching `region`. Connects when it is reset for the first time.
    ///
    /// # Errors
    /// The system's.
    pub fn new(path: &Path, region: Arc<Region>) -> io::Result<Self> {
        let event = || EventFd::new(EFD_NONBLOCK | EFD_CLOEXEC);
        let events = || (0..QUEUES).map(|_| event()).collect::<io::Result<Vec<_>>>();
        Ok(Self {
            path: path.to_owned(),
            region,
            state: Mutex::default(),
            kicks: events()?,
            calls: events()?,
            wake: event()?,
        })
    }

    /// Waits for a queue's interrupt, for whoever serves it without [`crate::Events`]. Answers whether there was one.
    #[must_use]
    pub fn wait(&self, queue: u16, patience: Duration) -> bool {
        let Some(call) = self.calls.get(usize::from(queue)) else { return false };
        let timeout =
            Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
        let _ = poll(&mut [event(call)], Some(&timeout)); // whether there is one, reading says
        call.read().is_ok()
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn calls(&self) -> &[EventFd] {
        &self.calls
    }

    pub(crate) fn wake(&self) -> &EventFd {
        &self.wake
    }

    /// The connection's socket, and the channel on which the device speaks by itself.
    pub(crate) fn channels(&self) -> (Option<Arc<UnixStream>>, Option<Arc<Mutex<Backend>>>) {
        let state = self.state();
        let connection = state.connection.as_ref();
        (
            connection.map(|connection| Arc::clone(&connection.socket)),
            connection.and_then(|connection| connection.backend.clone()),
        )
    }

    /// The device has hung up.
    pub(crate) fn hung_up(&self) {
        let mut state = self.state();
        state.gone = true;
        state.connection = None;
    }

    fn connect(&self) -> Result<(Connection, State), Failure> {
        let socket = UnixStream::connect(&self.path).map_err(gone)?;
        let process = socket_peercred(&socket).map_err(gone)?.pid.as_raw_nonzero().get();
        let copy = Arc::new(socket.try_clone().map_err(gone)?);
        let frontend = Frontend::from_stream(socket, u64::from(QUEUES));
        let (frontend, backend, state) = patiently(&copy, || greet(frontend))?;
        let connection = Connection { frontend, socket: copy, backend };
        Ok((connection, State { process: Some(process), ..state }))
    }

    fn with<V>(&self, act: impl FnOnce(&mut Frontend) -> Result<V, vhost::Error>) -> Result<V, Failure> {
        let mut state = self.state();
        let connection = state.connection.as_mut().ok_or(Failure::Gone)?;
        let frontend = &mut connection.frontend;
        patiently(&connection.socket, || act(frontend)).map_err(gone)
    }
}

/// Does something that waits for the back end, and hangs up on one that takes too long: the protocol's crate goes on
/// waiting when a time limit of the socket's own has passed.
fn patiently<V>(socket: &UnixStream, act: impl FnOnce() -> V) -> V {
    let (done, wait) = channel::<()>();
    thread::scope(|scope| {
        scope.spawn(move || {
            if wait.recv_timeout(PATIENCE) == Err(RecvTimeoutError::Timeout) {
                let _ = socket.shutdown(Shutdown::Both); // whoever waits hears of it
            }
        });
        let value = act();
        drop(done);
        value
    })
}

type Greeted = (Frontend, Option<Arc<Mutex<Backend>>>, State);

/// What is said before a device is set up.
fn greet(mut frontend: Frontend) -> Result<Greeted, Failure> {
    let offered = frontend.get_features().map_err(gone)?;
    frontend.set_owner().map_err(gone)?;
    let protocol = VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
    if offered & protocol == 0 {
        return Err(Failure::Legacy); // nobody tells us the capacity
    }
    let wanted = VhostUserProtocolFeatures::MQ
        | VhostUserProtocolFeatures::CONFIG
        | VhostUserProtocolFeatures::REPLY_ACK
        | VhostUserProtocolFeatures::BACKEND_REQ;
    let has = wanted & frontend.get_protocol_features().map_err(gone)?;
    frontend.set_protocol_features(has).map_err(gone)?;
    if has.contains(VhostUserProtocolFeatures::REPLY_ACK) {
        frontend.set_hdr_flags(VhostUserHeaderFlag::NEED_REPLY);
    }
    let multiple = has.contains(VhostUserProtocolFeatures::MQ);
    let queues = if multiple { frontend.get_queue_num().map_err(gone)? } else { 1 };
    let mut backend = None;
    if has.contains(VhostUserProtocolFeatures::BACKEND_REQ) {
        let mut handler = Backend::new(Arc::default()).map_err(gone)?;
        handler.set_reply_ack_flag(has.contains(VhostUserProtocolFeatures::REPLY_ACK));
        frontend.set_backend_request_fd(&handler.get_tx_raw_fd()).map_err(gone)?;
        backend = Some(Arc::new(Mutex::new(handler)));
    }
    let state = State { features: offered, queues, ..State::default() };
    Ok((frontend, backend, state))
}

impl Transport for VhostUser {
    /// If this fails, a back end that does not answer may still have the memory. It is not used again before a reset has
    /// succeeded; payloads outside the region were never the back end's.
    fn reset(&self) -> Result<Continuity, Failure> {
        let (old, enabled, before) = {
            let mut state = self.state();
            let enabled = std::mem::take(&mut state.enabled);
            (state.connection.take(), enabled, (state.process, state.gone))
        };
        if let Some(old) = old {
            // Each queue is stopped first: QEMU 10.0 aborts when the line is cut while it takes requests.
            patiently(&old.socket, || {
                let stopped = |queue: &u16| old.frontend.get_vring_base(usize::from(*queue)).is_ok();
                (0..enabled).take_while(stopped).count()
            });
        }
        let result = self.connect();
        let mut state = self.state();
        let result = result.map(|(connection, new)| {
            let known = matches!(before, (Some(process), false) if Some(process) == new.process);
            *state = State { connection: Some(connection), ..new };
            if known { Continuity::Kept } else { Continuity::Broken }
        });
        drop(state);
        let _ = self.wake.write(1); // it counts to 2^64
        result
    }

    fn status(&self) -> u8 {
        self.state().status
    }

    fn set_status(&self, status: u8) {
        self.state().status = status;
    }

    fn features(&self) -> Result<u64, Failure> {
        Ok(self.state().features & !VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits())
    }

    fn accept(&self, features: u64) -> Result<(), Failure> {
        let all = features | VhostUserVirtioFeatures::PROTOCOL_FEATURES.bits();
        let memory = VhostUserMemoryRegionInfo {
            guest_phys_addr: Region::DEVICE,
            memory_size: self.region.length(),
            userspace_addr: self
                .region
                .ours(sluice_miniport_virtio_blk::memory::DeviceAddress(Region::DEVICE)),
            mmap_offset: 0,
            mmap_handle: self.region.file().as_raw_fd(),
        };
        self.with(|frontend| {
            frontend.set_features(all)?;
            frontend.set_mem_table(&[memory]).map(drop)
        })
    }

    fn configuration(&self, into: &mut [u8; CONFIG]) -> Result<(), Failure> {
        let flags = VhostUserConfigFlags::WRITABLE;
        let (_, bytes) = self.with(|frontend| frontend.get_config(0, CONFIG as u32, flags, &[0; CONFIG]))?;
        *into = bytes.try_into().map_err(gone)?;
        Ok(())
    }

    /// The configuration comes whole, in one message.
    fn generation(&self) -> u32 {
        0
    }

    fn queue_size(&self, queue: u16) -> u16 {
        if u64::from(queue) < self.state().queues.min(u64::from(QUEUES)) { SIZE } else { 0 }
    }

    fn enable(&self, queue: u16, rings: &Rings) -> Result<(), Failure> {
        let index = usize::from(queue);
        let (Some(kick), Some(call)) = (self.kicks.get(index), self.calls.get(index)) else {
            return Err(Failure::Queues);
        };
        let addresses = VringConfigData {
            queue_max_size: SIZE,
            queue_size: rings.size,
            flags: 0,
            desc_table_addr: self.region.ours(rings.descriptors.device()),
            used_ring_addr: self.region.ours(rings.device.device()),
            avail_ring_addr: self.region.ours(rings.driver.device()),
            log_addr: None,
        };
        // Both wrap counters begin at one.
        let base = if rings.packed { 1 << 15 } else { 0 };
        let _ = kick.read(); // a notification from before the reset
        self.with(|frontend| {
            frontend.set_vring_num(index, rings.size)?;
            frontend.set_vring_base(index, base)?;
            frontend.set_vring_addr(index, &addresses)?;
            frontend.set_vring_call(index, call)?;
            frontend.set_vring_kick(index, kick)?;
            frontend.set_vring_enable(index, true)
        })?;
        self.state().enabled = queue + 1;
        Ok(())
    }

    fn notify(&self, queue: u16) {
        if let Some(kick) = self.kicks.get(usize::from(queue)) {
            let _ = kick.write(1);
        }
    }

    /// Threads in the order of their first request.
    fn processor(&self) -> usize {
        static NEXT: AtomicUsize = AtomicUsize::new(0);
        thread_local!(static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) });
        NUMBER.with(|number| {
            if number.get() == usize::MAX {
                number.set(NEXT.fetch_add(1, Relaxed));
            }
            number.get()
        })
    }

    fn reach(&self, start: *const u8, length: usize, pieces: &mut Pieces<'_>) -> bool {
        let device = self.region.device(start as usize, length);
        device.is_some_and(|device| pieces.add(device, length as u64))
    }
}
