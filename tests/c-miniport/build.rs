//! Builds the miniports for this system: each miniport by gcc and by clang, for either kind of SRB, as one object of which
//! only `DriverEntry` is seen from outside, under a name of its own. So all of them can be linked to one program.

#![allow(clippy::expect_used, clippy::panic, missing_docs, reason = "a build script")]

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

const MINIPORTS: &[(&str, &[&str])] = &[("plain", &["plain", "disk"]), ("torture", &["torture", "disk"])];
/// clang's build traps where the language leaves behaviour undefined.
const COMPILERS: &[(&str, &str, &[&str])] = &[
    ("gcc", "gcc", &["-O2"]),
    ("clang", "clang-19", &["-O1", "-fsanitize=undefined", "-fsanitize-trap=all"]),
];
/// Names a sanitizer, `address` or `thread`, with which the Rust side is built, too (`./x c-miniport address`).
const SANITIZER: &str = "SLUICE_SANITIZER";
const KINDS: &[(&str, &[&str])] = &[("legacy", &[]), ("extended", &["-DEXTENDED"])];
const FLAGS: &[&str] = &[
    "-std=c11",
    "-Wall",
    "-Wextra",
    "-Wshadow",
    "-Wstrict-prototypes",
    "-Wmissing-prototypes",
    "-Werror",
    "-fshort-wchar",
    "-fPIC",
    "-g",
    "-DSLUICE_STATIC",
];

fn main() {
    let here = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets it"));
    let out = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets it"));
    let headers = here.join("../../compat-shim/include");
    for folder in ["plain", "torture", "disk"].map(|name| here.join(name)).iter().chain([&headers]) {
        println!("cargo::rerun-if-changed={}", folder.display());
    }
    println!("cargo::rerun-if-env-changed={SANITIZER}");
    let sanitizer = env::var(SANITIZER).ok().map(|name| format!("-fsanitize={name}"));
    let mut objects = Vec::new();
    for (miniport, folders) in MINIPORTS {
        for (compiler, program, flags) in COMPILERS {
            for (kind, define) in KINDS {
                let name = format!("{miniport}_{kind}_{compiler}");
                let mut parts = Vec::new();
                for source in folders.iter().flat_map(|folder| sources(&here.join(folder))) {
                    let object = out.join(format!("{name}_{}.o", stem(&source)));
                    let mut command = Command::new(program);
                    command.args(FLAGS).args(*flags).args(&sanitizer).args(*define).arg("-I").arg(&headers);
                    command.args(
                        ["plain", "torture", "disk"]
                            .map(|folder| format!("-I{}", here.join(folder).display())),
                    );
                    run(command.arg("-c").arg(&source).arg("-o").arg(&object));
                    parts.push(object);
                }
                objects.push(one_object(&out, &name, &parts));
            }
        }
    }
    let archive = out.join("libminiports.a");
    let _ = fs::remove_file(&archive);
    run(Command::new("ar").arg("rcs").arg(&archive).args(&objects));
    println!("cargo::rustc-link-search=native={}", out.display());
    println!("cargo::rustc-link-lib=static:-bundle=miniports");
}

/// Links a miniport's objects to one and hides all its names but that of its entry.
fn one_object(out: &Path, name: &str, parts: &[PathBuf]) -> PathBuf {
    let object = out.join(format!("{name}.o"));
    // Sections of one name would otherwise be thought the same in several miniports.
    run(Command::new("ld").args(["-r", "--force-group-allocation", "-o"]).arg(&object).args(parts));
    run(Command::new("objcopy")
        .arg(format!("--keep-global-symbol={name}"))
        .arg(format!("--redefine-sym=DriverEntry={name}"))
        .arg(&object));
    object
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("a folder that can be read").path());
    let mut sources: Vec<_> =
        paths.filter(|path| path.extension().is_some_and(|ending| ending == "c")).collect();
    sources.sort();
    sources
}

fn stem(path: &Path) -> String {
    path.file_stem().expect("a file's path").to_string_lossy().into_owned()
}

fn run(command: &mut Command) {
    let status =
        command.status().unwrap_or_else(|error| panic!("{command:?}: {error}; ./x setup installs it"));
    assert!(status.success(), "{command:?}: {status}");
}
