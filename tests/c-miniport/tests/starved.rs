//! Each allocation of the port in turn fails while a miniport is started, used and stopped: it is started or not, whatever it
//! is asked is answered, and nothing is left. In a program of its own, since the failure is the process's.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use sluice_c_miniport::{
    hosted::{Device, Hosted, Parameters},
    miniports::{Miniport, PLAIN, TORTURE},
};
use sluice_chain::Flags;
use sluice_port_host::{allocations, fail_allocation};

/// Whether it could be started.
fn lives(miniport: &Miniport, device: Option<Device>) -> bool {
    let Ok(hosted) = Hosted::start(miniport, &Parameters { device, ..Parameters::default() }) else {
        return false;
    };
    let disk = hosted.disk(hosted.encrypting());
    disk.write(3, &[7; 4096], Flags::default());
    disk.read(3, &mut [0; 4096]);
    drop(disk);
    hosted.stop();
    true
}

fn starve(miniport: &Miniport, device: Option<Device>) {
    assert!(lives(miniport, device), "{}", miniport.name);
    let mut failed = 0;
    for nth in 0..200 {
        fail_allocation(Some(nth));
        let lived = lives(miniport, device);
        fail_allocation(None);
        assert_eq!(allocations(), 0, "{} {device:?}: allocation {nth}", miniport.name);
        failed += u32::from(!lived);
    }
    assert!(failed >= 5, "{} {device:?}: {failed} of its allocations were needed", miniport.name);
    assert!(lives(miniport, device), "{}: and afterwards as ever", miniport.name);
}

#[test]
fn each_allocation_in_turn_fails_and_nothing_is_left() {
    let device = Device { queues: 4, messages: 4, blocks: 8192, translated: false };
    starve(&PLAIN[1], None);
    starve(&PLAIN[1], Some(device));
    starve(&TORTURE[0], None);
}
