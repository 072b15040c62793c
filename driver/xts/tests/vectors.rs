//! Published vectors for XTS-AES-256, on every backend by name.
//!
//! | file | source |
//! |---|---|
//! | `ieee-1619-annex-b-aes256.rsp` | IEEE Std 1619-2018 (and 1619-2007) Annex B, vectors 10 to 14: all with 256-bit keys |
//! | `nist-xtsvs-dataunitseqno-XTSGenAES256.rsp` | NIST CAVP, XTS test vectors, "format tweak value input - data unit seq no", `XTSGenAES256.rsp`, whole |
//! | `openssl-stealing-aes256.rsp` | OpenSSL, `evpciph_aes_common.txt`: partial blocks, which the other two lack |
//!
//! NIST's vectors of 140 and 250 bits are no whole bytes and left out, as are its vectors whose tweak is no number
//! (the other file). Each vector is also put to OpenSSL, so that a misprint in a file is told from a mistake of ours.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use std::{collections::HashMap, io::Write};

use openssl::symm::{Cipher, Crypter, Mode};
use sluice_chain::bytes::{Source, Target};
use sluice_xts::{Backend, Error, Xts256};

/// One record of a file in NIST's format.
struct Vector {
    count: u64,
    mode: Mode,
    bits: usize,
    key: [u8; 64],
    number: u64,
    plain: Vec<u8>,
    cipher: Vec<u8>,
}

fn hex(text: &str) -> Vec<u8> {
    assert_eq!(text.len() % 2, 0, "{text}");
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

/// `NAME = VALUE` lines; a blank line ends a record; `[ENCRYPT]` or `[DECRYPT]` heads those that follow.
fn parse(file: &str) -> Vec<Vector> {
    let (mut vectors, mut fields, mut mode) = (Vec::new(), HashMap::new(), None);
    for line in file.lines().map(str::trim).filter(|line| !line.starts_with('#')).chain([""]) {
        match line {
            "[ENCRYPT]" => mode = Some(Mode::Encrypt),
            "[DECRYPT]" => mode = Some(Mode::Decrypt),
            "" if fields.is_empty() => {}
            "" => vectors.push(record(&std::mem::take(&mut fields), mode.unwrap())),
            _ => {
                let (name, value) = line.split_once(" = ").unwrap();
                assert!(fields.insert(name.to_owned(), value.to_owned()).is_none(), "{line}: twice");
            }
        }
    }
    vectors
}

fn record(fields: &HashMap<String, String>, mode: Mode) -> Vector {
    Vector {
        count: fields["COUNT"].parse().unwrap(),
        mode,
        bits: fields["DataUnitLen"].parse().unwrap(),
        key: hex(&fields["Key"]).try_into().unwrap(),
        number: fields["DataUnitSeqNumber"].parse().unwrap(),
        plain: hex(&fields["PT"]),
        cipher: hex(&fields["CT"]),
    }
}

/// What this machine has, as the standard library and not the crate under test sees it.
#[cfg(target_arch = "x86_64")]
fn has(backend: Backend) -> bool {
    match backend {
        Backend::Portable => true,
        Backend::AesNi => is_x86_feature_detected!("aes"),
        Backend::Vaes => {
            is_x86_feature_detected!("vaes")
                && is_x86_feature_detected!("vpclmulqdq")
                && is_x86_feature_detected!("avx512bw")
        }
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn has(backend: Backend) -> bool {
    backend == Backend::Portable
}

/// Whether the crate has been built with it.
fn built(backend: Backend) -> bool {
    backend != Backend::Vaes || cfg!(feature = "vaes")
}

/// The cipher on one backend; none where this machine or build cannot run it, which those that can must not say.
fn cipher(key: &[u8; 64], backend: Backend) -> Option<Xts256> {
    match Xts256::new(key, backend) {
        Ok(xts) => Some(xts),
        Err(error) => {
            assert_eq!(error, Error::Backend);
            assert!(!(has(backend) && built(backend)), "{backend:?} is refused on a machine that has it");
            None
        }
    }
}

fn openssl(mode: Mode, vector: &Vector, data: &[u8]) -> Vec<u8> {
    let mut out = vec![0; data.len() + 16];
    let tweak = u128::from(vector.number).to_le_bytes();
    let mut crypter = Crypter::new(Cipher::aes_256_xts(), mode, &vector.key, Some(&tweak)).unwrap();
    crypter.pad(false);
    let count = crypter.update(data, &mut out).unwrap();
    out.truncate(count);
    out
}

fn check(xts: &Xts256, vector: &Vector, what: &str) {
    let (length, number) = (vector.plain.len(), vector.number);
    let mut out = vec![0; length];
    xts.encrypt(number, length, Source::from(&vector.plain[..]), Target::from(&mut out[..])).unwrap();
    assert_eq!(out, vector.cipher, "{what}, encrypted");
    xts.decrypt(number, length, Source::from(&vector.cipher[..]), Target::from(&mut out[..])).unwrap();
    assert_eq!(out, vector.plain, "{what}, decrypted");
    out.copy_from_slice(&vector.plain);
    xts.encrypt_in_place(number, length, Target::from(&mut out[..])).unwrap();
    assert_eq!(out, vector.cipher, "{what}, encrypted in place");
    xts.decrypt_in_place(number, length, Target::from(&mut out[..])).unwrap();
    assert_eq!(out, vector.plain, "{what}, decrypted in place");
}

/// Puts every vector of whole bytes to OpenSSL and to every backend; answers how many there were.
fn run(name: &str, file: &str) -> usize {
    let vectors: Vec<Vector> = parse(file).into_iter().filter(|vector| vector.bits % 8 == 0).collect();
    for vector in &vectors {
        let what = format!("{name} {}", vector.count);
        assert_eq!(vector.plain.len() * 8, vector.bits, "{what}");
        assert_eq!(vector.cipher.len() * 8, vector.bits, "{what}");
        let (from, to) = match vector.mode {
            Mode::Encrypt => (&vector.plain, &vector.cipher),
            Mode::Decrypt => (&vector.cipher, &vector.plain),
        };
        assert_eq!(&openssl(vector.mode, vector, from), to, "{what}: OpenSSL disagrees, a misprint?");
    }
    for backend in [Backend::Portable, Backend::AesNi, Backend::Vaes] {
        let mut tested = 0;
        for vector in &vectors {
            if let Some(xts) = cipher(&vector.key, backend) {
                check(&xts, vector, &format!("{name} {}, {backend:?}", vector.count));
                tested += 1;
            }
        }
        let verdict = match tested {
            0 if !built(backend) => "NOT TESTED: built without it".to_owned(),
            0 => "NOT TESTED: this machine lacks it".to_owned(),
            _ => format!("{tested} vectors"),
        };
        // In one piece, and not by a macro, whose output the test harness would swallow.
        let line = format!("{name}, {backend:?}: {verdict}\n");
        std::io::stderr().write_all(line.as_bytes()).unwrap();
    }
    vectors.len()
}

#[test]
fn ieee_1619_annex_b() {
    assert_eq!(run("IEEE 1619 Annex B", include_str!("data/ieee-1619-annex-b-aes256.rsp")), 5);
}

#[test]
fn nist_xtsvs() {
    let file = include_str!("data/nist-xtsvs-dataunitseqno-XTSGenAES256.rsp");
    assert_eq!(parse(file).len(), 1000);
    assert_eq!(run("NIST XTSVS", file), 600);
}

#[test]
fn partial_blocks() {
    assert_eq!(run("OpenSSL", include_str!("data/openssl-stealing-aes256.rsp")), 3);
}
