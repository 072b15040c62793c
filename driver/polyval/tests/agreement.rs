//! Against RFC 8452, the `polyval` crate, and AES-256-GCM-SIV of another crate built upon our hash.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use aes::{
    Aes256,
    cipher::{BlockEncrypt, KeyInit},
};
use aes_gcm_siv::{Aes256GcmSiv, aead::Aead};
use polyval::universal_hash::UniversalHash;
use sluice_polyval::Key;

/// The same bytes for the same seed.
struct Random(fastrand::Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn block(&mut self) -> [u8; 16] {
        self.0.u128(..).to_le_bytes()
    }
}

fn hash(key: &Key, blocks: &[[u8; 16]]) -> [u8; 16] {
    let mut state = [0; 16];
    key.absorb(&mut state, blocks);
    state
}

/// One for each way to hash.
fn keys(key: &[u8; 16]) -> [Key; 3] {
    [Key::wide(key).unwrap(), Key::new(key).unwrap(), Key::portable(key).unwrap()]
}

fn block(hex: &str) -> [u8; 16] {
    u128::from_str_radix(hex, 16).unwrap().to_be_bytes()
}

#[test]
fn the_example_of_rfc_8452_appendix_a() {
    let key = block("25629347589242761d31f826ba4b757b");
    let blocks = [block("4f4f95668c83dfb6401762bb2d01a262"), block("d1a24ddd2721d006bbe45f20d3c9f362")];
    for key in keys(&key) {
        assert_eq!(hash(&key, &blocks), block("f7a3b47b846119fae5b7866cf5e5b77e"));
    }
}

#[test]
fn any_number_of_blocks_in_any_pieces_agrees_with_the_crate() {
    let mut random = Random::new(1);
    for count in 0..300 {
        let secret = random.block();
        let blocks: Vec<[u8; 16]> = (0..count).map(|_| random.block()).collect();
        let mut theirs = polyval::Polyval::new(&secret.into());
        blocks.iter().for_each(|block| theirs.update(&[(*block).into()]));
        let expected: [u8; 16] = theirs.finalize().into();
        for key in keys(&secret) {
            assert_eq!(hash(&key, &blocks), expected, "{count} blocks");
            let mut state = [0; 16];
            let mut left = &blocks[..];
            while !left.is_empty() {
                let (piece, rest) = left.split_at(1 + random.0.usize(..left.len()));
                key.absorb(&mut state, piece);
                left = rest;
            }
            assert_eq!(state, expected, "{count} blocks in pieces");
        }
    }
}

/// RFC 8452 section 4, for an empty message body and `data` as what is only authenticated.
#[test]
fn tags_of_aes_gcm_siv_come_out_of_our_hash() {
    let mut random = Random::new(2);
    for count in 0..40u64 {
        let mut secret = [0; 32];
        secret[..16].copy_from_slice(&random.block());
        secret[16..].copy_from_slice(&random.block());
        let nonce: [u8; 12] = random.block()[..12].try_into().unwrap();
        let data: Vec<[u8; 16]> = (0..count).map(|_| random.block()).collect();
        // Sub-keys: the low halves of six encrypted counters.
        let master = Aes256::new(&secret.into());
        let mut derived = Vec::new();
        for number in 0..6u32 {
            let mut input = [0; 16];
            input[..4].copy_from_slice(&number.to_le_bytes());
            input[4..].copy_from_slice(&nonce);
            let mut input = input.into();
            master.encrypt_block(&mut input);
            derived.extend_from_slice(&input[..8]);
        }
        let key = Key::new(&derived[..16].try_into().unwrap()).unwrap();
        let mut state = [0; 16];
        key.absorb(&mut state, &data);
        key.absorb(&mut state, &[u128::from(count * 128).to_le_bytes()]);
        state.iter_mut().zip(nonce).for_each(|(byte, nonce)| *byte ^= nonce);
        state[15] &= 0x7f;
        let mut tag = state.into();
        Aes256::new_from_slice(&derived[16..]).unwrap().encrypt_block(&mut tag);

        let aad = data.as_flattened();
        let payload = aes_gcm_siv::aead::Payload { msg: &[], aad };
        let theirs = Aes256GcmSiv::new(&secret.into()).encrypt(&nonce.into(), payload).unwrap();
        assert_eq!(tag.as_slice(), theirs);
    }
}
