//! A security catalog, unsigned: the hashes of a driver package's files as a certificate trust list.
//!
//! PKCS #7 (RFC 2315) around a CTL; object identifiers as in wincrypt.h and mssip.h. What Windows makes of it only
//! Windows can show; here `osslsigncode verify -catalog` finds the driver's hash in it.

use sha2::{Digest, Sha256};

/// A file that the catalog vouches for.
pub(crate) struct Member {
    name: &'static str,
    hash: [u8; 32],
    is_image: bool,
}

impl Member {
    /// A PE image, by what its Authenticode hash covers.
    pub(crate) fn image(name: &'static str, covered: &[u8]) -> Self {
        Self { name, hash: Sha256::digest(covered).into(), is_image: true }
    }

    /// Any other file, by its contents.
    pub(crate) fn file(name: &'static str, contents: &[u8]) -> Self {
        Self { name, hash: Sha256::digest(contents).into(), is_image: false }
    }

    fn encode(&self) -> Vec<u8> {
        let obsolete = tagged(0xa2, &tagged(0x80, &utf16_be("<<<Obsolete>>>")));
        let (data, subject) = if self.is_image {
            // SpcPeImageData: no flags, no file.
            let link = tagged(0xa0, &obsolete);
            (
                sequence(&[&oid(PE_IMAGE_DATA), &sequence(&[&tagged(3, &[0]), &link])]),
                "{C689AAB8-8E78-11D0-8C47-00C04FC295EE}",
            )
        } else {
            (sequence(&[&oid(CAB_DATA), &obsolete]), "{DE351A42-8E59-11D0-8C47-00C04FC295EE}")
        };
        let digest = sequence(&[&sequence(&[&oid(SHA256), NULL]), &octets(&self.hash)]);
        let mut attributes = [
            attribute(NAME_VALUE, &name_value("File", self.name)),
            attribute(NAME_VALUE, &name_value("OSAttr", "2:10.0")),
            attribute(MEMBER_INFO, &sequence(&[&tagged(0x1e, &utf16_be(subject)), &integer(0x200)])),
            attribute(INDIRECT_DATA, &sequence(&[&data, &digest])),
        ];
        attributes.sort(); // DER: the members of a SET are in order
        sequence(&[&octets(&self.hash), &tagged(0x31, &attributes.concat())])
    }
}

/// The catalog of `members`.
pub(crate) fn write(members: &[Member]) -> Vec<u8> {
    let mut entries: Vec<Vec<u8>> = members.iter().map(Member::encode).collect();
    entries.sort();
    // Any 16 bytes name a list; the contents' hash makes the same list of the same files.
    let name: [u8; 32] = Sha256::digest(entries.concat()).into();
    let extensions: Vec<Vec<u8>> = [("OS", "_v100_X64"), ("OS", "_v100_ARM64")]
        .iter()
        .map(|(tag, value)| sequence(&[&oid(NAME_VALUE), &octets(&name_value(tag, value))]))
        .collect();
    let list = sequence(&[
        &sequence(&[&oid(CATALOG_LIST)]),
        &octets(&name[..16]),
        &tagged(0x17, b"240101000000Z"),
        &sequence(&[&oid(CATALOG_MEMBER_2), NULL]),
        &sequence(&entries.iter().map(Vec::as_slice).collect::<Vec<_>>()),
        &tagged(0xa0, &sequence(&extensions.iter().map(Vec::as_slice).collect::<Vec<_>>())),
    ]);
    let signed = sequence(&[
        &integer(1),
        &tagged(0x31, &[]),
        &sequence(&[&oid(CTL), &tagged(0xa0, &list)]),
        &tagged(0x31, &[]),
    ]);
    sequence(&[&oid(PKCS7_SIGNED_DATA), &tagged(0xa0, &signed)])
}

const MICROSOFT: &[u64] = &[1, 3, 6, 1, 4, 1, 311];
const NAME_VALUE: &[u64] = &[12, 2, 1];
const MEMBER_INFO: &[u64] = &[12, 2, 2];
const INDIRECT_DATA: &[u64] = &[2, 1, 4];
const PE_IMAGE_DATA: &[u64] = &[2, 1, 15];
const CAB_DATA: &[u64] = &[2, 1, 25];
const CTL: &[u64] = &[10, 1];
const CATALOG_LIST: &[u64] = &[12, 1, 1];
const CATALOG_MEMBER_2: &[u64] = &[12, 1, 3];
const SHA256: &[u64] = &[2, 16, 840, 1, 101, 3, 4, 2, 1];
const PKCS7_SIGNED_DATA: &[u64] = &[1, 2, 840, 113549, 1, 7, 2];
const NULL: &[u8] = &[5, 0];

/// Tag, length (definite form, X.690 8.1.3), contents.
fn tagged(tag: u8, contents: &[u8]) -> Vec<u8> {
    let length = contents.len();
    let mut out = vec![tag];
    if length < 128 {
        out.push(length as u8);
    } else {
        let bytes: Vec<u8> = length.to_be_bytes().into_iter().skip_while(|&byte| byte == 0).collect();
        out.push(0x80 | bytes.len() as u8);
        out.extend(bytes);
    }
    out.extend(contents);
    out
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tagged(0x30, &parts.concat())
}

fn octets(bytes: &[u8]) -> Vec<u8> {
    tagged(4, bytes)
}

/// A number that is not negative.
fn integer(value: u32) -> Vec<u8> {
    let bytes = u64::from(value).to_be_bytes();
    let first = bytes.iter().position(|&byte| byte != 0).unwrap_or(7);
    // One byte earlier where the top bit would make it negative.
    tagged(2, &bytes[if bytes[first] & 0x80 == 0 { first } else { first - 1 }..])
}

/// An object identifier, below Microsoft's arc unless it begins with an arc of its own.
fn oid(parts: &[u64]) -> Vec<u8> {
    let whole: Vec<u64> = if matches!(parts, SHA256 | PKCS7_SIGNED_DATA) {
        parts.to_vec()
    } else {
        [MICROSOFT, parts].concat()
    };
    let mut bytes = vec![(whole[0] * 40 + whole[1]) as u8];
    for &part in &whole[2..] {
        let groups = (64 - part.leading_zeros()).div_ceil(7).max(1);
        bytes.extend(
            (0..groups)
                .rev()
                .map(|group| (part >> (7 * group) & 0x7f) as u8 | if group > 0 { 0x80 } else { 0 }),
        );
    }
    tagged(6, &bytes)
}

fn attribute(kind: &[u64], value: &[u8]) -> Vec<u8> {
    sequence(&[&oid(kind), &tagged(0x31, value)])
}

/// CAT_NAMEVALUE: tag, flags, value with a terminating zero.
fn name_value(tag: &str, value: &str) -> Vec<u8> {
    let value: Vec<u8> = value.encode_utf16().chain([0]).flat_map(u16::to_le_bytes).collect();
    sequence(&[&tagged(0x1e, &utf16_be(tag)), &integer(0x1001_0001), &octets(&value)])
}

fn utf16_be(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_be_bytes).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_identifiers_and_lengths_are_der() {
        assert_eq!(integer(1), [2, 1, 1]);
        assert_eq!(integer(0x80), [2, 2, 0, 0x80]);
        assert_eq!(integer(0), [2, 1, 0]);
        assert_eq!(oid(SHA256), [6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, 1]);
        assert_eq!(oid(CTL), [6, 9, 0x2b, 6, 1, 4, 1, 0x82, 0x37, 10, 1]);
        assert_eq!(tagged(4, &[0; 200])[..3], [4, 0x81, 200]);
        assert_eq!(tagged(4, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }
}
