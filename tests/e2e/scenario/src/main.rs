//! `sluice-e2e MODE [NAME=PATH...]`: the end-to-end runner on its own. `./x demo` and `./x e2e` build what it
//! needs and call it as a library.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
};

use sluice_e2e::{Mode, Options, PARTS, Products, run};

const USAGE: &str = "usage: sluice-e2e demo|test|bench root=REPOSITORY work=FOLDER client=e2e-client.exe \
                     driver=sluice.sys command=sluice windows-command=sluice.exe [miniports=FOLDER] [long] \
                     [PART...]";

fn options(args: &[String]) -> Option<Options> {
    let path = |name: &str| {
        let value = args.iter().find_map(|a| a.strip_prefix(name)?.strip_prefix('='))?;
        std::path::absolute(Path::new(value)).ok()
    };
    let mode = match args.first()?.as_str() {
        "demo" => Mode::Demo,
        "test" => Mode::Test,
        "bench" => Mode::Bench,
        "adapter" => Mode::Adapter,
        _ => return None,
    };
    let driver = path("driver");
    if driver.is_none() && mode != Mode::Bench {
        return None;
    }
    let products = Products {
        driver,
        command: path("command").unwrap_or_else(|| PathBuf::from("sluice")),
        windows_command: path("windows-command").unwrap_or_else(|| PathBuf::from("sluice.exe")),
        miniports: path("miniports"),
        client: path("client")?,
    };
    Some(Options {
        mode,
        root: path("root")?,
        work: path("work")?,
        products,
        long: args.iter().any(|a| a == "long"),
        only: args.iter().filter(|word| PARTS.contains(&word.as_str())).cloned().collect(),
    })
}

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let Some(options) = options(&args) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    if run(&options).failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
