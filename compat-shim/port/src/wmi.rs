//! WMI for miniports: between a WMI request's buffer (a WNODE, `wmistr.h`) and the miniport's callbacks (`scsiwmi.h`).
//!
//! ```text
//!   WNODE: | header 48 | what the kind of WNODE adds | instance data, at a multiple of 8 |
//!            size, …, GUID, …, flags
//! ```
//!
//! Nothing that a buffer says is believed before it is known to lie inside. What does not fit is answered by a
//! WNODE_TOO_SMALL, which names the size that does.

use core::{ffi::c_void, ptr};

use sluice_shim::storport::SrbStatus;

/// A GUID's bytes.
pub(crate) type Guid = [u8; 16];

/// `SCSIWMI_REQUEST_CONTEXT`.
#[repr(C)]
#[derive(Debug)]
pub struct RequestContext {
    pub(crate) user: *mut c_void,
    pub(crate) buffer_size: u32,
    pub(crate) buffer: *mut u8,
    pub(crate) minor: u8,
    pub(crate) return_status: u8,
    pub(crate) return_size: u32,
}

const _: () = assert!(size_of::<RequestContext>() == 32);

/// `SCSIWMIGUIDREGINFO`.
#[repr(C)]
#[derive(Debug)]
pub(crate) struct GuidInfo {
    guid: *const Guid,
    instances: u32,
    flags: u32,
}

type QueryRegInfo =
    unsafe extern "system" fn(*mut c_void, *mut RequestContext, mof_name: *mut *const u16) -> u8;
type QueryDataBlock = unsafe extern "system" fn(
    *mut c_void,
    *mut RequestContext,
    guid: u32,
    instance: u32,
    count: u32,
    lengths: *mut u32,
    available: u32,
    buffer: *mut u8,
) -> u8;
type SetDataBlock =
    unsafe extern "system" fn(*mut c_void, *mut RequestContext, u32, u32, size: u32, data: *mut u8) -> u8;
type SetDataItem = unsafe extern "system" fn(
    *mut c_void,
    *mut RequestContext,
    u32,
    u32,
    item: u32,
    size: u32,
    data: *mut u8,
) -> u8;
type ExecuteMethod = unsafe extern "system" fn(
    *mut c_void,
    *mut RequestContext,
    u32,
    u32,
    method: u32,
    input: u32,
    output: u32,
    data: *mut u8,
) -> u8;
type FunctionControl =
    unsafe extern "system" fn(*mut c_void, *mut RequestContext, u32, control: u32, enable: u8) -> u8;

/// `SCSI_WMILIB_CONTEXT`.
#[repr(C)]
#[derive(Debug)]
pub struct Library {
    count: u32,
    guids: *const GuidInfo,
    reg_info: Option<QueryRegInfo>,
    query: Option<QueryDataBlock>,
    set: Option<SetDataBlock>,
    set_item: Option<SetDataItem>,
    execute: Option<ExecuteMethod>,
    control: Option<FunctionControl>,
}

const _: () = assert!(size_of::<Library>() == 64);

/// IRP_MN_* codes of WMI.
mod minor {
    pub(super) const QUERY_ALL_DATA: u8 = 0;
    pub(super) const QUERY_SINGLE_INSTANCE: u8 = 1;
    pub(super) const CHANGE_SINGLE_INSTANCE: u8 = 2;
    pub(super) const CHANGE_SINGLE_ITEM: u8 = 3;
    pub(super) const ENABLE_EVENTS: u8 = 4;
    pub(super) const DISABLE_COLLECTION: u8 = 7;
    pub(super) const REGINFO: u8 = 8;
    pub(super) const EXECUTE_METHOD: u8 = 9;
    pub(super) const REGINFO_EX: u8 = 11;
}

/// Bytes of a WNODE_HEADER.
const HEADER: usize = 48;
/// Where its flags are.
const FLAGS: usize = 44;
const FLAG_SINGLE_INSTANCE: u32 = 0x02;
const FLAG_EVENT_ITEM: u32 = 0x08;
const FLAG_TOO_SMALL: u32 = 0x20;
/// Bytes of a WNODE_TOO_SMALL.
const TOO_SMALL: usize = 52;
/// Where a WNODE_ALL_DATA has its instances' offsets and lengths.
const ALL_DATA_LENGTHS: usize = 60;
/// Most instances and GUIDs, so that no product overflows.
const MOST: u32 = 4096;
/// Longest name of a MOF resource, in UTF-16 units.
const LONGEST_NAME: usize = 255;

/// A request's buffer.
#[derive(Clone, Copy)]
struct Node {
    start: *mut u8,
    size: usize,
}

impl Node {
    fn get(self, offset: usize) -> Option<u32> {
        let inside = offset.checked_add(4)? <= self.size;
        // SAFETY: inside the buffer.
        inside.then(|| unsafe { self.start.add(offset).cast::<u32>().read_unaligned() })
    }

    /// Nothing happens outside.
    fn put(self, offset: usize, value: u32) {
        if offset.checked_add(4).is_some_and(|end| end <= self.size) {
            // SAFETY: inside the buffer.
            unsafe { self.start.add(offset).cast::<u32>().write_unaligned(value) };
        }
    }

    fn copy(self, offset: usize, bytes: &[u8]) {
        if offset.checked_add(bytes.len()).is_some_and(|end| end <= self.size) {
            // SAFETY: inside the buffer.
            unsafe { ptr::copy_nonoverlapping(bytes.as_ptr(), self.start.add(offset), bytes.len()) };
        }
    }

    /// What begins at an offset that the buffer names: address and length.
    fn rest(self, offset: u32) -> Option<(*mut u8, u32)> {
        let rest = self.size.checked_sub(offset as usize)?;
        // SAFETY: inside the buffer, or one past it.
        Some((unsafe { self.start.add(offset as usize) }, rest as u32))
    }
}

fn node_of(context: &RequestContext) -> Node {
    let size = if context.buffer.is_null() { 0 } else { context.buffer_size as usize };
    Node { start: context.buffer, size }
}

/// Ends a request as it is.
fn end(context: &mut RequestContext, status: SrbStatus, size: u32) -> u8 {
    context.return_status = status.0;
    context.return_size = size;
    0
}

/// ScsiPortWmiDispatchFunction: TRUE if the miniport will call [`post_process`] later.
///
/// # Safety
/// All pointers are what `scsiwmi.h` says, or null; the library's callbacks are the miniport's.
pub(crate) unsafe fn dispatch(
    library: *const Library,
    minor: u8,
    device: *mut c_void,
    context: *mut RequestContext,
    path: *const Guid,
    buffer: (u32, *mut u8),
) -> u8 {
    // SAFETY: the caller's contract.
    let (Some(library), Some(it)) = (unsafe { library.as_ref() }, unsafe { context.as_mut() }) else {
        return 0;
    };
    (it.buffer_size, it.buffer, it.minor) = (buffer.0, buffer.1, minor);
    end(it, SrbStatus::PENDING, 0);
    if matches!(minor, minor::REGINFO | minor::REGINFO_EX) {
        // SAFETY: the caller's contract.
        return unsafe { register(library, device, context) };
    }
    // SAFETY: the caller's contract.
    let found = unsafe { find(library, path) };
    let Some((guid, instances)) = found else { return end(it, SrbStatus::ERROR, 0) };
    let call = Call { library, device, context, guid };
    // SAFETY: the caller's contract.
    let pending = unsafe {
        match minor {
            minor::QUERY_ALL_DATA => call.query_all(instances),
            minor::QUERY_SINGLE_INSTANCE => call.query_one(),
            minor::CHANGE_SINGLE_INSTANCE => call.set(),
            minor::CHANGE_SINGLE_ITEM => call.set_item(),
            minor::ENABLE_EVENTS..=minor::DISABLE_COLLECTION => call.control(minor),
            minor::EXECUTE_METHOD => call.execute(),
            _ => None,
        }
    };
    match pending {
        Some(pending) => pending,
        // SAFETY: the context is the caller's still.
        None => end(unsafe { &mut *context }, SrbStatus::INVALID_REQUEST, 0),
    }
}

/// Number and instances of a GUID.
///
/// # Safety
/// The library's list has as many entries as it says.
unsafe fn find(library: &Library, path: *const Guid) -> Option<(u32, u32)> {
    if path.is_null() || library.guids.is_null() {
        return None;
    }
    // SAFETY: the caller's contract.
    let wanted = unsafe { path.read_unaligned() };
    (0..library.count.min(MOST)).find_map(|number| {
        // SAFETY: the caller's contract.
        unsafe {
            let info = &*library.guids.add(number as usize);
            let here = !info.guid.is_null() && info.guid.read_unaligned() == wanted;
            here.then_some((number, info.instances))
        }
    })
}

/// One call of a callback. Each answers `None` if the request cannot be made of it.
struct Call<'a> {
    library: &'a Library,
    device: *mut c_void,
    context: *mut RequestContext,
    guid: u32,
}

impl Call<'_> {
    fn node(&self) -> Node {
        // SAFETY: `dispatch` has checked it.
        node_of(unsafe { &*self.context })
    }

    unsafe fn query_all(&self, instances: u32) -> Option<u8> {
        let (query, node) = (self.library.query?, self.node());
        let count = instances.min(MOST);
        let data = (ALL_DATA_LENGTHS + 8 * count as usize).next_multiple_of(8);
        node.put(48, data as u32);
        node.put(52, count);
        // The lengths go where later offsets and lengths are: into the second half, so that they may be read in order.
        let (lengths, place, room) = match node.rest(data as u32) {
            Some((place, room)) => {
                let lengths = ALL_DATA_LENGTHS + 4 * count as usize;
                // SAFETY: in front of the data, inside the buffer.
                (unsafe { node.start.add(lengths) }.cast(), place, room)
            }
            None => (ptr::null_mut(), ptr::null_mut(), 0),
        };
        // SAFETY: the miniport's own function, with a buffer of so many bytes.
        Some(unsafe { query(self.device, self.context, self.guid, 0, count, lengths, room, place) })
    }

    unsafe fn query_one(&self) -> Option<u8> {
        let (query, node) = (self.library.query?, self.node());
        let (instance, (place, room)) = (node.get(52)?, node.rest(node.get(56)?)?);
        node.get(60)?;
        // SAFETY: inside the buffer: the last field was read.
        let length = unsafe { node.start.add(60) }.cast();
        // SAFETY: as above.
        Some(unsafe { query(self.device, self.context, self.guid, instance, 1, length, room, place) })
    }

    unsafe fn set(&self) -> Option<u8> {
        let (set, node) = (self.library.set?, self.node());
        let (instance, size, (place, room)) = (node.get(52)?, node.get(60)?, node.rest(node.get(56)?)?);
        // SAFETY: as above.
        (size <= room).then(|| unsafe { set(self.device, self.context, self.guid, instance, size, place) })
    }

    unsafe fn set_item(&self) -> Option<u8> {
        let (set, node) = (self.library.set_item?, self.node());
        let (instance, item, size) = (node.get(52)?, node.get(56)?, node.get(64)?);
        let (place, room) = node.rest(node.get(60)?)?;
        // SAFETY: as above.
        (size <= room)
            .then(|| unsafe { set(self.device, self.context, self.guid, instance, item, size, place) })
    }

    unsafe fn execute(&self) -> Option<u8> {
        let (execute, node) = (self.library.execute?, self.node());
        let (instance, method, input) = (node.get(52)?, node.get(56)?, node.get(64)?);
        let (place, room) = node.rest(node.get(60)?)?;
        // SAFETY: as above.
        (input <= room).then(|| unsafe {
            execute(self.device, self.context, self.guid, instance, method, input, room, place)
        })
    }

    unsafe fn control(&self, minor: u8) -> Option<u8> {
        let Some(control) = self.library.control else {
            // Nothing to be switched on is switched on.
            // SAFETY: `dispatch` has checked it.
            return Some(end(unsafe { &mut *self.context }, SrbStatus::SUCCESS, 0));
        };
        let of = u32::from(minor >= minor::ENABLE_EVENTS + 2); // events, then data blocks
        // SAFETY: the miniport's own function.
        Some(unsafe { control(self.device, self.context, self.guid, of, u8::from(minor.is_multiple_of(2))) })
    }
}

/// REGINFO: a WMIREGINFO with the library's GUIDs and the name of its MOF resource.
///
/// # Safety
/// As `dispatch`.
unsafe fn register(library: &Library, device: *mut c_void, context: *mut RequestContext) -> u8 {
    /// WMIREGINFO up to its array, and one WMIREGGUID.
    const HEAD: usize = 24;
    const ENTRY: usize = 32;
    let mut name: *const u16 = ptr::null();
    if let Some(reg_info) = library.reg_info {
        // SAFETY: the miniport's own function.
        unsafe { reg_info(device, context, &raw mut name) };
    }
    let count = if library.guids.is_null() { 0 } else { library.count.min(MOST) as usize };
    let mut length = 0;
    // SAFETY: a terminated string, not read past its end.
    while !name.is_null() && length < LONGEST_NAME && unsafe { name.add(length).read_unaligned() } != 0 {
        length += 1;
    }
    let mof = HEAD + count * ENTRY;
    let whole = mof + if length == 0 { 0 } else { 2 + 2 * length };
    // SAFETY: `dispatch` has checked it.
    let it = unsafe { &mut *context };
    let node = node_of(it);
    if whole > node.size {
        node.put(0, whole as u32);
        return end(it, SrbStatus::DATA_OVERRUN, whole as u32);
    }
    let head = [whole as u32, 0, 0, if length == 0 { 0 } else { mof as u32 }, count as u32, 0];
    head.iter().enumerate().for_each(|(number, value)| node.put(4 * number, *value));
    for number in 0..count {
        // SAFETY: the list has as many entries.
        let info = unsafe { &*library.guids.add(number) };
        let at = HEAD + number * ENTRY;
        if !info.guid.is_null() {
            // SAFETY: a GUID.
            node.copy(at, &unsafe { info.guid.read_unaligned() });
        }
        node.put(at + 16, info.flags);
        node.put(at + 20, info.instances);
        node.put(at + 24, 0);
        node.put(at + 28, 0);
    }
    if length > 0 {
        node.copy(mof, &((2 * length) as u16).to_le_bytes());
        for unit in 0..length {
            // SAFETY: as above.
            let value = unsafe { name.add(unit).read_unaligned() };
            node.copy(mof + 2 + 2 * unit, &value.to_le_bytes());
        }
    }
    end(it, SrbStatus::SUCCESS, whole as u32)
}

/// ScsiPortWmiPostProcess: a callback is done, having used so many bytes behind the WNODE's own (or needing them:
/// DATA_OVERRUN).
///
/// # Safety
/// `context` is null or was given to `dispatch`, whose buffer is still there.
pub(crate) unsafe fn post_process(context: *mut RequestContext, status: SrbStatus, used: u32) {
    // SAFETY: the caller's contract.
    let Some(it) = (unsafe { context.as_mut() }) else { return };
    let node = node_of(it);
    let data = match it.minor {
        minor::QUERY_ALL_DATA => node.get(48),
        minor::QUERY_SINGLE_INSTANCE => node.get(56),
        minor::EXECUTE_METHOD => node.get(60),
        _ => None,
    };
    let data = data.unwrap_or(HEADER as u32);
    let whole = data.saturating_add(used);
    if status.code() == SrbStatus::DATA_OVERRUN {
        node.put(0, TOO_SMALL as u32);
        node.put(FLAGS, node.get(FLAGS).unwrap_or(0) | FLAG_TOO_SMALL);
        node.put(HEADER, whole);
        let fits = node.size >= TOO_SMALL;
        let (status, size) =
            if fits { (SrbStatus::SUCCESS, TOO_SMALL as u32) } else { (SrbStatus::DATA_OVERRUN, whole) };
        end(it, status, size);
        return;
    }
    if status.code() != SrbStatus::SUCCESS {
        end(it, status, 0);
        return;
    }
    match it.minor {
        minor::QUERY_ALL_DATA => list_instances(node, data),
        minor::QUERY_SINGLE_INSTANCE => node.put(60, used),
        minor::EXECUTE_METHOD => node.put(64, used),
        _ => {
            end(it, status, used);
            return;
        }
    }
    let whole = whole.min(it.buffer_size);
    node.put(0, whole);
    end(it, status, whole);
}

/// Makes offsets and lengths of the lengths that the miniport has written: instances lie behind each other, each at a
/// multiple of 8.
fn list_instances(node: Node, data: u32) {
    let count = node.get(52).unwrap_or(0).min(MOST) as usize;
    let mut offset = data;
    for number in 0..count {
        // The pair is written over lengths that have been read: its end is not past the one that is read next.
        let length = node.get(ALL_DATA_LENGTHS + 4 * (count + number)).unwrap_or(0);
        node.put(ALL_DATA_LENGTHS + 8 * number, offset);
        node.put(ALL_DATA_LENGTHS + 8 * number + 4, length);
        offset = offset.saturating_add(length).checked_next_multiple_of(8).unwrap_or(u32::MAX);
    }
}

/// Bytes of a WNODE_SINGLE_INSTANCE before its data.
pub(crate) const EVENT_HEAD: usize = 64;

/// Makes the WNODE of an event, in `place` of `EVENT_HEAD + data.len()` bytes, zeroed.
pub(crate) fn event(place: &mut [u8], guid: &Guid, instance: u32, data: &[u8]) {
    let node = Node { start: place.as_mut_ptr(), size: place.len() };
    node.put(0, place.len() as u32);
    node.copy(24, guid);
    node.put(FLAGS, FLAG_SINGLE_INSTANCE | FLAG_EVENT_ITEM);
    node.put(52, instance);
    node.put(56, EVENT_HEAD as u32);
    node.put(60, data.len() as u32);
    node.copy(EVENT_HEAD, data);
}
