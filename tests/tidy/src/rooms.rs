//! Who may use what.

use crate::tree::{Tree, code, is_test};

fn lines_with(tree: &Tree, wanted: impl Fn(&str) -> bool, breaks: impl Fn(&str) -> bool) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| wanted(path)) {
        // What is only built for tests comes last in a file.
        let text = text.split("#[cfg(test)]\nmod ").next().unwrap_or(text);
        let lines = text.lines().enumerate().filter(|(_, line)| breaks(code(line)));
        found.extend(lines.map(|(n, line)| format!("{path}:{}: {}", n + 1, line.trim())));
    }
    found
}

fn word(line: &str, word: &str) -> bool {
    let part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word)
        .any(|(at, _)| !line[..at].ends_with(part) && !line[at + word.len()..].starts_with(part))
}

/// Only the driver knows Windows' kernel headers; everything else can be built and tested anywhere.
pub(crate) fn wdk(tree: &Tree) -> Vec<String> {
    let elsewhere = |path: &str| !path.starts_with("driver/kernel/") && !path.starts_with("tests/tidy/");
    lines_with(tree, elsewhere, |line| word(line, "wdk_sys") || word(line, "wdk_panic"))
}

/// What a kernel links has no std.
pub(crate) fn no_std(tree: &Tree) -> Vec<String> {
    let inside = |path: &str| {
        (path.starts_with("driver/") || path.starts_with("compat-shim/"))
            && path.contains("/src/")
            && !is_test(path)
    };
    let mut found = lines_with(tree, inside, |line| line.contains("std::") && word(line, "std"));
    for (path, text) in tree.ending("/src/lib.rs").filter(|(path, _)| inside(path)) {
        if !text.contains("#![no_std]") && !text.contains("#![cfg_attr(not(test), no_std)]") {
            found.push(format!("{path}: no #![no_std]"));
        }
    }
    found
}

/// The two interception points are the only places from which an I/O enters a chain.
pub(crate) fn chain_calls(tree: &Tree) -> Vec<String> {
    let elsewhere = |path: &str| {
        path != "compat-shim/src/interception.rs" && !path.starts_with("driver/chain/") && !is_test(path)
    };
    let calls =
        ["chain.request(", "chain.completion(", "chain.resume(", "Chain::request(", "Chain::completion("];
    lines_with(tree, elsewhere, |line| calls.iter().any(|call| line.contains(call)))
}

/// Who may depend on whom, of our own crates. Tools and tests may use everything.
const MAY_USE: &[(&str, &[&str])] = &[
    ("driver/chain", &[]),
    ("driver/xts", &["sluice-chain"]),
    ("driver/engine", &["sluice-chain", "sluice-xts"]),
    ("driver/polyval", &["sluice-chain", "sluice-xts"]),
    ("driver/mapped", &["sluice-chain", "sluice-engine", "sluice-polyval", "sluice-xts"]),
    ("driver/control", &["sluice-chain"]),
    ("compat-shim", &["sluice-chain"]),
    ("compat-shim/miniports/lower", &["sluice-shim"]),
    ("compat-shim/miniports/mapped", &["sluice-chain", "sluice-mapped", "sluice-shim"]),
    ("compat-shim/miniports/ram", &["sluice-chain", "sluice-shim"]),
    ("compat-shim/miniports/virtio-blk", &["sluice-chain", "sluice-shim"]),
];

/// Dependencies run one way.
pub(crate) fn dependencies(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.ending("Cargo.toml") {
        let Some(room) = path.strip_suffix("/Cargo.toml") else { continue };
        let allowed = MAY_USE.iter().find(|(name, _)| *name == room).map(|(_, allowed)| *allowed);
        let in_driver = room.starts_with("driver/") || room.starts_with("compat-shim");
        if allowed.is_none() && in_driver && room != "driver/kernel" {
            found.push(format!("{path}: say in tests/tidy what {room} may use"));
        }
        for name in names(text, "dependencies").iter().filter(|name| name.starts_with("sluice-")) {
            let forbidden =
                allowed.is_some_and(|allowed| !allowed.contains(&name.as_str())) || name == "sluice-kernel";
            if forbidden {
                found.push(format!("{path}: {room} may not use {name}"));
            }
        }
    }
    found
}

fn names(manifest: &str, table: &str) -> Vec<String> {
    let parsed: toml::Table = manifest.parse().unwrap_or_default();
    let table = parsed.get(table).and_then(toml::Value::as_table);
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

/// A kernel may not touch YMM or ZMM registers that it has not saved, and these choose them by themselves.
const WIDE: [&str; 6] = ["chacha20", "blake3", "blake2b_simd", "memchr", "sha3-asm", "polyval-avx"];

/// The crates that `sluice.sys` links, from the lock file.
pub(crate) fn kernel_crates(tree: &Tree) -> Vec<String> {
    let lock: toml::Table = tree.text("Cargo.lock").unwrap_or_default().parse().unwrap_or_default();
    let packages = lock.get("package").and_then(toml::Value::as_array).cloned().unwrap_or_default();
    let field = |package: &toml::Value, key: &str| {
        package.get(key).and_then(toml::Value::as_str).unwrap_or("").to_owned()
    };
    let manifest = tree.text("driver/kernel/Cargo.toml").unwrap_or_default();
    let mut wanted = names(manifest, "dependencies");
    let mut seen: Vec<String> = Vec::new();
    let mut found = Vec::new();
    while let Some(name) = wanted.pop() {
        if seen.contains(&name) || name.starts_with("wdk") {
            continue;
        }
        // Of our own crates, the lock file mixes in what their tests use.
        if let Some(own) = manifest_of(tree, &name) {
            wanted.extend(names(own, "dependencies"));
        } else {
            for package in packages.iter().filter(|package| field(package, "name") == name) {
                let version = field(package, "version");
                if name == "aes" && !version.starts_with("0.8.") {
                    found.push(format!("aes {version}: from 0.9 on it uses VAES where the processor has it"));
                }
                let list =
                    package.get("dependencies").and_then(toml::Value::as_array).cloned().unwrap_or_default();
                let list = list.iter().filter_map(toml::Value::as_str);
                wanted.extend(list.filter_map(|entry| entry.split(' ').next()).map(str::to_owned));
            }
        }
        if WIDE.contains(&name.as_str()) {
            found.push(format!("sluice.sys would link {name}, which uses wide registers by itself"));
        }
        seen.push(name);
    }
    if !seen.contains(&"aes".to_owned()) {
        found.push("the driver links no aes: this rule looks at the wrong place".to_owned());
    }
    found
}

fn manifest_of<'t>(tree: &'t Tree, package: &str) -> Option<&'t str> {
    let line = format!("name = \"{package}\"");
    tree.ending("/Cargo.toml").find(|(_, text)| text.lines().any(|l| l == line)).map(|(_, text)| text)
}

/// Every crate of ours says MIT OR Apache-2.0, by way of the workspace.
pub(crate) fn licence(tree: &Tree) -> Vec<String> {
    let workspace = tree.text("Cargo.toml").unwrap_or_default();
    let mut found = Vec::new();
    if !workspace.contains("license = \"MIT OR Apache-2.0\"") {
        found.push("Cargo.toml: the workspace's licence".to_owned());
    }
    for (path, text) in tree.ending("/Cargo.toml") {
        if text.contains("[package]")
            && !text.contains("license.workspace = true")
            && !text.contains("license = \"MIT OR Apache-2.0\"")
        {
            found.push(format!("{path}: license.workspace = true"));
        }
    }
    found
}
