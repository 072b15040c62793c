//! The `sluice` command as this run calls it: its command lines, all in one place.

use std::{
    fs::{self, File},
    path::Path,
    process::{Command, Output, Stdio},
    time::Duration,
};

use crate::{
    Error, Result,
    bench::{Bench, windows_path},
    client::Session,
};

/// What the volume is locked with.
pub(crate) const PASSPHRASE: &str = "correct horse battery staple";
pub(crate) const WRONG_PASSPHRASE: &str = "Tr0ub4dor&3";

/// The passphrase in a file, as `--passphrase-file` wants it.
pub(crate) fn passphrase_file(bench: &Bench, text: &str) -> Result<std::path::PathBuf> {
    let path = bench.file(if text == PASSPHRASE { "passphrase" } else { "wrong-passphrase" });
    fs::write(&path, text)?;
    Ok(path)
}

fn run(bench: &Bench, args: &[&str], out: Stdio) -> Result<Output> {
    let program = &bench.products.command;
    Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(out)
        .stderr(Stdio::piped())
        .output()
        .map_err(|e| Error::new(format!("{}: {e}", program.display())))
}

fn text(path: &Path) -> Result<&str> {
    path.to_str().ok_or_else(|| Error::new("a path is not UTF-8"))
}

fn must(what: &str, out: &Output) -> Result<()> {
    if out.status.success() {
        return Ok(());
    }
    Err(Error::new(format!("sluice {what}: {}", String::from_utf8_lossy(&out.stderr).trim())))
}

/// `sluice format` on an image file, with the cheapest key derivation it offers.
pub(crate) fn format(bench: &Bench, image: &Path, sector: u32) -> Result<()> {
    format_as(bench, image, sector, &[])
}

/// The same for a mapped volume of a size such as `1G`.
pub(crate) fn format_mapped(bench: &Bench, image: &Path, sector: u32, size: &str) -> Result<()> {
    format_as(bench, image, sector, &["--mapped", "--size", size, "--dedup-memory", "8M"])
}

/// The same, which tells the disk what is free.
pub(crate) fn format_discarding(bench: &Bench, image: &Path, sector: u32, size: &str) -> Result<()> {
    let args = ["--mapped", "--size", size, "--dedup-memory", "8M", "--discard"];
    format_as(bench, image, sector, &args)
}

/// The same for a volume whose data passes a stage of another driver.
pub(crate) fn format_with_stage(bench: &Bench, image: &Path, name: &str, below: bool) -> Result<()> {
    let args = ["--stage", name, "--stage-below"];
    format_as(bench, image, 512, if below { &args } else { &args[..2] })
}

/// And without encryption: it has no key.
pub(crate) fn format_unencrypted(bench: &Bench, image: &Path, size: &str) -> Result<()> {
    let args = ["format", text(image)?, "--yes", "--quiet", "--mapped", "--size", size, "--no-encryption"];
    let out = run(bench, &[&args[..], &["--dedup-memory", "8M"]].concat(), Stdio::piped())?;
    must("format --no-encryption", &out)
}

fn format_as(bench: &Bench, image: &Path, sector: u32, more: &[&str]) -> Result<()> {
    let (key, sector) = (passphrase_file(bench, PASSPHRASE)?, sector.to_string());
    let out = run(
        bench,
        &[
            &["format", text(image)?, "--yes", "--quiet", "--passphrase-file", text(&key)?][..],
            &["--sector-size", &sector, "--kdf-memory", "8", "--kdf-time", "1"],
            more,
        ]
        .concat(),
        Stdio::piped(),
    )?;
    must("format", &out)
}

/// `sluice cat` of the volume's first `length` bytes into a file.
pub(crate) fn cat(bench: &Bench, image: &Path, length: u64, to: &Path) -> Result<()> {
    let (key, length) = (passphrase_file(bench, PASSPHRASE)?, length.to_string());
    let args = ["cat", text(image)?, "--passphrase-file", text(&key)?, "--length", &length, "--quiet"];
    let out = run(bench, &args, Stdio::from(File::create(to)?))?;
    must("cat", &out)
}

/// Where a mapped volume's segments begin, and how long they are, in bytes.
pub(crate) fn segments(bench: &Bench, image: &Path) -> Result<(u64, u64)> {
    let key = passphrase_file(bench, PASSPHRASE)?;
    let args = ["dump", text(image)?, "roots", "--passphrase-file", text(&key)?, "--json"];
    let out = run(bench, &args, Stdio::piped())?;
    must("dump", &out)?;
    let said: serde_json::Value =
        serde_json::from_slice(&out.stdout).map_err(|e| Error::new(format!("sluice dump: {e}")))?;
    let number = |name: &str| said["layout"][name].as_u64();
    number("segments_at")
        .zip(number("segment_bytes"))
        .ok_or_else(|| Error::new(format!("sluice dump does not say where segments lie: {said}")))
}

/// `sluice check`: what it says if it finds anything.
pub(crate) fn check(bench: &Bench, image: &Path) -> Result<std::result::Result<(), String>> {
    let key = passphrase_file(bench, PASSPHRASE)?;
    let args = ["check", text(image)?, "--passphrase-file", text(&key)?, "--quiet"];
    let out = run(bench, &args, Stdio::piped())?;
    let said = String::from_utf8_lossy(&out.stdout) + String::from_utf8_lossy(&out.stderr);
    Ok(if out.status.success() { Ok(()) } else { Err(said.trim().to_owned()) })
}

/// `sluice cat` with a wrong passphrase; its error text, if it fails as it should.
pub(crate) fn cat_wrongly(bench: &Bench, image: &Path) -> Result<Option<String>> {
    let key = passphrase_file(bench, WRONG_PASSPHRASE)?;
    let out = run(
        bench,
        &["cat", text(image)?, "--passphrase-file", text(&key)?, "--length", "4096", "--quiet"],
        Stdio::piped(),
    )?;
    Ok((!out.status.success() && out.stdout.is_empty())
        .then(|| String::from_utf8_lossy(&out.stderr).trim().to_owned()))
}

/// `sluice.exe unlock` under Wine, through the control device: did it succeed, and what did it say? In JSON: other errors
/// go where this runner does not look.
pub(crate) fn unlock(session: &Session<'_>, passphrase: &str) -> Result<(bool, String)> {
    let key = passphrase_file(session.bench, passphrase)?;
    windows(session, &["unlock", "--json", "--passphrase-file", &windows_path(&key)].map(str::to_owned))
}

/// The same for a volume that is not encrypted. It must not ask for anything: nobody is there to answer.
pub(crate) fn unlock_keyless(session: &Session<'_>) -> Result<(bool, String)> {
    windows(session, &["unlock", "--json"].map(str::to_owned))
}

/// `sluice.exe lock` under Wine.
pub(crate) fn lock(session: &Session<'_>) -> Result<(bool, String)> {
    windows(session, &["lock".to_owned()])
}

/// `sluice.exe status` under Wine: what it says.
pub(crate) fn status(session: &Session<'_>) -> Result<String> {
    Ok(windows(session, &["status".to_owned()])?.1)
}

/// Any subcommand of `sluice.exe` under Wine.
fn windows(session: &Session<'_>, args: &[String]) -> Result<(bool, String)> {
    let mut said = String::new();
    let end = session.prefix.run("C:\\drv\\sluice.exe", args, Duration::from_secs(120), |line| {
        said.push_str(line);
        said.push('\n');
    })?;
    match end.code {
        Some(code) => Ok((code == 0, said.trim().to_owned())),
        None => Err(Error::new(format!(
            "sluice.exe {args:?}: no end after {:.0} s\n{}",
            end.seconds,
            session.prefix.last_words()
        ))),
    }
}
