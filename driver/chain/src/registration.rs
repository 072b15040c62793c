//! How another driver says that it has a stage: C-ABI types, and what is checked before any of it is used.
//!
//! `driver/include/sluice_stage.h` says the same in C; a test compares the two.

use core::{ffi::c_void, fmt};

use crate::abi::{ABI_VERSION, Io, Needs, StageTable, Verdict};

/// On which side of the volume's own stages a stage is put.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place(pub u32);

impl Place {
    /// Above them: it sees plaintext, and sectors of the volume.
    pub const ABOVE: Self = Self(1);
    /// Below them: it sees what the disk sees. Not in mapped volumes, which have nothing below a chain.
    pub const BELOW: Self = Self(2);
}

/// What a stage does with what it sees.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(pub u32);

impl Kind {
    /// It looks, may delay an I/O and may end it with an error. It changes no data, length or address, and may come and
    /// go while a volume is in use.
    pub const OBSERVER: Self = Self(1);
    /// It changes data. It is part of those volumes whose header names it, from unlocking to locking, and of no other.
    pub const TRANSFORMER: Self = Self(2);
}

/// The code under which a kernel driver asks the control device for [`StageInterface`]: an IRP_MJ_INTERNAL_DEVICE_CONTROL,
/// METHOD_BUFFERED. Input: the [`ABI_VERSION`] that it speaks. `CTL_CODE` of the control device's type, any access.
pub const GET_INTERFACE: u32 = 0x8053 << 16 | 0x810 << 2;

/// Stands for every disk, those that are yet to come included.
pub const EVERY_DISK: u32 = 0;

/// What a driver registers.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct Registration {
    /// `size_of::<Registration>()`.
    pub size: u32,
    /// What it does.
    pub kind: Kind,
    /// Where it is put.
    pub place: Place,
    /// Its place among other drivers' stages there: the highest is on top. No two may have the same.
    pub altitude: u32,
    /// The disk's number, or [`EVERY_DISK`].
    pub disk: u32,
    /// Zero.
    pub reserved: u32,
    /// The stage. Read while it is registered, and not afterwards.
    pub table: *const StageTable,
    /// For its functions.
    pub context: *const c_void,
}

/// One line of the list of registrations.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Registered {
    /// Which one.
    pub handle: u64,
    /// The disk's number, or [`EVERY_DISK`].
    pub disk: u32,
    /// See [`Kind`].
    pub kind: Kind,
    /// See [`Place`].
    pub place: Place,
    /// As registered.
    pub altitude: u32,
    /// The stage's name.
    pub name: [u8; 16],
}

/// What a driver gets when it asks for the interface. Each function at PASSIVE_LEVEL; each answers an NTSTATUS.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct StageInterface {
    /// `size_of::<StageInterface>()`.
    pub size: u32,
    /// [`ABI_VERSION`].
    pub version: u32,
    /// Registers a stage, and puts it into what is unlocked. The handle is written on success.
    pub register: unsafe extern "C" fn(registration: *const Registration, handle: *mut u64) -> i32,
    /// Takes it out everywhere, waits until no I/O is inside it, calls its `detach`, and returns.
    pub unregister: unsafe extern "C" fn(handle: u64) -> i32,
    /// Writes as many lines as there is `room` for; `count` says how many there are.
    pub list: unsafe extern "C" fn(lines: *mut Registered, room: u32, count: *mut u32) -> i32,
}

type Function = unsafe extern "C" fn(context: *const c_void, io: *mut Io) -> Verdict;
type Detach = unsafe extern "C" fn(context: *const c_void);

/// [`StageTable`] as foreign memory holds it, where a function may be missing.
#[repr(C)]
struct ForeignTable {
    size: u32,
    version: u32,
    name: [u8; 16],
    needs: Needs,
    reserved: u32,
    request: Option<Function>,
    completion: Option<Function>,
    detach: Option<Detach>,
}

const _: () = {
    use core::mem::offset_of;
    // 6*4 + 2*8; 8 + 4*4 + 16; 2*4 + 3*8
    assert!(size_of::<Registration>() == 40);
    assert!(size_of::<Registered>() == 40);
    assert!(size_of::<StageInterface>() == 32);
    assert!(size_of::<ForeignTable>() == size_of::<StageTable>());
    assert!(offset_of!(ForeignTable, request) == offset_of!(StageTable, request));
    assert!(offset_of!(ForeignTable, detach) == offset_of!(StageTable, detach));
};

/// A registration that has been checked.
#[derive(Clone, Copy)]
pub struct Outside {
    /// See [`Registration::kind`].
    pub kind: Kind,
    /// See [`Registration::place`].
    pub place: Place,
    /// See [`Registration::altitude`].
    pub altitude: u32,
    /// See [`Registration::disk`].
    pub disk: u32,
    /// The stage.
    pub table: StageTable,
    /// For its functions.
    pub context: *const c_void,
}

// SAFETY: the stage's functions may be called on any thread (`StageTable`'s contract); the context is for them alone.
unsafe impl Send for Outside {}

impl fmt::Debug for Outside {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outside")
            .field("name", &self.table.name)
            .field("disk", &self.disk)
            .finish_non_exhaustive()
    }
}

/// Why a registration is refused, or cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// A structure is not as long as its type.
    Size,
    /// The stage is of another version.
    Version,
    /// A pointer is missing or not aligned.
    Pointer,
    /// A kind or place that there is not, or a reserved field that is not zero.
    Field,
    /// The name is empty, not printable ASCII, or not padded with zeros.
    Name,
    /// It needs what is not there, or for an observer, what only who changes data can need.
    Needs,
    /// There is no such disk.
    NoSuchDisk,
    /// The disk's volume has no such place.
    NoSuchPlace,
    /// Another stage of that name, or this one again, is registered for the same disk.
    SameName,
    /// Another stage is registered at the same place and altitude for the same disk.
    SameAltitude,
    /// So many stages are registered already, on the whole or for one disk.
    TooMany,
    /// Memory has run out.
    NoMemory,
    /// There is no such registration (any more).
    NotRegistered,
    /// It is part of a volume that cannot be locked now.
    InUse,
    /// The caller is not at PASSIVE_LEVEL.
    Irql,
}

impl Refused {
    /// Every refusal, with its NTSTATUS (ntstatus.h).
    const TABLE: [(Self, u32); 15] = [
        (Self::Size, 0xc000_0004),          // STATUS_INFO_LENGTH_MISMATCH
        (Self::Version, 0xc000_0059),       // STATUS_REVISION_MISMATCH
        (Self::Pointer, 0xc000_0141),       // STATUS_INVALID_ADDRESS
        (Self::Field, 0xc000_000d),         // STATUS_INVALID_PARAMETER
        (Self::Name, 0xc000_0033),          // STATUS_OBJECT_NAME_INVALID
        (Self::Needs, 0xc000_00bb),         // STATUS_NOT_SUPPORTED
        (Self::NoSuchDisk, 0xc000_0034),    // STATUS_OBJECT_NAME_NOT_FOUND
        (Self::NoSuchPlace, 0xc000_0010),   // STATUS_INVALID_DEVICE_REQUEST
        (Self::SameName, 0xc000_0035),      // STATUS_OBJECT_NAME_COLLISION
        (Self::SameAltitude, 0xc01c_0011),  // STATUS_FLT_INSTANCE_ALTITUDE_COLLISION
        (Self::TooMany, 0xc000_0044),       // STATUS_QUOTA_EXCEEDED
        (Self::NoMemory, 0xc000_009a),      // STATUS_INSUFFICIENT_RESOURCES
        (Self::NotRegistered, 0xc000_0225), // STATUS_NOT_FOUND
        (Self::InUse, 0x8000_0011),         // STATUS_DEVICE_BUSY
        (Self::Irql, 0xc000_0148),          // STATUS_INVALID_LEVEL
    ];

    /// What the caller is told.
    pub fn nt_status(self) -> i32 {
        let row = Self::TABLE.iter().find(|row| row.0 == self);
        row.map_or(0xc000_0001, |row| row.1) as i32 // STATUS_UNSUCCESSFUL cannot occur: see the test
    }
}

impl Outside {
    /// Checks what a driver hands over and copies it.
    ///
    /// # Errors
    /// See [`Refused`].
    ///
    /// # Safety
    /// `registration`, and the table that it names, is null or readable for the size that it begins with. Functions in it
    /// that are not null are what [`StageTable`] says, and stay until it is unregistered.
    pub unsafe fn read(registration: *const Registration) -> Result<Self, Refused> {
        if registration.is_null() || !registration.is_aligned() {
            return Err(Refused::Pointer);
        }
        // SAFETY: not null, aligned, and readable by the caller's contract: first the size, then the rest.
        let registration = unsafe {
            if (*registration).size as usize != size_of::<Registration>() {
                return Err(Refused::Size);
            }
            *registration
        };
        let Registration { kind, place, altitude, disk, reserved, context, .. } = registration;
        if !matches!(kind, Kind::OBSERVER | Kind::TRANSFORMER)
            || !matches!(place, Place::ABOVE | Place::BELOW)
            || reserved != 0
        {
            return Err(Refused::Field);
        }
        // SAFETY: as for the registration.
        let table = unsafe { read_table(registration.table) }?;
        let known = match kind {
            Kind::TRANSFORMER => Needs::SPARE_ON_WRITE.0,
            _ => 0,
        };
        if table.needs.0 & !known != 0 {
            return Err(Refused::Needs);
        }
        Ok(Self { kind, place, altitude, disk, table, context })
    }
}

/// # Safety
/// As for [`Outside::read`].
unsafe fn read_table(table: *const StageTable) -> Result<StageTable, Refused> {
    let foreign = table.cast::<ForeignTable>();
    if foreign.is_null() || !foreign.is_aligned() {
        return Err(Refused::Pointer);
    }
    // SAFETY: the caller's contract. The version says what the size means: it is looked at first.
    let foreign = unsafe {
        if (*foreign).version >> 16 != ABI_VERSION >> 16 {
            return Err(Refused::Version);
        }
        if (*foreign).size as usize != size_of::<StageTable>() {
            return Err(Refused::Size);
        }
        &*foreign
    };
    if foreign.reserved != 0 {
        return Err(Refused::Field);
    }
    if !is_name(&foreign.name) {
        return Err(Refused::Name);
    }
    match (foreign.request, foreign.completion, foreign.detach) {
        (Some(request), Some(completion), Some(detach)) => Ok(StageTable {
            size: foreign.size,
            version: foreign.version,
            name: foreign.name,
            needs: foreign.needs,
            reserved: 0,
            request,
            completion,
            detach,
        }),
        _ => Err(Refused::Pointer),
    }
}

/// Printable ASCII, then zeros.
pub fn is_name(name: &[u8; 16]) -> bool {
    let length = name.iter().position(|&byte| byte == 0).unwrap_or(name.len());
    let (text, padding) = name.split_at(length);
    !text.is_empty()
        && text.iter().all(|byte| byte.is_ascii_graphic() || *byte == b' ')
        && padding.iter().all(|&byte| byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_own_status() {
        for (index, (refused, status)) in Refused::TABLE.into_iter().enumerate() {
            assert_eq!(refused as usize, index, "the table misses one or has another order");
            assert_eq!(refused.nt_status(), status as i32);
            assert!(!Refused::TABLE[..index].iter().any(|other| other.1 == status));
        }
        assert_eq!(Refused::TABLE.len(), Refused::Irql as usize + 1);
    }
}
