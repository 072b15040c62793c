//! What the port says of a unit that it has found: to Plug and Play, and to whoever asks for its properties.
//!
//! ```text
//!   luns         the answer to REPORT LUNS
//!   profile      what INQUIRY and its pages 80h and 83h say of a unit
//!   identifiers  the strings by which Plug and Play finds a driver for it
//!   descriptors  answers to IOCTL_STORAGE_QUERY_PROPERTY
//! ```

pub mod descriptors;
pub mod identifiers;
pub mod luns;
pub mod profile;

#[cfg(test)]
mod tests;
