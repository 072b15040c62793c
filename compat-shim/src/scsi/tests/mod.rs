//! Tests of commands, and of answers.

mod answers;
mod cdb;
mod edit;
mod pass_through;
mod provisioning;
mod unmap;
