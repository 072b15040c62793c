//! One driver crate, built for x86_64-pc-windows-msvc or aarch64-pc-windows-msvc.
//!
//! `core` and `alloc` come from Debian's rust-web-src, built by the compiler they go with; lld links.

use crate::{command, paths, wdk};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::{fs, process::Command};

/// A crate whose `cdylib` is a driver.
pub(crate) struct Crate {
    /// The package's name.
    pub(crate) package: &'static str,
    /// The library's name, and so that of the `.sys`.
    pub(crate) library: &'static str,
}

/// What a build leaves.
pub(crate) struct Product {
    /// The driver.
    pub(crate) image: PathBuf,
    /// Its symbols.
    pub(crate) symbols: PathBuf,
}

/// The machine a driver is for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arch {
    /// x86_64
    X64,
    /// aarch64. mingw-w64's headers do not know it, so that the bindings are those of x64: a check that it compiles
    /// and links, no driver to load.
    Arm64,
}

impl Arch {
    pub(crate) fn parse(name: &str) -> Result<Self> {
        match name {
            "x64" => Ok(Self::X64),
            "arm64" => Ok(Self::Arm64),
            other => bail!("no architecture {other:?}: x64 or arm64"),
        }
    }

    /// The name in our folders and in INF decorations.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::X64 => "x64",
            Self::Arm64 => "arm64",
        }
    }

    pub(crate) fn triple(self) -> &'static str {
        match self {
            Self::X64 => "x86_64-pc-windows-msvc",
            Self::Arm64 => "aarch64-pc-windows-msvc",
        }
    }
}

/// Where cargo builds drivers.
pub(crate) fn cargo_target() -> PathBuf {
    paths::target().join("driver/cargo")
}

/// Builds `target/driver/<arch>/<library>.sys` and `.pdb`.
pub(crate) fn build(driver: &Crate, arch: Arch, profile: &str) -> Result<Product> {
    let cargo_target = cargo_target();
    let mut cargo = Command::new("cargo");
    cargo.current_dir(paths::root()).args(["build", "--package", driver.package, "--profile", profile]);
    cargo.args(["--target", arch.triple(), "-Zbuild-std=core,alloc", "--target-dir"]).arg(&cargo_target);
    edited_wdk_build(&mut cargo)?;
    environment(&mut cargo, arch)?;
    command::run(&mut cargo)?;

    let folder = if profile == "dev" { "debug" } else { profile };
    let built = cargo_target.join(arch.triple()).join(folder);
    let out = paths::target().join("driver").join(arch.name());
    fs::create_dir_all(&out)?;
    let product = Product {
        image: out.join(format!("{}.sys", driver.library)),
        symbols: out.join(format!("{}.pdb", driver.library)),
    };
    copy(&built.join(format!("{}.dll", driver.library)), &product.image)?;
    copy(&built.join(format!("{}.pdb", driver.library)), &product.symbols)?;
    Ok(product)
}

/// Puts the edited `wdk-build` in place of the published one, with a lock file of its own: the one in the repository
/// stays that of the published crate. Not beside or above cargo's target folder: wdk-build takes the first `Cargo.lock`
/// on the way up from there for the workspace's.
fn edited_wdk_build(cargo: &mut Command) -> Result<()> {
    let edited = wdk::build_crate::edited()?;
    let lock = paths::target().join("driver/lock/Cargo.lock");
    copy(&paths::root().join("Cargo.lock"), &lock)?;
    cargo.arg("--config").arg(format!("patch.crates-io.wdk-build.path={:?}", edited));
    cargo.arg("-Zlockfile-path").arg("--config").arg(format!("resolver.lockfile-path={:?}", lock));
    Ok(())
}

fn environment(cargo: &mut Command, arch: Arch) -> Result<()> {
    let upper = arch.triple().to_uppercase().replace('-', "_");
    let lower = arch.triple().replace('-', "_");
    cargo
        .env("RUSTC", "/usr/bin/rustc")
        .env("RUSTC_BOOTSTRAP", "1")
        .env("WDKContentRoot", wdk::folder::assemble()?)
        .env("Version_Number", wdk::folder::VERSION)
        .env("LIBCLANG_PATH", "/usr/lib/llvm-19/lib")
        .env(format!("BINDGEN_EXTRA_CLANG_ARGS_{lower}"), clang_arguments(arch))
        .env(format!("CARGO_TARGET_{upper}_LINKER"), paths::root().join("tools/wdk/link.sh"))
        .env(format!("CC_{lower}"), "clang-19")
        .env(format!("AR_{lower}"), "llvm-lib-19")
        .env(format!("CFLAGS_{lower}"), c_flags()?)
        .env_remove("RUSTFLAGS")
        .env("CARGO_ENCODED_RUSTFLAGS", rust_flags()?.join("\x1f"));
    Ok(())
}

fn cargo_home() -> Result<PathBuf> {
    match std::env::var_os("CARGO_HOME") {
        Some(home) => Ok(PathBuf::from(home)),
        None => Ok(PathBuf::from(std::env::var_os("HOME").context("HOME is not set")?).join(".cargo")),
    }
}

/// For zstd, the only C in the driver. Without a C library; without code that asks the processor for BMI2, which has
/// VEX prefixes; and without stack probes, for which there is no `__chkstk`: the check of the product's stack frames
/// sees to it that none is larger than a page.
fn c_flags() -> Result<String> {
    Ok(format!(
        "-U_MSC_VER -fno-ms-compatibility -ffreestanding -fno-stack-protector -mstack-probe-size=65536 -g0 \
         -DDYNAMIC_BMI2=0 -DNDEBUG -isystem {}/tools/wdk/c -ffile-prefix-map={}=/cargo -ffile-prefix-map={}=/sluice",
        paths::root().display(),
        cargo_home()?.display(),
        paths::root().display()
    ))
}

/// wdk-build demands `crt-static`. The rest keeps the paths of this machine out of the product.
fn rust_flags() -> Result<Vec<String>> {
    let cargo_home = cargo_home()?;
    Ok(vec![
        "-Ctarget-feature=+crt-static".to_owned(),
        format!("--remap-path-prefix={}=/sluice", paths::root().display()),
        format!("--remap-path-prefix={}=/cargo", cargo_home.display()),
    ])
}

/// mingw-w64's headers take the compiler for a Microsoft one by `_MSC_VER` and then want its intrinsics. The target
/// stays msvc: for a GNU one, bindgen's enums would be unsigned.
fn clang_arguments(arch: Arch) -> String {
    let machine = match arch {
        Arch::X64 => "",
        Arch::Arm64 => " --target=x86_64-pc-windows-msvc",
    };
    format!(
        "-fno-ms-compatibility -U_MSC_VER -Wno-everything -isystem /usr/lib/llvm-19/lib/clang/19/include{machine}"
    )
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if let Some(folder) = to.parent() {
        fs::create_dir_all(folder)?;
    }
    fs::copy(from, to).with_context(|| format!("{} to {}", from.display(), to.display()))?;
    Ok(())
}
