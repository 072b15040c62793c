//! StorPortExtendedFunction.

use core::ffi::c_void;

use sluice_shim::storport::status::StorStatus;

use super::{Arguments, codes, exports, with_port};

/// Most arguments of a code after the extension: eight named values, and what goes before them.
const MOST: usize = 24;
/// Those of every code but the longest, so that no call reads far beyond what it was given.
const FEW: usize = 8;

exports! { "Extended functions";
    /// Dispatches by the function code, which see. No extension: STOR_STATUS_INVALID_PARAMETER; unknown codes: STOR_STATUS_NOT_IMPLEMENTED.
    fn StorPortExtendedFunction(
        function_code: u32,
        hw_device_extension: *mut c_void,
        a0: usize, a1: usize, a2: usize, a3: usize, a4: usize, a5: usize, a6: usize, a7: usize,
        b0: usize, b1: usize, b2: usize, b3: usize, b4: usize, b5: usize, b6: usize, b7: usize,
        c0: usize, c1: usize, c2: usize, c3: usize, c4: usize, c5: usize, c6: usize, c7: usize,
    ) -> u32 {
        let Some(row) = codes::extended(function_code) else { return StorStatus::NOT_IMPLEMENTED.0 };
        let mut words: [usize; MOST] =
            [a0, a1, a2, a3, a4, a5, a6, a7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        if row.arguments > FEW {
            words = [
                a0, a1, a2, a3, a4, a5, a6, a7, b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3, c4, c5, c6, c7,
            ];
        }
        let words = words.get(..row.arguments).unwrap_or(&words);
        // SAFETY: the caller's contract.
        unsafe {
            with_port(hw_device_extension, StorStatus::INVALID_PARAMETER, |port| {
                (row.handler)(port, &Arguments(words))
            })
        }
        .0
    }
}
