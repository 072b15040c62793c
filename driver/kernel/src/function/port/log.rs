//! A miniport's entries in the system's event log. It may write them from its interrupt routine, where the kernel takes none:
//! a few are kept until the adapter's DPC.
//!
//! An entry's data begins with the unit that it is about (path, target, unit; FF for the adapter), in four bytes. Its words
//! are those of the system's own messages (`iologmsg.dll`), which the miniport's INF names as its message file.

use core::{
    cell::UnsafeCell,
    mem::{offset_of, size_of},
    ptr::{self, NonNull},
    sync::atomic::{AtomicU8, Ordering},
};

use sluice_port::services::{DISPATCH_LEVEL, LogEvent};
use wdk_sys::{
    DEVICE_OBJECT, IO_ERROR_LOG_PACKET,
    ntddk::{IoAllocateErrorLogEntry, IoWriteErrorLogEntry},
};

use crate::nt::irql;

/// Entries that are kept at once; more are lost.
const KEPT: usize = 4;
/// Most data of one, in bytes; the rest is left out. A whole entry has at most 240.
const DATA: usize = 64;
/// Bytes before that.
const UNIT: usize = 4;

/// Event codes (ntiologc.h): of the system's own messages, by StorPortLogError's codes (SP_*).
const IO_ERR_PARITY: u32 = 0xC004_0005;
const IO_ERR_TIMEOUT: u32 = 0xC004_0009;
const IO_ERR_CONTROLLER_ERROR: u32 = 0xC004_000B;
const IO_ERR_INCORRECT_IRQL: u32 = 0xC004_000D;
const IO_ERR_BAD_FIRMWARE: u32 = 0xC004_0019;

/// One entry.
#[derive(Clone, Copy)]
struct Entry {
    code: u32,
    unique: u32,
    data: [u8; UNIT + DATA],
    length: usize,
}

impl Entry {
    fn of(event: &LogEvent<'_>) -> Self {
        let mut data = [0; UNIT + DATA];
        let unit = event.address.map_or([0xFF; 3], |unit| [unit.path, unit.target, unit.lun]);
        let bytes = unit.iter().chain(&[0]).chain(event.data.iter().take(DATA));
        data.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
        let length = UNIT + event.data.len().min(DATA);
        Self { code: code(event.error), unique: event.unique, data, length }
    }

    /// Up to DISPATCH_LEVEL. Without memory there is no entry.
    fn write(&self, device: NonNull<DEVICE_OBJECT>) {
        const HEAD: usize = offset_of!(IO_ERROR_LOG_PACKET, DumpData);
        // Its data is a whole number of ULONGs.
        let dump = self.length.next_multiple_of(4);
        let size = (HEAD + dump).max(size_of::<IO_ERROR_LOG_PACKET>());
        // SAFETY: a device object of this driver's; the packet has as many bytes as were asked for, and writing it gives it
        // back.
        unsafe {
            let packet = IoAllocateErrorLogEntry(device.as_ptr().cast(), size as u8);
            let Some(packet) = NonNull::new(packet.cast::<u8>()) else { return };
            packet.write_bytes(0, size);
            let head = packet.cast::<IO_ERROR_LOG_PACKET>().as_ptr();
            (*head).DumpDataSize = dump as u16;
            (*head).ErrorCode = self.code.cast_signed();
            (*head).UniqueErrorValue = self.unique;
            ptr::copy_nonoverlapping(self.data.as_ptr(), packet.add(HEAD).as_ptr(), self.length);
            IoWriteErrorLogEntry(packet.as_ptr().cast());
        }
    }
}

/// The event's code: one of StorPortLogSystemEvent's is one already.
const fn code(error: u32) -> u32 {
    match error {
        1 => IO_ERR_PARITY,            // SP_BUS_PARITY_ERROR
        4 | 7 => IO_ERR_TIMEOUT,       // SP_BUS_TIME_OUT, SP_REQUEST_TIMEOUT
        8 => IO_ERR_INCORRECT_IRQL,    // SP_IRQ_NOT_RESPONDING
        9 | 10 => IO_ERR_BAD_FIRMWARE, // SP_BAD_FW_WARNING, SP_BAD_FW_ERROR
        0..=0xFFFF => IO_ERR_CONTROLLER_ERROR,
        code => code,
    }
}

const FREE: u8 = 0;
const BEING_FILLED: u8 = 1;
const FULL: u8 = 2;

struct Kept {
    state: AtomicU8,
    entry: UnsafeCell<Entry>,
}

/// What waits for the DPC.
pub(super) struct Log([Kept; KEPT]);

// SAFETY: an entry is its writer's while it is being filled, and the DPC's when it is full.
unsafe impl Sync for Log {}
// SAFETY: as above.
unsafe impl Send for Log {}

impl Log {
    pub(super) const fn new() -> Self {
        const EMPTY: Kept = Kept {
            state: AtomicU8::new(FREE),
            entry: UnsafeCell::new(Entry { code: 0, unique: 0, data: [0; UNIT + DATA], length: 0 }),
        };
        Self([EMPTY; KEPT])
    }

    /// Writes an entry, or keeps it; whether a DPC is to call [`Self::flush`]. Any IRQL.
    pub(super) fn write(&self, event: &LogEvent<'_>, device: NonNull<DEVICE_OBJECT>) -> bool {
        let entry = Entry::of(event);
        if irql::current() <= DISPATCH_LEVEL {
            entry.write(device);
            return false;
        }
        let claim = |kept: &&Kept| {
            kept.state.compare_exchange(FREE, BEING_FILLED, Ordering::Acquire, Ordering::Relaxed).is_ok()
        };
        let Some(kept) = self.0.iter().find(claim) else { return false };
        // SAFETY: claimed.
        unsafe { *kept.entry.get() = entry };
        kept.state.store(FULL, Ordering::Release);
        true
    }

    /// Writes what has been kept. Up to DISPATCH_LEVEL, one call at a time.
    pub(super) fn flush(&self, device: NonNull<DEVICE_OBJECT>) {
        for kept in &self.0 {
            if kept.state.load(Ordering::Acquire) == FULL {
                // SAFETY: full, so that nobody else touches it.
                let entry = unsafe { *kept.entry.get() };
                kept.state.store(FREE, Ordering::Release);
                entry.write(device);
            }
        }
    }
}
