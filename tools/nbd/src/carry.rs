//! Who carries out what has to be waited for: a few threads, or the kernel by way of io_uring.
//!
//! Threads unless asked otherwise. Where that was measured, io_uring was never faster.

use std::{
    io,
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
};

use sluice_mapped::io::{Buffer, DeviceError, DeviceIo, DeviceOp};

use crate::{
    host::Message,
    image::Image,
    ring::{Bell, Ring},
    soon::Soon,
    stages::Stages,
    tasks::Tasks,
    turns::Turns,
};

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

/// The way to them. They end when it is dropped.
pub(crate) struct Carrier {
    tasks: Arc<Tasks>,
    image: Arc<Image>,
    /// Wakes a thread that waits for the kernel.
    bell: Option<Arc<Bell>>,
    soon: Arc<Soon>,
}

impl Carrier {
    /// Has [`Message::WriteOut`] come in a while.
    pub(crate) fn write_out_soon(&self) {
        self.soon.wind();
    }

    /// Asks for something.
    pub(crate) fn ask(&self, io: DeviceIo) {
        let short = self.image.is_short(&io.op);
        self.tasks.put(io, short);
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }
}

impl Drop for Carrier {
    fn drop(&mut self) {
        self.tasks.end();
        self.soon.end();
        if let Some(bell) = &self.bell {
            bell.ring();
        }
    }
}

/// Starts them, and says so to the host.
pub(crate) fn start(turns: &Arc<Turns>, how: How) -> io::Result<Vec<JoinHandle<()>>> {
    let image = Watched {
        image: Arc::clone(turns.image()),
        stages: Arc::clone(turns.stages()),
        said: AtomicBool::new(false),
    };
    let tasks = Arc::<Tasks>::default();
    let (mut threads, bell) = match how {
        How::Uring => {
            let ring = Ring::new(image).map_err(|error| {
                io::Error::new(error.kind(), format!("io_uring cannot be used ({error}): leave --io out"))
            })?;
            let (bell, tasks, turns) = (ring.bell(), Arc::clone(&tasks), Arc::clone(turns));
            let live = move || with_ring(ring, &tasks, &turns);
            (vec![thread::Builder::new().name("ring".into()).spawn(live)?], Some(bell))
        }
        How::Threads => {
            let image = Arc::new(image);
            let threads = (0..WORKERS).map(|number| {
                let (image, tasks, turns) = (Arc::clone(&image), Arc::clone(&tasks), Arc::clone(turns));
                let live = move || tasks.work_off(|io| carry_out(&image, io, &turns));
                thread::Builder::new().name(format!("image {number}")).spawn(live)
            });
            (threads.collect::<Result<Vec<_>, _>>()?, None)
        }
    };
    let soon = Arc::<Soon>::default();
    let (clock, late) = (Arc::clone(&soon), Arc::clone(turns));
    let write_out = move || {
        late.put(Message::WriteOut);
        late.attend(&|| true);
    };
    threads.push(thread::Builder::new().name("soon".into()).spawn(move || clock.run(write_out))?);
    turns.lock().employ(Carrier { tasks, image: Arc::clone(turns.image()), bell, soon });
    Ok(threads)
}

/// Does what is asked, and tells the engine.
fn carry_out(image: &Watched, io: DeviceIo, turns: &Turns) {
    let DeviceIo { id, op } = io;
    let (stage, bytes) = image.stages.of(&op);
    let (result, buffer) = stage.time(bytes, || image.carry_out(op));
    turns.put(Message::Ended(id, result, buffer));
    turns.attend(&|| true);
}

/// A thread's life: everything at once.
fn with_ring(mut ring: Ring, tasks: &Tasks, turns: &Turns) {
    ring.enable();
    while !tasks.have_ended() {
        while let Some(io) = tasks.take() {
            ring.ask(io);
        }
        ring.begin();
        let mut any = false;
        while let Some((id, result, buffer)) = ring.next_ended() {
            turns.put(Message::Ended(id, result, buffer));
            any = true;
        }
        if any {
            turns.attend(&|| true);
        } else {
            ring.wait(|| tasks.is_empty());
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
