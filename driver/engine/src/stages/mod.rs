//! The engine's own stages. Each is a [`sluice_chain::Stage`] like any other.

mod encrypt;
mod place;

pub use encrypt::Encrypt;
pub use place::Place;
