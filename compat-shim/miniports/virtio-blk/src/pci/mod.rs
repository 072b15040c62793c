//! The modern PCI transport (VIRTIO 1.2, 4.1), over whatever shows a PCI function.
//!
//! ```text
//!   capability   where the device's registers lie, from its configuration space
//!   resources    the memory that its host was given for its BARs
//!   registers    the transport made of them
//! ```

mod capability;
mod registers;
pub mod resources;

pub use capability::{Place, Places};
pub use registers::Pci;

/// PCI identifiers (4.1.2): the vendor, the modern device, and the one that is both old and modern.
pub mod id {
    #![allow(missing_docs, reason = "the standard's names")]
    pub const VENDOR: u16 = 0x1AF4;
    pub const MODERN_BLOCK: u16 = 0x1042;
    pub const TRANSITIONAL_BLOCK: u16 = 0x1001;
}

/// A PCI function, as its host reaches it. Offsets are multiples of the access's size.
pub trait Function: Send + Sync {
    /// Four bytes of the configuration space. All ones where nothing answers.
    fn config(&self, offset: u8) -> u32;

    /// Sets them.
    fn set_config(&self, offset: u8, value: u32);

    /// Bytes of a memory BAR (0 to 5); 0 if it is none.
    fn bar_length(&self, bar: u8) -> u64;

    /// Reads a register of `width` bytes (1, 2, 4) inside a BAR.
    fn read(&self, bar: u8, offset: u64, width: u8) -> u32;

    /// Writes it.
    fn write(&self, bar: u8, offset: u64, width: u8, value: u32);

    /// MSI-X messages that the host has set up; 0 for a line interrupt.
    fn messages(&self) -> u16;

    /// See [`crate::transport::Transport::processor`].
    fn processor(&self) -> usize {
        0
    }

    /// See [`crate::transport::Transport::reach`].
    fn reach(&self, _start: *const u8, _length: usize, _pieces: &mut crate::pieces::Pieces<'_>) -> bool {
        false
    }
}
