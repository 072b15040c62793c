//! What a host gives a function: memory and ports for its BARs, an interrupt.
//!
//! Windows hands it over as two lists of CM_PARTIAL_RESOURCE_DESCRIPTORs (wdm.h: 20 bytes each), of which the n-th entries
//! belong together: where something lies on the bus, and where for the processor. Which BAR an entry is for they do not
//! say; the address in the BAR itself does (PCI 3.0, 6.2.5.1).

/// Bytes of a CM_PARTIAL_RESOURCE_DESCRIPTOR.
pub const DESCRIPTOR: usize = 20;

/// CmResourceTypePort, CmResourceTypeInterrupt, CmResourceTypeMemory, CmResourceTypeMemoryLarge.
const PORT: u8 = 1;
const INTERRUPT: u8 = 2;
const MEMORY: u8 = 3;
const MEMORY_LARGE: u8 = 7;
/// CM_RESOURCE_MEMORY_LARGE_40, _48, _64 among the flags: the length counts in 2^8, 2^16, 2^32 bytes.
const LARGE: [(u16, u32); 3] = [(0x0200, 8), (0x0400, 16), (0x0800, 32)];

/// CM_RESOURCE_INTERRUPT_MESSAGE among the flags.
const MESSAGE: u16 = 2;

/// The first BAR's register.
const BAR: u8 = 0x10;
/// BARs of a function.
pub const BARS: usize = 6;
/// Bit 0: ports. Bits 1 and 2: 64 bits wide if 2.
const PORTS: u32 = 1;
const WIDTH: u32 = 6;
const WIDE: u32 = 4;

/// A stretch of memory, or of ports.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Where it begins on the bus.
    pub bus: u64,
    /// Where it begins for the processor, as a physical address or the number of a port.
    pub physical: u64,
    /// Its length in bytes.
    pub length: u64,
    /// On the bus it is ports.
    pub ports: bool,
    /// It is ports for the processor as well: there are machines that show them as memory.
    pub by_ports: bool,
}

/// The interrupt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interrupt {
    /// Messages, not a line.
    pub messages: bool,
    /// Level and vector on the bus; of messages nothing is said there.
    pub bus: (u32, u32),
    /// The processor's IRQL for it.
    pub irql: u8,
}

/// All that a function has been given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resources {
    windows: [Window; BARS],
    interrupt: Option<Interrupt>,
}

impl Resources {
    /// What the two lists say. What comes after as much as a function can have is left out; of several messages the first
    /// speaks for all.
    #[must_use]
    pub fn of(raw: &[u8], translated: &[u8]) -> Self {
        let mut windows = [Window::default(); BARS];
        let pairs = || raw.chunks_exact(DESCRIPTOR).zip(translated.chunks_exact(DESCRIPTOR));
        let found = pairs().filter_map(|(raw, translated)| window(raw, translated));
        windows.iter_mut().zip(found).for_each(|(window, found)| *window = found);
        let interrupt = pairs().find_map(|(raw, translated)| interrupt(raw, translated));
        Self { windows, interrupt }
    }

    /// All memory and ports, in their order.
    pub fn all(&self) -> impl Iterator<Item = Window> + '_ {
        self.windows.iter().copied().filter(|window| window.length > 0)
    }

    /// The interrupt, if there is one.
    #[must_use]
    pub fn interrupt(&self) -> Option<Interrupt> {
        self.interrupt
    }

    /// The window of each memory BAR. `config` reads the configuration space.
    pub fn windows(&self, config: impl Fn(u8) -> u32) -> [Option<Window>; BARS] {
        let mut out = [None; BARS];
        let mut bar = 0;
        while bar < BARS {
            let low = config(BAR + 4 * bar as u8);
            let wide = low & PORTS == 0 && low & WIDTH == WIDE && bar + 1 < BARS;
            if low & PORTS == 0 {
                let high = if wide { config(BAR + 4 * (bar as u8 + 1)) } else { 0 };
                out[bar] = self.at(u64::from(low & !0xF) | u64::from(high) << 32);
            }
            bar += if wide { 2 } else { 1 };
        }
        out
    }

    fn at(&self, bus: u64) -> Option<Window> {
        self.all().find(|window| window.bus == bus && !window.ports)
    }
}

/// Kind and flags.
fn head(descriptor: &[u8]) -> Option<(u8, u16)> {
    let [kind, _, flags @ ..] = descriptor.first_chunk::<4>()?;
    Some((*kind, u16::from_le_bytes(*flags)))
}

/// What a pair of descriptors gives, if they are of memory or ports.
fn window(raw: &[u8], translated: &[u8]) -> Option<Window> {
    let ((bus, _), (physical, length)) = (stretch(raw)?, stretch(translated)?);
    let is_ports = |descriptor| head(descriptor).is_some_and(|(kind, _)| kind == PORT);
    Some(Window { bus, physical, length, ports: is_ports(raw), by_ports: is_ports(translated) })
}

/// The same for an interrupt. A line's level is 16 bits, before the processor group; a message's raw descriptor has
/// something else there.
fn interrupt(raw: &[u8], translated: &[u8]) -> Option<Interrupt> {
    let ((INTERRUPT, flags), (INTERRUPT, _)) = (head(raw)?, head(translated)?) else { return None };
    let messages = flags & MESSAGE != 0;
    let bus = if messages { (0, 0) } else { (long(raw, 4)? & 0xFFFF, long(raw, 8)?) };
    Some(Interrupt { messages, bus, irql: *translated.get(4)? })
}

fn long(descriptor: &[u8], at: usize) -> Option<u32> {
    descriptor.get(at..)?.first_chunk().map(|bytes| u32::from_le_bytes(*bytes))
}

/// Start and length, if the descriptor is of memory or ports.
fn stretch(descriptor: &[u8]) -> Option<(u64, u64)> {
    let (kind, flags) = head(descriptor)?;
    let start = u64::from_le_bytes(*descriptor.get(4..)?.first_chunk()?);
    let length = u64::from(long(descriptor, 12)?);
    let shift = match kind {
        PORT | MEMORY => 0,
        MEMORY_LARGE => LARGE.iter().find(|(flag, _)| flags & flag != 0)?.1,
        _ => return None,
    };
    Some((start, length << shift))
}

#[cfg(test)]
mod tests {
    use alloc::{vec, vec::Vec};

    use super::*;

    fn descriptor(kind: u8, flags: u16, start: u64, length: u32) -> Vec<u8> {
        let mut bytes = vec![kind, 0];
        bytes.extend(flags.to_le_bytes());
        bytes.extend(start.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.resize(DESCRIPTOR, 0);
        bytes
    }

    fn config(bars: [u32; BARS]) -> impl Fn(u8) -> u32 {
        move |at| bars[usize::from(at - BAR) / 4]
    }

    /// QEMU's virtio-blk-pci: ports in BAR 0, MSI-X in BAR 1, the registers in BAR 4, 64 bits wide.
    #[test]
    fn bars_find_their_windows_by_address() {
        let ports = descriptor(1, 1, 0xC000, 0x80);
        let line = descriptor(2, 0, 11, 0);
        let raw = [
            ports.clone(),
            descriptor(3, 0, 0xFEBD_1000, 0x1000),
            line.clone(),
            descriptor(3, 4, 0x8_0000_4000, 0x4000),
        ];
        let translated =
            [ports, descriptor(3, 0, 0xFEBD_1000, 0x1000), line, descriptor(3, 4, 0x18_0000_4000, 0x4000)];
        let resources = Resources::of(&raw.concat(), &translated.concat());
        let found = resources.windows(config([0xC001, 0xFEBD_1000, 0, 0, 0x0000_400C, 8]));
        let table = Window { bus: 0xFEBD_1000, physical: 0xFEBD_1000, length: 0x1000, ..Window::default() };
        assert_eq!(found[1], Some(table));
        let registers =
            Window { bus: 0x8_0000_4000, physical: 0x18_0000_4000, length: 0x4000, ..Window::default() };
        assert_eq!(found[4], Some(registers));
        assert_eq!([found[0], found[2], found[3], found[5]], [None; 4]);
        let ports = Window { bus: 0xC000, physical: 0xC000, length: 0x80, ports: true, by_ports: true };
        assert_eq!(resources.all().collect::<Vec<_>>(), [ports, table, registers], "in their order");
        let line = Interrupt { messages: false, bus: (11, 0), irql: 11 };
        assert_eq!(resources.interrupt(), Some(line));
    }

    #[test]
    fn ports_may_be_memory_for_the_processor() {
        let resources = Resources::of(&descriptor(1, 1, 0x1000, 8), &descriptor(3, 0, 0xE_0000_1000, 8));
        let window = Window { bus: 0x1000, physical: 0xE_0000_1000, length: 8, ports: true, by_ports: false };
        assert_eq!(resources.all().collect::<Vec<_>>(), [window]);
        assert_eq!(resources.windows(config([0x1000, 0, 0, 0, 0, 0])), [None; BARS], "no memory BAR");
    }

    #[test]
    fn interrupts_are_a_line_or_messages() {
        // Level 17 of group 0, vector 17, any processor; for the processor IRQL 9, vector 0x91.
        let line = descriptor(2, 0, 17 << 32 | 17, 1);
        let cpu = descriptor(2, 0, 0x91 << 32 | 9, 1);
        let found = Resources::of(&line, &cpu).interrupt();
        assert_eq!(found, Some(Interrupt { messages: false, bus: (17, 17), irql: 9 }));
        // Messages: their number where the level is.
        let raw = [descriptor(2, 3, 4 << 16 | 0x50 << 32, 1), line].concat();
        let found = Resources::of(&raw, &[cpu.clone(), cpu].concat()).interrupt();
        assert_eq!(found, Some(Interrupt { messages: true, bus: (0, 0), irql: 9 }));
        assert_eq!(Resources::of(&raw[..19], &raw[..19]).interrupt(), None);
    }

    #[test]
    fn large_memory_counts_in_larger_units() {
        for (flag, shift) in LARGE {
            let list = descriptor(7, flag, 0x1000, 3);
            let found = Resources::of(&list, &list).windows(config([0x1000, 0, 0, 0, 0, 0]));
            assert_eq!(found[0].unwrap().length, 3 << shift);
        }
        let list = descriptor(7, 0, 0x1000, 3);
        assert_eq!(Resources::of(&list, &list), Resources::default(), "no unit");
    }

    #[test]
    fn what_is_not_given_is_not_there() {
        let list = descriptor(3, 0, 0x1000, 0x1000);
        let absent = Resources::of(&list, &list).windows(config([u32::MAX; BARS]));
        assert_eq!(absent, [None; BARS], "a function that is gone");
        assert_eq!(Resources::of(&list, &[]), Resources::default(), "lists of different lengths");
        assert_eq!(Resources::of(&list[..19], &list[..19]), Resources::default(), "half a descriptor");
        let nothing = Resources::default().windows(config([0; BARS]));
        assert_eq!(nothing, [None; BARS], "a BAR that is not there has no window of length 0");
        // A wide BAR in the last place has no other half.
        let last = Resources::of(&list, &list).windows(config([0, 0, 0, 0, 0, 0x1004]));
        assert_eq!(last[5].unwrap().length, 0x1000);
    }

    #[test]
    fn more_than_a_function_can_have_is_left_out() {
        let list: Vec<u8> = (1..=9).flat_map(|n| descriptor(3, 0, n << 12, 0x1000)).collect();
        let found = Resources::of(&list, &list);
        assert!(found.windows(config([0x6000, 0, 0, 0, 0, 0]))[0].is_some());
        assert!(found.windows(config([0x7000, 0, 0, 0, 0, 0]))[0].is_none());
    }
}
