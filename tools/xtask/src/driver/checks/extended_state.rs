//! No instruction that touches processor state which the x64 kernel does not save for a driver.
//!
//! XMM0-15 are a driver's to use. YMM, ZMM and mask registers are not, outside KeSaveExtendedProcessorState and
//! KeRestoreExtendedProcessorState; nor is any VEX- or EVEX-encoded instruction on XMM registers, because it clears the
//! upper part of the YMM register, which belongs to the interrupted thread. x87 and MMX are not saved either.

use super::{Arch, Subject};
use crate::command;
use anyhow::{Context, Result, bail};
use std::{collections::BTreeMap, process::Command};

/// Functions of the image that use such state and are not named in `extended-state.txt` fail the check. A line there is a
/// function's name as the PDB has it.
pub(super) fn untouched(subject: &Subject) -> Result<String> {
    if subject.arch == Arch::Arm64 {
        return Ok("not applicable to aarch64".to_owned());
    }
    let allowed = subject.list("extended-state.txt")?;
    let functions = Functions::of(subject)?;
    let mut listing = Command::new("llvm-objdump-19");
    listing.args(["--disassemble", "--no-show-raw-insn"]).arg(&subject.path);
    let listing = command::output(&mut listing)?;

    let mut instructions = 0;
    let mut offenders: BTreeMap<&str, (usize, String)> = BTreeMap::new();
    for (address, text) in listing.lines().filter_map(instruction) {
        instructions += 1;
        if touches_extended_state(text) {
            let name = functions.at(address).unwrap_or("a place without a symbol");
            let offence =
                offenders.entry(name).or_insert((0, format!("{address:#x}: {}", text.replace('\t', " "))));
            offence.0 += 1;
        }
    }
    if instructions == 0 {
        bail!("llvm-objdump found no instructions");
    }
    offenders.retain(|name, _| !allowed.iter().any(|allowed| allowed == name));
    if offenders.is_empty() {
        return Ok(format!("untouched by {instructions} instructions"));
    }
    let lines =
        offenders.iter().map(|(name, (count, first))| format!("\n          {name}: {count}, first {first}"));
    bail!("instructions on YMM, ZMM, mask, x87 or MMX registers{}", lines.collect::<String>())
}

/// `180001000:     vmovdqu    (%rcx), %ymm0`: the address and what follows it.
fn instruction(line: &str) -> Option<(u64, &str)> {
    let (address, text) = line.trim_start().split_once(':')?;
    Some((u64::from_str_radix(address, 16).ok()?, text.trim())).filter(|(_, text)| !text.is_empty())
}

/// In AT&T syntax, mnemonic and operands parted by a tab.
fn touches_extended_state(text: &str) -> bool {
    // Prefixes such as `lock` or `rep` stand before the mnemonic; none goes with these instructions.
    let (mnemonic, operands) = text.split_once('\t').unwrap_or((text, ""));
    let has = |prefix: &str| {
        operands
            .match_indices(prefix)
            .any(|(at, _)| operands[at + prefix.len()..].starts_with(|c: char| c.is_ascii_digit()))
    };
    let wide = ["%ymm", "%zmm", "%k", "%mm"].iter().any(|register| has(register));
    let vex = mnemonic.starts_with('v') && has("%xmm");
    let x87 = operands.contains("%st") || (mnemonic.starts_with('f') && !mnemonic.starts_with("fx"));
    wide || vex || x87 || matches!(mnemonic, "vzeroupper" | "vzeroall" | "emms")
}

/// The functions of a PDB by address.
struct Functions {
    /// First address, first address after it, name.
    ranges: BTreeMap<u64, (u64, String)>,
}

impl Functions {
    fn of(subject: &Subject) -> Result<Self> {
        use object::{LittleEndian as LE, read::pe::PeFile64};
        let image: PeFile64<'_> = subject.image.parse()?;
        let base = subject.image.optional_header()?.image_base.get(LE);
        let sections: Vec<u64> = image
            .section_table()
            .iter()
            .map(|section| base + u64::from(section.virtual_address.get(LE)))
            .collect();
        let mut tool = Command::new("llvm-pdbutil-19");
        let dump = command::output(tool.args(["dump", "--symbols"]).arg(&subject.symbols))?;
        let mut ranges = BTreeMap::new();
        let mut name = None;
        for line in dump.lines() {
            if line.contains("| S_GPROC32") || line.contains("| S_LPROC32") {
                name = line.split('`').nth(1).map(str::to_owned);
            } else if let Some(place) = line.split_once("addr = ").filter(|_| line.contains("code size = ")) {
                let Some(name) = name.take() else { continue };
                let (start, length) = range(place.1, &sections).with_context(|| line.to_owned())?;
                ranges.insert(start, (start + length, name));
            }
        }
        Ok(Self { ranges })
    }

    fn at(&self, address: u64) -> Option<&str> {
        let (_, (end, name)) = self.ranges.range(..=address).next_back()?;
        (address < *end).then_some(&**name)
    }
}

/// `0001:0016, code size = 11`: section (from one), offset in it, length; all decimal.
fn range(text: &str, sections: &[u64]) -> Option<(u64, u64)> {
    let (place, length) = text.split_once(", code size = ")?;
    let (section, offset) = place.split_once(':')?;
    let start = sections.get(section.parse::<usize>().ok()?.checked_sub(1)?)?;
    Some((start + offset.parse::<u64>().ok()?, length.trim().parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn xmm_alone_is_a_drivers_to_use() {
        for plain in [
            "movups\t(%rcx), %xmm0",
            "aesenc\t%xmm1, %xmm2",
            "fxsave\t(%rcx)",
            "verr\t%ax",
            "andnq\t%rax, %rcx, %rdx",
        ] {
            assert!(!touches_extended_state(plain), "{plain}");
        }
    }

    #[test]
    fn wider_or_older_state_is_not() {
        for wide in [
            "vmovdqu\t(%rcx), %ymm0",
            "vpxorq\t%zmm16, %zmm16, %zmm16",
            "vpxor\t%xmm0, %xmm1, %xmm2",
            "vzeroupper",
            "kmovq\t%k1, %rax",
            "movq\t%mm0, %rax",
            "fldl\t(%rcx)",
            "fstp\t%st(0)",
        ] {
            assert!(touches_extended_state(wide), "{wide}");
        }
    }

    #[test]
    fn lines_that_are_no_instructions_are_passed_over() {
        assert_eq!(instruction("180001000:      \tretq"), Some((0x1_8000_1000, "retq")));
        assert_eq!(instruction("Disassembly of section .text:"), None);
        assert_eq!(instruction("sluice.sys:\tfile format coff-x86-64"), None);
    }
}
