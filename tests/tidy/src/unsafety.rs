//! `unsafe`, and exceptions from lints.

use crate::tree::{Tree, code, is_test};

const LIST: &str = "tests/tidy/unsafe.txt";

fn says_unsafe(line: &str) -> bool {
    let line = code(line);
    ["unsafe {", "unsafe impl", "unsafe fn", "unsafe extern", "unsafe trait"]
        .iter()
        .any(|form| line.contains(form))
        && !line.contains("\"")
}

fn covered(path: &str) -> bool {
    !path.starts_with("tests/tidy/")
}

/// Each file with `unsafe` is in the list, and each line of the list is such a file.
pub(crate) fn places(tree: &Tree) -> Vec<String> {
    let list = tree.text(LIST).unwrap_or_default();
    let entries = list.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#'));
    let entries: Vec<(&str, &str)> =
        entries.map(|line| line.split_once(": ").unwrap_or((line, ""))).collect();
    let mut found = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| covered(path)) {
        let listed = entries.iter().any(|(entry, _)| *entry == path);
        if text.lines().any(says_unsafe) && !listed {
            found.push(format!("{path} has unsafe and is not in {LIST}"));
        }
    }
    for (path, reason) in entries {
        if !tree.text(path).is_some_and(|text| text.lines().any(says_unsafe)) {
            found.push(format!("{LIST}: {path} has no unsafe"));
        }
        if reason.len() < 10 {
            found.push(format!("{LIST}: {path} needs its reason"));
        }
    }
    found
}

/// Blocks and impls have a `SAFETY:` comment above them, functions a `# Safety` section. Tests play hosts and
/// miniports, some of them badly on purpose.
pub(crate) fn reasons(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| covered(path) && !is_test(path)) {
        let lines: Vec<&str> = text.lines().collect();
        for (n, line) in lines.iter().enumerate().filter(|(_, line)| says_unsafe(line)) {
            let above = &lines[n.saturating_sub(12)..=n];
            let declares = code(line).contains("unsafe fn") || code(line).contains("unsafe trait");
            let public = code(line).contains("pub ") || code(line).contains("pub(");
            let said = |words: &str| above.iter().any(|line| line.contains(words));
            let fine = if declares {
                !public || said("# Safety") || said("SAFETY:")
            } else {
                said("SAFETY:") || code(line).contains("unsafe extern")
            };
            if !fine {
                found.push(format!("{path}:{}: {}", n + 1, line.trim()));
            }
        }
    }
    found
}

/// `allow` and `expect` of a lint carry a reason.
pub(crate) fn allowances(tree: &Tree) -> Vec<String> {
    let mut found = Vec::new();
    for (path, text) in tree.ending(".rs").filter(|(path, _)| covered(path)) {
        for (at, _) in text.match_indices("[allow(").chain(text.match_indices("[expect(")) {
            let end = text[at..].find(")]").map_or(text.len(), |end| at + end);
            if !text[at..end].contains("reason =") {
                found.push(format!("{path}:{}: no reason", text[..at].lines().count()));
            }
        }
    }
    found
}
