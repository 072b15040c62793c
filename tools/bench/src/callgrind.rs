//! Counts this program's own instructions: it runs itself below callgrind, once with N items and once with 2 N. The
//! difference divided by N is the exact count for one.

use std::process::Command;

/// What one item costs.
#[derive(Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) instructions: f64,
    /// Of what the program prints: a number that it counts itself.
    pub(crate) counted: f64,
}

/// `arguments` says what to run for so many items. The program prints one number.
///
/// # Errors
/// When callgrind cannot be run, or the program fails.
pub(crate) fn per_item<const N: usize>(
    count: u64,
    arguments: impl Fn(u64) -> [String; N],
) -> Result<Cost, String> {
    let (once, twice) = (run(&arguments(count))?, run(&arguments(2 * count))?);
    let one = |small: u64, large: u64| (large as f64 - small as f64) / count as f64;
    Ok(Cost { instructions: one(once.0, twice.0), counted: one(once.1, twice.1) })
}

fn run(arguments: &[String]) -> Result<(u64, u64), String> {
    let program = std::env::current_exe().map_err(|error| format!("own path: {error}"))?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(arguments)
        .output()
        .map_err(|error| format!("valgrind: {error}"))?;
    let (said, counted) =
        (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout).into_owned());
    let instructions = said
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, number)| number.trim().parse().ok());
    match (output.status.success(), instructions, counted.trim().parse().ok()) {
        (true, Some(instructions), Some(counted)) => Ok((instructions, counted)),
        _ => Err(format!("valgrind {}: {said}", arguments.join(" "))),
    }
}
