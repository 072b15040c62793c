//! What a miniport has written into an SRB of ours.

use super::{SrbKind, SrbStorage, storage::ExtendedSrb};
use crate::storport::{
    codes::{ScsiStatus, SrbStatus},
    legacy::ScsiRequestBlock,
};

/// The fields of an SRB that its miniport fills in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SrbAnswer {
    /// How it went, with the flags beside the code.
    pub srb_status: SrbStatus,
    /// The SCSI status byte.
    pub scsi_status: ScsiStatus,
    /// Bytes transferred, as the miniport says: it may say anything.
    pub data_transfer_length: u32,
    /// Bytes of sense data, likewise.
    pub sense_length: u8,
    /// The NTSTATUS behind SRB_STATUS_INTERNAL_ERROR.
    pub internal_status: u32,
}

impl SrbStorage {
    /// Reads the answer from where [`Self::fill`] has put the fields of this `kind`. Whatever else the miniport
    /// has changed is not looked at, so there is nothing to be checked. Any IRQL.
    #[must_use]
    #[inline]
    pub fn answer(&self, kind: SrbKind) -> SrbAnswer {
        match kind {
            SrbKind::Legacy => {
                // SAFETY: large enough and aligned (asserted beside the storage); all its fields are integers and
                // raw pointers, for which any bytes are valid.
                let srb = unsafe { &*self.as_ptr().cast::<ScsiRequestBlock>() };
                SrbAnswer {
                    srb_status: SrbStatus(srb.srb_status),
                    scsi_status: ScsiStatus(srb.scsi_status),
                    data_transfer_length: srb.data_transfer_length,
                    sense_length: srb.sense_info_buffer_length,
                    internal_status: srb.internal_status,
                }
            }
            SrbKind::Extended => {
                // SAFETY: as above.
                let srb = unsafe { &*self.as_ptr().cast::<ExtendedSrb>() };
                SrbAnswer {
                    srb_status: SrbStatus(srb.head.srb_status),
                    scsi_status: ScsiStatus(srb.command.scsi_status),
                    data_transfer_length: srb.head.data_transfer_length,
                    sense_length: srb.command.sense_info_buffer_length,
                    internal_status: srb.head.system_status,
                }
            }
        }
    }
}
