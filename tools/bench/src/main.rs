//! `sluice-bench`: what Sluice costs, measured on this machine beside what it is compared with.

mod callgrind;
mod data;
mod intercept;
mod kernel;
mod mapped;
mod parts;
mod port;
mod virtio;
mod xts;

use std::process::ExitCode;

const USAGE: &str =
    "usage: sluice-bench [intercept [--json] | kernel [--json] [FILE] | xts [--json] [--seconds N] | parts [FILE...] | mapped [FIGURE...]
                     | virtio]
  intercept   instructions and allocations that the shim adds to an I/O (needs valgrind)
  kernel      instructions of an I/O to a RAM disk in the driver's own file (needs valgrind, and ./x driver first)
  xts         AES-256-XTS on each backend beside `openssl speed`
  parts       what a mapped volume does to a block: fingerprint, compression, encryption, beside others
  virtio      the virtio-blk miniport beside libblkio's driver, on one vhost-user device (needs qemu-storage-daemon)
  mapped      a whole mapped volume beside its parts: sequential (speed and space), memory, writes, recovery
 Without a word: all.";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match words.as_slice() {
        ["parts", ..] => parts::run(&arguments[1..]),
        [] => {
            let all =
                [intercept::run(false), xts::run(&[]), parts::run(&[]), mapped::run(&[]), virtio::run()];
            all.into_iter().collect()
        }
        ["mapped", rest @ ..] => mapped::run(rest),
        ["virtio"] => virtio::run(),
        ["intercept"] => intercept::run(false),
        ["intercept", "--json"] => intercept::run(true),
        ["kernel", rest @ ..] => kernel::run(rest),
        [kernel::DRIVER, ..] => kernel::drive(&arguments[1..]),
        ["xts", rest @ ..] => xts::run(rest),
        [intercept::DRIVER, ..] => intercept::drive(&arguments[1..]),
        _ => Err(USAGE.into()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("sluice-bench: {error}");
            ExitCode::FAILURE
        }
    }
}
