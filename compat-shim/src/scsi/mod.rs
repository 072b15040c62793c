//! SCSI block commands: what a CDB asks, what to do about it, and what to answer.
//!
//! ```text
//!   opcode   numbers
//!   cdb      bytes -> Command
//!   encode   the CDBs that we send ourselves
//!   unmap    the parameter list of UNMAP
//! ```

pub mod cdb;
pub mod encode;
pub mod opcode;
pub mod unmap;
