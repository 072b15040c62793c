//! What stands in for the Windows Driver Kit on Linux: a WDK-shaped folder ([`folder`]) and `wdk-build` without its
//! three Windows-only parts ([`build_crate`]). `tools/wdk/README.md` describes the folder.

pub(crate) mod build_crate;
pub(crate) mod exports;
pub(crate) mod folder;
