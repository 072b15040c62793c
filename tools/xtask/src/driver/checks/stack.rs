//! How much stack each function takes. A kernel stack has 24 KiB, shared with everybody above and below.
//!
//! From the unwind information (x64 exception handling, "UNWIND_CODE"): what a function pushes and allocates.

use super::{Arch, Subject};
use anyhow::{Context, Result, ensure};
use object::{Object, ObjectSection, pe};

/// The most that one function may take, in bytes: less than a page, so that none needs the compiler's stack probe
/// (`__chkstk`). The largest expands keys and calls nothing that takes much; the deepest path (unlocking: dispatch,
/// control, unlock, key expansion) adds up to less than 8 KiB.
const MOST: u32 = 4095;

pub(super) fn frames(subject: &Subject) -> Result<String> {
    if subject.arch == Arch::Arm64 {
        return Ok("not read for ARM64".to_owned());
    }
    let image = subject.image.parse()?;
    let table =
        image.data_directory(pe::IMAGE_DIRECTORY_ENTRY_EXCEPTION).context("no exception directory")?;
    let (start, size) = table.address_range();
    let functions =
        at(subject, start)?.get(..size as usize).context("the exception directory is cut short")?;
    let mut largest = (0, 0);
    for entry in functions.chunks_exact(12) {
        let word = |i: usize| u32::from_le_bytes([entry[i], entry[i + 1], entry[i + 2], entry[i + 3]]);
        let frame = frame(at(subject, word(8))?).with_context(|| format!("function at {:#x}", word(0)))?;
        ensure!(
            frame <= MOST,
            "the function at {:#x} takes {frame} bytes of stack, more than {MOST}",
            word(0)
        );
        largest = largest.max((frame, word(0)));
    }
    ensure!(largest.0 > 0, "no function takes any stack: the table was not understood");
    Ok(format!("{} functions, at most {} bytes (at {:#x})", functions.len() / 12, largest.0, largest.1))
}

/// The file's bytes from a relative virtual address on.
fn at(subject: &Subject, address: u32) -> Result<&[u8]> {
    let image = subject.image.parse()?;
    let base = image.relative_address_base();
    let section = image.sections().find(|section| {
        let start = section.address() - base;
        (start..start + section.size()).contains(&u64::from(address))
    });
    let section = section.with_context(|| format!("no section at {address:#x}"))?;
    let (offset, _) = section.file_range().context("a section without data")?;
    let within = u64::from(address) - (section.address() - base);
    subject.image.bytes.get((offset + within) as usize..).context("beyond the file")
}

/// Bytes that UNWIND_INFO says a prologue takes.
fn frame(info: &[u8]) -> Result<u32> {
    let count = usize::from(*info.get(2).context("cut short")?);
    let codes = info.get(4..4 + 2 * count).context("cut short")?;
    let (mut bytes, mut i) = (0u32, 0);
    let word = |i: usize| codes.get(2 * i..2 * i + 2).map(|c| u32::from(c[0]) | u32::from(c[1]) << 8);
    while i < count {
        let (op, extra) = (codes[2 * i + 1] & 15, codes[2 * i + 1] >> 4);
        i += match (op, extra) {
            (0, _) => {
                bytes += 8; // UWOP_PUSH_NONVOL
                1
            }
            (1, 0) => {
                bytes += word(i + 1).context("cut short")? * 8; // UWOP_ALLOC_LARGE
                2
            }
            (1, _) => {
                bytes += word(i + 1).context("cut short")? | word(i + 2).context("cut short")? << 16;
                3
            }
            (2, n) => {
                bytes += u32::from(n) * 8 + 8; // UWOP_ALLOC_SMALL
                1
            }
            (3 | 10, _) => 1, // UWOP_SET_FPREG, UWOP_PUSH_MACHFRAME
            (4 | 8, _) => 2,  // UWOP_SAVE_NONVOL, UWOP_SAVE_XMM128
            (5 | 9, _) => 3,  // their far forms
            (other, _) => anyhow::bail!("unwind code {other}"),
        };
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::frame;

    #[test]
    fn prologues_are_added_up() -> anyhow::Result<()> {
        // push rbp; push rbx; sub rsp, 40
        assert_eq!(frame(&[1, 6, 3, 0, 6, 0x42, 2, 0x30, 1, 0x50, 0, 0])?, 8 + 8 + 40);
        // sub rsp, 21336: scaled by eight; and a size of 32 bits
        assert_eq!(frame(&[1, 7, 2, 0, 7, 0x01, 0x6b, 0x0a])?, 21336);
        assert_eq!(frame(&[1, 7, 3, 0, 7, 0x11, 0, 0, 2, 0, 0, 0])?, 0x2_0000);
        assert!(frame(&[1, 7, 2, 0]).is_err());
        Ok(())
    }
}
