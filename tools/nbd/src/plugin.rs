//! What nbdkit calls.

use std::{
    io,
    sync::{OnceLock, PoisonError, RwLock},
};

use nbdkit::{
    CacheFlags, Error, ExtentHandle, ExtentType, Flags, FuaFlags, Result, Server, ThreadModel, plugin,
};

use crate::{handover, publish, volume, volume::Volume};

/// The volume, from the moment when nbdkit is ready until it ends.
static VOLUME: OnceLock<Box<dyn Volume>> = OnceLock::new();

/// Held for reading by every change, and for writing by the end: what is closed is not changed any more.
static CHANGES: RwLock<()> = RwLock::new(());

fn the_volume() -> io::Result<&'static dyn Volume> {
    VOLUME.get().map(AsRef::as_ref).ok_or_else(|| io::Error::other("there is no volume yet"))
}

/// A connection. All of them share the volume.
struct Connection {
    volume: &'static dyn Volume,
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
        let volume = volume::open(handover::take()?)?;
        VOLUME.set(volume).map_err(|_| Error::new(libc::EBUSY, io::Error::other("opened twice")))?;
        publish::start();
        Ok(())
    }

    fn unload() {
        publish::stop();
        let _end = CHANGES.write().unwrap_or_else(PoisonError::into_inner);
        if let Some(volume) = VOLUME.get() {
            volume.close();
        }
    }

    fn thread_model() -> Result<ThreadModel> {
        Ok(ThreadModel::Parallel)
    }

    fn open(_readonly: bool) -> Result<Box<dyn Server>> {
        Ok(Box::new(Self { volume: the_volume()? }))
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
        Ok(self.volume.flush()?)
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
            self.volume.flush()?;
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
