//! What the checks ask of a PE image beyond what the crate `object` answers.

use anyhow::{Context, Result, ensure};
use object::read::pe::PeFile64;
use object::{Object, pe};

/// An image in memory.
pub(crate) struct Image {
    pub(crate) bytes: Vec<u8>,
    /// File offset of the optional header.
    optional: usize,
}

/// One import: the image's name in lower case and the function's.
pub(crate) type Import = (String, String);

impl Image {
    pub(crate) fn new(bytes: Vec<u8>) -> Result<Self> {
        let start: [u8; 4] = bytes.get(0x3c..0x40).context("shorter than a DOS header")?.try_into()?;
        let optional = u32::from_le_bytes(start) as usize + 24; // "PE\0\0" and the file header
        let image = Self { bytes, optional };
        image.parse()?;
        ensure!(image.bytes.len() >= image.security_entry() + 8, "the optional header is cut short");
        Ok(image)
    }

    pub(crate) fn parse(&self) -> Result<PeFile64<'_>> {
        PeFile64::parse(&*self.bytes).context("no 64-bit PE image")
    }

    pub(crate) fn optional_header(&self) -> Result<pe::ImageOptionalHeader64> {
        Ok(self.parse()?.nt_headers().optional_header)
    }

    /// Every import by name. An import by ordinal is an error: a kernel gives no promise about ordinals.
    pub(crate) fn imports(&self) -> Result<Vec<Import>> {
        let image = self.parse()?;
        let mut found = Vec::new();
        for import in image.imports()? {
            let library = String::from_utf8_lossy(import.library()).to_lowercase();
            ensure!(!import.name().is_empty(), "an import of {library} by ordinal");
            found.push((library, String::from_utf8_lossy(import.name()).into_owned()));
        }
        Ok(found)
    }

    /// Where the checksum stands in the file.
    pub(crate) fn checksum_at(&self) -> usize {
        self.optional + 64
    }

    /// Where the data directory's entry for signatures stands in the file (PE32+).
    pub(crate) fn security_entry(&self) -> usize {
        self.optional + 112 + 8 * pe::IMAGE_DIRECTORY_ENTRY_SECURITY
    }

    /// The checksum as CheckSumMappedFile computes it: the 16-bit one's-complement sum of the file without the
    /// checksum itself, plus the file's length.
    pub(crate) fn computed_checksum(&self) -> u32 {
        let at = self.checksum_at();
        let mut sum = 0u32;
        for (index, pair) in self.bytes.chunks(2).enumerate() {
            if (at..at + 4).contains(&(index * 2)) {
                continue;
            }
            sum += u32::from(pair[0]) | u32::from(*pair.get(1).unwrap_or(&0)) << 8;
            sum = (sum & 0xffff) + (sum >> 16);
        }
        (sum & 0xffff) + self.bytes.len() as u32
    }

    /// The bytes that an Authenticode hash covers: all but the checksum, the entry for signatures and the signatures,
    /// filled up to a multiple of eight.
    pub(crate) fn authenticode_bytes(&self) -> Vec<u8> {
        let entry = self.security_entry();
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|i| self.bytes[at + i])) as usize;
        let (start, length) = (word(entry), word(entry + 4));
        let end = if length == 0 { self.bytes.len() } else { start.clamp(entry + 8, self.bytes.len()) };
        let checksum = self.checksum_at();
        let parts = [&self.bytes[..checksum], &self.bytes[checksum + 4..entry], &self.bytes[entry + 8..end]];
        let mut covered = parts.concat();
        covered.resize(covered.len() + end.next_multiple_of(8) - end, 0);
        covered
    }
}
