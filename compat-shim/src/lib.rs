#![no_std]

pub mod scsi;
pub mod storport;
