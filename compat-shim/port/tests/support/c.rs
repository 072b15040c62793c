//! The port as C declares it: the variadic functions are variadic here.

use std::ffi::c_void;

use sluice_port as _; // the symbols are its

unsafe extern "C" {
    pub fn StorPortInitialize(
        one: *mut c_void,
        two: *mut c_void,
        data: *const c_void,
        context: *mut c_void,
    ) -> u32;
    pub fn StorPortNotification(kind: u32, extension: *mut c_void, ...);
    pub fn StorPortExtendedFunction(code: u32, extension: *mut c_void, ...) -> u32;
    pub fn StorPortGetBusData(
        ext: *mut c_void,
        kind: u32,
        bus: u32,
        slot: u32,
        buffer: *mut c_void,
        length: u32,
    ) -> u32;
    pub fn StorPortSetBusDataByOffset(
        ext: *mut c_void,
        kind: u32,
        bus: u32,
        slot: u32,
        buffer: *mut c_void,
        offset: u32,
        length: u32,
    ) -> u32;
    pub fn StorPortGetDeviceBase(
        ext: *mut c_void,
        bus_type: u32,
        bus: u32,
        address: u64,
        bytes: u32,
        io: u8,
    ) -> *mut c_void;
    pub fn StorPortFreeDeviceBase(ext: *mut c_void, address: *mut c_void);
    pub fn StorPortValidateRange(
        ext: *mut c_void,
        bus_type: u32,
        bus: u32,
        address: u64,
        bytes: u32,
        io: u8,
    ) -> u8;
    pub fn StorPortGetUncachedExtension(ext: *mut c_void, config: *mut c_void, bytes: u32) -> *mut c_void;
    pub fn StorPortGetPhysicalAddress(
        ext: *mut c_void,
        srb: *mut c_void,
        address: *mut c_void,
        length: *mut u32,
    ) -> u64;
    pub fn StorPortGetVirtualAddress(ext: *mut c_void, address: u64) -> *mut c_void;
    pub fn StorPortConvertPhysicalAddressToUlong(address: u64) -> u32;
    pub fn StorPortConvertUlongToPhysicalAddress(address: usize) -> u64;
    pub fn StorPortConvertPhysicalAddressToUlong64(address: u64) -> u64;
    pub fn StorPortConvertUlong64ToPhysicalAddress(address: u64) -> u64;
    pub fn StorPortMoveMemory(to: *mut c_void, from: *const c_void, length: u32);
    pub fn StorPortCompleteRequest(ext: *mut c_void, path: u8, target: u8, lun: u8, status: u8);
    pub fn StorPortGetScatterGatherList(ext: *mut c_void, srb: *mut c_void) -> *mut c_void;
    pub fn StorPortGetLogicalUnit(ext: *mut c_void, path: u8, target: u8, lun: u8) -> *mut c_void;
    pub fn StorPortGetSrb(ext: *mut c_void, path: u8, target: u8, lun: u8, tag: i32) -> *mut c_void;
    pub fn StorPortSynchronizeAccess(
        ext: *mut c_void,
        routine: Option<unsafe extern "system" fn(*mut c_void, *mut c_void) -> u8>,
        context: *mut c_void,
    ) -> u8;
    pub fn StorPortPause(ext: *mut c_void, seconds: u32) -> u8;
    pub fn StorPortResume(ext: *mut c_void) -> u8;
    pub fn StorPortPauseDevice(ext: *mut c_void, path: u8, target: u8, lun: u8, seconds: u32) -> u8;
    pub fn StorPortResumeDevice(ext: *mut c_void, path: u8, target: u8, lun: u8) -> u8;
    pub fn StorPortBusy(ext: *mut c_void, requests: u32) -> u8;
    pub fn StorPortReady(ext: *mut c_void) -> u8;
    pub fn StorPortDeviceBusy(ext: *mut c_void, path: u8, target: u8, lun: u8, requests: u32) -> u8;
    pub fn StorPortDeviceReady(ext: *mut c_void, path: u8, target: u8, lun: u8) -> u8;
    pub fn StorPortSetDeviceQueueDepth(ext: *mut c_void, path: u8, target: u8, lun: u8, depth: u32) -> u8;
    pub fn StorPortAllocateRegistryBuffer(ext: *mut c_void, length: *mut u32) -> *mut u8;
    pub fn StorPortFreeRegistryBuffer(ext: *mut c_void, buffer: *mut u8);
    pub fn StorPortRegistryRead(
        ext: *mut c_void,
        name: *const u8,
        global: u32,
        kind: u32,
        buffer: *mut u8,
        length: *mut u32,
    ) -> u8;
    pub fn StorPortRegistryWrite(
        ext: *mut c_void,
        name: *const u8,
        global: u32,
        kind: u32,
        buffer: *const u8,
        length: u32,
    ) -> u8;
    pub fn StorPortLogError(
        ext: *mut c_void,
        srb: *mut c_void,
        path: u8,
        target: u8,
        lun: u8,
        error: u32,
        unique: u32,
    );
    pub fn StorPortDebugPrint(level: u32, message: *const u8, ...);
    pub fn StorPortStallExecution(microseconds: u32);
    pub fn StorPortQuerySystemTime(time: *mut i64);
}

pub const REQUEST_COMPLETE: u32 = 0;
pub const RESET_DETECTED: u32 = 3;
pub const REQUEST_TIMER_CALL: u32 = 6;
pub const BUS_CHANGE_DETECTED: u32 = 7;
pub const WMI_EVENT: u32 = 8;
pub const LINK_UP: u32 = 10;
pub const LINK_DOWN: u32 = 11;
pub const QUERY_TICK_COUNT: u32 = 12;
pub const ENABLE_PASSIVE_INITIALIZATION: u32 = 0x1000;
pub const INITIALIZE_DPC: u32 = 0x1001;
pub const ISSUE_DPC: u32 = 0x1002;
pub const ACQUIRE_SPIN_LOCK: u32 = 0x1003;
pub const RELEASE_SPIN_LOCK: u32 = 0x1004;
pub const STATE_CHANGE_DETECTED: u32 = 0x1005;
pub const ASYNC_NOTIFICATION: u32 = 0x1007;
pub const MARK_DEVICE_FAILED: u32 = 0x100C;

pub const SUCCESS: u32 = 0;
pub const UNSUCCESSFUL: u32 = 0xC100_0001;
pub const NOT_IMPLEMENTED: u32 = 0xC100_0002;
pub const INVALID_PARAMETER: u32 = 0xC100_0006;
pub const INVALID_IRQL: u32 = 0xC100_0008;
pub const BUSY: u32 = 0xC100_000C;
pub const BUFFER_TOO_SMALL: u32 = 0xC100_0004;
pub const INVALID_DEVICE_REQUEST: u32 = 0xC100_0007;
pub const UNSUPPORTED_VERSION: u32 = 0xC100_000B;
pub const INSUFFICIENT_RESOURCES: u32 = 0xC100_0003;
