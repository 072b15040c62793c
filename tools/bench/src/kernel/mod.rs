//! `sluice-bench kernel`: what an I/O costs in `sluice.sys` itself, in instructions.
//!
//! The driver's own file is loaded into this process beside the smallest kernel that it can run on: one processor, no
//! interrupts, DPCs when somebody waits or looks. Callgrind counts what driver and kernel do for one 4 KiB I/O, as in
//! [`crate::intercept`]. The kernel's share is small and the same in every row; a real one does more for each call.
//!
//! - *hops*: an IRP that goes through a driver that passes it on to one that completes it: two IRP hops, and nothing
//!   done.
//! - *direct*: the same, and the second driver calls what the RAM disk's `HwStartIo` consists of for the caller's SRB.
//! - *driver*: an IRP to a RAM disk's device object: FDO, PDO and chain, with all that the driver does.
//!
//! ```text
//!   image   loads the file: sections, relocations, imports
//!   nt      the functions that it imports
//!   objects drivers, devices, IRPs and how they travel
//!   drive   has the driver start a RAM disk, and does I/O
//! ```

mod drive;
mod image;
mod nt;
mod objects;

use std::path::PathBuf;

use crate::callgrind;

/// The name under which this program runs itself below callgrind.
pub(crate) const DRIVER: &str = "kernel-driver";
/// I/Os of the shorter run.
const COUNT: u64 = 4000;
/// The most that *driver* may take, as a multiple of *direct*.
const TARGET: f64 = 1.2;

/// The subcommand. `words`: `--json`, and the driver's file.
///
/// # Errors
/// When callgrind or the driver cannot be run.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let json = words.contains(&"--json");
    let file =
        words.iter().find(|word| !word.starts_with("--")).map_or_else(built, |file| Ok(file.into()))?;
    let file = file.to_str().ok_or("the path of the driver is not UTF-8")?;
    let cost = |way: &str, direction: &str| {
        callgrind::per_item(COUNT, |count| {
            [DRIVER, way, direction, file, &count.to_string()].map(str::to_owned)
        })
        .map(|cost| cost.instructions)
    };
    let mut rows = Vec::new();
    for direction in ["read", "write"] {
        let (hops, direct) = (cost("hops", direction)?, cost("direct", direction)?);
        rows.push((direction, hops, direct, cost("driver", direction)?));
    }
    if json {
        let rows: Vec<String> = rows
            .iter()
            .map(|(name, hops, direct, driver)| {
                format!(
                    "{{\"case\":\"{name}\",\"hops\":{hops:.1},\"direct\":{direct:.1},\"driver\":{driver:.1},\"ratio\":{:.3}}}",
                    driver / direct
                )
            })
            .collect();
        println!("{{\"payload\":{},\"target\":{TARGET},\"cases\":[{}]}}", drive::PAYLOAD, rows.join(","));
        return Ok(());
    }
    println!("one I/O of {} bytes to a RAM disk in sluice.sys; instructions by callgrind\n", drive::PAYLOAD);
    println!("{:8} {:>9} {:>9} {:>9} {:>7}", "", "hops", "direct", "driver", "ratio");
    for (name, hops, direct, driver) in &rows {
        println!("{name:8} {hops:9.1} {direct:9.1} {driver:9.1} {:7.2}", driver / direct);
    }
    println!("\ntarget: at most {TARGET} times");
    Ok(())
}

/// The driver as `./x driver` leaves it.
fn built() -> Result<PathBuf, String> {
    let file = PathBuf::from("target/driver/x64/sluice.sys");
    if file.exists() { Ok(file) } else { Err("no target/driver/x64/sluice.sys: run ./x driver first".into()) }
}

/// What runs below callgrind: `way direction file count`.
///
/// # Errors
/// When the words are others, the driver cannot be started, or an I/O failed.
pub(crate) fn drive(arguments: &[String]) -> Result<(), String> {
    let [way, direction, file, count] = arguments else {
        return Err("expected: way direction file count".into());
    };
    let count = count.parse().map_err(|_| "count is no number")?;
    let write = match direction.as_str() {
        "read" => false,
        "write" => true,
        _ => return Err("unknown direction".into()),
    };
    match way.as_str() {
        "hops" => drive::baseline(None, write, count),
        "direct" => drive::baseline(Some(drive::ram()?), write, count),
        "driver" => drive::driver(file.as_ref(), write, count),
        _ => Err("unknown way".into()),
    }?;
    println!("{count}");
    Ok(())
}
