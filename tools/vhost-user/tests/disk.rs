//! The miniport on a device that nobody here wrote: QEMU's storage daemon, on raw and qcow2 images, judged by QEMU's
//! own tools.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

mod support;

use sluice_chain::Flags;
use sluice_shim::storport::SrbKind;
use support::{EXPORT, FORMATS, Image, MIB, attach, settings, well};

#[test]
fn what_is_written_is_read_and_is_in_the_image() {
    for format in FORMATS {
        let image = Image::new("written", format, 8 * MIB);
        let daemon = image.serve(EXPORT);
        let disk = attach(daemon.socket(), settings(), SrbKind::Extended);
        let mut expected = vec![0; 8 << 20];
        fastrand::Rng::with_seed(1).fill(&mut expected[4096..300_000]);
        let (from, to) = (1 << 20, (1 << 20) + 4096);
        well(&disk.write(8, &expected[4096..4096 + 131_072], Flags::default()), 131_072);
        expected[4096 + 131_072..from].fill(0);
        expected[from..to].fill(0x5A);
        well(&disk.write(from as u64 / 512, &expected[from..to], Flags::FUA), 4096);
        let mut read = vec![0xEE; 131_072 + 4096];
        well(&disk.read(0, &mut read), 131_072 + 4096);
        assert!(read == expected[..131_072 + 4096]);
        well(&disk.flush(), 0);
        drop(disk);
        daemon.stop().unwrap();
        image.holds(&expected);
    }
}
