//! The chain: what a stage is, and how an I/O passes through several of them.
#![no_std]

pub mod bytes;
