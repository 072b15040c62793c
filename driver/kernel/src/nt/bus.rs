//! A device's configuration space, through its bus driver's BUS_INTERFACE_STANDARD.

use core::ptr::{self, NonNull};

use wdk_sys::{
    BUS_INTERFACE_STANDARD, DEVICE_OBJECT, GUID, IRP_MJ_PNP, IRP_MN_QUERY_INTERFACE, NTSTATUS,
    PDEVICE_OBJECT, PINTERFACE_DEREFERENCE, PIRP, PVOID, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_MORE_PROCESSING_REQUIRED, STATUS_NOT_SUPPORTED, ULONG, USHORT,
    ntddk::{IoAllocateIrp, IoFreeIrp, IofCallDriver},
};

use super::{
    event::Event,
    irp::{next, on_completion},
    irql::Passive,
    is_success,
};

/// GUID_BUS_INTERFACE_STANDARD (wdmguid.h).
static STANDARD: GUID = GUID {
    Data1: 0x496B_8280,
    Data2: 0x6F25,
    Data3: 0x11D0,
    Data4: [0xBE, 0xAF, 0x08, 0x00, 0x2B, 0xE2, 0x09, 0x2F],
};
const VERSION: USHORT = 1;
/// PCI_WHICHSPACE_CONFIG.
const CONFIGURATION: ULONG = 0;

type Data =
    unsafe extern "C" fn(context: PVOID, kind: ULONG, buffer: PVOID, offset: ULONG, length: ULONG) -> ULONG;

/// A device on its bus. The bus driver has been told that somebody uses its interface.
pub(crate) struct Bus {
    context: PVOID,
    dereference: PINTERFACE_DEREFERENCE,
    set_data: Data,
    get_data: Data,
}

// SAFETY: the bus driver takes calls on any processor, up to DISPATCH_LEVEL.
unsafe impl Send for Bus {}
// SAFETY: as above.
unsafe impl Sync for Bus {}

impl Bus {
    /// Asks the stack from `top` down.
    ///
    /// # Errors
    /// What it says: STATUS_NOT_SUPPORTED from a bus that has no such interface.
    ///
    /// # Safety
    /// `top` is a device that this driver is attached to.
    pub(crate) unsafe fn of(top: NonNull<DEVICE_OBJECT>, at: Passive<'_>) -> Result<Self, NTSTATUS> {
        let mut found = BUS_INTERFACE_STANDARD::default();
        // SAFETY: the caller's contract.
        let status = unsafe { query(top, &mut found, at) };
        match (found.SetBusData, found.GetBusData) {
            _ if !is_success(status) => Err(status),
            // The driver that answers has counted us in already.
            (Some(set_data), Some(get_data)) => Ok(Self {
                context: found.Context,
                dereference: found.InterfaceDereference,
                set_data,
                get_data,
            }),
            _ => Err(STATUS_NOT_SUPPORTED),
        }
    }

    /// Four bytes of the configuration space; all ones where nothing answers. Up to DISPATCH_LEVEL.
    pub(crate) fn read(&self, offset: u8) -> u32 {
        let mut value = [0xFF; 4];
        let read = self.read_bytes(u32::from(offset), &mut value);
        if read == 4 { u32::from_le_bytes(value) } else { u32::MAX }
    }

    /// Sets them. Up to DISPATCH_LEVEL.
    pub(crate) fn write(&self, offset: u8, value: u32) {
        // What was not written shows in the device.
        let _ = self.write_bytes(u32::from(offset), &value.to_le_bytes());
    }

    /// Reads as many bytes as there is room for; how many have been read. Up to DISPATCH_LEVEL.
    pub(crate) fn read_bytes(&self, offset: u32, into: &mut [u8]) -> u32 {
        let (start, length) = (into.as_mut_ptr().cast(), into.len() as ULONG);
        // SAFETY: the function and its context come from the bus driver, which has them until it is told that we are done.
        unsafe { (self.get_data)(self.context, CONFIGURATION, start, offset, length) }
    }

    /// Writes them; how many have been written. Up to DISPATCH_LEVEL.
    pub(crate) fn write_bytes(&self, offset: u32, bytes: &[u8]) -> u32 {
        let (start, length) = (bytes.as_ptr().cast_mut().cast(), bytes.len() as ULONG);
        // SAFETY: as in `read_bytes`; the bus driver reads the buffer only.
        unsafe { (self.set_data)(self.context, CONFIGURATION, start, offset, length) }
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if let Some(dereference) = self.dereference {
            // SAFETY: once, for the reference that the answer came with.
            unsafe { dereference(self.context) };
        }
    }
}

/// IRP_MN_QUERY_INTERFACE, and what came of it.
///
/// # Safety
/// As [`Bus::of`].
unsafe fn query(
    top: NonNull<DEVICE_OBJECT>,
    found: &mut BUS_INTERFACE_STANDARD,
    at: Passive<'_>,
) -> NTSTATUS {
    // SAFETY: the caller's contract: the device is alive. Everything that the IRP points at stays here until its completion
    // routine has run, for which this waits.
    unsafe {
        let Some(irp) = NonNull::new(IoAllocateIrp((*top.as_ptr()).StackSize, 0)) else {
            return STATUS_INSUFFICIENT_RESOURCES;
        };
        let done = Event::uninit();
        done.initialize();
        (*irp.as_ptr()).IoStatus.__bindgen_anon_1.Status = STATUS_NOT_SUPPORTED;
        let location = next(irp);
        (*location).MajorFunction = IRP_MJ_PNP as u8;
        (*location).MinorFunction = IRP_MN_QUERY_INTERFACE as u8;
        let asked = &mut (*location).Parameters.QueryInterface;
        asked.InterfaceType = &raw const STANDARD;
        asked.Size = size_of::<BUS_INTERFACE_STANDARD>() as USHORT;
        asked.Version = VERSION;
        asked.Interface = ptr::from_mut(found).cast();
        asked.InterfaceSpecificData = ptr::null_mut();
        on_completion(irp, Some(signal), ptr::from_ref(&done).cast_mut().cast());
        let _ = IofCallDriver(top.as_ptr(), irp.as_ptr());
        done.wait(at);
        let status = (*irp.as_ptr()).IoStatus.__bindgen_anon_1.Status;
        IoFreeIrp(irp.as_ptr());
        status
    }
}

unsafe extern "C" fn signal(_device: PDEVICE_OBJECT, _irp: PIRP, context: PVOID) -> NTSTATUS {
    // SAFETY: `query` passes its event, and waits for it in any case.
    unsafe { (*context.cast::<Event>()).set() };
    STATUS_MORE_PROCESSING_REQUIRED
}
