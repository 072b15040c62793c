//! A test signature: on the driver, and on a catalog of driver and INF.
//!
//! The certificate is made here and trusted by nobody; on a test machine it takes `bcdedit /set testsigning on`.
//! The unsigned image stays where it is: that one is deterministic.

use super::{
    build::{Arch, Product},
    catalog, pe,
};
use crate::{command, paths};
use anyhow::Result;
use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

/// Writes `target/driver/<arch>/signed/`: the driver, its INF and its catalog, signed and verified.
pub(crate) fn sign(product: &Product, arch: Arch) -> Result<()> {
    let certificate = certificate()?;
    let folder = paths::target().join("driver").join(arch.name()).join("signed");
    fs::create_dir_all(&folder)?;
    let (image, inf, catalog) =
        (folder.join("sluice.sys"), folder.join("sluice.inf"), folder.join("sluice.cat"));
    run_osslsigncode(&certificate, &product.image, &image)?;
    verify(&certificate, &["-in", &text(&image)])?;
    println!("  ok    test signature     {}", image.display());

    fs::copy(paths::root().join("inf/sluice.inf"), &inf)?;
    let unsigned = folder.join("unsigned.cat");
    let members = [
        catalog::Member::image("sluice.sys", &pe::Image::new(fs::read(&image)?)?.authenticode_bytes()),
        catalog::Member::file("sluice.inf", &fs::read(&inf)?),
    ];
    fs::write(&unsigned, catalog::write(&members))?;
    run_osslsigncode(&certificate, &unsigned, &catalog)?;
    fs::remove_file(&unsigned)?;
    verify(&certificate, &["-catalog", &text(&catalog), "-in", &text(&image)])?;
    println!("  ok    catalog            {}", catalog.display());
    Ok(())
}

/// A self-signed certificate for code, kept for as long as `target/` is.
struct Certificate {
    key: PathBuf,
    certificate: PathBuf,
}

fn certificate() -> Result<Certificate> {
    let folder = paths::target().join("driver/certificate");
    let made = Certificate { key: folder.join("test.key"), certificate: folder.join("test.pem") };
    if made.key.exists() && made.certificate.exists() {
        return Ok(made);
    }
    fs::create_dir_all(&folder)?;
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "rsa:3072", "-nodes", "-sha256", "-days", "3650"]);
    openssl.args(["-subj", "/CN=Sluice test signing", "-addext", "extendedKeyUsage=codeSigning"]);
    openssl
        .args(["-addext", "keyUsage=digitalSignature", "-keyout"])
        .arg(&made.key)
        .arg("-out")
        .arg(&made.certificate);
    command::output(&mut openssl)?;
    Ok(made)
}

fn run_osslsigncode(certificate: &Certificate, from: &Path, to: &Path) -> Result<()> {
    if to.exists() {
        fs::remove_file(to)?; // osslsigncode does not overwrite
    }
    let mut sign = Command::new("osslsigncode");
    sign.args(["sign", "-h", "sha256", "-certs"])
        .arg(&certificate.certificate)
        .arg("-key")
        .arg(&certificate.key);
    sign.arg("-in").arg(from).arg("-out").arg(to);
    command::output(&mut sign).map(drop)
}

fn verify(certificate: &Certificate, what: &[&str]) -> Result<()> {
    let mut verify = Command::new("osslsigncode");
    verify.args(["verify", "-CAfile"]).arg(&certificate.certificate).args(what);
    command::output(&mut verify).map(drop)
}

fn text(path: &Path) -> String {
    path.to_string_lossy().into_owned()
}
