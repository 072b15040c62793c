//! SCSI block commands: what a CDB asks, what to do about it, and what to answer.
//!
//! ```text
//!   opcode   numbers
//!   cdb      bytes -> Command
//!   encode   the CDBs that we send ourselves
//!   unmap    the parameter list of UNMAP
//!   provisioning  how much one may name
//!   lba_status    which blocks hold data
//!   edit     what we change in a device's answers
//!   ioctl    device control codes
//!   inspect  what their buffers ask
//!   miniport requests for the miniport itself
//!   mode     the parameter list of MODE SELECT
//!   pass_through  commands from programs
//!   policy   Command, SRB function, IOCTL -> what a volume does about it: the one table
//!   answers  the data of commands that we answer ourselves
//!   sense    errors, as SCSI says them
//! ```

pub mod answers;
pub mod cdb;
pub mod edit;
pub mod encode;
pub mod inspect;
pub mod ioctl;
pub mod lba_status;
pub mod miniport;
pub mod mode;
pub mod opcode;
pub mod pass_through;
pub mod policy;
pub mod provisioning;
pub mod sense;
pub mod unmap;

#[cfg(test)]
mod tests;
