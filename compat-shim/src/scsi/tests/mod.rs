//! Tests of commands, of the table, and of answers.

mod answers;
mod cdb;
mod pass_through;
mod policy;
mod provisioning;
mod unmap;
