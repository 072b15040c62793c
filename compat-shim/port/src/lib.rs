//! The port's C ABI: what a miniport that knows nothing of Rust is linked to instead of Microsoft's `storport.sys`.
//!
//! ```text
//!   host                      this crate                                        miniport (C)
//!   System::registered ◄───── StorPortInitialize ◄───────────────────────────── DriverEntry
//!   Port::find, start ──────► configuration, extension ───────────────────────► HwFindAdapter, HwInitialize
//!   Unit (sluice-shim)  ────► unit ► flow ► slots ► issue ────────────────────► HwBuildIo, HwStartIo
//!   Srb::complete ◄────────── completion (a DPC) ◄── StorPortNotification ◄──── RequestComplete
//!   Services ◄─────────────── exports: every StorPort* function ◄────────────── …
//! ```
//!
//! A [`port::Port`] is one adapter. Its host gives it [`services::Services`] and gets, for each unit,
//! [`unit::LogicalUnit::hw`]: what [`sluice_shim::adapter::Adapter`] takes. So a C miniport stands where every other
//! miniport of the shim stands, and its I/O passes the same two interception points.
//!
//! Each request gets a *slot*: an SRB of the miniport's kind, its SrbExtension and room for its scatter list. A slot
//! knows who has it, so that an SRB that is completed twice, late, or was never given out changes nothing but a count
//! ([`faults::Faults`]). Slots are as many as the miniport takes at once; nothing is allocated per request.
//!
//! What the interface covers, and what it answers where it does not, is generated from [`exports`] into
//! `docs/storport.md`.
//!
//! ```text
//!   registration   HW_INITIALIZATION_DATA, checked           flow        who may start: pauses, busy, depth
//!   port           one adapter, from found to gone           issue       HwBuildIo, HwStartIo
//!   configuration  PORT_CONFIGURATION_INFORMATION            completion  what comes back
//!   extension      the device extension and its header       recovery    time-outs, resets, retries
//!   slots, unit    requests and units                        command     SRBs of the host's own
//!   locks, dpcs, timers, work, memory, mdl, transfer, wmi    what the exports of the same groups do
//! ```
#![no_std]

extern crate alloc;

pub mod command;
pub mod configuration;
pub mod exports;
pub mod faults;
pub mod port;
pub mod registration;
pub mod services;
pub mod status;
pub mod types;
pub mod unit;

mod completion;
mod control;
mod copies;
mod dpcs;
mod extension;
mod flow;
mod issue;
mod locks;
mod mdl;
mod memory;
mod performance;
mod recovery;
mod slots;
mod timers;
mod transfer;
mod wmi;
mod work;
