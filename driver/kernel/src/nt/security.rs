//! Who may open the control device.

use core::ptr;

use wdk_sys::{
    DEVICE_OBJECT, HANDLE, NTSTATUS, OBJ_KERNEL_HANDLE, PVOID,
    ntddk::{ObOpenObjectByPointer, ZwClose, ZwSetSecurityObject},
};

use super::{irql::Passive, is_success};

/// `D:P(A;;FA;;;SY)(A;;FA;;;BA)`, self-relative (MS-DTYP 2.4.6): full access for SYSTEM and for administrators,
/// nothing for anyone else, nothing inherited.
#[rustfmt::skip]
static SYSTEM_AND_ADMINISTRATORS: Aligned<72> = Aligned([
    // Header: revision 1; control = DACL present, DACL protected, self-relative; no owner, group, SACL;
    // DACL at 20.
    1, 0, 0x04, 0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 20, 0, 0, 0,
    // ACL: revision 2, 52 bytes, 2 entries.
    2, 0, 52, 0, 2, 0, 0, 0,
    // Allow FILE_ALL_ACCESS (0x001f01ff), 20 bytes, to S-1-5-18.
    0, 0, 20, 0, 0xff, 0x01, 0x1f, 0, 1, 1, 0, 0, 0, 0, 0, 5, 18, 0, 0, 0,
    // Allow FILE_ALL_ACCESS, 24 bytes, to S-1-5-32-544.
    0, 0, 24, 0, 0xff, 0x01, 0x1f, 0, 1, 2, 0, 0, 0, 0, 0, 5, 32, 0, 0, 0, 0x20, 0x02, 0, 0,
]);

#[repr(align(4))]
struct Aligned<const N: usize>([u8; N]);

const _: () = assert!(20 + 52 == 72 && 8 + 20 + 24 == 52);

const DACL_SECURITY_INFORMATION: u32 = 4;
const PROTECTED_DACL_SECURITY_INFORMATION: u32 = 0x8000_0000;
const WRITE_DAC: u32 = 0x0004_0000;

/// Lets only SYSTEM and administrators open `device`. (`IoCreateDeviceSecure` does the same from a static
/// library of the WDK; this needs no more than the kernel's exports.)
///
/// # Errors
/// What the object manager says; the device must then not be used.
pub(crate) fn restrict(device: &mut DEVICE_OBJECT, _: Passive<'_>) -> Result<(), NTSTATUS> {
    let mut handle: HANDLE = ptr::null_mut();
    let object: PVOID = ptr::from_mut(device).cast();
    // SAFETY: a live device object; kernel mode, kernel handle; PASSIVE_LEVEL by the token.
    let status = unsafe {
        let (none, any_type) = (ptr::null_mut(), ptr::null_mut());
        ObOpenObjectByPointer(object, OBJ_KERNEL_HANDLE, none, WRITE_DAC, any_type, 0, &raw mut handle)
    };
    if !is_success(status) {
        return Err(status);
    }
    // SAFETY: an open handle, closed once; a well-formed descriptor that is only read.
    let status = unsafe {
        let what = DACL_SECURITY_INFORMATION | PROTECTED_DACL_SECURITY_INFORMATION;
        let descriptor = SYSTEM_AND_ADMINISTRATORS.0.as_ptr().cast_mut().cast();
        let status = ZwSetSecurityObject(handle, what, descriptor);
        let _ = ZwClose(handle);
        status
    };
    if is_success(status) { Ok(()) } else { Err(status) }
}
