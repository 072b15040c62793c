//! io_uring: one thread hands the kernel what the engine asks for and has to be waited for, as much at once as there is. When it
//! has nothing else to do it waits for the kernel, and for the bell, which says that there is more.

use std::{
    collections::VecDeque,
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Instant,
};

use io_uring::{IoUring, Probe, opcode, squeue, types::Fd, types::FsyncFlags};
use rustix::event::{EventfdFlags, eventfd};
use sluice_mapped::{
    io::{Buffer, DeviceError, DeviceIo, DeviceOp, IoId},
    limits::IOS,
};

use crate::carry::Watched;

/// Room for everything that can be under way, and for waiting for the bell.
const ENTRIES: u32 = (IOS as u32 + 1).next_power_of_two();
/// The name of that wait.
const BELL: u64 = u64::MAX;

/// Wakes the thread that waits for the ring.
pub(crate) struct Bell {
    descriptor: OwnedFd,
    /// Whether anybody must.
    asleep: AtomicBool,
}

impl Bell {
    /// After there is something for it to do.
    pub(crate) fn ring(&self) {
        if self.asleep.swap(false, Ordering::SeqCst) {
            // The counter would have to be full for this to fail, and then it wakes, too.
            let _ = rustix::io::write(&self.descriptor, &1u64.to_ne_bytes());
        }
    }
}

/// An I/O of which the kernel knows.
struct UnderWay {
    id: IoId,
    op: DeviceOp,
    /// Bytes that have been read or written: it may be fewer at a time than asked for.
    done: usize,
    begun: Instant,
}

/// Everything of which the kernel knows. It owns the memory that the kernel reads and writes, and lets go of it only when the
/// kernel has said that it is done; what it has not said that of when the ring ends is never freed.
#[derive(Default)]
struct Lent {
    ios: Vec<Option<UnderWay>>,
    free: Vec<usize>,
    /// What is read from the bell.
    bell: Box<[u8; 8]>,
}

impl Lent {
    fn put(&mut self, io: UnderWay) -> usize {
        let place = self.free.pop().unwrap_or_else(|| {
            self.ios.push(None);
            self.ios.len() - 1
        });
        self.ios[place] = Some(io);
        place
    }

    /// What the kernel has ended.
    fn take(&mut self, place: usize) -> Option<UnderWay> {
        let io = self.ios.get_mut(place)?.take()?;
        self.free.push(place);
        Some(io)
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.ios.drain(..).flatten().for_each(std::mem::forget);
        std::mem::forget(std::mem::take(&mut self.bell));
    }
}

/// See above.
pub(crate) struct Ring {
    ring: IoUring,
    lent: Lent,
    image: Watched,
    descriptor: RawFd,
    bell: Arc<Bell>,
    listening: bool,
    /// Flushes, of which the kernel knows the first: an error is told once, and the next must not overtake it.
    flushes: VecDeque<usize>,
}

impl Ring {
    /// Sets it up for the thread that enables it; an error if this kernel cannot, or does not let us.
    pub(crate) fn new(image: Watched) -> io::Result<Self> {
        let unsupported = |what| io::Error::new(io::ErrorKind::Unsupported, what);
        let file = image.image.writable_file();
        let file = file.ok_or_else(|| unsupported("it is for files and devices that are written to"))?;
        let descriptor = file.as_raw_fd();
        let ring = set_up()?;
        let mut probe = Probe::new();
        ring.submitter().register_probe(&mut probe)?;
        let needed = [opcode::Read::CODE, opcode::Write::CODE, opcode::Fsync::CODE, opcode::Fallocate::CODE];
        if !needed.iter().all(|&code| probe.is_supported(code)) {
            return Err(unsupported("the kernel is too old"));
        }
        let bell = Bell { descriptor: eventfd(0, EventfdFlags::CLOEXEC)?, asleep: AtomicBool::new(false) };
        let bell = Arc::new(bell);
        Ok(Self {
            ring,
            lent: Lent::default(),
            image,
            descriptor,
            bell,
            listening: false,
            flushes: VecDeque::new(),
        })
    }

    pub(crate) fn bell(&self) -> Arc<Bell> {
        Arc::clone(&self.bell)
    }

    /// From now on it is this thread's.
    pub(crate) fn enable(&self) {
        if let Err(error) = self.ring.submitter().register_enable_rings() {
            fail(&error);
        }
    }

    /// Asks for something; [`Self::begin`] follows.
    pub(crate) fn ask(&mut self, io: DeviceIo) {
        let flush = matches!(io.op, DeviceOp::Flush);
        let place = self.lent.put(UnderWay { id: io.id, op: io.op, done: 0, begun: Instant::now() });
        if flush {
            self.flushes.push_back(place);
        }
        if !flush || self.flushes.len() == 1 {
            self.push(place);
        }
    }

    /// Hands the kernel everything asked for up to here.
    pub(crate) fn begin(&mut self) {
        self.submit(0);
    }

    /// Waits until something has ended, or the bell rings. Not if there is something to do already, which `idle` denies.
    pub(crate) fn wait(&mut self, idle: impl Fn() -> bool) {
        if !self.listening {
            self.listen();
        }
        self.bell.asleep.store(true, Ordering::SeqCst);
        // Who came before that has not rung.
        if idle() {
            self.submit(1);
        } else if self.ring.submission().taskrun() {
            // Something has ended, and the kernel would tell it when we wait.
            self.submit(0);
        }
        self.bell.asleep.store(false, Ordering::SeqCst);
    }

    fn submit(&mut self, wait: usize) {
        match self.ring.submit_and_wait(wait) {
            Ok(_) => {}
            // The kernel is short of memory, or wants to be rid of what has ended first: there is a next time.
            Err(error) if matches!(error.raw_os_error(), Some(libc::EINTR | libc::EAGAIN | libc::EBUSY)) => {}
            Err(error) => fail(&error),
        }
    }

    /// Hears the bell from now on.
    fn listen(&mut self) {
        self.listening = true;
        let descriptor = Fd(self.bell.descriptor.as_raw_fd());
        let entry = opcode::Read::new(descriptor, self.lent.bell.as_mut_ptr(), 8).build().user_data(BELL);
        self.enter(&entry);
    }

    /// Hands the kernel what is left of an I/O.
    fn push(&mut self, place: usize) {
        let descriptor = Fd(self.descriptor);
        let Some(UnderWay { op, done, .. }) = self.lent.ios[place].as_mut() else { return };
        let done = *done;
        let entry = match op {
            DeviceOp::Read { offset, length, buffer } => {
                let rest = &mut buffer[done..*length];
                opcode::Read::new(descriptor, rest.as_mut_ptr(), rest.len() as u32)
                    .offset(*offset + done as u64)
                    .build()
            }
            DeviceOp::Write { offset, length, data } => {
                let rest = &data[done..*length];
                opcode::Write::new(descriptor, rest.as_ptr(), rest.len() as u32)
                    .offset(*offset + done as u64)
                    .build()
            }
            DeviceOp::Flush => opcode::Fsync::new(descriptor).flags(FsyncFlags::DATASYNC).build(),
            DeviceOp::Discard { offset, length } => opcode::Fallocate::new(descriptor, *length)
                .offset(*offset)
                .mode(libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE)
                .build(),
        };
        self.enter(&entry.user_data(place as u64));
    }

    fn enter(&mut self, entry: &squeue::Entry) {
        // SAFETY: what it points to is in `self.lent`, on the heap, until its completion has come. The image's descriptor and
        // the bell's are open as long as `self` is.
        while unsafe { self.ring.submission().push(entry) }.is_err() {
            // Full; there is room for everything that can be under way, once the kernel has taken what is there.
            let _ = self.ring.submit();
        }
    }

    /// What has ended, one after the other.
    pub(crate) fn next_ended(&mut self) -> Option<(IoId, Result<(), DeviceError>, Option<Buffer>)> {
        loop {
            let completion = { self.ring.completion().next() }?;
            if completion.user_data() == BELL {
                self.listening = false;
                continue;
            }
            let place = completion.user_data() as usize;
            let Some(io) = self.lent.ios.get_mut(place).and_then(Option::as_mut) else { continue };
            let Some(result) = judge(io, completion.result()) else {
                self.push(place);
                self.begin();
                continue;
            };
            let Some(UnderWay { id, op, begun, .. }) = self.lent.take(place) else { continue };
            let (stage, bytes) = self.image.stages.of(&op);
            stage.add(bytes, begun.elapsed());
            return Some(match op {
                DeviceOp::Read { buffer, .. } => (id, result.map_err(|_| DeviceError), Some(buffer)),
                DeviceOp::Discard { .. } => (id, result.map_err(|_| DeviceError), None),
                DeviceOp::Flush => {
                    self.flushes.pop_front();
                    if let Some(&next) = self.flushes.front() {
                        self.push(next);
                        self.begin();
                    }
                    let result = self.image.image.flushed_for_engine(result);
                    (id, self.image.judge(result), None)
                }
                DeviceOp::Write { data, .. } => {
                    // Before its end is told: the engine fills the memory again.
                    drop(data);
                    (id, self.image.judge(result), None)
                }
            });
        }
    }
}

/// Nobody can say what has been done. As after a crash, what was flushed is there.
fn fail(error: &io::Error) -> ! {
    eprintln!("sluice: io_uring: {error}");
    std::process::abort();
}

/// For one thread, which looks for what has ended only when it waits: nothing interrupts it (Linux 6.1). Older kernels know
/// no such thing.
fn set_up() -> io::Result<IoUring> {
    let mut quiet = IoUring::builder();
    quiet.setup_single_issuer().setup_defer_taskrun().setup_taskrun_flag().setup_r_disabled();
    quiet.build(ENTRIES).or_else(|_| IoUring::builder().setup_r_disabled().build(ENTRIES))
}

/// How an I/O has ended; `None` if something of it is left.
fn judge(io: &mut UnderWay, result: i32) -> Option<io::Result<()>> {
    let Ok(count) = usize::try_from(result) else {
        let again = matches!(-result, libc::EINTR | libc::EAGAIN);
        return (!again).then(|| Err(io::Error::from_raw_os_error(-result)));
    };
    let (length, none) = match &io.op {
        DeviceOp::Read { length, .. } => (*length, io::ErrorKind::UnexpectedEof),
        DeviceOp::Write { length, .. } => (*length, io::ErrorKind::WriteZero),
        DeviceOp::Flush | DeviceOp::Discard { .. } => return Some(Ok(())),
    };
    io.done += count;
    match count {
        _ if io.done >= length => Some(Ok(())),
        0 => Some(Err(none.into())),
        _ => None,
    }
}
