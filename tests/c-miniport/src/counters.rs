//! What the miniports count (`disk/counters.h`), and the IO_CONTROL that tells it.

macro_rules! counters {
    ($($name:ident,)*) => {
        /// The counters, in C's order.
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        #[allow(missing_docs, reason = "see counters.h")]
        pub struct Counters { $(pub $name: i32,)* }

        impl Counters {
            /// From a miniport's bytes.
            #[must_use]
            pub fn parse(bytes: &[u8]) -> Self {
                let mut words = bytes.chunks_exact(4).map(|word| i32::from_le_bytes([word[0], word[1], word[2], word[3]]));
                let mut next = || words.next().unwrap_or_default();
                Self { $($name: next(),)* }
            }
        }
    };
}

counters! {
    find_adapter,
    initialize,
    passive_initialize,
    build_io,
    start_io,
    interrupts,
    dpcs,
    ticks,
    timers,
    work_items,
    reset_bus,
    reset_unit,
    adapter_control,
    unit_control,
    pnp,
    power,
    flush,
    shutdown,
    io_control,
    wmi,
    synchronized,
    state_changes,
    busy,
    wrong_kind,
    failures,
    messages,
    channels,
    torments,
}

/// Bytes of `SRB_IO_CONTROL`.
pub const HEADER: usize = 28;
/// Bytes of the counters.
pub const BYTES: usize = size_of::<Counters>();
/// Their WMI data block, as it lies in memory.
pub const GUID: [u8; 16] =
    [0x4A, 0x2E, 0x1D, 0x6B, 0x5F, 0x3C, 0x7E, 0x4D, 0x90, 0xA1, 0xB2, 0xC3, 0xD4, 0xE5, 0xF6, 0x07];
/// `COUNTERS_READ`.
pub const READ: u32 = 1;
/// `COUNTERS_ECHO`.
pub const ECHO: u32 = 2;
/// `COUNTERS_EXERCISE`.
pub const EXERCISE: u32 = 3;

/// The data of an IO_CONTROL SRB: header, and room for `data`.
#[must_use]
pub fn io_control(code: u32, data: &[u8]) -> Vec<u8> {
    let mut buffer = Vec::new();
    buffer.extend((HEADER as u32).to_le_bytes());
    buffer.extend(*b"SLCOUNT\0");
    for word in [10, code, u32::MAX, data.len() as u32] {
        buffer.extend(word.to_le_bytes());
    }
    buffer.extend(data);
    buffer
}

const _: () = assert!(BYTES == 112);
