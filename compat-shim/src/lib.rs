//! The compatibility shim: the published StorPort miniport interface, in Rust.
//!
//! A miniport is a driver for a storage adapter that knows no I/O request packets: the *port* does the
//! operating system's part and hands it one SRB at a time. This crate is the port. Whatever miniport it hosts,
//! each I/O passes the two points of [`interception`], where the chain of stages sees it.
//!
//! ```text
//!   host (driver, user mode)                      shim                                miniport
//!   Unit::submit ──► a free Request, private memory ──► ① chain ──► SRB ──► HwStartIo ──►
//!   Host::finish ◄── next waiting one started ◄─────── ② chain ◄── DPC ◄── RequestComplete
//! ```
//!
//! Where a write goes: [`unit::Unit::submit`] takes a [`request::Request`] and a buffer from the unit's own, or
//! queues the caller. [`interception`] runs the chain down, which encrypts into the buffer; `request` makes the
//! SRB; [`adapter`] calls the miniport. Its answer is put on a list and a DPC takes it up through the chain,
//! answers the caller and starts the next one.
//!
//! Nothing is allocated after a unit has been set up, no lock is held across a call out of the shim, and there
//! is no recursion: requests that end early go up through the DPC like all others.
#![no_std]

extern crate alloc;

pub mod adapter;
mod discard;
pub mod enumeration;
pub mod interception;
pub mod miniport;
pub mod platform;
pub mod queue;
pub mod request;
mod retired;
mod same;
pub mod scsi;
pub mod spare;
pub mod storport;
pub mod unit;
