//! What a miniport tells the port (`StorPortNotification`) and what the port asks through the control callbacks.

/// `SCSI_NOTIFICATION_TYPE`.
#[repr(transparent)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotificationType(pub u32);

#[allow(missing_docs, reason = "the WDK's names, in our spelling")]
impl NotificationType {
    pub const REQUEST_COMPLETE: Self = Self(0);
    pub const NEXT_REQUEST: Self = Self(1);
    pub const NEXT_LU_REQUEST: Self = Self(2);
    pub const RESET_DETECTED: Self = Self(3);
    pub const REQUEST_TIMER_CALL: Self = Self(6);
    pub const BUS_CHANGE_DETECTED: Self = Self(7);
    pub const WMI_EVENT: Self = Self(8);
    pub const WMI_REREGISTER: Self = Self(9);
    pub const LINK_UP: Self = Self(10);
    pub const LINK_DOWN: Self = Self(11);
    pub const QUERY_TICK_COUNT: Self = Self(12);
    pub const BUFFER_OVERRUN_DETECTED: Self = Self(13);
    pub const TRACE_NOTIFICATION: Self = Self(14);
    pub const GET_EXTENDED_FUNCTION_TABLE: Self = Self(15);
    pub const ENABLE_PASSIVE_INITIALIZATION: Self = Self(0x1000);
    pub const INITIALIZE_DPC: Self = Self(0x1001);
    pub const ISSUE_DPC: Self = Self(0x1002);
    pub const ACQUIRE_SPIN_LOCK: Self = Self(0x1003);
    pub const RELEASE_SPIN_LOCK: Self = Self(0x1004);
    pub const STATE_CHANGE_DETECTED_CALL: Self = Self(0x1005);
    pub const IO_TARGET_REQUEST_SERVICE_TIME: Self = Self(0x1006);
    pub const ASYNC_NOTIFICATION_DETECTED: Self = Self(0x1007);
}

/// `STOR_SPINLOCK`.
#[allow(missing_docs, reason = "the WDK's names, in our spelling")]
pub mod spin_lock {
    pub const DPC: u32 = 1;
    pub const START_IO: u32 = 2;
    pub const INTERRUPT: u32 = 3;
    pub const THREADED_DPC: u32 = 4;
    pub const DPC_LEVEL: u32 = 5;
}

/// `SCSI_ADAPTER_CONTROL_TYPE`: what `HwAdapterControl` is asked.
#[allow(missing_docs, reason = "the WDK's names, in our spelling")]
pub mod adapter_control {
    pub const QUERY_SUPPORTED_CONTROL_TYPES: u32 = 0;
    pub const STOP_ADAPTER: u32 = 1;
    pub const RESTART_ADAPTER: u32 = 2;
    pub const SET_BOOT_CONFIG: u32 = 3;
    pub const SET_RUNNING_CONFIG: u32 = 4;
    pub const POWER_SETTING_NOTIFICATION: u32 = 5;
    pub const ADAPTER_POWER: u32 = 6;
    pub const SURPRISE_REMOVAL: u32 = 16;
    /// `ScsiAdapterControlSuccess`.
    pub const SUCCESS: u32 = 0;
    /// `ScsiAdapterControlUnsuccessful`.
    pub const UNSUCCESSFUL: u32 = 1;
}

/// `SCSI_UNIT_CONTROL_TYPE`: what `HwUnitControl` is asked.
#[allow(missing_docs, reason = "the WDK's names, in our spelling")]
pub mod unit_control {
    pub const QUERY_SUPPORTED_CONTROL_TYPES: u32 = 0;
    pub const USAGE: u32 = 1;
    pub const START: u32 = 2;
    pub const POWER: u32 = 3;
    pub const REMOVE: u32 = 9;
    pub const SURPRISE_REMOVAL: u32 = 10;
}

/// `SP_RETURN_*`: what `HwFindAdapter` returns.
#[allow(missing_docs, reason = "the WDK's names, in our spelling")]
pub mod found {
    pub const NOT_FOUND: u32 = 0;
    pub const FOUND: u32 = 1;
    pub const ERROR: u32 = 2;
    pub const BAD_CONFIG: u32 = 3;
}
