//! The disk of an NBD server.
//!
//! **A connection that breaks** may have taken with it what was written and not flushed: the server may have ended, and
//! another have begun with what was durable. A flush that goes to the new one would be answered with success, and say
//! that the old one's writes are durable. So nothing is asked of a new connection as long as anything may be lost:
//!
//! - All connections are made together, before anything is written, and given up together as soon as one is broken. So
//!   what is written and flushed on them has met one server, or the flush meets a connection that is broken.
//! - If at that moment everything written had been flushed, and nothing was being written, nothing can be lost. The next
//!   request connects again.
//! - Else writes and flushes fail from there on, all of them, until the disk is opened again. One flush that fails would
//!   not do: each of several clients believes the flush that it asked for. What was being written counts as well: the old
//!   server, if it still runs, may carry it out when somebody has written there once more.
//!
//! A flush that the server says has failed is to be taken in the same way: the next might succeed without what was lost.
//!
//! Reads always connect again. A mapped volume checks what it reads, and takes no more writes itself once one has failed;
//! of a volume in place, a sector may be read as it was before a write that was lost, as from a disk after a power failure.

mod library;

use std::{
    ffi::CString,
    fmt, io,
    sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError},
    time::{Duration, Instant},
};

use library::{Connection, Told};

use crate::OpenError;

/// How long a server may take to let us in,
const PATIENCE: Duration = Duration::from_secs(10);
/// and to let us in once more: it may allow fewer connections at once than we want, and leave the others waiting.
const PATIENCE_FOR_MORE: Duration = Duration::from_secs(1);
/// After it did not, requests fail at once for so long: else each would wait in turn.
const PAUSE: Duration = Duration::from_secs(1);
/// The longest request to a server that does not say (the protocol's own limit; libnbd's is 64 MiB).
const MOST: u64 = 32 << 20;
/// Bytes that are trimmed at once: lengths have 32 bits.
const TRIM: u64 = 1 << 30;
/// Bytes by which a disk is known again: the header's first copy.
const BEGINNING: usize = 4096;

/// See above.
pub(crate) struct Disk {
    uri: CString,
    write: bool,
    at_once: usize,
    told: Told,
    state: Mutex<State>,
    writes: Mutex<Writes>,
    beginning: OnceLock<Box<[u8]>>,
}

/// The connections that count, if there are any.
#[derive(Default)]
struct State {
    session: Option<Arc<Session>>,
    /// When the server did not let us in.
    refused: Option<Instant>,
}

/// Connections that were made together.
struct Session {
    idle: Mutex<Idle>,
    changed: Condvar,
}

struct Idle {
    connections: Vec<Connection>,
    broken: bool,
}

/// What may be lost with a connection.
#[derive(Default)]
struct Writes {
    under_way: u64,
    /// Ended, well or not,
    ended: u64,
    /// and of those, made durable.
    durable: u64,
    lost: bool,
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn other(what: impl Into<String>) -> io::Error {
    io::Error::other(what.into())
}

fn lost() -> io::Error {
    other(
        "the connection to the NBD server broke, or a flush failed there, before everything written was flushed: some of it may be lost. Nothing is \
         written any more until the volume is opened again",
    )
}

impl Disk {
    pub(crate) fn open(uri: &str, write: bool, at_once: usize) -> Result<Self, OpenError> {
        let uri = CString::new(uri).map_err(|error| OpenError::Failed(error.into()))?;
        let first = Connection::new(&uri, PATIENCE).map_err(OpenError::Failed)?;
        let told = first.told().map_err(OpenError::Size)?;
        if write && told.read_only {
            return Err(OpenError::WriteProtected);
        }
        if told.least > 4096 {
            let what =
                format!("its server takes only multiples of {} bytes, and 4096 are the most", told.least);
            return Err(OpenError::Failed(other(what)));
        }
        if write && !told.flushes {
            // Without a flush, nothing that is acknowledged here could be said to survive.
            let what =
                "its server cannot flush: nobody knows when what is written is durable. It can be read";
            return Err(OpenError::Failed(io::Error::new(io::ErrorKind::Unsupported, what)));
        }
        let disk = Self {
            uri,
            write,
            at_once,
            told,
            state: Mutex::default(),
            writes: Mutex::default(),
            beginning: OnceLock::new(),
        };
        locked(&disk.state).session = Some(disk.begin(first));
        Ok(disk)
    }

    pub(crate) fn bytes(&self) -> u64 {
        // What is behind the last whole block cannot be asked for.
        self.told.bytes - self.told.bytes % self.told.least.max(1)
    }

    /// Up to 512 bytes it takes what a file would.
    pub(crate) fn sector_size(&self) -> Option<u32> {
        (self.told.least > 512).then_some(4096)
    }

    /// Reads how it begins, and from now on believes no connection to a disk that begins otherwise.
    pub(crate) fn remember(&self) -> io::Result<()> {
        let mut beginning = vec![0; BEGINNING].into_boxed_slice();
        self.read(0, &mut beginning)?;
        let _ = self.beginning.set(beginning);
        Ok(())
    }

    pub(crate) fn disconnect(&self) {
        let session = locked(&self.state).session.clone();
        if let Some(session) = session {
            self.give_up(&session);
        }
    }

    pub(crate) fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let most = self.most();
        for (at, piece) in (offset..).step_by(most).zip(into.chunks_mut(most)) {
            self.ask(|connection| connection.read(at, piece))?;
        }
        Ok(())
    }

    pub(crate) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let most = self.most();
        for (at, piece) in (offset..).step_by(most).zip(bytes.chunks(most)) {
            self.change(|connection| connection.write(at, piece))?;
        }
        Ok(())
    }

    pub(crate) fn discard(&self, offset: u64, length: u64) -> io::Result<()> {
        if !self.told.trims {
            return Err(io::ErrorKind::Unsupported.into());
        }
        for at in (offset..offset + length).step_by(TRIM as usize) {
            self.change(|connection| connection.trim(at, TRIM.min(offset + length - at)))?;
        }
        Ok(())
    }

    pub(crate) fn flush(&self) -> io::Result<()> {
        let covered = {
            let writes = locked(&self.writes);
            if writes.lost {
                return Err(lost());
            }
            writes.ended
        };
        self.ask(|connection| {
            let result = connection.flush();
            if result.is_err() {
                // The server may succeed next time without it: Linux reports a failed write once.
                let mut writes = locked(&self.writes);
                writes.lost |= writes.under_way > 0 || writes.ended > writes.durable;
            }
            result
        })?;
        let mut writes = locked(&self.writes);
        if writes.lost {
            return Err(lost());
        }
        writes.durable = writes.durable.max(covered);
        Ok(())
    }

    /// The longest request.
    fn most(&self) -> usize {
        let most = if self.told.most == 0 { MOST } else { self.told.most.min(MOST) };
        let least = self.told.least.max(512);
        (most - most % least).max(least) as usize
    }

    /// Has a connection change something, and counts that.
    fn change(&self, work: impl FnOnce(&Connection) -> io::Result<()>) -> io::Result<()> {
        {
            let mut writes = locked(&self.writes);
            if writes.lost {
                return Err(lost());
            }
            writes.under_way += 1;
        }
        let result = self.ask(work);
        let mut writes = locked(&self.writes);
        writes.under_way -= 1;
        writes.ended += 1;
        if writes.lost { Err(lost()) } else { result }
    }

    /// Has a connection do something, as soon as one is idle.
    fn ask(&self, work: impl FnOnce(&Connection) -> io::Result<()>) -> io::Result<()> {
        let session = self.session()?;
        let connection = session.take()?;
        let result = work(&connection);
        if result.is_ok() || connection.is_whole() {
            session.give(connection);
        } else {
            self.give_up(&session);
        }
        result
    }

    /// The connections that count, made anew if they are broken.
    fn session(&self) -> io::Result<Arc<Session>> {
        let mut state = locked(&self.state);
        if let Some(session) = &state.session {
            return Ok(Arc::clone(session));
        }
        if state.refused.is_some_and(|at| at.elapsed() < PAUSE) {
            return Err(io::Error::new(io::ErrorKind::NotConnected, "the NBD server cannot be reached"));
        }
        match self.again() {
            Ok(session) => {
                *state = State { session: Some(Arc::clone(&session)), refused: None };
                Ok(session)
            }
            Err(error) => {
                state.refused = Some(Instant::now());
                Err(error)
            }
        }
    }

    /// Connects to what must be the same disk.
    fn again(&self) -> io::Result<Arc<Session>> {
        let first = Connection::new(&self.uri, PATIENCE)?;
        let told = first.told()?;
        if told != self.told {
            return Err(other(
                "the NBD server has come back with another disk, or can do other things with it",
            ));
        }
        if let Some(beginning) = self.beginning.get() {
            let mut found = [0; BEGINNING];
            first.read(0, &mut found)?;
            if found[..] != beginning[..] {
                return Err(other("the NBD server has come back with something else on its disk"));
            }
        }
        Ok(self.begin(first))
    }

    /// All connections, of which the first is made.
    fn begin(&self, first: Connection) -> Arc<Session> {
        let mut connections = vec![first];
        if self.told.many {
            let more = std::iter::from_fn(|| Connection::new(&self.uri, PATIENCE_FOR_MORE).ok());
            connections.extend(more.take(self.at_once.saturating_sub(1)));
        }
        Arc::new(Session { idle: Mutex::new(Idle { connections, broken: false }), changed: Condvar::new() })
    }

    /// A connection is broken: none of its session is used any more.
    fn give_up(&self, session: &Arc<Session>) {
        let mut state = locked(&self.state);
        if state.session.as_ref().is_none_or(|current| !Arc::ptr_eq(current, session)) {
            return;
        }
        // Before anybody can connect again.
        let mut writes = locked(&self.writes);
        writes.lost |= writes.under_way > 0 || writes.ended > writes.durable;
        state.session = None;
        session.end();
    }
}

impl Session {
    fn take(&self) -> io::Result<Connection> {
        let mut idle = locked(&self.idle);
        loop {
            if idle.broken {
                return Err(io::Error::new(
                    io::ErrorKind::NotConnected,
                    "the connection to the NBD server broke",
                ));
            }
            match idle.connections.pop() {
                Some(connection) => return Ok(connection),
                None => idle = self.changed.wait(idle).unwrap_or_else(PoisonError::into_inner),
            }
        }
    }

    /// Of a session that has been given up, it is closed.
    fn give(&self, connection: Connection) {
        let mut idle = locked(&self.idle);
        if !idle.broken {
            idle.connections.push(connection);
            self.changed.notify_one();
        }
    }

    fn end(&self) {
        let mut idle = locked(&self.idle);
        idle.broken = true;
        idle.connections.clear();
        self.changed.notify_all();
    }
}

impl fmt::Debug for Disk {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Disk").field("uri", &self.uri).field("write", &self.write).finish_non_exhaustive()
    }
}
