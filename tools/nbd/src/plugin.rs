//! What nbdkit calls.

use std::{
    io,
    sync::{Arc, OnceLock},
};

use nbdkit::{
    CacheFlags, Error, ExtentHandle, ExtentType, Flags, FuaFlags, Result, Server, ThreadModel, plugin,
};

use crate::{
    abort, handover,
    losses::{Known, Losses},
    publish, volume,
    volume::Volume,
};

/// A volume, and what of it was lost.
struct Exported {
    volume: Box<dyn Volume>,
    losses: Arc<Losses>,
}

/// The volumes by their names, from the moment when nbdkit is ready until it ends.
static VOLUMES: OnceLock<Vec<(String, Exported)>> = OnceLock::new();

/// The volume of that name. Without a name the first is meant.
fn find(name: &str) -> io::Result<&'static Exported> {
    let mut volumes = VOLUMES.get().into_iter().flatten();
    let found = volumes.find(|(known, _)| name.is_empty() || known == name).map(|(_, exported)| exported);
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, format!("no volume is called {name:?}")))
}

/// A connection. All to a volume share it.
struct Connection {
    volume: &'static dyn Volume,
    losses: &'static Losses,
    known: Known,
}

impl Server for Connection {
    fn name() -> &'static str {
        "sluice"
    }

    fn longname() -> Option<&'static str> {
        Some("Sluice volumes")
    }

    fn version() -> Option<&'static str> {
        Some(env!("CARGO_PKG_VERSION"))
    }

    fn description() -> Option<&'static str> {
        Some("Serves an unlocked Sluice volume. It is started by `sluice serve`.")
    }

    fn config(key: &str, value: &str) -> Result<()> {
        Ok(handover::set(key, value)?)
    }

    /// Threads do not survive a fork: everything is opened afterwards.
    fn after_fork() -> Result<()> {
        let volumes = handover::take(|given| {
            let losses = Arc::default();
            Ok(Exported { volume: volume::open(given, &losses)?, losses })
        })?;
        VOLUMES.set(volumes).map_err(|_| Error::new(libc::EBUSY, io::Error::other("opened twice")))?;
        abort::wait_for_writes()?;
        publish::start();
        Ok(handover::say_ready()?)
    }

    /// nbdkit has waited for all connections to end.
    fn unload() {
        publish::stop();
        for (name, exported) in VOLUMES.get().into_iter().flatten() {
            match exported.volume.close() {
                Ok(()) if handover::says_closed() && exported.losses.any() => {
                    eprintln!("{name}: closed after losses");
                }
                Ok(()) if handover::says_closed() => eprintln!("{name}: closed"),
                Ok(()) => {}
                Err(error) => eprintln!("{name}: not closed: {error}"),
            }
        }
    }

    fn thread_model() -> Result<ThreadModel> {
        Ok(ThreadModel::Parallel)
    }

    fn open(_readonly: bool) -> Result<Box<dyn Server>> {
        let name = nbdkit::export_name().map_err(|error| io::Error::other(error.to_string()))?;
        let Exported { volume, losses } = find(&name)?;
        Ok(Box::new(Self { volume: volume.as_ref(), losses, known: losses.known() }))
    }

    fn get_size(&self) -> Result<i64> {
        i64::try_from(self.volume.size()).map_err(|error| Error::new(libc::EOVERFLOW, error))
    }

    fn can_multi_conn(&self) -> Result<bool> {
        // All connections see the same volume, and a flush is of everything.
        Ok(true)
    }

    fn can_flush(&self) -> Result<bool> {
        Ok(true)
    }

    fn can_fua(&self) -> Result<FuaFlags> {
        Ok(FuaFlags::Native)
    }

    fn can_cache(&self) -> Result<CacheFlags> {
        Ok(CacheFlags::Emulate)
    }

    fn can_trim(&self) -> Result<bool> {
        Ok(self.volume.discards())
    }

    fn can_zero(&self) -> Result<bool> {
        Ok(self.volume.discards())
    }

    fn can_fast_zero(&self) -> Result<bool> {
        Ok(self.volume.discards())
    }

    fn can_extents(&self) -> Result<bool> {
        Ok(self.volume.discards())
    }

    fn extents(&self, count: u32, offset: u64, _flags: Flags, extents: &mut ExtentHandle) -> Result<()> {
        let mut at = offset;
        for (length, data) in self.volume.extents(offset, u64::from(count))?.unwrap_or_default() {
            let kind = if data { ExtentType::Allocated } else { ExtentType::HoleZero };
            extents.add(at, length, kind)?;
            at += length;
        }
        Ok(())
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> Result<()> {
        Ok(self.volume.read(offset, buffer)?)
    }

    fn write_at(&self, buffer: &[u8], offset: u64, flags: Flags) -> Result<()> {
        Ok(self.volume.write(offset, buffer, flags.contains(Flags::FUA))?)
    }

    fn flush(&self) -> Result<()> {
        let before = self.losses.now();
        let flushed = self.volume.flush();
        let told = self.losses.tell(&self.known, before);
        Ok(flushed.and(told)?)
    }

    fn trim(&self, count: u32, offset: u64, flags: Flags) -> Result<()> {
        self.volume.discard(offset, u64::from(count))?;
        self.make_durable(flags)
    }

    /// Whole blocks become holes; what is left at the edges is written.
    fn zero(&self, count: u32, offset: u64, flags: Flags) -> Result<()> {
        const BLOCK: u64 = 4096;
        let end = offset + u64::from(count);
        let (first, last) = (offset.next_multiple_of(BLOCK).min(end), (end / BLOCK * BLOCK).max(offset));
        let edges = if first >= last { [offset..end, end..end] } else { [offset..first, last..end] };
        for edge in edges.into_iter().filter(|edge| !edge.is_empty()) {
            self.volume.write(edge.start, &vec![0; (edge.end - edge.start) as usize], false)?;
        }
        if first < last {
            self.volume.discard(first, last - first)?;
        }
        self.make_durable(flags)
    }
}

impl Connection {
    fn make_durable(&self, flags: Flags) -> Result<()> {
        if flags.contains(Flags::FUA) {
            self.flush()?;
        }
        Ok(())
    }
}

plugin!(Connection {
    after_fork,
    can_cache,
    can_extents,
    can_fast_zero,
    can_flush,
    can_fua,
    can_multi_conn,
    can_trim,
    can_zero,
    config,
    extents,
    flush,
    thread_model,
    trim,
    unload,
    write_at,
    zero
});
