//! `format`, `info`, `cat`: what goes in comes out, and another implementation reads the same.

use openssl::symm::{Cipher, Crypter, Mode};
use sluice_engine::{
    format::{Header, RawHeader},
    keys::{VolumeKey, derive_kek},
};
use sluice_xts::{Backend, Xts256};
use zerocopy::FromBytes;

use crate::bench::{Bench, CHEAP, COPY_B, DISK, MIB, VOLUME};

/// The volume key of the bench's image.
fn key(image: &[u8]) -> VolumeKey {
    let header = Header::check(RawHeader::ref_from_bytes(&image[..4096]).unwrap()).unwrap();
    let slot = header.slot(0).unwrap();
    let kek = derive_kek(b"correct horse battery staple", slot.raw, slot.uuid, 0).unwrap();
    let mut key = VolumeKey::zeroed();
    header.unlock(0, &kek, &mut key).unwrap();
    key
}

fn plaintext() -> Vec<u8> {
    (0..VOLUME / 4).flat_map(|i| (i as u32).wrapping_mul(2_654_435_761).to_le_bytes()).collect()
}

/// Encrypts `plain` onto the volume as the driver would.
fn write_volume(bench: &Bench, plain: &[u8], sector: usize) {
    let mut image = bench.get("image");
    let cipher = Xts256::new(key(&image).as_bytes(), Backend::detect()).unwrap();
    let place = &mut image[MIB as usize..][..plain.len()];
    place.copy_from_slice(plain);
    cipher.encrypt_in_place(0, sector, place.into()).unwrap();
    bench.put("image", &image);
}

#[test]
fn what_was_written_is_read_in_any_range() {
    for sector in [512, 4096] {
        let bench = Bench::new();
        let text = sector.to_string();
        let format = ["format", "image", "--passphrase-file", "pass", "--sector-size", &text];
        let made = bench.ok(&[&format[..], &CHEAP[..]].concat());
        assert_eq!(
            (made["sector_size"].as_u64(), made["volume_bytes"].as_u64()),
            (Some(sector), Some(VOLUME))
        );
        let plain = plaintext();
        write_volume(&bench, &plain, sector as usize);
        let cat = |more: &[&str]| {
            let run = bench.run(&[&["cat", "image", "--passphrase-file", "pass", "--quiet"], more].concat());
            assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{more:?}");
            run.stdout
        };
        assert!(cat(&[]) == plain, "the whole volume, sectors of {sector}");
        for (offset, length) in
            [(0, 1), (1, 511), (511, 2), (4095, 4098), (MIB - 1, 2), (VOLUME - 1, 1), (77, 0)]
        {
            let found = cat(&["--offset", &offset.to_string(), "--length", &length.to_string()]);
            assert!(
                found == plain[offset as usize..(offset + length) as usize],
                "{length} bytes at {offset}"
            );
        }
        let out =
            bench.ok(&["cat", "image", "--passphrase-file", "pass", "--output", "plain", "--offset", "5000"]);
        assert_eq!(out["bytes"].as_u64(), Some(VOLUME - 5000));
        assert!(bench.get("plain") == plain[5000..]);
        let end = VOLUME.to_string();
        for range in [["--offset", &end, "--length", "1"], ["--offset", "1", "--length", &end]] {
            let run =
                bench.run(&[&["cat", "image", "--passphrase-file", "pass", "--json"], &range[..]].concat());
            assert_eq!((run.code, run.stdout.len()), (2, 0), "{}", run.stderr);
            assert!(run.stderr.contains("\"range\""), "{}", run.stderr);
        }
    }
}

#[test]
fn openssl_decrypts_the_same() {
    let bench = Bench::formatted();
    let plain = plaintext();
    write_volume(&bench, &plain, 512);
    let image = bench.get("image");
    let key = key(&image);
    for sector in [0usize, 1, 255, 256, 4095] {
        let mut tweak = [0; 16];
        tweak[..8].copy_from_slice(&(sector as u64).to_le_bytes());
        let mut crypter =
            Crypter::new(Cipher::aes_256_xts(), Mode::Decrypt, key.as_bytes(), Some(&tweak)).unwrap();
        let mut found = [0; 512 + 16];
        let count = crypter.update(&image[MIB as usize + sector * 512..][..512], &mut found).unwrap();
        assert_eq!(count, 512);
        assert!(found[..512] == plain[sector * 512..][..512], "sector {sector}");
    }
}

/// The header by the words of docs/format.md alone: offsets as numbers, OpenSSL's primitives.
#[test]
fn a_reader_made_from_the_document_agrees() {
    let bench = Bench::new();
    bench.ok(&[&["format", "image", "--passphrase-file", "pass", "--label", "Grüße"], &CHEAP[..]].concat());
    let image = bench.get("image");
    let header = &image[..4096];
    assert!(header == &image[COPY_B as usize..][..4096], "the copies differ");
    let number = |at: usize, length: usize| {
        header[at..at + length].iter().rev().fold(0u64, |value, &byte| value << 8 | u64::from(byte))
    };
    assert_eq!(&header[..8], b"\xf5SLUICE\n");
    let fields = [
        (8, 4, 1),
        (12, 4, 0),
        (16, 4, 0),
        (20, 4, 0),
        (24, 8, 1),
        (48, 4, 1),
        (52, 4, 1),
        (56, 4, 512),
        (60, 4, 0),
        (64, 8, DISK),
        (72, 8, COPY_B),
        (80, 8, MIB),
        (88, 8, VOLUME),
        (96, 8, 0x0201),
    ];
    for (at, length, value) in fields {
        assert_eq!(number(at, length), value, "the field at {at}");
    }
    assert!(header[112..176].starts_with("Grüße\0".as_bytes()));
    let mut zeroed = header.to_vec();
    zeroed[208..240].fill(0);
    assert_eq!(openssl::sha::sha256(&zeroed), header[208..240]);
    let slot = &header[2048..2304];
    assert_eq!(slot[..20], [1, 0, 0, 0, 1, 0, 0, 0, 0, 4, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0]);
    assert!(header[2304..].iter().all(|&byte| byte == 0), "the other slots");
    // Argon2id is checked in the engine's tests; from its output on, OpenSSL.
    let raw = RawHeader::ref_from_bytes(header).unwrap();
    let uuid: &[u8; 16] = header[32..48].try_into().unwrap();
    let kek = derive_kek(b"correct horse battery staple", &raw.slots[0], uuid, 0).unwrap();
    let aes = openssl::aes::AesKey::new_decrypt(kek.as_bytes()).unwrap();
    let mut volume_key = [0; 64];
    assert_eq!(openssl::aes::unwrap_key(&aes, None, &mut volume_key, &slot[56..128]).unwrap(), 64);
    assert_eq!(volume_key, *key(&image).as_bytes());
    zeroed[176..208].fill(0);
    let mac_key = hkdf(&volume_key, uuid, b"sluice header mac v1");
    assert_eq!(hmac(&mac_key, &zeroed), header[176..208]);
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    let key = openssl::pkey::PKey::hmac(key).unwrap();
    let mut signer = openssl::sign::Signer::new(openssl::hash::MessageDigest::sha256(), &key).unwrap();
    signer.sign_oneshot_to_vec(data).unwrap()
}

/// HKDF-SHA256 for 32 bytes (RFC 5869): extract, then one step of expansion.
fn hkdf(secret: &[u8], salt: &[u8], info: &[u8]) -> Vec<u8> {
    hmac(&hmac(salt, secret), &[info, &[1]].concat())
}

#[test]
fn info_tells_what_format_made() {
    let bench = Bench::new();
    let made = bench.ok(&[
        &["format", "image", "--passphrase-file", "pass", "--label", "Ledger", "--recovery-code"],
        &CHEAP[..],
    ]
    .concat());
    let info = bench.ok(&["info", "image"]);
    assert_eq!((&info["uuid"], info["label"].as_str()), (&made["uuid"], Some("Ledger")));
    assert_eq!((info["other_copy"].as_str(), info["slots"].as_array().unwrap().len()), (Some("good"), 2));
    let said = String::from_utf8(bench.run(&["info", "image"]).stdout).unwrap();
    assert!(said.contains(made["uuid"].as_str().unwrap()) && said.contains("recovery code"), "{said}");
    // Nothing that opens the volume is told, nor lies on it.
    let code = made["recovery_code"].as_str().unwrap();
    assert!(!said.contains(code));
    for secret in [code.as_bytes(), b"correct horse"] {
        assert!(!bench.get("image").windows(secret.len()).any(|window| window == secret));
    }
}

#[test]
fn the_default_cost_is_measured_and_recorded() {
    let bench = Bench::new();
    let made = bench.ok(&["format", "image", "--passphrase-file", "pass"]);
    let kdf = &bench.ok(&["key", "list", "image"])["slots"][0]["kdf"];
    assert_eq!(
        (&kdf["memory_kib"], &kdf["iterations"]),
        (&made["kdf"]["memory_kib"], &made["kdf"]["iterations"])
    );
    assert!(kdf["memory_kib"].as_u64().unwrap() >= 64 << 10, "{kdf}");
    assert!(made["kdf"]["seconds"].as_f64().unwrap() > 0.1, "{made}");
}
