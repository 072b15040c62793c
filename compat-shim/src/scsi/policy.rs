//! What a volume does about each request that can reach its disk: one table, [`row`].
//!
//! [`row`] finds a request's row; the row says what happens in each state. What has no row of its own
//! is refused on a disk that holds a Sluice volume and passed on any other ([`Row::UNLISTED`]): a request that
//! nobody thought of must not read ciphertext as data, or write plaintext below the chain.
//!
//! Some treatments need more than the request's code: [`Treatment::Inspect`] names what to look at, and the
//! answer is another look-up with what was found.

use super::{
    answers::page,
    cdb::{AtaPassThrough, ByteCheck, Command, ModeSense, WriteSame},
    edit::Edit,
    ioctl::{self, code, property},
    miniport::MiniportControl,
    sense::Refusal,
};
use crate::storport::codes::SrbFunction;

/// A request, as far as the table cares.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RequestKind {
    /// An SRB's function.
    Function(SrbFunction),
    /// The CDB of an EXECUTE_SCSI, or inside a SCSI pass-through.
    Command(Command),
    /// A device control code.
    Ioctl(u32),
    /// What an SRB IO_CONTROL or IOCTL_SCSI_MINIPORT asks of the miniport.
    MiniportControl(MiniportControl),
    /// The property of IOCTL_STORAGE_QUERY_PROPERTY.
    Property(u32),
    /// The NVMe admin command of IOCTL_STORAGE_PROTOCOL_COMMAND. Commands of an I/O queue are `None`.
    NvmeAdmin(Option<u8>),
}

/// What we know about the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum VolumeState {
    /// It holds no Sluice volume.
    Plain,
    /// It holds one whose key has not come.
    Locked,
    /// It holds one whose header has no valid copy.
    Damaged,
    /// Its header could not be read, so that it may hold one.
    Unreadable,
    /// It is in use, its data in place.
    InPlace {
        /// Writes are refused.
        read_only: bool,
        /// The device below is told which blocks are no longer needed. That shows how full the volume is.
        discards: bool,
    },
    /// It is in use, each block where its map says. Whether the device below is told what is free, its engine decides.
    Mapped {
        /// Writes are refused.
        read_only: bool,
    },
}

impl VolumeState {
    /// Every one there is, for whoever looks at the whole table.
    pub const ALL: [Self; 9] = [
        Self::Plain,
        Self::Locked,
        Self::Damaged,
        Self::Unreadable,
        Self::InPlace { read_only: false, discards: true },
        Self::InPlace { read_only: false, discards: false },
        Self::InPlace { read_only: true, discards: true },
        Self::Mapped { read_only: false },
        Self::Mapped { read_only: true },
    ];
}

/// What to look at before deciding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inspect {
    /// The CDB: [`RequestKind::Command`].
    Cdb,
    /// The task file: [`Command::AtaPassThrough`].
    TaskFile,
    /// The NVMe command: [`RequestKind::NvmeAdmin`].
    Protocol,
    /// The front of the data, [`super::miniport::FRONT`] bytes: [`RequestKind::MiniportControl`].
    Miniport,
    /// The property: [`RequestKind::Property`].
    Property,
    /// MODE SELECT's parameters: pass what [`super::mode::changes_only_caching`] allows, refuse the rest.
    ModeParameters,
}

/// What we answer without asking the device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// Success, nothing done.
    Done,
    /// READ CAPACITY(10) with the volume's size.
    Capacity10,
    /// READ CAPACITY(16) with the volume's size.
    Capacity16,
    /// VPD page B0: the volume's limits.
    Limits,
    /// VPD page B2: the volume's provisioning.
    Provisioning,
}

/// What to do about a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Treatment {
    /// Hand it down as it came, in order with the rest.
    Pass,
    /// Hand it down as it came and never hold it back: power transitions wait for it.
    PassUnqueued,
    /// Wait for what is in the chain, hold what comes, then hand it down.
    Quiesce,
    /// Through the chain: blocks moved, data changed.
    Transform,
    /// Through the chain as a DISCARD: ranges moved; the device sees it.
    Discard,
    /// Flush the chain and our metadata, then hand it down.
    Drain,
    /// Hand it down, then change the answer.
    Edit(Edit),
    /// Answer it here.
    Answer(Answer),
    /// Look closer and ask again.
    Inspect(Inspect),
    /// Refuse it.
    Refuse(Refusal),
}

/// The table's row for one kind of request: a treatment for each state but plain, where all is passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Locked.
    pub locked: Treatment,
    /// Damaged and unreadable.
    pub broken: Treatment,
    /// In place.
    pub in_place: Treatment,
    /// Mapped.
    pub mapped: Treatment,
    /// It changes data: refused where the volume is read-only.
    pub writes: bool,
}

use Treatment::{Discard, Drain, Pass, PassUnqueued, Quiesce, Transform};

const INVALID: Treatment = Treatment::Refuse(Refusal::InvalidOpcode);
const FIELD: Treatment = Treatment::Refuse(Refusal::InvalidField);
const LOCKED: Treatment = Treatment::Refuse(Refusal::NotAuthorised);
const LOST: Treatment = Treatment::Refuse(Refusal::Medium);
const PROTECTED: Treatment = Treatment::Refuse(Refusal::WriteProtected);

impl Row {
    /// Refused on every Sluice volume.
    pub const UNLISTED: Self = Self::all(INVALID);

    const fn all(treatment: Treatment) -> Self {
        Self { locked: treatment, broken: treatment, in_place: treatment, mapped: treatment, writes: false }
    }

    /// It needs the volume's data.
    const fn reads(open: Treatment) -> Self {
        Self { locked: LOCKED, broken: LOST, ..Self::all(open) }
    }

    /// It changes them.
    const fn writes(open: Treatment) -> Self {
        Self { locked: PROTECTED, broken: PROTECTED, writes: true, ..Self::all(open) }
    }

    /// Without a key there is nothing of ours that would have to take part.
    const fn passes_until(open: Treatment) -> Self {
        Self { locked: Pass, broken: Pass, ..Self::all(open) }
    }

    const fn but_mapped(self, mapped: Treatment) -> Self {
        Self { mapped, ..self }
    }

    const fn inspect(what: Inspect) -> Self {
        Self::all(Treatment::Inspect(what))
    }
}

/// What to do about `request` on a disk in `state`. Any IRQL; never looks at memory.
#[must_use]
pub fn treatment(request: &RequestKind, state: VolumeState) -> Treatment {
    let row = row(request);
    match state {
        VolumeState::Plain => Pass,
        VolumeState::Locked => row.locked,
        VolumeState::Damaged | VolumeState::Unreadable => row.broken,
        VolumeState::InPlace { read_only: true, .. } if row.writes => PROTECTED,
        VolumeState::InPlace { discards: false, .. } if row.in_place == Discard => {
            Treatment::Answer(Answer::Done) // UNMAP is a hint: the blocks keep what they hold
        }
        VolumeState::InPlace { .. } => row.in_place,
        VolumeState::Mapped { read_only: true } if row.writes => PROTECTED,
        VolumeState::Mapped { .. } => row.mapped,
    }
}

/// The table's row for `request`.
#[must_use]
pub fn row(request: &RequestKind) -> Row {
    match *request {
        RequestKind::Function(function) => function_row(function),
        RequestKind::Command(command) => command_row(&command),
        RequestKind::Ioctl(code) => ioctl_row(code),
        // Failure prediction; all else reaches the device's data or firmware in ways we cannot see.
        RequestKind::MiniportControl(MiniportControl::Smart) => Row::all(Pass),
        RequestKind::MiniportControl(MiniportControl::Other) => Row::UNLISTED,
        RequestKind::Property(id) => property_row(id),
        // Get Log Page and Identify read about the device; all else may read or change its data.
        RequestKind::NvmeAdmin(Some(ioctl::nvme::GET_LOG_PAGE | ioctl::nvme::IDENTIFY)) => Row::all(Pass),
        RequestKind::NvmeAdmin(_) => Row::UNLISTED,
    }
}

/// Commands about blocks.
fn command_row(command: &Command) -> Row {
    match *command {
        // Protection information covers the stored data, which is not the caller's.
        Command::Read(transfer) if transfer.protect != 0 => Row::reads(FIELD),
        Command::Write(transfer) if transfer.protect != 0 => Row::writes(FIELD),
        Command::Read(_) => Row::reads(Transform),
        Command::Write(_) => Row::writes(Transform),

        // In place blocks are 1:1, so the device can verify what it has written, also with the data it was sent. A mapped
        // volume's engine has no such command: the sender uses WRITE with FUA and VERIFY.
        Command::WriteAndVerify(transfer, ByteCheck::Medium | ByteCheck::Data) if transfer.protect == 0 => {
            Row::writes(Transform).but_mapped(INVALID)
        }
        Command::WriteAndVerify(..) => Row::writes(FIELD).but_mapped(INVALID),
        // Never: the blocks would have to be locked from read to write, and two payloads sent for the same sectors.
        Command::CompareAndWrite(_) => Row::writes(INVALID),
        // Never: they combine stored data with the caller's.
        Command::Xor => Row::writes(INVALID),
        // Never: raw sectors with their ECC.
        Command::ReadLong => Row::reads(INVALID),
        Command::WriteLong => Row::writes(INVALID),

        // In place blocks are 1:1, so the device can verify its own; a mapped volume reads and checks its tags. Comparing
        // with data is refused: the sender can read.
        Command::Verify(transfer, ByteCheck::Medium) if transfer.protect == 0 => Row::reads(Transform),
        Command::Verify(..) => Row::reads(FIELD),

        // Expanded to one transformed write, since the device's own would store the same ciphertext in every block, or
        // zeros, which decrypt to noise. With UNMAP as well: that is a permission, and mapped volumes store no zeros.
        Command::WriteSame(same) => Row::writes(if expands(&same) { Transform } else { FIELD }),

        // Anchored blocks are a promise of space, which in place is kept anyway; devices rarely take it.
        Command::Unmap { anchor: true, .. } => Row::writes(FIELD),
        Command::Unmap { .. } => Row::writes(Discard),

        // In place there is no map; without an answer Windows takes all blocks for mapped, which is safe.
        Command::GetLbaStatus { .. } => Row::reads(INVALID).but_mapped(Transform),

        // Never: the device would copy ciphertext to where it decrypts to noise. Hidden in VPD, below.
        Command::PopulateToken | Command::ExtendedCopy => Row::reads(INVALID),
        Command::WriteUsingToken => Row::writes(INVALID),

        _ => device_row(command),
    }
}

/// Whether a WRITE SAME says what can be expanded: some blocks, and nothing about what lies under them.
const fn expands(same: &WriteSame) -> bool {
    let WriteSame { transfer, anchor, patterned, .. } = same;
    transfer.protect == 0 && transfer.range.blocks > 0 && !*anchor && !*patterned
}

/// Commands about the device.
fn device_row(command: &Command) -> Row {
    match *command {
        // Without a key there is nothing of ours to drain, and the cache may hold writes from before.
        Command::SynchronizeCache { .. } => Row::passes_until(Drain),

        // Locked, the size is the header's. Broken, nobody knows it: the device's own does no harm.
        Command::ReadCapacity10 => capacity(Answer::Capacity10),
        Command::ReadCapacity16 { .. } => capacity(Answer::Capacity16),

        Command::Inquiry(inquiry) => inquiry_row(inquiry.page),

        Command::ModeSense(sense) => mode_sense_row(&sense),
        Command::ModeSelect { .. } => Row::inspect(Inspect::ModeParameters),

        // In place there is no local cache or map: another initiator sees the same blocks.
        Command::ReportLuns { .. }
        | Command::TestUnitReady
        | Command::RequestSense { .. }
        | Command::PersistentReserveIn
        | Command::PreventAllow { .. } => Row::all(Pass),
        // A map is in the memory of one machine: the disk of a mapped volume is not to be shared.
        Command::PersistentReserveOut => Row::all(Pass).but_mapped(INVALID),
        Command::StartStopUnit(_) => Row::all(PassUnqueued),

        // They destroy the volume, change the firmware, or read what is not ours to show. Later: an
        // administrator's switch.
        Command::FormatUnit
        | Command::Sanitize
        | Command::ReassignBlocks
        | Command::SecurityProtocolIn(_)
        | Command::SecurityProtocolOut(_)
        | Command::ReadBuffer
        | Command::WriteBuffer => Row::all(INVALID),

        Command::AtaPassThrough(ata) => {
            if ata_is_harmless(ata) {
                Row::all(Pass)
            } else {
                Row::UNLISTED
            }
        }
        // Of the commands about blocks none comes here; all others are not listed.
        _ => Row::UNLISTED,
    }
}

const fn capacity(answer: Answer) -> Row {
    Row { broken: Pass, ..Row::all(Treatment::Answer(answer)) }
}

/// VPD pages. A mapped volume's limits and provisioning are its own; in place, and before that is known, the
/// device's are cut down to what we do.
const fn inquiry_row(page: Option<u8>) -> Row {
    /// Third-party copy: copy offload hides with it.
    const THIRD_PARTY_COPY: u8 = 0x8F;
    match page {
        Some(page::SUPPORTED) => Row::all(Treatment::Edit(Edit::Pages)),
        Some(page::LIMITS) => {
            Row::all(Treatment::Edit(Edit::Limits)).but_mapped(Treatment::Answer(Answer::Limits))
        }
        Some(page::PROVISIONING) => {
            let ours = Treatment::Answer(Answer::Provisioning);
            Row::all(Treatment::Edit(Edit::Provisioning)).but_mapped(ours)
        }
        Some(THIRD_PARTY_COPY) => Row::all(FIELD),
        _ => Row::all(Pass),
    }
}

/// Locked and broken, the disk is write-protected: whoever asks first does not offer to initialize it. In place we add
/// no cache, so the device's caching page is the truth; a mapped volume must be told to flush.
const fn mode_sense_row(sense: &ModeSense) -> Row {
    const CHANGEABLE: u8 = 1;
    let (form, changeable) = (sense.form, sense.control == CHANGEABLE);
    let protected = Treatment::Edit(Edit::WriteProtect(form));
    let cached = Treatment::Edit(Edit::WriteCache { form, changeable });
    Row { locked: protected, broken: protected, ..Row::all(Pass).but_mapped(cached) }
}

/// ATA commands that read about the device or its power state (ACS-4). No user data in any of them.
const fn ata_is_harmless(ata: AtaPassThrough) -> bool {
    const SMART: u8 = 0xB0;
    match ata.command {
        0xEC | 0xA1 => true,                      // IDENTIFY DEVICE, IDENTIFY PACKET DEVICE
        0xE5 | 0xE0 | 0xE1 | 0xE2 | 0xE3 => true, // CHECK POWER MODE, STANDBY, IDLE, each IMMEDIATE and with timer
        0x2F | 0x47 => true,                      // READ LOG EXT, READ LOG DMA EXT
        // READ DATA, READ THRESHOLDS, EXECUTE OFF-LINE, READ LOG, ENABLE, RETURN STATUS; not WRITE LOG, DISABLE.
        SMART => matches!(ata.features & 0xFF, 0xD0 | 0xD1 | 0xD4 | 0xD5 | 0xD8 | 0xDA),
        _ => false,
    }
}

fn function_row(function: SrbFunction) -> Row {
    match function {
        SrbFunction::EXECUTE_SCSI => Row::inspect(Inspect::Cdb),
        SrbFunction::IO_CONTROL => Row::inspect(Inspect::Miniport),
        SrbFunction::FLUSH | SrbFunction::SHUTDOWN => Row::passes_until(Drain),
        SrbFunction::LOCK_QUEUE | SrbFunction::QUIESCE_DEVICE => {
            Row { locked: PassUnqueued, broken: PassUnqueued, ..Row::all(Quiesce) }
        }
        SrbFunction::UNLOCK_QUEUE | SrbFunction::RELEASE_QUEUE | SrbFunction::FLUSH_QUEUE => {
            Row::all(PassUnqueued)
        }
        // The device below aborts our child I/O and completes it with BUS_RESET.
        SrbFunction::RESET_BUS | SrbFunction::RESET_DEVICE | SrbFunction::RESET_LOGICAL_UNIT => {
            Row::all(PassUnqueued)
        }
        SrbFunction::CLAIM_DEVICE
        | SrbFunction::RELEASE_DEVICE
        | SrbFunction::ATTACH_DEVICE
        | SrbFunction::REMOVE_DEVICE
        | SrbFunction::WMI
        | SrbFunction::POWER
        | SrbFunction::PNP => Row::all(Pass),
        // EXECUTE_NVME carries data past the SCSI path: native NVMe stacks are not filtered yet, so refused.
        // A dump driver writes below us: memory would reach the disk in the clear, over ciphertext. ABORT_COMMAND
        // and its kin name an SRB that the device below has never seen.
        _ => Row::UNLISTED,
    }
}

fn ioctl_row(code: u32) -> Row {
    match code {
        code::SCSI_PASS_THROUGH
        | code::SCSI_PASS_THROUGH_DIRECT
        | code::SCSI_PASS_THROUGH_EX
        | code::SCSI_PASS_THROUGH_DIRECT_EX => Row::inspect(Inspect::Cdb),
        code::ATA_PASS_THROUGH | code::ATA_PASS_THROUGH_DIRECT => Row::inspect(Inspect::TaskFile),
        code::SCSI_MINIPORT => Row::inspect(Inspect::Miniport),
        code::STORAGE_PROTOCOL_COMMAND => Row::inspect(Inspect::Protocol),
        code::STORAGE_QUERY_PROPERTY => Row::inspect(Inspect::Property),
        // The class driver turns Trim and Allocation into UNMAP and GET LBA STATUS before they come here; what
        // it forwards is for devices with actions of their own, which we cannot translate.
        code::STORAGE_MANAGE_DATA_SET_ATTRIBUTES => Row::UNLISTED,
        // They read about the device, or its power state.
        code::SCSI_GET_INQUIRY_DATA
        | code::SCSI_GET_CAPABILITIES
        | code::SCSI_GET_ADDRESS
        | code::STORAGE_CHECK_VERIFY
        | code::STORAGE_CHECK_VERIFY2
        | code::STORAGE_MEDIA_REMOVAL
        | code::STORAGE_GET_HOTPLUG_INFO
        | code::STORAGE_GET_DEVICE_NUMBER
        | code::STORAGE_PREDICT_FAILURE
        | code::STORAGE_ENABLE_IDLE_POWER
        | code::STORAGE_GET_IDLE_POWERUP_REASON
        | code::STORAGE_POWER_ACTIVE
        | code::STORAGE_POWER_IDLE
        | code::STORAGE_EVENT_NOTIFICATION => Row::all(Pass),
        // IDE_PASS_THROUGH (undocumented buffer), dump pointers (see above), and all that nobody thought of.
        _ => Row::UNLISTED,
    }
}

fn property_row(id: u32) -> Row {
    match id {
        // Already while locked: the class driver asks once, when the disk starts.
        property::ADAPTER => Row::all(Treatment::Edit(Edit::MaximumTransfer)),
        property::LB_PROVISIONING => Row::all(Treatment::Edit(Edit::ProvisioningProperty)),
        // The data offset of a volume in place is a multiple of every physical sector.
        property::ACCESS_ALIGNMENT => Row::all(Pass).but_mapped(Treatment::Edit(Edit::AlignmentProperty)),
        property::TRIM => Row::all(Pass).but_mapped(Treatment::Edit(Edit::TrimProperty)),
        property::WRITE_CACHE => Row::all(Pass).but_mapped(Treatment::Edit(Edit::WriteCacheProperty)),
        property::DEVICE
        | property::DEVICE_ID
        | property::DEVICE_UNIQUE_ID
        | property::MINIPORT
        | property::SEEK_PENALTY
        | property::DEVICE_POWER
        | property::MEDIUM_PRODUCT_TYPE => Row::all(Pass),
        // Copy offload moves ciphertext; the rest (protocol-specific data among it) nobody has looked at yet.
        _ => Row::UNLISTED,
    }
}
