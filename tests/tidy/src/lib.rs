//! Rules about the source that no compiler knows. Each takes the tree and answers what breaks it.
//!
//! ```text
//!   tree      the files of the repository
//!   rooms     who may use what: wdk-sys, std, the chain's entry points, other crates of ours
//!   unsafety  where `unsafe` may stand, and what must stand beside it
//!   size      lengths of functions and files, names that say nothing
//!   words     links that lead somewhere, no traces of the machine it was written on
//! ```

mod rooms;
mod size;
mod tree;
mod unsafety;
mod words;

pub use tree::{File, Tree};

/// A rule: its name, and what finds its violations.
pub type Rule = (&'static str, fn(&Tree) -> Vec<String>);

/// All of them.
pub const RULES: &[Rule] = &[
    ("wdk-sys stays in driver/kernel", rooms::wdk),
    ("driver and shim have no std", rooms::no_std),
    ("only interception.rs calls a chain", rooms::chain_calls),
    ("crates depend in one direction", rooms::dependencies),
    ("what the kernel links stays off wide registers", rooms::kernel_crates),
    ("one licence", rooms::licence),
    ("unsafe stands in listed files", unsafety::places),
    ("unsafe says why it is sound", unsafety::reasons),
    ("an exception says why", unsafety::allowances),
    ("functions and files are short", size::lengths),
    ("names say what a thing is", size::names),
    ("links lead somewhere", words::links),
    ("no traces of a machine", words::traces),
];
