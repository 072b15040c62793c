//! The repository's files, read once.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

/// A file of text.
#[derive(Clone, Debug)]
pub struct File {
    /// From the repository's root, with slashes.
    pub path: String,
    /// Its contents.
    pub text: String,
}

/// All files of text, by path.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    files: BTreeMap<String, String>,
}

impl Tree {
    /// The files that git knows or would add under `root`. Those that are not UTF-8 are left out.
    ///
    /// # Panics
    /// If git does not run: a rule that saw no files would find nothing.
    pub fn of_repository(root: &Path) -> Self {
        let mut git = Command::new("git");
        git.current_dir(root).args(["ls-files", "--cached", "--others", "--exclude-standard"]);
        let listed =
            git.output().map(|out| String::from_utf8_lossy(&out.stdout).into_owned()).unwrap_or_default();
        let read = |path: &str| Some((path.to_owned(), fs::read_to_string(root.join(path)).ok()?));
        let files: BTreeMap<String, String> = listed.lines().filter_map(read).collect();
        assert!(files.contains_key("Cargo.toml"), "git listed no files in {}", root.display());
        Self { files }
    }

    /// The tree with one file more, or another content.
    #[must_use]
    pub fn with(mut self, path: &str, text: &str) -> Self {
        self.files.insert(path.to_owned(), text.to_owned());
        self
    }

    /// A file's contents.
    pub fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(String::as_str)
    }

    /// Whether there is a file or folder of this path.
    pub fn has(&self, path: &str) -> bool {
        let folder = format!("{path}/");
        path.is_empty() || self.files.keys().any(|known| known == path || known.starts_with(&folder))
    }

    /// Files whose path ends with `suffix`.
    pub fn ending<'a>(&'a self, suffix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        let files = self.files.iter().filter(move |(path, _)| path.ends_with(suffix));
        files.map(|(path, text)| (path.as_str(), text.as_str()))
    }

    /// All files.
    pub fn all(&self) -> impl Iterator<Item = (&str, &str)> {
        self.ending("")
    }
}

/// Whether a Rust file is only built for tests or benchmarks, by where it lies.
pub(crate) fn is_test(path: &str) -> bool {
    path.starts_with("tests/")
        || path.contains("/tests/")
        || path.ends_with("/tests.rs")
        || path.starts_with("tools/bench/")
}

/// A line without a comment at its end, for looking at words of code.
pub(crate) fn code(line: &str) -> &str {
    line.split("//").next().unwrap_or(line)
}
