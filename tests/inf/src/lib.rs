//! INF files, read as far as the rules in [`rules`] need it.

mod rules;
mod syntax;

pub use rules::complaints;
pub use syntax::Inf;
