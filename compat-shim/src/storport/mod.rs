//! The types of Microsoft's StorPort interface, as a miniport or a class driver sees them in memory.
//!
//! Written from the driver documentation (learn.microsoft.com, `storport.h` and `srb.h` pages). Names are ours;
//! each item names its WDK counterpart. The layout is pinned for 64-bit Windows by const asserts: a wrong field
//! does not compile.
//!
//! ```text
//!   codes          what the fields say: functions, statuses, flags, tags
//!   legacy         SCSI_REQUEST_BLOCK
//!   extended       STORAGE_REQUEST_BLOCK and the extended data behind it
//!   srb            one safe view of both kinds, and fresh SRBs of our own
//!   initialization HW_INITIALIZATION_DATA and the callbacks of a miniport
//!   configuration  PORT_CONFIGURATION_INFORMATION
//!   notification   what a miniport tells the port through StorPortNotification
//!   status         STOR_STATUS_*
//! ```

pub mod codes;
pub mod configuration;
pub mod extended;
pub mod initialization;
pub mod legacy;
pub mod notification;
pub mod srb;
pub mod status;

pub use codes::{QueueAction, ScsiStatus, SrbFlags, SrbFunction, SrbStatus};
pub use configuration::PortConfigurationInformation;
pub use extended::StorageRequestBlock;
pub use initialization::HwInitializationData;
pub use legacy::ScsiRequestBlock;
pub use srb::{SrbError, SrbKind, SrbRequest, SrbStorage, SrbView};
