//! StorPortInitializePerfOpts and StorPortGetStartIoPerfParams.

use sluice_shim::storport::status::StorStatus;

use super::Arguments;
use crate::port::Port;

/// InitializePerformanceOptimizations(BOOLEAN query, PERF_CONFIGURATION_DATA *data).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn initialize(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { port.initialize_performance(arguments.byte(0) != 0, arguments.pointer(1)) }
}

/// GetStartIoPerformanceParameters(SRB, STARTIO_PERFORMANCE_PARAMETERS *parameters).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn start_io_parameters(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe { port.start_io_parameters(arguments.pointer(0), arguments.pointer(1)) }
}
