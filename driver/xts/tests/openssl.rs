//! Every backend against OpenSSL, which shares no code with us, and against each other.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use openssl::symm::{Cipher, Crypter, Mode};
use sluice_chain::bytes::{Source, Target};
use sluice_xts::{Backend, Error, Xts256};

/// The same bytes for the same seed.
struct Random(fastrand::Rng);

impl Random {
    fn new(seed: u64) -> Self {
        Self(fastrand::Rng::with_seed(seed))
    }

    fn bytes(&mut self, length: usize) -> Vec<u8> {
        (0..length).map(|_| self.0.u8(..)).collect()
    }

    fn key(&mut self) -> [u8; 64] {
        self.bytes(64).try_into().unwrap()
    }
}

fn backends() -> Vec<Backend> {
    let mut all = vec![Backend::Portable];
    for best in [Backend::detect_xmm(), Backend::detect()] {
        if !all.contains(&best) {
            all.push(best);
        }
    }
    all
}

fn openssl(mode: Mode, key: &[u8; 64], unit: u64, data: &[u8]) -> Vec<u8> {
    openssl_tweaked(mode, key, &u128::from(unit).to_le_bytes(), data)
}

fn openssl_tweaked(mode: Mode, key: &[u8; 64], tweak: &[u8; 16], data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; data.len() + 16];
    let mut crypter = Crypter::new(Cipher::aes_256_xts(), mode, key, Some(tweak)).unwrap();
    crypter.pad(false);
    let count = crypter.update(data, &mut out).unwrap();
    let count = count + crypter.finalize(&mut out[count..]).unwrap();
    out.truncate(count);
    assert_eq!(count, data.len());
    out
}

fn ours(xts: &Xts256, unit: u64, size: usize, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; data.len()];
    xts.encrypt(unit, size, Source::from(data), Target::from(&mut out[..])).unwrap();
    out
}

fn check_one_unit(random: &mut Random, length: usize) {
    let (key, number, data) = (random.key(), random.0.u64(..), random.bytes(length));
    let expected = openssl(Mode::Encrypt, &key, number >> 1, &data);
    for backend in backends() {
        let xts = Xts256::new(&key, backend).unwrap();
        let mut encrypted = ours(&xts, number >> 1, length, &data);
        assert_eq!(encrypted, expected, "{backend:?}, {length} bytes");
        xts.decrypt_in_place(number >> 1, length, Target::from(&mut encrypted[..])).unwrap();
        assert_eq!(encrypted, data, "{backend:?}, {length} bytes, back");
    }
}

#[test]
fn every_length_up_to_two_sectors_of_4096_agrees_with_openssl() {
    let mut random = Random::new(1);
    (16..=8192).for_each(|length| check_one_unit(&mut random, length));
}

#[test]
fn tweaks_of_sixteen_bytes_agree_with_openssl() {
    let mut random = Random::new(9);
    for length in (16..=600).chain([4095, 4096]) {
        let (key, data) = (random.key(), random.bytes(length));
        let tweak: [u8; 16] = random.bytes(16).try_into().unwrap();
        let expected = openssl_tweaked(Mode::Encrypt, &key, &tweak, &data);
        for backend in backends() {
            let xts = Xts256::new(&key, backend).unwrap();
            let mut bytes = data.clone();
            xts.encrypt_tweaked(&tweak, Target::from(&mut bytes[..])).unwrap();
            assert_eq!(bytes, expected, "{backend:?}, {length} bytes");
            xts.decrypt_tweaked(&tweak, Target::from(&mut bytes[..])).unwrap();
            assert_eq!(bytes, data, "{backend:?}, {length} bytes, back");
            let short = Target::from(&mut bytes[..15]);
            assert_eq!(xts.encrypt_tweaked(&tweak, short), Err(Error::Unit));
        }
    }
}

#[test]
fn random_lengths_up_to_a_mebibyte_agree_with_openssl() {
    let mut random = Random::new(2);
    for _ in 0..64 {
        let length = random.0.usize(16..=1 << 20);
        check_one_unit(&mut random, length);
    }
    check_one_unit(&mut random, 1 << 20);
}

#[test]
fn runs_of_sectors_agree_with_openssl_sector_by_sector() {
    let mut random = Random::new(3);
    for (size, units) in
        [(512, 1), (512, 7), (512, 8), (512, 129), (4096, 1), (4096, 9), (4096, 256), (528, 5)]
    {
        let (key, first, data) = (random.key(), random.0.u64(..) >> 20, random.bytes(size * units));
        let expected: Vec<u8> = (first..)
            .zip(data.chunks(size))
            .flat_map(|(number, sector)| openssl(Mode::Encrypt, &key, number, sector))
            .collect();
        for backend in backends() {
            let xts = Xts256::new(&key, backend).unwrap();
            assert_eq!(ours(&xts, first, size, &data), expected, "{backend:?} {size} x {units}");
            let mut back = vec![0; data.len()];
            xts.decrypt(first, size, Source::from(&expected[..]), Target::from(&mut back[..])).unwrap();
            assert_eq!(back, data, "{backend:?} {size} x {units}");
        }
    }
}

#[test]
fn unaligned_and_in_place_give_the_same() {
    let mut random = Random::new(4);
    let key = random.key();
    for backend in backends() {
        let xts = Xts256::new(&key, backend).unwrap();
        for offset in 0..32 {
            let mut memory = random.bytes(offset + 4096 + 512);
            let expected = ours(&xts, 77, 512, &memory[offset..]);
            xts.encrypt_in_place(77, 512, Target::from(&mut memory[offset..])).unwrap();
            assert_eq!(&memory[offset..], &expected[..], "{backend:?} at {offset}");
        }
    }
}

#[test]
fn what_makes_no_sense_is_refused_and_touches_nothing() {
    let mut random = Random::new(5);
    let key = random.key();
    let mut equal = key;
    equal.copy_within(..32, 32);
    for backend in backends() {
        assert_eq!(Xts256::new(&equal, backend).err(), Some(Error::EqualHalves));
        let xts = Xts256::new(&key, backend).unwrap();
        let mut memory = vec![7; 1024];
        let mut attempt = |first, unit, length: usize| {
            let source = vec![1; 1024];
            let result =
                xts.encrypt(first, unit, Source::from(&source[..length]), Target::from(&mut memory[..]));
            assert!(memory.iter().all(|&byte| byte == 7));
            result
        };
        assert_eq!(attempt(0, 15, 1024), Err(Error::Unit));
        assert_eq!(attempt(0, 0, 1024), Err(Error::Unit));
        assert_eq!(attempt(0, (16 << 20) + 1, 1024), Err(Error::Unit));
        assert_eq!(attempt(0, 512, 512), Err(Error::Length));
        assert_eq!(attempt(0, 600, 1024), Err(Error::Length));
        assert_eq!(attempt(u64::MAX, 512, 1024), Err(Error::Length));
        assert_eq!(
            xts.encrypt(u64::MAX - 2, 512, Source::from(&[0; 1024][..]), Target::from(&mut memory[..])),
            Ok(())
        );
        assert_eq!(xts.encrypt_in_place(3, 512, Target::from(&mut [][..])), Ok(()));
    }
}
