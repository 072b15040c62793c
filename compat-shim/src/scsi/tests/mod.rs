//! Tests of commands, and of answers.

mod answers;
mod cdb;
mod edit;
mod provisioning;
mod unmap;
