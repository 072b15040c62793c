//! `sluice convert`: what a disk or image holds becomes a volume, or a volume becomes what it holds.

mod copy;
mod in_place;

pub(super) use in_place::describe;

use crate::{args::Convert, failure::Failure, output::Report};

pub(crate) fn run(args: &Convert) -> Result<Report, Failure> {
    match &args.to {
        Some(target) => copy::run(args, target),
        None => in_place::run(args),
    }
}
