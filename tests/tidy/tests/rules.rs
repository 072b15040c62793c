//! The repository keeps every rule, and every rule sees a violation.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use sluice_tidy::{RULES, Tree};
use std::path::Path;

fn repository() -> Tree {
    Tree::of_repository(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../.."))
}

#[test]
fn the_repository_keeps_the_rules() {
    let tree = repository();
    let mut broken = String::new();
    for (name, rule) in RULES {
        for violation in rule(&tree) {
            broken += &format!("\n  {name}: {violation}");
        }
    }
    assert!(broken.is_empty(), "{broken}");
}

#[test]
fn every_rule_bites() {
    let long = format!("fn long() {{\n{}}}\n", "    f();\n".repeat(80));
    let many = "// a line\n".repeat(900);
    let lock = "[[package]]\nname = \"aes\"\nversion = \"0.9.1\"\n";
    let sins: &[(&str, &str, &str)] = &[
        ("wdk-sys stays in driver/kernel", "driver/engine/src/sin.rs", "use wdk_sys::IRP;\n"),
        ("driver and shim have no std", "compat-shim/src/sin.rs", "use std::vec::Vec;\n"),
        ("driver and shim have no std", "driver/sin/src/lib.rs", "//! A crate.\n"),
        ("only interception.rs calls a chain", "compat-shim/src/sin.rs", "fn f() { chain.request(io); }\n"),
        (
            "crates depend in one direction",
            "driver/chain/Cargo.toml",
            "[dependencies]\nsluice-engine.workspace = true\n",
        ),
        ("crates depend in one direction", "driver/sin/Cargo.toml", "[package]\n"),
        (
            "crates depend in one direction",
            "tools/sin/Cargo.toml",
            "[dependencies]\nsluice-kernel.workspace = true\n",
        ),
        ("what the kernel links stays off wide registers", "Cargo.lock", lock),
        (
            "what the kernel links stays off wide registers",
            "driver/kernel/Cargo.toml",
            "[dependencies]\naes = \"0.8\"\nblake3 = \"1\"\n",
        ),
        ("one licence", "tools/sin/Cargo.toml", "[package]\nname = \"sin\"\n"),
        (
            "unsafe stands in listed files",
            "tools/cli/src/sin.rs",
            "fn f() {\n    // SAFETY: none.\n    unsafe { g() }\n}\n",
        ),
        ("unsafe stands in listed files", "tests/tidy/unsafe.txt", "README.md: there is no unsafe in it\n"),
        ("unsafe says why it is sound", "tools/cli/src/sin.rs", "fn f() {\n    unsafe { g() }\n}\n"),
        ("unsafe says why it is sound", "tools/cli/src/sin.rs", "/// Does it.\npub unsafe fn f() {}\n"),
        ("an exception says why", "tools/cli/src/sin.rs", "#[allow(dead_code)]\nfn f() {}\n"),
        ("functions and files are short", "tools/cli/src/sin.rs", &long),
        ("functions and files are short", "tools/cli/src/sin.rs", &many),
        ("names say what a thing is", "tools/cli/src/utils.rs", "\n"),
        ("links lead somewhere", "docs/sin.md", "[there](nowhere.md)\n"),
        ("links lead somewhere", "docs/sin.md", "# Here\n[there](#elsewhere)\n"),
        ("no traces of a machine", "docs/sin.md", concat!("see /wor", "k/main\n")),
        ("no traces of a machine", "Cargo.lock", "source = \"registry+https://mirror.example/index\"\n"),
    ];
    let tree = repository();
    for (name, rule) in RULES {
        let own: Vec<_> = sins.iter().filter(|(of, ..)| of == name).collect();
        assert!(!own.is_empty(), "no sin against {name:?}");
        for (_, path, text) in own {
            assert!(!rule(&tree.clone().with(path, text)).is_empty(), "{name}: {path} passes:\n{text}");
        }
    }
}
