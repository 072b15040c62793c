//! The simulator: one seed, one run, in one thread, the same each time.
//!
//! A run takes a volume through a *trace* of requests, while a *device* that lives in memory completes what the volume
//! asks of it, in an order of its own. Now and then power fails: what was not flushed stays, goes, or tears at 512
//! bytes. The volume is opened again, and all that can have changed is read back and *judged*: is it the state after
//! some prefix of the writes, with all in it that a flush made durable? Then the run goes on from there.
//!
//! ```text
//!   seed ─► plan, trace ─► run ──requests──► subject ──I/O──► device
//!                           │ ◄────ends───────── ◄─completions──┘
//!                           └─► model ─► oracle
//! ```
//!
//! | file | what |
//! |---|---|
//! | `subject` | what is under test, as a trait: implement it, and the rest follows |
//! | `plan`, `workload`, `content` | what the seed chooses |
//! | `device` | reorders, tears, stalls, fails, lies |
//! | `model`, `oracle` | what may be seen, and whether it is what was found |
//! | `run`, `recovery`, `keys` | one run |
//! | `shrink`, `mutants` | a shorter trace that still fails; deliberate mistakes, each of which must be found |
//! | `straw` | the simplest volume that keeps the promises, and 16 ways to break them |
//! | `engine` | the real thing |

pub mod clock;
pub mod content;
pub mod device;
pub mod engine;
pub mod figures;
pub mod keys;
pub mod model;
pub mod mutants;
pub mod oracle;
pub mod plan;
pub mod prng;
pub mod recovery;
pub mod run;
pub mod shrink;
pub mod simulate;
pub mod straw;
pub mod subject;
pub mod workload;
