//! Has the driver start a RAM disk, and does I/O.

use std::{
    ffi::c_void,
    hint::black_box,
    path::Path,
    ptr,
    sync::atomic::{AtomicPtr, Ordering},
};

use sluice_miniport_ram::Ram;
use sluice_shim::{
    request::SENSE_BYTES,
    scsi::{
        cdb::{BlockRange, Form},
        encode::Cdb,
    },
    storport::{
        SrbFlags, SrbKind, SrbStatus, SrbView,
        srb::{SrbRequest, SrbStorage},
    },
};
use windows_sys::Wdk::{
    Foundation::{DEVICE_OBJECT, DRIVER_OBJECT, IO_STACK_LOCATION, IRP, MDL},
    System::SystemServices::DEVICE_RELATIONS,
};

use super::{
    image, nt,
    objects::{self, Dispatch, SUCCESS},
};

/// Payload of an I/O, in bytes.
pub(super) const PAYLOAD: usize = 4096;
const SECTOR: u32 = 512;
const SECTORS: u64 = 1024;

const SCSI: u8 = 0x0f;
const PNP: u8 = 0x1b;
const START_DEVICE: u8 = 0x00;
const QUERY_DEVICE_RELATIONS: u8 = 0x07;

type Entry = unsafe extern "win64" fn(*mut DRIVER_OBJECT, *const c_void) -> i32;
type AddDevice = unsafe extern "win64" fn(*mut DRIVER_OBJECT, *mut DEVICE_OBJECT) -> i32;

/// A RAM disk, to be called directly.
pub(super) fn ram() -> Result<&'static Ram, String> {
    let ram = Ram::new(SECTORS, SECTOR, SrbKind::Extended).ok_or("no memory")?;
    Ok(Box::leak(Box::new(ram)))
}

/// The RAM disk of [`end`]; null for one that does nothing.
static DIRECT: AtomicPtr<Ram> = AtomicPtr::new(ptr::null_mut());

/// IRPs through one driver to another, which calls the RAM disk if there is one.
pub(super) fn baseline(ram: Option<&'static Ram>, write: bool, count: u64) -> Result<(), String> {
    DIRECT.store(ram.map_or(ptr::null_mut(), |ram| ptr::from_ref(ram).cast_mut()), Ordering::Relaxed);
    let below = objects::device(objects::driver(Some(end as Dispatch)), 0);
    let above = objects::device(objects::driver(Some(pass as Dispatch)), size_of::<*mut DEVICE_OBJECT>());
    // SAFETY: devices of ours; the extension has room for a pointer.
    unsafe {
        (*above).StackSize = 2;
        (*above).DeviceExtension.cast::<*mut DEVICE_OBJECT>().write(below);
    }
    Caller::new(above, write)?.repeat(count, ram.is_some())
}

/// Passes an IRP on (`IoSkipCurrentIrpStackLocation` and `IoCallDriver`).
unsafe extern "win64" fn pass(device: *mut DEVICE_OBJECT, irp: *mut IRP) -> i32 {
    // SAFETY: the IRP is this driver's; the extension has been written by `baseline`.
    unsafe {
        (*irp).CurrentLocation += 1;
        let overlay = &mut (*irp).Tail.Overlay.Anonymous2.Anonymous;
        overlay.CurrentStackLocation = overlay.CurrentStackLocation.add(1);
        objects::call((*device).DeviceExtension.cast::<*mut DEVICE_OBJECT>().read(), irp)
    }
}

/// Has the RAM disk carry out an SRB, and completes the IRP.
unsafe extern "win64" fn end(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> i32 {
    // SAFETY: the IRP is this driver's, and its SRB the caller's.
    unsafe {
        let srb: *mut c_void = (*objects::location(irp)).Parameters.Scsi.Srb.cast();
        if let Some(ram) = DIRECT.load(Ordering::Relaxed).as_ref()
            && let Ok(mut view) = SrbView::parse(srb)
        {
            ram.execute(&mut view);
        }
        (*irp).IoStatus.Anonymous.Status = SUCCESS;
        objects::complete(irp, 0);
    }
    SUCCESS
}

/// IRPs to a RAM disk of the driver's.
pub(super) fn driver(file: &Path, write: bool, count: u64) -> Result<(), String> {
    let entry = image::load(file, nt::function)?;
    let (driver, bus) = (objects::driver(None), objects::driver(Some(agree as Dispatch)));
    let adapter = objects::device(bus, 0);
    // SAFETY: the driver's functions are called as the PnP manager calls them.
    let unit = unsafe {
        expect("DriverEntry", std::mem::transmute::<*const c_void, Entry>(entry)(driver, ptr::null()))?;
        let add: Option<AddDevice> = objects::callback(&raw const (*(*driver).DriverExtension).AddDevice);
        expect("AddDevice", add.ok_or("no AddDevice")?(driver, adapter))?;
        let (status, _) = objects::ask(adapter, |location| plug_and_play(location, START_DEVICE));
        expect("START_DEVICE of the adapter", status)?;
        let (status, list) =
            objects::ask(adapter, |location| plug_and_play(location, QUERY_DEVICE_RELATIONS));
        expect("QUERY_DEVICE_RELATIONS", status)?;
        let list: *const DEVICE_RELATIONS = ptr::with_exposed_provenance(list);
        let unit = list.as_ref().filter(|list| list.Count == 1).ok_or("the adapter has no unit")?.Objects[0];
        let (status, _) = objects::ask(unit, |location| plug_and_play(location, START_DEVICE));
        expect("START_DEVICE of the unit", status)?;
        unit
    };
    Caller::new(unit, write)?.repeat(count, true)
}

/// A bus that agrees to everything.
unsafe extern "win64" fn agree(_device: *mut DEVICE_OBJECT, irp: *mut IRP) -> i32 {
    // SAFETY: the IRP is this driver's.
    unsafe {
        (*irp).IoStatus.Anonymous.Status = SUCCESS;
        objects::complete(irp, 0);
    }
    SUCCESS
}

fn plug_and_play(location: &mut IO_STACK_LOCATION, minor: u8) {
    location.MajorFunction = PNP;
    location.MinorFunction = minor; // all parameters are zero: BusRelations, no resources
}

fn expect(what: &str, status: i32) -> Result<(), String> {
    if status >= 0 { Ok(()) } else { Err(format!("{what}: {:#x}", status.cast_unsigned())) }
}

/// A class driver with one request.
struct Caller {
    device: *mut DEVICE_OBJECT,
    irp: *mut IRP,
    locations: i8,
    mdl: *mut MDL,
    buffer: Vec<u8>,
    sense: [u8; SENSE_BYTES],
    srb: SrbStorage,
    write: bool,
    done: bool,
}

impl Caller {
    fn new(device: *mut DEVICE_OBJECT, write: bool) -> Result<Box<Self>, String> {
        let mut buffer = vec![0x5a; PAYLOAD];
        let (start, mdl): (*mut u8, &mut MDL) = (buffer.as_mut_ptr(), Box::leak(Box::default()));
        const NON_PAGED: i16 = 4;
        mdl.MdlFlags = NON_PAGED;
        mdl.MappedSystemVa = start.cast();
        mdl.ByteOffset = (start.addr() % 4096) as u32;
        mdl.StartVa = start.wrapping_sub(start.addr() % 4096).cast();
        mdl.ByteCount = PAYLOAD as u32;
        // SAFETY: a device that has been started.
        let locations = unsafe { (*device).StackSize };
        let (irp, srb, sense) = (objects::irp(locations), SrbStorage::new(), [0; SENSE_BYTES]);
        Ok(Box::new(Self { device, irp, locations, mdl, buffer, sense, srb, write, done: false }))
    }

    /// Does so many I/Os, which are carried out or not.
    fn repeat(&mut self, count: u64, carried_out: bool) -> Result<(), String> {
        let range = BlockRange { lba: 8, blocks: PAYLOAD as u32 / SECTOR };
        let (cdb, flags) = match self.write {
            false => (Cdb::read(range, false, false, Form::Ten), SrbFlags::DATA_IN),
            true => (Cdb::write(range, false, false, Form::Ten), SrbFlags::DATA_OUT),
        };
        let request = SrbRequest {
            sense_buffer: self.sense.as_mut_ptr(),
            sense_length: SENSE_BYTES as u8,
            ..SrbRequest::command(cdb.as_bytes()).with_data(
                flags,
                self.buffer.as_mut_ptr().cast(),
                PAYLOAD as u32,
            )
        };
        self.srb.fill(SrbKind::Extended, &request).map_err(|error| format!("{error:?}"))?;
        let srb = self.srb.as_mut_ptr();
        // Looked at once, so that what is counted of this caller is next to nothing.
        // SAFETY: the SRB stays where it is, in a box.
        let mut view = unsafe { SrbView::parse(srb) }.map_err(|error| format!("{error:?}"))?;
        let expected = if carried_out { SrbStatus::SUCCESS } else { SrbStatus::PENDING };
        for _ in 0..count {
            view.set_srb_status(SrbStatus::PENDING);
            self.send(black_box(srb));
            nt::run_dpcs();
            let whole = view.data_transfer_length() as usize == PAYLOAD;
            if !self.done || !whole || view.srb_status() != expected {
                return Err(format!("an I/O failed: {:?}", view.srb_status()));
            }
        }
        Ok(())
    }

    fn send(&mut self, srb: *mut c_void) {
        unsafe extern "win64" fn ended(_: *mut DEVICE_OBJECT, _: *mut IRP, done: *mut c_void) -> i32 {
            // SAFETY: `send` gives its flag, which stays where it is, in a box.
            unsafe { done.cast::<bool>().write_volatile(true) };
            objects::MORE_PROCESSING_REQUIRED
        }
        self.done = false;
        let irp = self.irp;
        // SAFETY: the IRP is idle, and has a location for the device; what it names stays until it is back.
        unsafe {
            objects::reset(irp, self.locations);
            (*irp).MdlAddress = self.mdl;
            let location = objects::next(irp);
            (*location).MajorFunction = SCSI;
            (*location).MinorFunction = 1;
            (*location).Parameters.Scsi.Srb = srb.cast();
            objects::on_completion(irp, ended, (&raw mut self.done).cast());
            objects::call(self.device, irp);
        }
    }
}
