//! The functions that the driver imports: enough of each for a RAM disk on one processor. One that is missing ends the
//! process with its name when it is called.

use std::{
    alloc::{Layout, alloc_zeroed, dealloc},
    cell::UnsafeCell,
    ffi::c_void,
    ptr,
    sync::atomic::{AtomicI32, AtomicU8, AtomicUsize, Ordering},
};

use windows_sys::Wdk::Foundation::{DEVICE_OBJECT, DRIVER_OBJECT, IRP, KDPC, KEVENT, MDL};

use super::objects::{self, SUCCESS};

const OBJECT_NAME_NOT_FOUND: i32 = 0xc000_0034_u32.cast_signed();
const BUFFER_TOO_SMALL: i32 = 0xc000_0023_u32.cast_signed();
const TIMEOUT: i32 = 0x102;
const DISPATCH_LEVEL: u8 = 2;
/// `MDL_SOURCE_IS_NONPAGED_POOL`.
const NON_PAGED: i16 = 4;
const PAGE: usize = 4096;

static IRQL: AtomicU8 = AtomicU8::new(0);

/// DPCs that are due: a list through their list entries.
struct Dpcs(UnsafeCell<*mut KDPC>);
// SAFETY: this kernel has one thread.
unsafe impl Sync for Dpcs {}
static DPCS: Dpcs = Dpcs(UnsafeCell::new(ptr::null_mut()));

type Deferred = unsafe extern "win64" fn(*mut KDPC, *mut c_void, *mut c_void, *mut c_void);

/// Ends the process: the driver has asked for something that is not here.
pub(super) fn give_up(why: &str) -> ! {
    eprintln!("sluice-bench: {why}");
    std::process::exit(1)
}

/// Where the function `name` is.
pub(super) fn function(name: &[u8]) -> *const c_void {
    macro_rules! table {
        ($($name:literal => $function:expr,)*) => {
            match name {
                $($name => $function as *const c_void,)*
                _ => missing(name),
            }
        };
    }
    table! {
        b"memcpy" => copy, b"memmove" => copy, b"memset" => set, b"memcmp" => compare,
        b"DbgPrint" => nothing,
        b"ExAllocatePoolWithTag" => allocate, b"ExFreePoolWithTag" => free,
        b"IoAcquireRemoveLockEx" => remove_lock_acquire, b"IoReleaseRemoveLockEx" => remove_lock_release,
        b"IoReleaseRemoveLockAndWaitEx" => remove_lock_release,
        b"IoInitializeRemoveLockEx" => nothing,
        b"IoAllocateIrp" => allocate_irp, b"IoFreeIrp" => free_irp,
        b"IofCallDriver" => objects::call, b"IofCompleteRequest" => objects::complete,
        b"IoAllocateMdl" => allocate_mdl, b"IoFreeMdl" => free_mdl, b"MmBuildMdlForNonPagedPool" => build_mdl,
        b"IoAttachDeviceToDeviceStackSafe" => attach, b"IoCreateDevice" => create_device,
        b"IoDeleteDevice" => nothing, b"IoCreateSymbolicLink" => nothing, b"IoGetDeviceProperty" => property,
        b"IoOpenDeviceRegistryKey" => not_found, b"ObOpenObjectByPointer" => nothing, b"ZwSetSecurityObject" => nothing,
        b"ZwClose" => nothing, b"ObfReferenceObject" => nothing,
        b"KeInitializeEvent" => initialize_event, b"KeSetEvent" => set_event, b"KeClearEvent" => clear_event,
        b"KeWaitForSingleObject" => wait, b"KeEnterCriticalRegion" => nothing, b"KeLeaveCriticalRegion" => nothing,
        b"KeInitializeDpc" => initialize_dpc, b"KeInsertQueueDpc" => insert_dpc, b"KeFlushQueuedDpcs" => flush_dpcs,
        b"KeAcquireSpinLockRaiseToDpc" => acquire, b"KeReleaseSpinLock" => release,
        b"KeGetCurrentIrql" => irql, b"IoAllocateWorkItem" => allocate_work_item, b"IoFreeWorkItem" => free_work_item, b"KeQueryPerformanceCounter" => counter,
    }
}

/// A stub that ends the process with the name of a function that is not here.
fn missing(name: &[u8]) -> *const c_void {
    unsafe extern "win64" fn told(name: *const String) -> ! {
        // SAFETY: leaked below.
        give_up(&format!("the driver calls {}, which this kernel does not have", unsafe { &*name }))
    }
    let name: &'static String = Box::leak(Box::new(String::from_utf8_lossy(name).into_owned()));
    // mov rcx, name; mov rax, told; jmp rax
    let mut code = vec![0x48, 0xb9];
    code.extend(ptr::from_ref(name).expose_provenance().to_le_bytes());
    code.extend([0x48, 0xb8]);
    code.extend((told as *const c_void).expose_provenance().to_le_bytes());
    code.extend([0xff, 0xe0]);
    super::image::executable(&code)
}

/// Memory that is never given back.
pub(super) fn zeroed(bytes: usize) -> *mut c_void {
    // SAFETY: any size above zero.
    unsafe { allocate(0, bytes, 0) }
}

/// Runs what is due.
pub(super) fn run_dpcs() {
    // SAFETY: one thread. A DPC is out of the list before its routine runs, which may put it in again.
    unsafe {
        while let Some(dpc) = (*DPCS.0.get()).as_mut() {
            *DPCS.0.get() = dpc.DpcListEntry.Next.cast();
            dpc.DpcData = ptr::null_mut();
            IRQL.store(DISPATCH_LEVEL, Ordering::Relaxed);
            if let Some(routine) = objects::callback::<_, Deferred>(&raw const dpc.DeferredRoutine) {
                routine(dpc, dpc.DeferredContext, dpc.SystemArgument1, dpc.SystemArgument2);
            }
            IRQL.store(0, Ordering::Relaxed);
        }
    }
}

extern "win64" fn nothing() -> i32 {
    SUCCESS
}

extern "win64" fn not_found() -> i32 {
    OBJECT_NAME_NOT_FOUND
}

unsafe extern "win64" fn copy(to: *mut u8, from: *const u8, bytes: usize) -> *mut u8 {
    // SAFETY: the driver's contract, here and below.
    unsafe { ptr::copy(from, to, bytes) };
    to
}

unsafe extern "win64" fn set(to: *mut u8, value: i32, bytes: usize) -> *mut u8 {
    // SAFETY: as above.
    unsafe { ptr::write_bytes(to, value as u8, bytes) };
    to
}

unsafe extern "win64" fn compare(one: *const u8, other: *const u8, bytes: usize) -> i32 {
    // SAFETY: as above.
    unsafe { std::slice::from_raw_parts(one, bytes).cmp(std::slice::from_raw_parts(other, bytes)) as i32 }
}

/// Blocks of a page and more begin on one, as the pool's do. The block's size stands before it.
fn layout(bytes: usize) -> Layout {
    let before = if bytes < PAGE { 16 } else { PAGE };
    Layout::from_size_align(bytes + before, before).unwrap_or_else(|_| give_up("a block of no size"))
}

unsafe extern "win64" fn allocate(_kind: i32, bytes: usize, _tag: u32) -> *mut c_void {
    let layout = layout(bytes);
    // SAFETY: not of size zero; the size lies in what was allocated for it.
    unsafe {
        let block = alloc_zeroed(layout).add(layout.align());
        block.cast::<usize>().sub(1).write(bytes);
        block.cast()
    }
}

unsafe extern "win64" fn free(block: *mut c_void, _tag: u32) {
    // SAFETY: from `allocate`.
    unsafe {
        let layout = layout(block.cast::<usize>().sub(1).read());
        dealloc(block.cast::<u8>().sub(layout.align()), layout);
    }
}

/// `IO_REMOVE_LOCK_COMMON_BLOCK`: Removed, then IoCount. Nothing is removed here.
unsafe extern "win64" fn remove_lock_acquire(lock: *mut c_void) -> i32 {
    // SAFETY: a remove lock.
    unsafe { (*lock.cast::<[AtomicI32; 2]>())[1].fetch_add(1, Ordering::AcqRel) };
    SUCCESS
}

unsafe extern "win64" fn remove_lock_release(lock: *mut c_void) {
    // SAFETY: a remove lock.
    unsafe { (*lock.cast::<[AtomicI32; 2]>())[1].fetch_sub(1, Ordering::AcqRel) };
}

extern "win64" fn allocate_irp(locations: i8, _quota: bool) -> *mut IRP {
    objects::irp(locations)
}

unsafe extern "win64" fn free_irp(irp: *mut IRP) {
    // SAFETY: from `objects::irp`.
    unsafe { free(irp.cast(), 0) };
}

unsafe extern "win64" fn allocate_mdl(address: *mut c_void, bytes: u32) -> *mut MDL {
    let mdl: *mut MDL = zeroed(size_of::<MDL>() + size_of::<u64>() * (bytes as usize / PAGE + 2)).cast();
    // SAFETY: fresh memory.
    unsafe {
        (*mdl).ByteCount = bytes;
        (*mdl).ByteOffset = (address.addr() % PAGE) as u32;
        (*mdl).StartVa = address.map_addr(|address| address - address % PAGE);
    }
    mdl
}

unsafe extern "win64" fn free_mdl(mdl: *mut MDL) {
    // SAFETY: from `allocate_mdl`.
    unsafe { free(mdl.cast(), 0) };
}

unsafe extern "win64" fn build_mdl(mdl: *mut MDL) {
    // SAFETY: an MDL.
    unsafe {
        (*mdl).MdlFlags |= NON_PAGED;
        (*mdl).MappedSystemVa = (*mdl).StartVa.byte_add((*mdl).ByteOffset as usize);
    }
}

unsafe extern "win64" fn create_device(
    driver: *mut DRIVER_OBJECT,
    extension: u32,
    _name: *const c_void,
    _kind: u32,
    _characteristics: u32,
    _exclusive: u8,
    made: *mut *mut DEVICE_OBJECT,
) -> i32 {
    // SAFETY: room for a pointer.
    unsafe { made.write(objects::device(driver, extension as usize)) };
    SUCCESS
}

unsafe extern "win64" fn attach(
    device: *mut DEVICE_OBJECT,
    target: *mut DEVICE_OBJECT,
    below: *mut *mut DEVICE_OBJECT,
) -> i32 {
    // SAFETY: devices of `objects::device`.
    unsafe {
        let top = objects::top(target);
        below.write(top);
        (*top).AttachedDevice = device;
        (*device).StackSize = (*top).StackSize + 1;
    }
    SUCCESS
}

/// The device is what the INF of RAM disks makes of it. The upper bits of `which` say what kind of value it is.
unsafe extern "win64" fn property(
    _device: *mut DEVICE_OBJECT,
    which: i32,
    room: u32,
    into: *mut u8,
    length: *mut u32,
) -> i32 {
    let text = match which & 0xff {
        1 => "Root\\SluiceRam\0\0",
        6 => "{4D36E97B-E325-11CE-BFC1-08002BE10318}\0",
        _ => return OBJECT_NAME_NOT_FOUND,
    };
    let bytes: Vec<u8> = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
    // SAFETY: so much room.
    unsafe {
        length.write(bytes.len() as u32);
        if room as usize >= bytes.len() {
            into.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
            return SUCCESS;
        }
    }
    BUFFER_TOO_SMALL
}

/// `SynchronizationEvent`: a wait takes the signal back.
const SYNCHRONIZATION: u8 = 1;

unsafe extern "win64" fn initialize_event(event: *mut KEVENT, kind: i32, set: u8) {
    // SAFETY: the driver's storage. The kind is the header's first byte.
    unsafe {
        event.cast::<u8>().write(kind as u8);
        (*event).Header.SignalState = i32::from(set);
    }
}

unsafe extern "win64" fn set_event(event: *mut KEVENT, _boost: i32, _wait: u8) -> i32 {
    // SAFETY: an event.
    unsafe { std::mem::replace(&mut (*event).Header.SignalState, 1) }
}

unsafe extern "win64" fn clear_event(event: *mut KEVENT) {
    // SAFETY: an event.
    unsafe { (*event).Header.SignalState = 0 };
}

unsafe extern "win64" fn wait(
    event: *mut KEVENT,
    _reason: i32,
    _mode: i8,
    _alertable: u8,
    most: *const i64,
) -> i32 {
    // SAFETY: an event; what sets it runs in DPCs.
    unsafe {
        if (*event).Header.SignalState == 0 {
            run_dpcs();
        }
        match (&raw const (*event).Header.SignalState).read_volatile() {
            0 if most.is_null() => give_up("the driver waits for what does not come"),
            0 => return TIMEOUT,
            _ if event.cast::<u8>().read() == SYNCHRONIZATION => (*event).Header.SignalState = 0,
            _ => {}
        }
    }
    SUCCESS
}

unsafe extern "win64" fn initialize_dpc(dpc: *mut KDPC, routine: Option<Deferred>, context: *mut c_void) {
    // SAFETY: the driver's storage.
    unsafe {
        dpc.write(KDPC::default());
        objects::set_callback(&raw mut (*dpc).DeferredRoutine, routine);
        (*dpc).DeferredContext = context;
    }
}

unsafe extern "win64" fn insert_dpc(dpc: *mut KDPC, one: *mut c_void, other: *mut c_void) -> u8 {
    // SAFETY: a DPC; one thread.
    unsafe {
        if !(*dpc).DpcData.is_null() {
            return 0;
        }
        (*dpc).DpcData = dpc.cast();
        (*dpc).SystemArgument1 = one;
        (*dpc).SystemArgument2 = other;
        (*dpc).DpcListEntry.Next = (*DPCS.0.get()).cast();
        *DPCS.0.get() = dpc;
    }
    1
}

extern "win64" fn flush_dpcs() {
    run_dpcs();
}

unsafe extern "win64" fn acquire(lock: *const AtomicUsize) -> u8 {
    // SAFETY: a spin lock.
    if unsafe { &*lock }.swap(1, Ordering::Acquire) != 0 {
        give_up("the driver takes a lock twice");
    }
    let old = IRQL.load(Ordering::Relaxed);
    IRQL.store(DISPATCH_LEVEL, Ordering::Relaxed);
    old
}

unsafe extern "win64" fn release(lock: *const AtomicUsize, old: u8) {
    // SAFETY: a spin lock.
    unsafe { &*lock }.store(0, Ordering::Release);
    IRQL.store(old, Ordering::Relaxed);
}

/// None is ever queued here.
extern "win64" fn allocate_work_item() -> *mut c_void {
    zeroed(1)
}

unsafe extern "win64" fn free_work_item(item: *mut c_void) {
    // SAFETY: from `allocate_work_item`.
    unsafe { free(item, 0) };
}

extern "win64" fn irql() -> u8 {
    IRQL.load(Ordering::Relaxed)
}

unsafe extern "win64" fn counter(frequency: *mut i64) -> i64 {
    if !frequency.is_null() {
        // SAFETY: room for a number.
        unsafe { frequency.write(1_000_000_000) };
    }
    // SAFETY: x86-64 has it.
    unsafe { std::arch::x86_64::_rdtsc() }.cast_signed()
}
