//! Where things lie.

use std::path::{Path, PathBuf};

/// The top of the work tree.
pub(crate) fn root() -> &'static Path {
    static ROOT: std::sync::LazyLock<PathBuf> =
        std::sync::LazyLock::new(|| Path::new(env!("CARGO_MANIFEST_DIR")).components().collect());
    ROOT.ancestors().nth(2).unwrap_or(&ROOT)
}

/// The folder of everything generated.
pub(crate) fn target() -> PathBuf {
    root().join("target")
}
