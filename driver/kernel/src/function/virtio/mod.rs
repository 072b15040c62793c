//! The virtio-blk miniport on its PCI function.
//!
//! ```text
//!   Srb ──► VirtioBlk ──► Pci ──► card ──► registers (BARs), bus (configuration space)
//!                          │        └────► dma: where the device finds a payload's pages
//!                          └─ rings and copies in one common buffer
//!   DPC of a message ◄── interrupt: messages (MSI-X), or the line
//!   clock: once a second, for requests that the device keeps
//! ```
//!
//! Message 0 tells of the configuration, the others of queues; a line tells of both, and its service routine asks the
//! device which (VIRTIO 1.2, 4.1.5.3, 4.1.5.4). Everything else happens in DPCs.
//!
//! **What the device reaches.** Payloads are given to it where they lie, by physical address, if that is how it finds the
//! common buffer; where anything translates on the way (DMA remapping, a machine whose memory is encrypted), every payload
//! is copied through the common buffer, whose addresses the DMA adapter knows.
//!
//! Resources are not moved while it runs: a request to stop for that is refused.

mod card;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, Ordering};

use sluice_chain::try_box;
use sluice_miniport_virtio_blk::{
    Device, Settings, VirtioBlk,
    memory::{DeviceAddress, Shared},
    pci::{Function, Pci, resources::Resources},
    transport::Failure,
};
use sluice_shim::{
    enumeration::descriptors::{self, bus},
    miniport::{Hw, Srb},
    storport::SrbKind,
};
use wdk_sys::{
    NTSTATUS, STATUS_DEVICE_CONFIGURATION_ERROR, STATUS_DEVICE_DOES_NOT_EXIST, STATUS_INSUFFICIENT_RESOURCES,
    STATUS_IO_DEVICE_ERROR, STATUS_NOT_SUPPORTED,
};

use card::Card;

use super::fdo::Fdo;
use crate::{
    nt::{
        bus::Bus,
        dma::CommonBuffer,
        dpc::{self, Clock, Deferred, Dpc, Ticking},
        interrupt::{Interrupt, Serviced},
        irql::Passive,
        processor,
    },
    platform::Kernel,
    volume::MAX_TRANSFER,
};

/// Most queues. Each takes about 2 MiB of the common buffer.
const QUEUES: u16 = 4;
/// Messages that are told apart: one for the configuration, one for each queue.
const MESSAGES: usize = QUEUES as usize + 1;
/// Requests of a queue that the device has at once, and that wait.
const REQUESTS: u16 = 32;
const WAITING: usize = 256;
/// Longest transfer that is copied.
const COPY: u32 = 64 << 10;
const PAGE: u32 = 4096;
/// Milliseconds between two looks for requests that the device keeps.
const TICK: u32 = 1000;

/// Its spin locks. It schedules nothing: its miniport completes through the shim.
static LOCKS: Kernel = Kernel::uninit();

/// The adapter. It is stopped, then dropped.
pub(crate) struct Hosted {
    interrupt: Option<Interrupt>,
    // Dropped before the memory that it works in.
    host: Box<Host>,
    _memory: CommonBuffer,
    resources: Resources,
}

/// What interrupts, DPCs and the clock turn to. It does not move.
struct Host {
    miniport: VirtioBlk<Pci<Card>>,
    /// By message.
    deferred: [Dpc; MESSAGES],
    clock: Clock,
    /// The line has told that the configuration has changed.
    changed: AtomicBool,
}

impl Hosted {
    /// Finds the device among `resources`, and starts it.
    ///
    /// # Errors
    /// STATUS_NOT_SUPPORTED for a device that is older than VIRTIO 1.0, or as its bus, the kernel or the device say; nothing
    /// is left behind.
    pub(crate) fn start(fdo: &Fdo, resources: Resources, at: Passive<'_>) -> Result<Self, NTSTATUS> {
        // SAFETY: attached; the physical device is there as long as this is.
        let (memory, settings) = unsafe { memory(fdo, at) }.ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        // SAFETY: the resources have come with this device's START_DEVICE; the memory is nobody else's, and goes last.
        let device = unsafe { device(fdo, &resources, &memory, settings, at)? };
        let mut hosted = Self { interrupt: None, host: Host::new(device)?, _memory: memory, resources };
        let begun = hosted.begin(fdo, at);
        if let Err(status) = begun {
            hosted.stop(at);
            return Err(status);
        }
        Ok(hosted)
    }

    #[inline(never)]
    fn begin(&mut self, fdo: &Fdo, at: Passive<'_>) -> Result<(), NTSTATUS> {
        // SAFETY: the physical device has been started; the host stays until `stop` has disconnected it.
        let interrupt = unsafe { Interrupt::connect(fdo.pdo, &*self.host, at)? };
        let messages = interrupt.messages().min(MESSAGES as u32) as u16;
        self.interrupt = Some(interrupt);
        self.host.card().set_messages(messages);
        self.host.device().reset().map_err(status_of)?;
        self.host.clock.start(TICK);
        Ok(())
    }

    /// The way to its only unit.
    ///
    /// # Safety
    /// Requests come back before this goes.
    pub(crate) unsafe fn unit(&self) -> Hw {
        // SAFETY: the caller's contract.
        Hw::of(unsafe { core::ptr::NonNull::from(&self.host.miniport).as_ref() })
    }

    /// What it says of itself.
    pub(crate) fn descriptor(&self) -> descriptors::Adapter {
        let most = self.host.device().facts().transfer.clamp(PAGE, MAX_TRANSFER);
        descriptors::Adapter {
            max_transfer: most,
            // A buffer need not begin on a page, and then lies on one more.
            max_pages: most / PAGE + 1,
            alignment_mask: 0,
            bus: bus::SCSI,
            srb_kind: SrbKind::Extended,
        }
    }

    /// Whether it has these resources.
    pub(crate) fn has(&self, resources: &Resources) -> bool {
        self.resources == *resources
    }

    /// The device has been pulled out, or is taken away although it is there: it is stopped as far as it answers, what it had
    /// ends, and nothing is asked of it any more.
    pub(crate) fn surprise_remove(&self) {
        self.host.device().stop();
        self.host.card().leave();
    }

    /// The device loses its power, or its place; or has it back. Up to DISPATCH_LEVEL.
    ///
    /// # Errors
    /// What the device says.
    pub(crate) fn power(&self, on: bool) -> Result<(), NTSTATUS> {
        if on {
            return self.host.device().reset().map_err(status_of);
        }
        self.host.device().stop();
        Ok(())
    }

    /// Ends it. Its unit has gone.
    #[inline(never)]
    pub(crate) fn stop(&mut self, at: Passive<'_>) {
        self.host.clock.stop(at);
        self.host.device().stop();
        if let Some(interrupt) = self.interrupt.take() {
            interrupt.disconnect(at);
        }
        dpc::settle(at);
    }
}

impl Host {
    /// Not inlined, as all that is here: each move of a device takes stack.
    #[inline(never)]
    fn new(device: Box<Device<Pci<Card>, Srb>>) -> Result<Box<Self>, NTSTATUS> {
        let host = try_box(Self {
            miniport: VirtioBlk::new(*device, SrbKind::Extended),
            deferred: [const { Dpc::uninit() }; MESSAGES],
            clock: Clock::uninit(),
            changed: AtomicBool::new(false),
        });
        let host = host.ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        // SAFETY: boxed, so it stays; `Hosted::stop` ends interrupts, clock and DPCs before it goes.
        unsafe {
            host.deferred.iter().for_each(|dpc| dpc.initialize(&*host));
            host.clock.initialize(&*host);
        }
        Ok(host)
    }

    fn device(&self) -> &Device<Pci<Card>, Srb> {
        self.miniport.device()
    }

    fn card(&self) -> &Card {
        self.device().transport().function()
    }

    fn defer(&self, message: u32) {
        self.deferred.get(message as usize).map(|dpc| dpc.queue(message));
    }
}

impl Serviced for Host {
    fn message(&self, number: u32) {
        self.defer(number);
    }

    fn line(&self) -> bool {
        if self.card().is_gone() {
            return false;
        }
        let (queue, configuration) = self.device().transport().interrupt_status();
        if configuration {
            self.changed.store(true, Ordering::Release);
        }
        if queue || configuration {
            self.defer(0);
        }
        queue || configuration
    }
}

impl Deferred for Host {
    fn run(&self, number: u32) {
        let (device, pci) = (self.device(), self.device().transport());
        let by_message = self.card().messages() > 0;
        if number == 0 && (by_message || self.changed.swap(false, Ordering::AcqRel)) {
            device.configuration_changed();
        }
        for queue in 0..device.queues() {
            if u32::from(pci.message_of(queue)) == number {
                device.interrupt(queue);
            }
        }
    }
}

impl Ticking for Host {
    fn tick(&self) {
        self.device().tick();
    }
}

/// The device behind the adapter, which is still to be started.
///
/// # Safety
/// The PnP manager has given `resources` to the adapter; `memory` is nobody else's, and goes after the device.
#[inline(never)]
unsafe fn device(
    fdo: &Fdo,
    resources: &Resources,
    memory: &CommonBuffer,
    settings: Settings,
    at: Passive<'_>,
) -> Result<Box<Device<Pci<Card>, Srb>>, NTSTATUS> {
    // SAFETY: attached; the rest is the caller's contract.
    let (card, mut shared) = unsafe {
        let bus = Bus::of(fdo.lower(), at)?;
        let card = Card::new(bus, resources, memory.is_direct(), at).ok_or(STATUS_INSUFFICIENT_RESOURCES)?;
        (card, Shared::from_raw(memory.start(), memory.length(), DeviceAddress(memory.logical())))
    };
    let pci = Pci::new(card).map_err(status_of)?;
    let device = Device::new(pci, &LOCKS, &mut shared, settings);
    device.and_then(try_box).ok_or(STATUS_INSUFFICIENT_RESOURCES)
}

/// The common buffer, and what fits into it: a queue for each processor, as far as there is memory for them.
///
/// # Safety
/// The adapter's physical device is there as long as the result.
#[inline(never)]
unsafe fn memory(fdo: &Fdo, at: Passive<'_>) -> Option<(CommonBuffer, Settings)> {
    let most = processor::count().min(u32::from(QUEUES)) as u16;
    [most, 1].into_iter().find_map(|queues| {
        // A payload need not begin on a page, and then lies on one more.
        let pieces = (MAX_TRANSFER / PAGE + 1) as u16;
        let settings = Settings {
            queues,
            requests: REQUESTS,
            waiting: WAITING,
            pieces,
            copy: COPY,
            ..Settings::default()
        };
        let length = u32::try_from(settings.bytes()).ok()?;
        // SAFETY: the caller's contract.
        let memory = unsafe { CommonBuffer::new(fdo.pdo, length, MAX_TRANSFER, at)? };
        // Where every payload is copied, one that is too long for that is not to be sent.
        let pieces = if memory.is_direct() { pieces } else { (COPY / PAGE) as u16 };
        Some((memory, Settings { pieces, ..settings }))
    })
}

fn status_of(failure: Failure) -> NTSTATUS {
    match failure {
        Failure::Legacy | Failure::Features => STATUS_NOT_SUPPORTED,
        Failure::Unfit | Failure::Queues => STATUS_DEVICE_CONFIGURATION_ERROR,
        Failure::Gone => STATUS_DEVICE_DOES_NOT_EXIST,
        Failure::Reset | Failure::Hopeless => STATUS_IO_DEVICE_ERROR,
    }
}
