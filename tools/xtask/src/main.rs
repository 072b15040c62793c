//! The commands behind `./x`. `docs/building.md` says what each does and what only Windows can show.

mod command;
mod driver;
mod paths;
mod setup;
mod wdk;

use anyhow::{Result, bail};

const HELP: &str = "usage: ./x COMMAND

  setup                       install what the other commands need (Debian 12, by apt)
  driver [--arch x64|arm64] [--profile release|dev]
                              build sluice.sys and check the product
";

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if let Err(error) = dispatch(&arguments) {
        eprintln!("x: {error:#}");
        std::process::exit(1);
    }
}

fn dispatch(arguments: &[String]) -> Result<()> {
    let Some((name, rest)) = arguments.split_first() else {
        print!("{HELP}");
        return Ok(());
    };
    match name.as_str() {
        "help" | "--help" | "-h" => print!("{HELP}"),
        "setup" => setup::run()?,
        "driver" => driver::command(rest)?,
        other => bail!("there is no command {other:?}; ./x help lists them"),
    }
    Ok(())
}
