//! A miniport as C would have it: functions with C's calling convention that know their port by its exported symbols
//! only. What it does in each callback is the test's to say.

#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]
#![allow(clippy::type_complexity, reason = "callbacks, each once")]
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test that cannot go on stops")]

pub mod c;

use std::{
    cell::RefCell,
    ffi::{c_char, c_void},
    ptr,
    sync::Arc,
    time::Duration,
};

use sluice_port::{port::Timing, registration::Registration, status::NtStatus};
use sluice_port_host::{Adapter, Hardware};
use sluice_shim::storport::{
    HwInitializationData, PortConfigurationInformation, ScsiStatus, SrbKind, SrbStatus, SrbView,
    initialization::{SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK, SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK},
    notification::found,
};

/// A device extension, as a callback is given it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ext(pub *mut c_void);

// SAFETY: only ever handed to the port's functions.
unsafe impl Send for Ext {}
// SAFETY: as above.
unsafe impl Sync for Ext {}

/// An SRB, likewise.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SrbAt(pub *mut c_void);

// SAFETY: as above.
unsafe impl Send for SrbAt {}
// SAFETY: as above.
unsafe impl Sync for SrbAt {}

impl SrbAt {
    pub fn view(self) -> SrbView {
        // SAFETY: the port's SRBs are in order while the miniport has them.
        unsafe { SrbView::parse(self.0) }.unwrap()
    }
}

type On<R> = Box<dyn Fn(Ext) -> R + Send + Sync>;

/// What the miniport does.
pub struct Script {
    pub kind: SrbKind,
    pub data: Box<dyn Fn(&mut HwInitializationData) + Send + Sync>,
    pub find: Box<dyn Fn(Ext, &mut PortConfigurationInformation) -> u32 + Send + Sync>,
    pub initialize: On<bool>,
    pub passive: On<bool>,
    pub build: Box<dyn Fn(Ext, SrbAt) -> bool + Send + Sync>,
    pub start: Box<dyn Fn(Ext, SrbAt) -> bool + Send + Sync>,
    pub interrupt: On<bool>,
    pub message: Box<dyn Fn(Ext, u32) -> bool + Send + Sync>,
    pub reset_bus: Box<dyn Fn(Ext, u32) -> bool + Send + Sync>,
    pub control: Box<dyn Fn(Ext, u32, *mut c_void) -> u32 + Send + Sync>,
    pub unit_control: Box<dyn Fn(Ext, u32, *mut c_void) -> u32 + Send + Sync>,
    pub timer: On<()>,
    pub dpc: Box<dyn Fn(Ext, *mut c_void, usize, usize) + Send + Sync>,
    pub work: Box<dyn Fn(Ext, usize, *mut c_void) + Send + Sync>,
    pub timer_ex: Box<dyn Fn(Ext, usize) + Send + Sync>,
    pub service: Box<dyn Fn(Ext, *mut c_void) + Send + Sync>,
}

impl Default for Script {
    /// Answers everything at once with success.
    fn default() -> Self {
        Self {
            kind: SrbKind::Legacy,
            data: Box::new(|_| {}),
            find: Box::new(|_, _| found::FOUND),
            initialize: Box::new(|_| true),
            passive: Box::new(|_| true),
            build: Box::new(|_, _| true),
            start: Box::new(|ext, srb| {
                succeed(ext, srb);
                true
            }),
            interrupt: Box::new(|_| false),
            message: Box::new(|_, _| false),
            reset_bus: Box::new(|_, _| true),
            control: Box::new(|_, _, _| 0),
            unit_control: Box::new(|_, _, _| 0),
            timer: Box::new(|_| {}),
            dpc: Box::new(|_, _, _, _| {}),
            work: Box::new(|_, _, _| {}),
            timer_ex: Box::new(|_, _| {}),
            service: Box::new(|_, _| {}),
        }
    }
}

/// Completes an SRB with success.
pub fn succeed(ext: Ext, srb: SrbAt) {
    let mut view = srb.view();
    view.set_scsi_status(ScsiStatus::GOOD);
    finish(ext, srb, SrbStatus::SUCCESS);
}

/// Completes an SRB.
pub fn finish(ext: Ext, srb: SrbAt, status: SrbStatus) {
    srb.view().set_srb_status(status);
    complete(ext, srb);
}

/// RequestComplete.
pub fn complete(ext: Ext, srb: SrbAt) {
    // SAFETY: as C would.
    unsafe { c::StorPortNotification(c::REQUEST_COMPLETE, ext.0, srb.0) };
}

/// The extension's first word is the script, once HwFindAdapter has been called.
fn script<'a>(extension: *mut c_void) -> &'a Script {
    // SAFETY: `find_adapter` has put it there; scripts are leaked.
    unsafe { &**extension.cast::<*const Script>() }
}

unsafe extern "system" fn find_adapter(
    extension: *mut c_void,
    context: *mut c_void,
    _bus: *mut c_void,
    _argument: *mut c_char,
    configuration: *mut PortConfigurationInformation,
    _again: *mut u8,
) -> u32 {
    // SAFETY: `driver_entry` registers a script as the context; the configuration is the port's.
    unsafe {
        extension.cast::<*mut c_void>().write(context);
        let configuration = &mut *configuration;
        configuration.synchronization_model = 1;
        configuration.hw_ms_interrupt_routine = None;
        (script(extension).find)(Ext(extension), configuration)
    }
}

unsafe extern "system" fn initialize(extension: *mut c_void) -> u8 {
    u8::from((script(extension).initialize)(Ext(extension)))
}

pub unsafe extern "system" fn passive_initialize(extension: *mut c_void) -> u8 {
    u8::from((script(extension).passive)(Ext(extension)))
}

unsafe extern "system" fn build_io(extension: *mut c_void, srb: *mut c_void) -> u8 {
    u8::from((script(extension).build)(Ext(extension), SrbAt(srb)))
}

unsafe extern "system" fn start_io(extension: *mut c_void, srb: *mut c_void) -> u8 {
    u8::from((script(extension).start)(Ext(extension), SrbAt(srb)))
}

unsafe extern "system" fn interrupt(extension: *mut c_void) -> u8 {
    u8::from((script(extension).interrupt)(Ext(extension)))
}

pub unsafe extern "system" fn message_interrupt(extension: *mut c_void, id: u32) -> u8 {
    u8::from((script(extension).message)(Ext(extension), id))
}

unsafe extern "system" fn reset_bus(extension: *mut c_void, path: u32) -> u8 {
    u8::from((script(extension).reset_bus)(Ext(extension), path))
}

unsafe extern "system" fn adapter_control(extension: *mut c_void, kind: u32, parameters: *mut c_void) -> u32 {
    (script(extension).control)(Ext(extension), kind, parameters)
}

unsafe extern "system" fn unit_control(extension: *mut c_void, kind: u32, parameters: *mut c_void) -> u32 {
    (script(extension).unit_control)(Ext(extension), kind, parameters)
}

pub unsafe extern "system" fn timer(extension: *mut c_void) {
    (script(extension).timer)(Ext(extension));
}

pub unsafe extern "system" fn dpc(
    dpc: *mut c_void,
    extension: *mut c_void,
    one: *mut c_void,
    two: *mut c_void,
) {
    (script(extension).dpc)(Ext(extension), dpc, one as usize, two as usize);
}

pub unsafe extern "system" fn work(extension: *mut c_void, context: *mut c_void, worker: *mut c_void) {
    (script(extension).work)(Ext(extension), context as usize, worker);
}

pub unsafe extern "system" fn timer_ex(extension: *mut c_void, context: *mut c_void) {
    (script(extension).timer_ex)(Ext(extension), context as usize);
}

pub unsafe extern "system" fn service(extension: *mut c_void, irp: *mut c_void) {
    (script(extension).service)(Ext(extension), irp);
}

thread_local! {
    static NEXT: RefCell<Option<Script>> = const { RefCell::new(None) };
}

/// What the miniport registers; `script` becomes its context.
pub fn initialization_data(script: &Script) -> HwInitializationData {
    let mut data = HwInitializationData::new();
    data.adapter_interface_type = 5;
    data.hw_initialize = Some(initialize);
    data.hw_start_io = Some(start_io);
    data.hw_build_io = Some(build_io);
    data.hw_interrupt = Some(interrupt);
    data.hw_find_adapter = Some(find_adapter);
    data.hw_reset_bus = Some(reset_bus);
    data.hw_adapter_control = Some(adapter_control);
    data.hw_unit_control = Some(unit_control);
    data.device_extension_size = 256;
    data.specific_lu_extension_size = 64;
    data.srb_extension_size = 96;
    data.number_of_access_ranges = 1;
    data.need_physical_addresses = 1;
    data.tagged_queuing = 1;
    data.auto_request_sense = 1;
    data.multiple_request_per_lu = 1;
    data.srb_type_flags = match script.kind {
        SrbKind::Legacy => SRB_TYPE_FLAG_SCSI_REQUEST_BLOCK,
        SrbKind::Extended => SRB_TYPE_FLAG_STORAGE_REQUEST_BLOCK,
    };
    (script.data)(&mut data);
    data
}

unsafe extern "system" fn driver_entry(driver: *mut c_void, path: *mut c_void) -> u32 {
    let script: &'static Script = Box::leak(Box::new(NEXT.take().unwrap()));
    let data = initialization_data(script);
    let context = ptr::from_ref(script).cast_mut().cast();
    // SAFETY: as C would.
    unsafe { c::StorPortInitialize(driver, path, (&raw const data).cast(), context) }
}

/// Loads the miniport.
pub fn load(script: Script) -> Result<Registration, NtStatus> {
    NEXT.set(Some(script));
    // SAFETY: a miniport's.
    unsafe { sluice_port_host::load(driver_entry) }
}

/// Quick enough for tests.
pub const TIMING: Timing = Timing { tick: 20_000, step: 100_000, reset_hold: 60_000 };

/// Starts an adapter of it with one unit.
pub fn start(script: Script) -> Arc<Adapter> {
    start_on(script, Hardware::default())
}

pub fn start_on(script: Script, hardware: Hardware) -> Arc<Adapter> {
    let adapter = Adapter::start(&load(script).unwrap(), hardware, TIMING).unwrap();
    adapter.add_unit(0, 0, 0).unwrap();
    adapter
}

/// Long enough for anything here.
pub const PATIENCE: Duration = Duration::from_secs(10);

/// One of a port's faults, by its name.
pub fn fault(adapter: &Adapter, name: &str) -> u32 {
    adapter.port().faults().iter().find(|(is, _)| *is == name).expect("a fault of this name").1
}
