//! The thread that plays interrupts and clock: it waits for what the device signals and tells the miniport.

use std::{
    os::fd::{AsRawFd, BorrowedFd},
    sync::{
        Arc, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sluice_miniport_virtio_blk::{Device, request::Request};
use vmm_sys_util::eventfd::EventFd;

use crate::transport::VhostUser;

/// Between two ticks of the miniport's clock.
const TICK: Duration = Duration::from_secs(1);
/// Between two attempts to reach a device that has gone.
const AGAIN: Duration = Duration::from_millis(50);

/// The thread. Ends when dropped.
pub struct Events<D: AsDevice> {
    owner: Arc<D>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// Whoever has a device.
pub trait AsDevice: Send + Sync + 'static {
    /// What it is asked by.
    type Request: Request + 'static;
    /// The device.
    fn device(&self) -> &Device<VhostUser, Self::Request>;
}

impl<R: Request + 'static> AsDevice for Device<VhostUser, R> {
    type Request = R;
    fn device(&self) -> &Device<VhostUser, R> {
        self
    }
}

impl<D: AsDevice> Events<D> {
    /// Serves the device of `owner`; `after` is called when something has happened.
    pub fn start(owner: Arc<D>, after: impl Fn() + Send + 'static) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let (seen, served) = (Arc::clone(&stop), Arc::clone(&owner));
        let thread = thread::spawn(move || {
            let mut ticked = Instant::now();
            while !seen.load(Ordering::Acquire) {
                turn(served.device(), &mut ticked);
                after();
            }
        });
        Self { owner, stop, thread: Some(thread) }
    }
}

impl<D: AsDevice> Drop for Events<D> {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Release);
        let _ = self.owner.device().transport().wake().write(1);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join(); // it does not panic
        }
    }
}

/// Waits for one or more events, and tells the device of them.
fn turn<R: Request>(device: &Device<VhostUser, R>, ticked: &mut Instant) {
    let transport = device.transport();
    let (socket, backend) = transport.channels();
    let backend_guard =
        backend.as_ref().map(|channel| channel.lock().unwrap_or_else(PoisonError::into_inner));
    let queues = usize::from(device.queues());
    let mut waited: Vec<PollFd<'_>> = Vec::with_capacity(queues + 3);
    waited.push(event(transport.wake()));
    waited.extend(transport.calls().iter().take(queues).map(event));
    if let Some(socket) = &socket {
        waited.push(PollFd::new(socket, PollFlags::RDHUP));
    }
    if let Some(backend) = &backend_guard {
        waited.push(PollFd::from_borrowed_fd(borrowed(&**backend), PollFlags::IN));
    }
    let patience = if device.is_running() { TICK } else { AGAIN };
    let timeout = Timespec { tv_sec: patience.as_secs() as i64, tv_nsec: i64::from(patience.subsec_nanos()) };
    let _ = poll(&mut waited, Some(&timeout)); // interrupted: nothing is marked
    let marked: Vec<bool> = waited.iter().map(|one| !one.revents().is_empty()).collect();
    let hung = |index: usize| marked.get(index).is_some_and(|marked| *marked);
    if hung(0) {
        let _ = transport.wake().read();
    }
    for queue in (0..queues).filter(|queue| hung(1 + queue)) {
        let _ = transport.calls()[queue].read();
        device.interrupt(queue as u16);
    }
    let spoke = socket.is_some() && hung(2 + queues);
    drop(waited);
    if let (true, Some(mut channel)) = (spoke, backend_guard)
        && channel.handle_request().is_ok()
    {
        drop(channel);
        device.configuration_changed();
    }
    if socket.is_some() && hung(1 + queues) {
        transport.hung_up();
        let _ = device.reset(); // tried again below
    } else if !device.is_running() && socket.is_none() {
        let _ = device.reset();
    }
    if ticked.elapsed() >= TICK {
        *ticked = Instant::now();
        device.tick();
    }
}

fn borrowed(channel: &impl AsRawFd) -> BorrowedFd<'_> {
    // SAFETY: it is open for as long as its owner, who is borrowed.
    unsafe { BorrowedFd::borrow_raw(channel.as_raw_fd()) }
}

pub(crate) fn event(event: &EventFd) -> PollFd<'_> {
    PollFd::from_borrowed_fd(borrowed(event), PollFlags::IN)
}
