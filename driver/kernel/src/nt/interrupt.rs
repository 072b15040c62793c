//! A device's interrupt: messages if it was given any, else its line.

use core::ptr::{self, NonNull};

use wdk_sys::{
    CONNECT_LINE_BASED, CONNECT_MESSAGE_BASED, DEVICE_OBJECT, IO_CONNECT_INTERRUPT_PARAMETERS,
    IO_DISCONNECT_INTERRUPT_PARAMETERS, IO_INTERRUPT_MESSAGE_INFO, IO_INTERRUPT_MESSAGE_INFO_ENTRY, NTSTATUS,
    PKINTERRUPT, PVOID,
    ntddk::{IoConnectInterruptEx, IoDisconnectInterruptEx},
};

use super::{irql::Passive, is_success};

/// Who is interrupted, at the device's IRQL.
pub(crate) trait Serviced: Sync {
    /// A message has come.
    fn message(&self, number: u32);

    /// The line is pulled. Whether it was the device's doing: others may share it.
    fn line(&self) -> bool;
}

/// A connected interrupt. It is disconnected, not dropped.
#[must_use = "an interrupt that stays connected calls what is there no more"]
pub(crate) struct Interrupt {
    version: u32,
    connection: PVOID,
}

// SAFETY: an address that the kernel knows.
unsafe impl Send for Interrupt {}
// SAFETY: as above.
unsafe impl Sync for Interrupt {}

impl Interrupt {
    /// Connects it. `service` may be called before this returns.
    ///
    /// # Errors
    /// What the kernel says.
    ///
    /// # Safety
    /// `pdo` is the live physical device object of a started device; `service` stays where it is until the interrupt has
    /// been disconnected.
    pub(crate) unsafe fn connect<S: Serviced>(
        pdo: NonNull<DEVICE_OBJECT>,
        service: &S,
        _: Passive<'_>,
    ) -> Result<Self, NTSTATUS> {
        let mut connection: PVOID = ptr::null_mut();
        let mut parameters = IO_CONNECT_INTERRUPT_PARAMETERS::default();
        parameters.Version = CONNECT_MESSAGE_BASED;
        // SAFETY: the union's member of this version. All pointers are good until the call returns, and the service
        // afterwards: the caller's contract.
        let status = unsafe {
            let asked = &mut parameters.__bindgen_anon_1.MessageBased;
            asked.PhysicalDeviceObject = pdo.as_ptr();
            asked.ConnectionContext.Generic = &raw mut connection;
            asked.MessageServiceRoutine = Some(on_message::<S>);
            asked.ServiceContext = ptr::from_ref(service).cast_mut().cast();
            asked.SpinLock = ptr::null_mut();
            asked.SynchronizeIrql = 0;
            asked.FloatingSave = 0;
            asked.FallBackServiceRoutine = Some(on_line::<S>);
            IoConnectInterruptEx(&raw mut parameters)
        };
        // The kernel has written which of the two it has connected.
        if is_success(status) { Ok(Self { version: parameters.Version, connection }) } else { Err(status) }
    }

    /// How many messages there are; 0 for a line.
    pub(crate) fn messages(&self) -> u32 {
        // SAFETY: the table is there until they are disconnected.
        self.table().map_or(0, |table| unsafe { (*table.as_ptr()).MessageCount })
    }

    /// The IRQL that all messages come at; `None` for a line.
    pub(crate) fn irql(&self) -> Option<u8> {
        // SAFETY: as above.
        self.table().map(|table| unsafe { (*table.as_ptr()).UnifiedIrql })
    }

    /// One message's particulars.
    pub(crate) fn message(&self, number: u32) -> Option<IO_INTERRUPT_MESSAGE_INFO_ENTRY> {
        let table = self.table().filter(|_| number < self.messages())?;
        // SAFETY: as above; it has so many entries.
        unsafe {
            let first = (&raw const (*table.as_ptr()).MessageInfo).cast::<IO_INTERRUPT_MESSAGE_INFO_ENTRY>();
            Some(first.add(number as usize).read())
        }
    }

    /// For messages the context is their table.
    fn table(&self) -> Option<NonNull<IO_INTERRUPT_MESSAGE_INFO>> {
        NonNull::new(self.connection.cast()).filter(|_| self.version == CONNECT_MESSAGE_BASED)
    }

    /// Disconnects it, and waits for routines that run.
    pub(crate) fn disconnect(self, _: Passive<'_>) {
        debug_assert!(matches!(self.version, CONNECT_MESSAGE_BASED | CONNECT_LINE_BASED));
        let mut parameters = IO_DISCONNECT_INTERRUPT_PARAMETERS::default();
        parameters.Version = self.version;
        parameters.ConnectionContext.Generic = self.connection;
        // SAFETY: connected by `connect` as this version, once.
        unsafe { IoDisconnectInterruptEx(&raw mut parameters) };
    }
}

unsafe extern "C" fn on_message<S: Serviced>(_interrupt: PKINTERRUPT, context: PVOID, number: u32) -> u8 {
    // SAFETY: connected with an `S`.
    unsafe { (*context.cast::<S>()).message(number) };
    1
}

unsafe extern "C" fn on_line<S: Serviced>(_interrupt: PKINTERRUPT, context: PVOID) -> u8 {
    // SAFETY: as above.
    u8::from(unsafe { (*context.cast::<S>()).line() })
}
