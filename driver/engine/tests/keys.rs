//! Keys: derivation and recovery codes.
#![cfg(feature = "kdf")]
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use sluice_engine::{
    format::RawSlot,
    keys::{KdfError, RecoveryCode, derive_kek, key_file_secret},
};
use zerocopy::FromZeros;

fn slot(memory_kib: u32, iterations: u32, lanes: u32) -> RawSlot {
    let mut slot = RawSlot::new_zeroed();
    (slot.kdf, slot.memory_kib) = (1.into(), memory_kib.into());
    (slot.iterations, slot.lanes) = (iterations.into(), lanes.into());
    slot.salt = [5; 32];
    slot
}

/// Computed with OpenSSL's Argon2id and HKDF (Python's `cryptography` 48), by the words of `docs/format.md`.
#[test]
fn agrees_with_an_independent_implementation() {
    let kek = derive_kek(b"correct horse", &slot(256, 3, 2), &[9; 16], 4).unwrap();
    let hex: String = kek.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, "08f77a7f6e5aed564c6a101bb27a7799a2dd97745652af0edbe70e3f979f1042");
}

#[test]
fn everything_matters() {
    let derive = |secret: &[u8], slot: &RawSlot, uuid, index| {
        *derive_kek(secret, slot, &[uuid; 16], index).unwrap().as_bytes()
    };
    let usual = slot(64, 2, 2);
    let key = derive(b"secret", &usual, 1, 3);
    assert_eq!(derive(b"secret", &usual, 1, 3), key);
    let mut salted = usual.clone();
    salted.salt[31] ^= 1;
    let others = [
        derive(b"Secret", &usual, 1, 3),
        derive(b"secret", &slot(72, 2, 2), 1, 3),
        derive(b"secret", &slot(64, 3, 2), 1, 3),
        derive(b"secret", &slot(64, 2, 1), 1, 3),
        derive(b"secret", &salted, 1, 3),
        derive(b"secret", &usual, 2, 3),
        derive(b"secret", &usual, 1, 4),
    ];
    assert!(others.iter().all(|other| *other != key));
    assert_ne!(key_file_secret(b"contents"), key_file_secret(b"content"));
}

#[test]
fn a_cost_from_a_hostile_header_is_refused() {
    let costs = [
        (u32::MAX, 1, 1),
        (64, u32::MAX, 1),
        (64, 1, u32::MAX),
        (0, 1, 1),
        (64, 0, 1),
        (64, 1, 0),
        (15, 1, 2),
    ];
    for (memory, passes, lanes) in costs {
        let derived = derive_kek(b"", &slot(memory, passes, lanes), &[0; 16], 0);
        assert_eq!(derived.err(), Some(KdfError::Parameters), "{memory}, {passes}, {lanes}");
    }
    let mut unknown = slot(64, 1, 1);
    unknown.kdf = 2.into();
    assert_eq!(derive_kek(b"", &unknown, &[0; 16], 0).err(), Some(KdfError::Parameters));
}

#[test]
fn a_recovery_code_reads_as_it_is_written_down() {
    for seed in 0..200 {
        let bytes = |i: usize| (i * 37 + seed * 101) as u8;
        let code = RecoveryCode::from_random(&mut std::array::from_fn(bytes));
        let shown = String::from_utf8(code.write().to_vec()).unwrap();
        assert!(RecoveryCode::read(&shown).is_some_and(|read| read == code), "{shown}");
        let sloppy = shown.to_lowercase().replace('0', "o").replace('1', "l").replace('-', " ");
        assert!(RecoveryCode::read(&sloppy).is_some_and(|read| read == code), "{sloppy}");
        assert!(RecoveryCode::read(&shown[1..]).is_none());
        assert!(RecoveryCode::read(&format!("{shown}0")).is_none());
    }
    assert!(RecoveryCode::read("").is_none());
    assert!(RecoveryCode::read(&"U".repeat(34)).is_none());
}

/// Ten bits of checksum: one slip in a thousand passes, and then opens nothing.
#[test]
fn a_mistyped_recovery_code_is_nearly_always_noticed() {
    let code = RecoveryCode::from_random(&mut std::array::from_fn(|i| i as u8));
    let shown = String::from_utf8(code.write().to_vec()).unwrap();
    let (mut slips, mut missed) = (0, 0);
    for (at, old) in shown.char_indices().filter(|c| c.1 != '-') {
        for new in "0123456789ABCDEFGHJKMNPQRSTVWXYZ".chars().filter(|&new| new != old) {
            let typed: String = shown.char_indices().map(|(i, c)| if i == at { new } else { c }).collect();
            slips += 1;
            missed += usize::from(RecoveryCode::read(&typed).is_some());
        }
    }
    assert!(slips == 34 * 31 && missed <= 8, "{missed} of {slips}");
}
