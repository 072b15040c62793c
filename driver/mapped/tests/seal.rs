//! Tags and sealing, against the same built of OpenSSL's AES, XTS and HMAC, and of a hash multiplied out bit by bit.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use openssl::{
    hash::MessageDigest,
    pkey::PKey,
    sign::Signer,
    symm::{Cipher, Crypter, Mode},
};
use proptest::prelude::*;
use sluice_mapped::{
    seal::{Domain, Sealer},
    units::Tag,
};
use sluice_xts::Backend;

const DOMAINS: [Domain; 6] =
    [Domain::Chunk, Domain::Page, Domain::Extent, Domain::Journal, Domain::Root, Domain::Data];

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let key = PKey::hmac(key).unwrap();
    Signer::new(MessageDigest::sha256(), &key).unwrap().sign_oneshot_to_vec(data).unwrap()
}

/// RFC 5869.
fn hkdf(salt: &[u8], secret: &[u8], info: &[u8], length: usize) -> Vec<u8> {
    let extracted = hmac(salt, secret);
    let (mut out, mut last) = (Vec::new(), Vec::new());
    for number in 1u8.. {
        last = hmac(&extracted, &[&last[..], info, &[number]].concat());
        out.extend_from_slice(&last);
        if out.len() >= length {
            break;
        }
    }
    out.truncate(length);
    out
}

/// a b x^-128 modulo x^128 + x^127 + x^126 + x^121 + 1 (RFC 8452 section 3), bit by bit.
fn dot(a: u128, b: u128) -> u128 {
    let mut product = 0u128;
    for bit in 0..128 {
        if a >> bit & 1 == 1 {
            product ^= b;
        }
        // Divided by x: an odd one after adding the modulus.
        let odd = product & 1;
        product >>= 1;
        if odd == 1 {
            product ^= 1 << 127 | 1 << 126 | 1 << 125 | 1 << 120;
        }
    }
    product
}

fn crypt(cipher: Cipher, mode: Mode, key: &[u8], iv: Option<&[u8]>, data: &[u8]) -> Vec<u8> {
    let mut crypter = Crypter::new(cipher, mode, key, iv).unwrap();
    crypter.pad(false);
    let mut out = vec![0; data.len() + 16];
    let count = crypter.update(data, &mut out).unwrap();
    let count = count + crypter.finalize(&mut out[count..]).unwrap();
    out.truncate(count);
    out
}

/// The tag by the words of `docs/mapped.md`.
fn other_tag(key: &[u8; 64], uuid: &[u8; 16], domain: Domain, context: u64, bytes: &[u8]) -> Tag {
    let keys = hkdf(uuid, key, b"sluice mapped tag v1", 48);
    let hash_key = u128::from_le_bytes(keys[..16].try_into().unwrap());
    let mut message = context.to_le_bytes().to_vec();
    message.extend_from_slice(&(bytes.len() as u64).to_le_bytes()[..7]);
    message.push(domain as u8);
    message.extend_from_slice(bytes);
    message.resize(message.len().next_multiple_of(16), 0);
    let mut sum = 0;
    for block in message.chunks(16) {
        sum = dot(sum ^ u128::from_le_bytes(block.try_into().unwrap()), hash_key);
    }
    let tag = crypt(Cipher::aes_256_ecb(), Mode::Encrypt, &keys[16..], None, &sum.to_le_bytes());
    Tag(tag.try_into().unwrap())
}

fn counting() -> [u8; 64] {
    core::array::from_fn(|i| i as u8)
}

fn sealer(key: &[u8; 64], uuid: &[u8; 16]) -> Sealer {
    Sealer::new(key, uuid, true, Backend::detect_xmm()).unwrap()
}

#[test]
fn a_fixed_tag() {
    // Changes when the format does, and then volumes out there can no longer be read.
    let sealer = sealer(&counting(), &[7; 16]);
    let tag = sealer.tag(Domain::Chunk, 0, &[&[0xa5; 4096]]);
    assert_eq!(u128::from_be_bytes(tag.0), FIXED);
}

const FIXED: u128 = 0x39f4b9e23c210ce59c9e492200641412;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tags_agree_with_another_construction(
        half: [u8; 32], uuid: [u8; 16], domain in 0..6usize, context: u64,
        bytes in prop::collection::vec(any::<u8>(), 0..700), cuts in prop::collection::vec(0..700usize, 0..6),
    ) {
        let key = core::array::from_fn(|i| half[i % 32] ^ (i / 32) as u8);
        let expected = other_tag(&key, &uuid, DOMAINS[domain], context, &bytes);
        let sealer = sealer(&key, &uuid);
        prop_assert_eq!(sealer.tag(DOMAINS[domain], context, &[&bytes]), expected);
        let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
        cuts.extend([0, bytes.len()]);
        cuts.sort_unstable();
        let parts: Vec<&[u8]> = cuts.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect();
        prop_assert_eq!(sealer.tag(DOMAINS[domain], context, &parts), expected);
    }

    #[test]
    fn anything_that_changes_changes_the_tag(
        domain in 0..6usize, other in 0..6usize, context: u64, bit in 0..64u32,
        bytes in prop::collection::vec(any::<u8>(), 1..5000), at: prop::sample::Index, more in 1..40usize,
    ) {
        let sealer = sealer(&counting(), &[1; 16]);
        let tag = |domain: usize, context, bytes: &[u8]| sealer.tag(DOMAINS[domain], context, &[bytes]);
        let first = tag(domain, context, &bytes);
        prop_assert_eq!(tag(other, context, &bytes) == first, other == domain);
        prop_assert_ne!(tag(domain, context ^ 1 << bit, &bytes), first);
        let mut changed = bytes.clone();
        changed[at.index(bytes.len())] ^= 1 << (bit % 8);
        prop_assert_ne!(tag(domain, context, &changed), first);
        let mut longer = bytes.clone();
        longer.resize(bytes.len() + more, 0);
        prop_assert_ne!(tag(domain, context, &longer), first);
        prop_assert_ne!(tag(domain, context, &bytes[..bytes.len() - 1]), first);
    }

    #[test]
    fn sealed_bytes_agree_with_openssl(
        half: [u8; 32], uuid: [u8; 16], tag: [u8; 16], bytes in prop::collection::vec(any::<u8>(), 0..5000),
    ) {
        let key: [u8; 64] = core::array::from_fn(|i| half[i % 32] ^ (i / 32) as u8);
        let data = hkdf(&uuid, &key, b"sluice mapped data v1", 64);
        let xts = |bytes: &[u8]| crypt(Cipher::aes_256_xts(), Mode::Encrypt, &data, Some(&tag), bytes);
        let expected: Vec<u8> = match bytes.len() {
            0..16 => xts(&[0; 16]).iter().zip(&bytes).map(|(a, b)| a ^ b).collect(),
            _ => xts(&bytes),
        };
        let sealer = sealer(&key, &uuid);
        let mut sealed = bytes.clone();
        sealer.seal(&Tag(tag), &mut sealed);
        prop_assert_eq!(&sealed, &expected);
        sealer.open(&Tag(tag), &mut sealed);
        prop_assert_eq!(&sealed, &bytes);
    }
}

#[test]
fn without_encryption_bytes_stay_as_they_are_and_tags_are_the_same() {
    let open = Sealer::new(&counting(), &[1; 16], false, Backend::detect_xmm()).unwrap();
    let mut bytes = [9; 100];
    let tag = open.tag(Domain::Page, 5, &[&bytes]);
    open.seal(&tag, &mut bytes);
    assert_eq!(bytes, [9; 100]);
    assert_eq!(sealer(&counting(), &[1; 16]).tag(Domain::Page, 5, &[&bytes]), tag);
    assert_ne!(sealer(&counting(), &[2; 16]).tag(Domain::Page, 5, &[&bytes]), tag);
}

#[test]
fn what_is_too_long_for_xts_does_not_go_out_in_the_clear() {
    let sealer = sealer(&counting(), &[7; 16]);
    let mut bytes = vec![1; sluice_xts::MAX_UNIT + 1];
    sealer.seal(&Tag([0; 16]), &mut bytes);
    assert!(bytes.iter().all(|byte| *byte == 0));
}
