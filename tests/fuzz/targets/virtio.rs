//! A virtio device that does whatever the bytes say: every request of the miniport ends once, and the address sanitizer sees a
//! step outside.
#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use sluice_user_host::User;
use sluice_virtio_model::hostile;

static PLATFORM: LazyLock<User> = LazyLock::new(User::new);

fuzz_target!(|bytes: &[u8]| {
    // One byte chooses well among few things, and two bytes that begin with FFh make a large number.
    let mut bytes = bytes.iter().copied();
    let mut numbers = || {
        Some(match bytes.next()? {
            0xFF => u32::from(bytes.next()?) * 0x0101_0101,
            small => u32::from(small),
        })
    };
    hostile::run(&*PLATFORM, &mut numbers);
});
