//! Miniports in C, hosted in user mode as they are: what nobody wrote for Sluice must run in its port.
//!
//! ```text
//!   plain/      a miniport as public ones are: an adapter with queues, or a disk in memory
//!   torture/    one that does everything wrong that a miniport can
//!   disk/       what both know of SCSI
//!   adapter     the adapter that `plain` drives, played
//!   miniports   the builds: miniport, kind of SRB, compiler
//!   counters    what they count
//!   hosted      one of them in the port, with a chain above it
//! ```

pub mod adapter;
pub mod counters;
pub mod hosted;
pub mod miniports;
