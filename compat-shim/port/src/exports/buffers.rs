//! MDLs, what is known of a request, and memory that a device uses for itself.

use core::{
    ffi::c_void,
    mem::{offset_of, size_of},
    ptr,
};

use sluice_shim::storport::{configuration::AccessRange, status::StorStatus};

use super::{Arguments, is_passive};
use crate::{
    memory::Kind,
    port::Port,
    services::{DISPATCH_LEVEL, DmaRequest},
    types::RequestInfo,
};

fn status(result: Result<(), StorStatus>) -> StorStatus {
    result.err().unwrap_or(StorStatus::SUCCESS)
}

/// Writes a pointer, or null and why there is none.
///
/// # Safety
/// The argument is null or may be written.
unsafe fn put(
    arguments: &Arguments<'_>,
    index: usize,
    make: impl FnOnce() -> Result<*mut c_void, StorStatus>,
) -> StorStatus {
    let Some(place) = arguments.place::<*mut c_void>(index) else { return StorStatus::INVALID_PARAMETER };
    let made = make();
    // SAFETY: the caller's contract.
    unsafe { place.write(made.unwrap_or(ptr::null_mut())) };
    status(made.map(|_| ()))
}

/// AllocateMdl(PVOID buffer, ULONG bytes, PVOID *mdl).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn allocate_mdl(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { put(arguments, 2, || port.allocate_mdl(arguments.pointer(0), arguments.long(1))) }
}

/// FreeMdl(PVOID mdl).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn free_mdl(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    port.free(Kind::Mdl, arguments.pointer(0))
}

/// BuildMdlForNonPagedPool(PVOID mdl).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn build_mdl(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    status(port.build_mdl(arguments.pointer(0)))
}

/// GetOriginalMdl(SRB, PVOID *mdl).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn original_mdl(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { put(arguments, 1, || port.original_mdl(arguments.pointer(0))) }
}

/// GetPfns(SRB, PVOID mdl, PVOID *numbers, ULONG *count, ULONG *offset).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn frames(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let numbers = arguments.place::<*mut c_void>(2);
    let (count, offset) = (arguments.place::<u32>(3), arguments.place::<u32>(4));
    let (Some(numbers), Some(count), Some(offset)) = (numbers, count, offset) else {
        return StorStatus::INVALID_PARAMETER;
    };
    match port.frames(arguments.pointer(0), arguments.pointer(1)) {
        Ok(frames) => {
            // SAFETY: the code's contract.
            unsafe {
                numbers.write(frames.numbers);
                count.write(frames.count);
                offset.write(frames.offset);
            }
            StorStatus::SUCCESS
        }
        Err(status) => status,
    }
}

/// GetDataInBufferMdl and its like: no request of the port's transfers both ways.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn no_data_in(_port: &Port, _arguments: &Arguments<'_>) -> StorStatus {
    StorStatus::INVALID_PARAMETER
}

/// StorIoPriorityNormal.
const NORMAL: u32 = 2;

/// GetRequestInfo(SRB, STOR_REQUEST_INFO *info): of the version that the caller has put into it. Neither file nor process
/// is known, and all requests are of one priority.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn request_info(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(place) = arguments.place::<RequestInfo>(1) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract: of the one version or the other.
    let version = unsafe { (&raw const (*place).version).read() };
    let size = match version {
        1 => offset_of!(RequestInfo, file_name),
        2 => size_of::<RequestInfo>(),
        _ => return StorStatus::UNSUPPORTED_VERSION,
    };
    let Some((length, is_write)) = port.transfer_of(arguments.pointer(0)) else {
        return StorStatus::INVALID_PARAMETER;
    };
    let info = RequestInfo {
        version,
        size: size as u16,
        priority: NORMAL,
        flags: 0,
        key: 0,
        length,
        is_write: u8::from(is_write),
        reserved: [0; 3],
        file_name: ptr::null_mut(),
        process: 0,
    };
    // SAFETY: as above: `size` bytes of it are there.
    unsafe { (&raw const info).cast::<u8>().copy_to_nonoverlapping(place.cast(), size) };
    StorStatus::SUCCESS
}

/// GetActivityId(SRB, GUID *id): no request has one.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn activity(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    if arguments.place::<u32>(1).is_none() || !port.is_with_miniport(arguments.pointer(0)) {
        return StorStatus::INVALID_PARAMETER;
    }
    StorStatus::UNSUCCESSFUL
}

/// GetDeviceBase2(bus type, bus number, address, ULONG bytes, BOOLEAN in I/O space, ULONG flags, PVOID *base).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn device_base(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    if arguments.long(5) != 0 {
        return StorStatus::INVALID_PARAMETER;
    }
    if !is_passive(port) {
        return StorStatus::INVALID_IRQL;
    }
    let map = || {
        let (start, bytes, io) = (arguments.word(2) as u64, arguments.long(3), arguments.byte(4) != 0);
        if bytes == 0 {
            return Err(StorStatus::INVALID_PARAMETER);
        }
        let base = port.map(start, bytes, io);
        if base.is_null() { Err(StorStatus::UNSUCCESSFUL) } else { Ok(base) }
    };
    // SAFETY: the code's contract.
    unsafe { put(arguments, 6, map) }
}

/// Alignment that any memory for a device has.
const ALIGNED: u32 = 4096;

/// AllocateHmb(SIZE_T least, SIZE_T wanted, ULONGLONG multiple, ULONG alignment, lowest, highest, boundary, ACCESS_RANGE *ranges,
/// ULONG *count): one range, as long as can be had.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn allocate_host_buffer(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let (ranges, count) = (arguments.place::<AccessRange>(7), arguments.place::<u32>(8));
    let (Some(ranges), Some(count)) = (ranges, count) else { return StorStatus::INVALID_PARAMETER };
    let (least, wanted, alignment) = (arguments.word(0), arguments.word(1), arguments.long(3));
    // SAFETY: the code's contract: how many ranges there is room for.
    if least == 0 || least > wanted || unsafe { count.read() } == 0 {
        return StorStatus::INVALID_PARAMETER;
    }
    let multiple = arguments.word(2).max(1);
    let mut bytes = wanted.min(u32::MAX as usize);
    loop {
        bytes -= bytes % multiple;
        if bytes < least || bytes == 0 || alignment > ALIGNED {
            return StorStatus::INSUFFICIENT_RESOURCES;
        }
        let request = DmaRequest {
            bytes,
            lowest: arguments.word(4) as u64,
            highest: arguments.word(5) as u64,
            boundary: arguments.word(6) as u64,
            caching: 1,
            node: u32::MAX,
        };
        match port.allocate_dma(&request) {
            Ok(dma) => {
                let range = AccessRange { start: dma.physical, length: bytes as u32, in_memory: 1 };
                // SAFETY: as above.
                unsafe {
                    ranges.write(range);
                    count.write(1);
                }
                return StorStatus::SUCCESS;
            }
            Err(StorStatus::INSUFFICIENT_RESOURCES) if bytes > least => bytes = (bytes / 2).max(least),
            Err(status) => return status,
        }
    }
}

/// FreeHmb(ACCESS_RANGE *ranges, ULONG count).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn free_host_buffer(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(ranges) = arguments.place::<AccessRange>(0) else { return StorStatus::INVALID_PARAMETER };
    if arguments.long(1) != 1 {
        return StorStatus::INVALID_PARAMETER; // there is never more than one
    }
    // SAFETY: the code's contract.
    let range = unsafe { ranges.read() };
    match port.dma_piece_at(range.start).filter(|dma| dma.physical == range.start) {
        Some(dma) => port.free(Kind::Dma, dma.address.as_ptr().cast()),
        None => StorStatus::INVALID_PARAMETER,
    }
}

/// MiniportLogByteStream(STOR_ADDRESS *address, channel, ULONG id, PWSTR description, ULONGLONG keywords, level, opcode, USHORT
/// length, PUCHAR data): an event whose bytes are not kept.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn byte_stream(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    if port.system().irql() > DISPATCH_LEVEL {
        return StorStatus::INVALID_IRQL;
    }
    if arguments.short(7) > 0 && arguments.pointer::<u8>(8).is_null() {
        return StorStatus::INVALID_PARAMETER;
    }
    let event = arguments.0.get(..7).unwrap_or(arguments.0);
    // SAFETY: the code's contract: up to here it is that of an event without values.
    unsafe { super::events::trace_channel(port, &Arguments(event)) }
}
