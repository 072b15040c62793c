//! Who carries out what a mapped volume's engine asks of its image: a few threads, or the kernel by way of io_uring.
//!
//! Threads unless asked otherwise. With the image in the page cache io_uring takes less processor time, because the engine's
//! thread has what it asked for when the call returns (random reads of 4 KiB: 4.9 s/GiB instead of 7.8). But where that was
//! measured it was never faster, and read at random from the disk at half the speed or less.

use std::{
    io,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use crossbeam_channel::{Receiver, Sender, bounded};
use sluice_mapped::{
    io::{Buffer, DeviceError, DeviceIo, DeviceOp, IoId},
    limits::IOS,
};

use crate::{image::Image, ring::Ring, stages::Stages};

/// Threads that do I/O on the image, and so I/Os at once.
pub(crate) const WORKERS: usize = 8;

/// What may be asked for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) enum How {
    #[default]
    Threads,
    Uring,
}

impl FromStr for How {
    type Err = ();

    fn from_str(word: &str) -> Result<Self, ()> {
        match word {
            "uring" => Ok(Self::Uring),
            "threads" => Ok(Self::Threads),
            _ => Err(()),
        }
    }
}

/// Takes what has ended; false if nobody wants to know any more.
pub(crate) trait Ended:
    Fn(IoId, Result<(), DeviceError>, Option<Buffer>) -> bool + Send + 'static
{
}
impl<F: Fn(IoId, Result<(), DeviceError>, Option<Buffer>) -> bool + Send + 'static> Ended for F {}

/// See above.
pub(crate) enum Carrier {
    Ring(Box<Ring>),
    Threads(Sender<DeviceIo>),
}

impl Carrier {
    /// Sets it up.
    pub(crate) fn start(
        image: Arc<Image>,
        how: How,
        stages: Arc<Stages>,
        ended: impl Ended + Clone,
    ) -> io::Result<Self> {
        let image = Watched { image, stages, said: AtomicBool::new(false) };
        if matches!(how, How::Uring) {
            let ring = Ring::new(image).map_err(|error| {
                io::Error::new(error.kind(), format!("io_uring cannot be used ({error}): leave --io out"))
            })?;
            return Ok(Self::Ring(Box::new(ring)));
        }
        let image = Arc::new(image);
        let (work, tasks) = bounded(IOS);
        for number in 0..WORKERS {
            let (image, tasks, ended) = (Arc::clone(&image), tasks.clone(), ended.clone());
            thread::Builder::new()
                .name(format!("image {number}"))
                .spawn(move || work_off(&image, &tasks, &ended))?;
        }
        Ok(Self::Threads(work))
    }

    /// Asks for something; [`Self::begin`] follows.
    pub(crate) fn ask(&mut self, io: DeviceIo) {
        match self {
            Self::Ring(ring) => ring.ask(io),
            Self::Threads(work) => {
                // The threads are there as long as this is.
                let _ = work.send(io);
            }
        }
    }

    /// Everything asked for up to here is begun.
    pub(crate) fn begin(&mut self) {
        if let Self::Ring(ring) = self {
            ring.begin();
        }
    }
}

/// A thread's life: until nothing is asked for any more.
fn work_off(image: &Watched, tasks: &Receiver<DeviceIo>, ended: &impl Ended) {
    for DeviceIo { id, op } in tasks {
        let (stage, bytes) = image.stages.of(&op);
        let (result, buffer) = stage.time(bytes, || image.carry_out(op));
        if !ended(id, result, buffer) {
            return;
        }
    }
}

/// An image, and whether people have been told that it fails.
pub(crate) struct Watched {
    pub(crate) image: Arc<Image>,
    pub(crate) stages: Arc<Stages>,
    said: AtomicBool,
}

impl Watched {
    /// Does what is asked, and waits for its end.
    fn carry_out(&self, op: DeviceOp) -> (Result<(), DeviceError>, Option<Buffer>) {
        match op {
            DeviceOp::Read { offset, length, mut buffer } => {
                let result = self.image.read(offset, &mut buffer[..length]);
                (result.map_err(|_| DeviceError), Some(buffer))
            }
            DeviceOp::Write { offset, length, data } => {
                (self.judge(self.image.write(offset, &data[..length])), None)
            }
            DeviceOp::Flush => (self.judge(self.image.flush_for_engine()), None),
            DeviceOp::Discard { offset, length } => {
                (self.image.discard(offset, length).map_err(|_| DeviceError), None)
            }
        }
    }

    /// After a write or a flush. The engine is told no reasons, and clients hear of nothing but an error: so the reason is said
    /// here, once each time that it begins to fail.
    pub(crate) fn judge(&self, result: io::Result<()>) -> Result<(), DeviceError> {
        match result {
            Ok(()) => {
                if self.said.load(Ordering::Relaxed) {
                    self.said.store(false, Ordering::Relaxed);
                }
                Ok(())
            }
            Err(error) => {
                if !self.said.swap(true, Ordering::Relaxed) {
                    let then = self.image.after_failure();
                    eprintln!(
                        "sluice: writing failed: {error}. {then} Everything that was flushed is there."
                    );
                }
                Err(DeviceError)
            }
        }
    }
}
