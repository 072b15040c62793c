//! An SRB of any bytes, of either kind, in memory that ends exactly where they end: the address sanitizer sees a
//! step outside.
#![no_main]

use std::alloc::{Layout, alloc, dealloc};

use libfuzzer_sys::fuzz_target;
use sluice_shim::storport::{
    ScsiStatus, SrbFunction, SrbStatus,
    srb::{MAX_CDB, SrbKind, SrbView},
};

fuzz_target!(|bytes: &[u8]| {
    if bytes.is_empty() {
        return;
    }
    let layout = Layout::from_size_align(bytes.len(), 16).unwrap();
    // SAFETY: the layout is not empty; the block is filled, used through the view and freed once.
    unsafe {
        let block = alloc(layout);
        block.copy_from_nonoverlapping(bytes.as_ptr(), bytes.len());
        if let Ok(view) = SrbView::parse_bounded(block.cast(), bytes.len()) {
            look(view, bytes);
        }
        dealloc(block, layout);
    }
});

fn look(mut view: SrbView, bytes: &[u8]) {
    let cdb = view.cdb();
    assert!(cdb.len() <= MAX_CDB);
    assert_eq!(cdb.is_empty(), view.function() != SrbFunction::EXECUTE_SCSI);
    assert!(cdb.is_empty() || bytes.windows(cdb.len()).any(|part| part == cdb), "a command out of nothing");
    assert_eq!(view.kind() == SrbKind::Extended, bytes[2] == 0x28);
    let _ = (view.flags(), view.data_buffer(), view.timeout(), view.queue_tag(), view.priority());
    let _ = (view.is_barrier(), view.is_paging(), view.original_request(), view.miniport_context());
    let _ = (view.address(), view.sense_buffer()); // its pointer is noise: not to be followed

    view.set_srb_status(SrbStatus(0xFF));
    assert_eq!(view.srb_status(), SrbStatus(0xFF & !SrbStatus::QUEUE_FROZEN));
    view.set_data_transfer_length(1);
    view.set_internal_status(2);
    view.set_scsi_status(ScsiStatus::BUSY);
    assert_eq!((view.data_transfer_length(), view.internal_status()), (1, 2));
    let has_status = view.function() == SrbFunction::EXECUTE_SCSI;
    assert_eq!(view.scsi_status() == ScsiStatus::BUSY, has_status);
}
