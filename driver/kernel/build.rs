//! Link arguments of a WDM driver. They are given here rather than in RUSTFLAGS, which would rebuild `core`.

fn main() -> Result<(), wdk_build::ConfigError> {
    // MSVC's linker writes the PE checksum with /DRIVER; lld-link only with /RELEASE.
    println!("cargo::rustc-cdylib-link-arg=/RELEASE");
    // A time stamp that is a hash of the contents: the same source gives the same bytes.
    println!("cargo::rustc-cdylib-link-arg=/Brepro");
    wdk_build::configure_wdk_binary_build()
}
