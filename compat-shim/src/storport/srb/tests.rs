//! Round trips, and SRBs that lie.

use core::{ffi::c_void, ptr::NonNull};

use proptest::prelude::*;

use super::{Address, SrbError, SrbKind, SrbRequest, SrbStorage, SrbView};
use crate::storport::codes::{QueueAction, ScsiStatus, SrbFlags, SrbFunction, SrbStatus};

const KINDS: [SrbKind; 2] = [SrbKind::Legacy, SrbKind::Extended];

#[test]
fn what_is_filled_in_is_what_the_view_shows() {
    let mut sense = [0u8; 18];
    let data = 0x1000 as *mut c_void;
    let irp = 0x2000 as *mut c_void;
    for kind in KINDS {
        let cdb = [0x28, 0, 0, 0, 0, 9, 0, 0, 1, 0];
        let request = SrbRequest {
            timeout: 60,
            sense_buffer: sense.as_mut_ptr(),
            sense_length: 18,
            address: Address { path: 1, target: 2, lun: 3 },
            queue_action: QueueAction::ORDERED,
            original_request: irp,
            miniport_context: 0x3000 as *mut c_void,
            ..SrbRequest::command(&cdb)
        }
        .with_data(SrbFlags::DATA_IN, data, 512);
        let mut storage = SrbStorage::new();
        let mut view = storage.filled(kind, &request).unwrap();
        assert_eq!(view.kind(), kind);
        assert_eq!(view.cdb(), cdb);
        assert_eq!(view.function(), SrbFunction::EXECUTE_SCSI);
        assert_eq!(view.flags(), SrbFlags::NO_QUEUE_FREEZE | SrbFlags::DATA_IN);
        assert_eq!((view.data_buffer(), view.data_transfer_length()), (data, 512));
        assert_eq!((view.timeout(), view.original_request()), (60, irp));
        assert_eq!(view.miniport_context(), 0x3000 as *mut c_void);
        assert_eq!(view.address(), Address { path: 1, target: 2, lun: 3 });
        assert_eq!(view.queue_action(), QueueAction::ORDERED);
        assert_eq!(view.srb_status(), SrbStatus::PENDING);

        view.set_srb_status(SrbStatus(SrbStatus::ERROR.0 | SrbStatus::QUEUE_FROZEN));
        assert_eq!(view.srb_status(), SrbStatus::ERROR, "frozen is the port's to say");
        view.set_scsi_status(ScsiStatus::CHECK_CONDITION);
        view.set_data_transfer_length(7);
        view.set_internal_status(0xC000_0001);
        // SAFETY: the SRB names `sense`.
        assert_eq!(unsafe { view.write_sense(&[0x70; 32]) }, 18);
        assert_eq!(view.srb_status(), SrbStatus::ERROR.with_sense());
        assert_eq!(view.scsi_status(), ScsiStatus::CHECK_CONDITION);
        assert_eq!((view.data_transfer_length(), view.internal_status()), (7, 0xC000_0001));
        assert_eq!(sense, [0x70; 18]);
        // SAFETY: as above. Five bytes more: the length is now what is valid.
        assert_eq!(unsafe { view.write_sense(&[1; 5]) }, 5);
        assert_eq!(view.sense_buffer().unwrap().1, 5);
    }
}

#[test]
fn sense_is_not_written_where_none_is_wanted() {
    for kind in KINDS {
        let mut sense = [0u8; 18];
        let mut storage = SrbStorage::new();
        let mut request = SrbRequest::command(&[0; 6]);
        // SAFETY: there is no sense buffer.
        assert_eq!(unsafe { storage.filled(kind, &request).unwrap().write_sense(&[1; 18]) }, 0);
        request.sense_buffer = sense.as_mut_ptr();
        request.sense_length = 18;
        request.flags |= SrbFlags::DISABLE_AUTOSENSE;
        let mut view = storage.filled(kind, &request).unwrap();
        // SAFETY: the SRB names `sense`.
        assert_eq!(unsafe { view.write_sense(&[1; 18]) }, 0);
        assert!(!view.srb_status().has_sense());
        assert_eq!(sense, [0; 18]);
    }
}

#[test]
fn ordered_and_untagged_requests_are_barriers() {
    for kind in KINDS {
        let mut storage = SrbStorage::new();
        for (flags, action, barrier) in [
            (SrbFlags::NONE, QueueAction(0), true),
            (SrbFlags::NONE, QueueAction::SIMPLE, true),
            (SrbFlags::QUEUE_ACTION_ENABLE, QueueAction::SIMPLE, false),
            (SrbFlags::QUEUE_ACTION_ENABLE, QueueAction::HEAD_OF_QUEUE, false),
            (SrbFlags::QUEUE_ACTION_ENABLE, QueueAction::ORDERED, true),
        ] {
            let request = SrbRequest { flags, queue_action: action, ..SrbRequest::command(&[0; 6]) };
            assert_eq!(storage.filled(kind, &request).unwrap().is_barrier(), barrier, "{action:?}");
        }
    }
}

#[test]
fn other_functions_have_no_command() {
    for kind in KINDS {
        let mut storage = SrbStorage::new();
        let mut view = storage.filled(kind, &SrbRequest::function(SrbFunction::FLUSH)).unwrap();
        assert_eq!(view.function(), SrbFunction::FLUSH);
        assert!(view.cdb().is_empty() && view.sense_buffer().is_none());
        view.set_scsi_status(ScsiStatus::BUSY);
        assert_eq!(view.scsi_status(), ScsiStatus::GOOD);
        let both = SrbRequest { cdb: &[0; 6], ..SrbRequest::function(SrbFunction::FLUSH) };
        assert_eq!(storage.fill(kind, &both), Err(SrbError::Command));
        assert_eq!(storage.fill(kind, &SrbRequest::command(&[])), Err(SrbError::Command));
    }
}

#[test]
fn long_commands_need_the_extended_kind() {
    let mut storage = SrbStorage::new();
    let long = SrbRequest::command(&[0x7F; 32]);
    assert_eq!(storage.fill(SrbKind::Legacy, &long), Err(SrbError::CdbLength));
    assert_eq!(storage.filled(SrbKind::Extended, &long).unwrap().cdb(), [0x7F; 32]);
    assert_eq!(storage.fill(SrbKind::Extended, &SrbRequest::command(&[0x7F; 33])), Err(SrbError::CdbLength));
}

/// Bytes of an SRB, aligned, that can be made to lie.
#[repr(C, align(8))]
struct Bytes([u8; 256]);

impl Bytes {
    fn extended() -> Self {
        let mut storage = SrbStorage::new();
        storage.fill(SrbKind::Extended, &SrbRequest::command(&[0x28; 10])).unwrap();
        let mut bytes = Self([0; 256]);
        // SAFETY: the storage is 208 bytes of plain memory.
        let srb = unsafe { core::slice::from_raw_parts(storage.as_mut_ptr().cast::<u8>(), 200) };
        bytes.0[..200].copy_from_slice(srb);
        bytes
    }

    fn put(mut self, at: usize, value: u32) -> Self {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn parse(&mut self) -> Result<SrbView, SrbError> {
        self.parse_at(0, 256)
    }

    fn parse_at(&mut self, at: usize, available: usize) -> Result<SrbView, SrbError> {
        // SAFETY: `available` bytes at `at` are in the buffer.
        unsafe { SrbView::parse_bounded(self.0[at..at + available].as_mut_ptr().cast(), available) }
    }
}

/// Where the extended SRB that `fill` makes has its blocks.
const ADDRESS: usize = 128;
const COMMAND: usize = 144;

#[test]
fn lies_in_extended_srbs_are_caught() {
    let lie = |at, value| Bytes::extended().put(at, value).parse().map(|_| ());
    assert_eq!(lie(8, 0), Err(SrbError::Signature));
    assert_eq!(lie(12, 2), Err(SrbError::Version));
    assert_eq!(lie(16, 0), Err(SrbError::Length));
    assert_eq!(lie(16, 119), Err(SrbError::Length));
    assert_eq!(lie(16, 257), Err(SrbError::Length));
    assert_eq!(lie(16, u32::MAX), Err(SrbError::Length));
    assert_eq!(lie(16, 183), Err(SrbError::Block), "the command's last byte is outside");
    assert_eq!(lie(20, 0x100), Err(SrbError::Function), "not EXECUTE_SCSI");
    assert_eq!(lie(20, 0x28), Err(SrbError::Function));
    assert_eq!(lie(52, 120), Err(SrbError::Block), "the address over the offsets");
    assert_eq!(lie(52, 188), Err(SrbError::AddressType));
    assert_eq!(lie(52, 190), Err(SrbError::Length), "its last byte is outside");
    assert_eq!(lie(52, u32::MAX), Err(SrbError::Length));
    assert_eq!(lie(ADDRESS, 2), Err(SrbError::AddressType));
    assert_eq!(lie(ADDRESS + 4, 3), Err(SrbError::AddressType));
    assert_eq!(lie(56, 0), Err(SrbError::Command), "EXECUTE_SCSI without a command");
    assert_eq!(lie(56, 9), Err(SrbError::TooManyBlocks));
    assert_eq!(lie(56, u32::MAX), Err(SrbError::TooManyBlocks));
    assert_eq!(lie(120, 0), Err(SrbError::Command));
    assert_eq!(lie(120, 8), Err(SrbError::Block), "the block over the head");
    assert_eq!(lie(120, COMMAND as u32 + 4), Err(SrbError::Block), "unaligned");
    assert_eq!(lie(120, 0xFFFF_FFF8), Err(SrbError::Block));
    assert_eq!(lie(COMMAND, 0x01), Err(SrbError::Bidirectional));
    assert_eq!(lie(COMMAND, 0x7777), Err(SrbError::Command), "unknown blocks are skipped");
    assert_eq!(lie(COMMAND + 4, 31), Err(SrbError::Block));
    assert_eq!(lie(COMMAND + 4, u32::MAX), Err(SrbError::Block));
    assert_eq!(lie(COMMAND + 8, 17 << 16), Err(SrbError::CdbLength));
    assert_eq!(lie(COMMAND + 8, 0), Err(SrbError::Command));
    assert_eq!(lie(52, 0), Ok(()), "no address is none");
}

#[test]
fn two_commands_are_one_too_many() {
    let mut bytes = Bytes::extended().put(56, 2).put(124, COMMAND as u32);
    // The offsets now reach 128, where the address begins: still outside it.
    assert_eq!(bytes.parse().map(|_| ()), Err(SrbError::Command));
}

#[test]
fn a_variable_command_is_taken_up_to_32_bytes() {
    let var = |cdb_length: u32| {
        let mut bytes = Bytes::extended().put(16, 256).put(COMMAND, 0x42).put(COMMAND + 4, 24 + 32);
        bytes.0[COMMAND + 8..COMMAND + 32].fill(0);
        bytes.0[COMMAND + 32..COMMAND + 64].fill(0x7F);
        bytes.put(COMMAND + 12, cdb_length).parse().map(|view| view.cdb().len())
    };
    assert_eq!(var(32), Ok(32));
    assert_eq!(var(10), Ok(10));
    assert_eq!(var(33), Err(SrbError::CdbLength));
    assert_eq!(var(260), Err(SrbError::CdbLength));
    assert_eq!(var(0), Err(SrbError::Command));
    let mut short = Bytes::extended().put(16, 256).put(COMMAND, 0x42).put(COMMAND + 4, 24 + 8);
    short = short.put(COMMAND + 12, 16);
    assert_eq!(short.parse().map(|_| ()), Err(SrbError::CdbLength), "outside its block");
}

#[test]
fn a_stray_command_of_another_function_is_ignored() {
    let view = Bytes::extended().put(20, u32::from(SrbFunction::FLUSH.0)).parse().unwrap();
    assert_eq!(view.function(), SrbFunction::FLUSH);
    assert!(view.cdb().is_empty());
}

#[test]
fn lies_in_legacy_srbs_are_caught() {
    let mut storage = SrbStorage::new();
    storage.fill(SrbKind::Legacy, &SrbRequest::command(&[0x28; 10])).unwrap();
    let legacy = |at: usize, value: u8| {
        let mut storage = storage.clone();
        // SAFETY: inside the storage.
        unsafe { storage.as_mut_ptr().cast::<u8>().add(at).write(value) };
        storage.view().map(|_| ())
    };
    assert_eq!(legacy(0, 87), Err(SrbError::Length));
    assert_eq!(legacy(10, 17), Err(SrbError::CdbLength));
    assert_eq!(legacy(10, 0), Err(SrbError::Command));
    assert_eq!(legacy(10, 16), Ok(()));
    assert_eq!(legacy(2, 0x28), Err(SrbError::Signature));
}

#[test]
fn every_cut_and_every_shift_is_refused() {
    for available in 0..200 {
        assert!(Bytes::extended().parse_at(0, available).is_err(), "{available}");
    }
    for shift in 1..8 {
        assert_eq!(Bytes::extended().parse_at(shift, 200).map(|_| ()), Err(SrbError::Address));
    }
    // SAFETY: null is allowed.
    assert_eq!(unsafe { SrbView::parse(core::ptr::null_mut()) }.map(|_| ()), Err(SrbError::Address));
}

#[test]
fn parse_believes_the_length_only_behind_a_signature() {
    let mut bytes = Bytes::extended();
    // SAFETY: 256 bytes are there and SrbLength says 200.
    assert!(unsafe { SrbView::parse(bytes.0.as_mut_ptr().cast()) }.is_ok());
    let mut bytes = Bytes::extended().put(8, 1).put(16, u32::MAX);
    // SAFETY: the signature is wrong, so the length is not looked at.
    let view = unsafe { SrbView::parse(bytes.0.as_mut_ptr().cast()) };
    assert_eq!(view.map(|_| ()), Err(SrbError::Signature));
}

proptest! {
    #[test]
    fn any_request_survives_the_round_trip(
        extended: bool,
        cdb in proptest::collection::vec(any::<u8>(), 1..=32),
        numbers: [u32; 4],
        bytes: [u8; 5],
    ) {
        let kind = if extended { SrbKind::Extended } else { SrbKind::Legacy };
        let request = SrbRequest {
            flags: SrbFlags(numbers[0]),
            data_transfer_length: numbers[1],
            timeout: numbers[2],
            data_buffer: numbers[3] as usize as *mut c_void,
            address: Address { path: bytes[0], target: bytes[1], lun: bytes[2] },
            queue_action: QueueAction(bytes[3]),
            priority: u16::from(bytes[4]),
            ..SrbRequest::command(&cdb)
        };
        let mut storage = SrbStorage::new();
        match storage.filled(kind, &request) {
            Ok(view) => {
                prop_assert_eq!(view.cdb(), &cdb[..]);
                prop_assert_eq!(view.flags(), request.flags);
                prop_assert_eq!(view.data_transfer_length(), request.data_transfer_length);
                prop_assert_eq!(view.timeout(), request.timeout);
                prop_assert_eq!(view.data_buffer(), request.data_buffer);
                prop_assert_eq!(view.address(), request.address);
                prop_assert_eq!(view.queue_action(), request.queue_action);
                prop_assert_eq!(view.priority(), if extended { request.priority } else { 0 });
            }
            Err(error) => {
                prop_assert_eq!(error, SrbError::CdbLength);
                prop_assert!(!extended && cdb.len() > 16);
            }
        }
    }

    #[test]
    fn no_bytes_lead_outside(bytes in proptest::collection::vec(any::<u8>(), 256), lies in any::<[u8; 4]>()) {
        // Half noise, and an SRB with a few bytes of noise: the second kind gets past the signature.
        let mut noise = Bytes([0; 256]);
        noise.0.copy_from_slice(&bytes);
        let _ = noise.parse();
        let mut lying = Bytes::extended();
        for (index, at) in lies.into_iter().enumerate() {
            lying.0[usize::from(at) % 200] = bytes[index];
        }
        if let Ok(view) = lying.parse() {
            prop_assert!(view.cdb().len() <= 32);
        }
    }
}

#[test]
fn an_answer_goes_where_the_checked_view_had_its_fields() {
    let mut variable = Bytes::extended().put(16, 256).put(COMMAND, 0x42).put(COMMAND + 4, 24 + 16);
    variable = variable.put(COMMAND + 12, 16);
    let mut storage = SrbStorage::new();
    let cdb = [0x28, 0, 0, 0, 0, 7, 0, 0, 8, 0];
    storage.fill(SrbKind::Legacy, &SrbRequest::command(&cdb)).unwrap();
    let mut legacy = Bytes([0; 256]);
    legacy.0[..storage.bytes().len()].copy_from_slice(storage.bytes());
    for mut bytes in [Bytes::extended(), variable, legacy] {
        let view = bytes.parse().unwrap();
        let (status, sense) = (view.scsi_status(), view.sense_buffer());
        // SAFETY: the same bytes, at the same place.
        let mut later = unsafe { SrbView::to_answer(NonNull::new(view.as_ptr()).unwrap(), view.place()) };
        assert_eq!((later.kind(), later.scsi_status(), later.sense_buffer()), (view.kind(), status, sense));
        later.set_scsi_status(ScsiStatus::BUSY);
        assert_eq!(view.scsi_status(), ScsiStatus::BUSY);
    }
    let flush = Bytes::extended().put(20, u32::from(SrbFunction::FLUSH.0)).parse().unwrap();
    // SAFETY: as above; nothing is followed.
    let mut later = unsafe { SrbView::to_answer(NonNull::new(flush.as_ptr()).unwrap(), flush.place()) };
    later.set_scsi_status(ScsiStatus::BUSY);
    assert_eq!(later.scsi_status(), ScsiStatus::GOOD, "a function without one");
}

#[test]
fn what_the_shim_has_filled_is_seen_as_a_check_would_see_it() {
    let cdbs = [&[0x28, 0, 0, 0, 0, 7, 0, 0, 8, 0][..], &[0x88; 16], &[0x12, 0, 0, 0, 36, 0]];
    let all = cdbs.map(SrbRequest::command).into_iter().chain([SrbRequest::function(SrbFunction::FLUSH)]);
    for (request, kind) in all.flat_map(|one| [(one, SrbKind::Legacy), (one, SrbKind::Extended)]) {
        let mut storage = SrbStorage::new();
        let request = SrbRequest { address: Address { path: 1, target: 2, lun: 3 }, ..request };
        storage.fill(kind, &request).unwrap();
        let checked = storage.view().unwrap();
        // SAFETY: just filled, as this kind.
        let seen = unsafe { SrbView::filled(NonNull::new(storage.as_mut_ptr().cast()).unwrap(), kind) };
        assert_eq!(
            (seen.cdb(), seen.address(), seen.place()),
            (checked.cdb(), checked.address(), checked.place())
        );
    }
}
