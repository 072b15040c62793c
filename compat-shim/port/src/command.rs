//! SRBs of the host's own: what no shim's unit sends. INQUIRY and REPORT LUNS before there is a unit, IO_CONTROL, FLUSH,
//! SHUTDOWN, resets, PnP, power, WMI.

use core::{
    cell::UnsafeCell,
    ffi::c_void,
    mem::{offset_of, size_of},
    ptr::NonNull,
};

use sluice_shim::storport::{
    SrbError, SrbFunction, SrbKind, SrbRequest, SrbStorage, SrbView, StorageRequestBlock,
    extended::{EX_DATA_HEAD, SrbExDataPnp, SrbExDataPower, StorAddressBtl8, data_type},
    srb::SrbAnswer,
};

use crate::{port::Port, slots::Origin, types::WmiRequestBlock, unit::LogicalUnit};

/// Sense bytes kept per command.
const SENSE_BYTES: usize = 252;

/// What a command says beside its SRB's usual fields.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Special {
    /// Nothing.
    #[default]
    None,
    /// SRB_FUNCTION_PNP.
    Pnp {
        /// IRP_MN_* code.
        minor: u8,
        /// STOR_PNP_ACTION.
        action: u32,
        /// SRB_PNP_FLAGS_*.
        flags: u32,
    },
    /// SRB_FUNCTION_POWER.
    Power {
        /// SRB_POWER_FLAGS_*.
        flags: u8,
        /// STOR_DEVICE_POWER_STATE.
        state: u32,
        /// STOR_POWER_ACTION.
        action: u32,
    },
    /// SRB_FUNCTION_WMI.
    Wmi {
        /// IRP_MN_* code.
        minor: u8,
        /// SRB_WMI_FLAGS_*.
        flags: u8,
        /// WMI's data path.
        path: usize,
    },
}

/// What is called when a command is done: at DISPATCH_LEVEL, or where it was sent if it never got to the miniport.
///
/// # Safety
/// The command was sent with this function; it is the callee's again.
pub type Done = unsafe fn(command: NonNull<Command>);

/// A command and where its answer goes. Stays where it is from [`Port::send`] until `done` is called.
#[repr(C)]
pub struct Command {
    /// First, so that the port's pointer leads back here.
    srb: UnsafeCell<SrbStorage>,
    kind: SrbKind,
    sense: UnsafeCell<[u8; SENSE_BYTES]>,
    done: Done,
    /// The sender's own.
    pub context: usize,
}

// SAFETY: a command belongs to one holder: its sender, or the port.
unsafe impl Send for Command {}
// SAFETY: as above.
unsafe impl Sync for Command {}

/// `SRBEX_DATA_WMI`.
#[repr(C, align(8))]
struct SrbExDataWmi {
    kind: u32,
    length: u32,
    minor: u8,
    flags: u8,
    reserved: [u8; 2],
    reserved1: u32,
    path: usize,
}

const _: () = assert!(size_of::<SrbExDataWmi>() == 24);

/// Where extended data begins in an SRB of ours: behind head and address.
pub(crate) const EX_DATA: usize = size_of::<StorageRequestBlock>() + size_of::<StorAddressBtl8>();

impl Command {
    /// Nothing yet: [`Self::prepare`] it.
    #[must_use]
    pub const fn new(done: Done, context: usize) -> Self {
        Self {
            srb: UnsafeCell::new(SrbStorage::new()),
            kind: SrbKind::Legacy,
            sense: UnsafeCell::new([0; SENSE_BYTES]),
            done,
            context,
        }
    }

    /// Says what it does. `request`'s data stays mapped until it is done; its sense buffer is the command's own.
    ///
    /// # Errors
    /// If no SRB of this kind can say it.
    pub fn prepare(
        &mut self,
        kind: SrbKind,
        request: &SrbRequest<'_>,
        special: Special,
    ) -> Result<(), SrbError> {
        self.kind = kind;
        let sense = self.sense.get_mut();
        *sense = [0; SENSE_BYTES];
        let request =
            SrbRequest { sense_buffer: sense.as_mut_ptr(), sense_length: SENSE_BYTES as u8, ..*request };
        let wanted = match special {
            Special::None => request.function,
            Special::Pnp { .. } => SrbFunction::PNP,
            Special::Power { .. } => SrbFunction::POWER,
            Special::Wmi { .. } => SrbFunction::WMI,
        };
        if request.function != wanted {
            return Err(SrbError::Function);
        }
        let srb = self.srb.get_mut();
        srb.fill(kind, &request)?;
        match kind {
            SrbKind::Legacy => put_legacy(srb, special),
            SrbKind::Extended => put_extended(srb, special),
        }
        Ok(())
    }

    /// The answer, when it is done.
    pub fn answer(&self) -> SrbAnswer {
        // SAFETY: whoever asks has it; the port's writes were before `done`.
        unsafe { (*self.srb.get()).answer(self.kind) }
    }

    /// The SRB, to look at more of it.
    ///
    /// # Errors
    /// If the miniport has made something else of it.
    pub fn view(&mut self) -> Result<SrbView, SrbError> {
        self.srb.get_mut().view()
    }

    /// What there is of sense data, when it is done.
    pub fn sense(&self) -> &[u8] {
        let answer = self.answer();
        let length = if answer.srb_status.has_sense() { usize::from(answer.sense_length) } else { 0 };
        // SAFETY: as for `answer`.
        unsafe { &*self.sense.get() }.get(..length.min(SENSE_BYTES)).unwrap_or(&[])
    }

    /// # Safety
    /// `command` was sent and is not done yet; the caller gives it up.
    pub(crate) unsafe fn finish(command: NonNull<Self>) {
        // SAFETY: the caller's contract; read first, for the command may be gone when this returns.
        unsafe {
            let done = command.as_ref().done;
            done(command);
        }
    }
}

impl Port {
    /// Sends a command to a unit ([`Self::adapter_unit`] for the adapter itself), now or when its turn comes. Up to
    /// DISPATCH_LEVEL, without locks.
    ///
    /// # Safety
    /// The command has been prepared for this port's kind of SRBs; it, and the data it names, stay where they are and are
    /// left alone until its `done` is called.
    pub unsafe fn send(&self, unit: &LogicalUnit, command: NonNull<Command>) {
        self.submit(unit, Origin { srb: command.cast(), is_command: true });
    }
}

fn put_legacy(srb: &mut SrbStorage, special: Special) {
    let start = srb.as_mut_ptr().cast::<u8>();
    // Where SCSI_PNP_REQUEST_BLOCK and SCSI_POWER_REQUEST_BLOCK differ from the ordinary one: a byte in place of the
    // SCSI status, four in place of tag and lengths, four in place of the internal status.
    let put = |small: u8, first: u32, second: u32| {
        // SAFETY: offsets 4, 8 and 64 of an SRB of 88 bytes.
        unsafe {
            start.add(4).write(small);
            start.add(8).cast::<u32>().write(first);
            start.add(64).cast::<u32>().write(second);
        }
    };
    match special {
        Special::None => {}
        Special::Pnp { minor, action, flags } => put(minor, action, flags),
        Special::Power { flags, state, action } => put(flags, state, action),
        Special::Wmi { minor, flags, path } => {
            // SAFETY: a WMI SRB has the size of an ordinary one.
            let wmi = unsafe { &mut *start.cast::<WmiRequestBlock>() };
            wmi.sub_function = minor;
            wmi.reserved1 = 0;
            wmi.wmi_flags = flags;
            wmi.reserved2 = [0; 2];
            wmi.data_path = path as *mut c_void;
        }
    }
}

fn put_extended(srb: &mut SrbStorage, special: Special) {
    let start = srb.as_mut_ptr().cast::<u8>();
    let length = |bytes: usize| (bytes - EX_DATA_HEAD) as u32;
    // SAFETY: the storage has room for 56 bytes of extended data behind head and address, which are of 24 at most; they
    // begin at a multiple of 8.
    unsafe {
        let place = start.add(EX_DATA);
        match special {
            Special::None => return,
            Special::Pnp { minor, action, flags } => place.cast::<SrbExDataPnp>().write(SrbExDataPnp {
                kind: data_type::PNP,
                length: length(size_of::<SrbExDataPnp>()),
                pnp_sub_function: minor,
                pnp_action: action,
                pnp_flags: flags,
                ..SrbExDataPnp::default()
            }),
            Special::Power { flags, state, action } => {
                place.cast::<SrbExDataPower>().write(SrbExDataPower {
                    kind: data_type::POWER,
                    length: length(size_of::<SrbExDataPower>()),
                    power_flags: flags,
                    device_power_state: state,
                    power_action: action,
                    ..SrbExDataPower::default()
                });
            }
            Special::Wmi { minor, flags, path } => place.cast::<SrbExDataWmi>().write(SrbExDataWmi {
                kind: data_type::WMI,
                length: length(size_of::<SrbExDataWmi>()),
                minor,
                flags,
                reserved: [0; 2],
                reserved1: 0,
                path,
            }),
        }
        let head = &mut *start.cast::<StorageRequestBlock>();
        head.num_srb_ex_data = 1;
        head.srb_ex_data_offset = [EX_DATA as u32];
    }
}

const _: () = assert!(offset_of!(Command, srb) == 0);
