//! The scenario that the README shows: a real file system goes onto an
//! encrypted disk through the driver and comes back, and the raw disk gives
//! nothing away.

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
    time::Instant,
};

use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::{
    Result,
    bench::{Bench, windows_path},
    client::{Disk, Session, Shape},
    command,
    ntfs::{self, Contents, MARKER},
    report::Report,
    scan::{self, Plaintext},
};

const MIB: u64 = 1 << 20;
/// The NTFS image.
const FILE_SYSTEM: u64 = 48 * MIB;
/// The disk: header, volume, second header.
const DISK: u64 = 64 * MIB;
/// Data begins here on a formatted disk.
const DATA: u64 = MIB;

struct Images {
    plain: PathBuf,
    raw: PathBuf,
    other: PathBuf,
    back: PathBuf,
}

/// One line of the closing table.
struct Row(String, String);

pub(crate) fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let images = Images {
        plain: bench.file("plain.ntfs"),
        raw: bench.file("volume.img"),
        other: bench.file("other.img"),
        back: bench.file("back.ntfs"),
    };
    let mut table = Vec::new();
    let contents = make_file_system(bench, report, &images)?;
    format(bench, report, &images)?;
    let before = sector(&images.raw, DATA)?;
    let statistics = on_windows(bench, report, &images, &mut table)?;
    points(report, &statistics, &mut table);
    on_linux(bench, report, &images, &contents)?;
    search(report, &images)?;
    raw_sector(&images, &before, &mut table)?;
    show(report, &table);
    Ok(())
}

fn make_file_system(bench: &Bench, report: &mut Report, images: &Images) -> Result<Contents> {
    report.section("A real file system");
    let contents = Contents::gather(&bench.root)?;
    contents.write_image(&images.plain, FILE_SYSTEM, 512, &bench.file("scratch"))?;
    let wrong = contents.differences(&images.plain)?;
    let name =
        format!("NTFS with {} files, {:.1} MiB", contents.count(), contents.bytes() as f64 / MIB as f64);
    report.check(&name, wrong.is_empty() && contents.count() >= 100, &format!("{wrong:?}"));
    Ok(contents)
}

fn format(bench: &Bench, report: &mut Report, images: &Images) -> Result<()> {
    report.section("sluice format");
    for path in [&images.raw, &images.other] {
        let _ = fs::remove_file(path);
        fs::File::create(path)?.set_len(DISK)?;
    }
    let started = Instant::now();
    command::format(bench, &images.raw, 512)?;
    report.say(&format!("{} MiB image formatted in {:.1} s", DISK / MIB, started.elapsed().as_secs_f64()));
    Ok(())
}

/// The driver's part. Returns its statistics.
fn on_windows(bench: &Bench, report: &mut Report, images: &Images, table: &mut Vec<Row>) -> Result<Value> {
    report.section("The driver under an NT kernel");
    let session = Session::start(bench, report)?;
    let disk = session.create(report, &images.raw, Shape::USUAL)?;
    let other = session.create(report, &images.other, Shape::USUAL)?;
    report.check(
        "a disk without a header keeps its size",
        other.capacity == DISK,
        &other.capacity.to_string(),
    );
    report.check(
        "the volume is smaller by what Sluice needs",
        disk.capacity < DISK && disk.capacity >= FILE_SYSTEM,
        &disk.capacity.to_string(),
    );
    let (opened, said) = command::unlock(&session, command::WRONG_PASSPHRASE)?;
    report.check("a wrong passphrase does not unlock", !opened, &said);
    session.suite(report, disk, "locked-reads")?;
    let (opened, said) = command::unlock(&session, command::PASSPHRASE)?;
    report.check("sluice.exe unlocks through the control device", opened, &said);

    report.section("The file system through the filter");
    session.on(report, disk, "watch", &[format!("pattern={}", &MARKER[..16])])?;
    session.round_trip(report, disk, &images.plain)?;
    let speed = session.on(report, disk, "measure", &[format!("file={}", windows_path(&images.plain))])?;
    throughput(&speed, "through the filter, encrypted", table);
    let port = session.on(report, disk, "statistics", &[])?;
    report.check(
        "the port saw no plaintext",
        port["pattern_hits"] == 0 && port["written_bytes"].as_u64() > Some(FILE_SYSTEM),
        &port.to_string(),
    );
    report.check(
        "no write buffer of the caller was touched",
        port["buffer_changes"] == 0,
        &port["buffer_changes"].to_string(),
    );
    let statistics = session.on(report, disk, "driver-statistics", &[])?;
    beside(&session, report, other, images, table)?;
    session.clean(report)?;
    for d in [disk, other] {
        session.on(report, d, "remove", &[])?;
    }
    session.stop(report)?;
    Ok(statistics)
}

/// The same on the disk without a header, which shows that the detector bites.
fn beside(
    session: &Session<'_>,
    report: &mut Report,
    disk: Disk,
    images: &Images,
    table: &mut Vec<Row>,
) -> Result<()> {
    session.on(report, disk, "watch", &[format!("pattern={}", &MARKER[..16])])?;
    let speed = session.on(report, disk, "measure", &[format!("file={}", windows_path(&images.plain))])?;
    throughput(&speed, "through the filter, plain disk", table);
    let port = session.on(report, disk, "statistics", &[])?;
    report.check(
        "on a disk without a header the same detector finds the plaintext",
        port["pattern_hits"].as_u64() > Some(0),
        &port.to_string(),
    );
    Ok(())
}

fn throughput(speed: &Value, what: &str, table: &mut Vec<Row>) {
    let rate = |name: &str| speed[name].as_f64().unwrap_or(0.0) / MIB as f64;
    let text = format!(
        "write {:.0} MiB/s, read {:.0} MiB/s",
        rate("write_bytes_per_second"),
        rate("read_bytes_per_second")
    );
    table.push(Row(what.to_owned(), text));
}

/// What passed each interception point and each stage.
fn points(report: &mut Report, statistics: &Value, table: &mut Vec<Row>) {
    let line = |p: &Value| {
        format!(
            "{} requests, {:.1} MiB, {} errors",
            p["requests"],
            p["bytes"].as_f64().unwrap_or(0.0) / MIB as f64,
            p["errors"]
        )
    };
    let (down, up) = (&statistics["dispatched"], &statistics["completed"]);
    table.push(Row("interception point 1 (request)".into(), line(down)));
    table.push(Row("interception point 2 (completion)".into(), line(up)));
    for stage in statistics["stages"].as_array().into_iter().flatten() {
        table.push(Row(format!("stage {}", stage["name"].as_str().unwrap_or("?")), line(&stage["request"])));
    }
    let balanced = down["requests"] == up["requests"] && down["requests"].as_u64() > Some(0);
    report.check(
        "what passed point 1 passed point 2",
        balanced,
        &format!("{} and {}", down["requests"], up["requests"]),
    );
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().fold(String::new(), |mut s, b| {
        let _ = write!(s, "{b:02x}");
        s
    })
}

fn on_linux(bench: &Bench, report: &mut Report, images: &Images, contents: &Contents) -> Result<()> {
    report.section("The same image on Linux");
    command::cat(bench, &images.raw, FILE_SYSTEM, &images.back)?;
    let (plain, back) = (fs::read(&images.plain)?, fs::read(&images.back)?);
    report.check(
        "sluice cat gives the file system back, bit for bit",
        plain == back,
        &format!("{} / {}", digest(&plain), digest(&back)),
    );
    report.say(&format!("SHA-256 {}", digest(&back)));
    let wrong = contents.differences(&images.back)?;
    report.check("ntfsls and ntfscat find every file in it", wrong.is_empty(), &format!("{wrong:?}"));
    let fixed = ntfs::check(&images.back);
    report.check(
        "ntfsfix finds it in order",
        fixed.is_ok(),
        &fixed.err().map_or(String::new(), |e| e.to_string()),
    );
    let wrongly = command::cat_wrongly(bench, &images.raw)?;
    report.check(
        "sluice cat with a wrong passphrase gives nothing",
        wrongly.is_some(),
        &format!("{wrongly:?}"),
    );
    Ok(())
}

fn search(report: &mut Report, images: &Images) -> Result<()> {
    report.section("Plaintext on the raw disk");
    let plain = fs::read(&images.plain)?;
    let raw = fs::read(&images.raw)?;
    let evidence = Plaintext::of(&plain);
    let itself = evidence.search(&plain);
    let name = format!("the scan finds its {} blocks in the plain image", evidence.len());
    report.check(
        &name,
        evidence.len() > 10_000 && itself.count >= evidence.len() as u64,
        &format!("{itself:?}"),
    );
    let mut planted = raw.clone();
    let at = planted.len() / 2 + 5;
    planted[at..at + 16].copy_from_slice(&MARKER.as_bytes()[..16]);
    let one = evidence.search(&planted);
    report.check(
        "and a single one hidden in the raw image",
        one.count == 1 && one.first == Some(at as u64),
        &format!("{one:?}"),
    );
    let found = evidence.search(&raw);
    report.check("but none in the raw image, at no offset", found.count == 0, &format!("{found:?}"));
    Ok(())
}

fn sector(image: &Path, at: u64) -> Result<Vec<u8>> {
    let all = fs::read(image)?;
    Ok(all.get(at as usize..at as usize + 512).unwrap_or_default().to_vec())
}

fn raw_sector(images: &Images, before: &[u8], table: &mut Vec<Row>) -> Result<()> {
    let hex = |bytes: &[u8]| {
        let digits = bytes.iter().take(24).fold(String::new(), |mut s, b| {
            let _ = write!(s, "{b:02x}");
            s
        });
        format!("{digits}…  {:.2} bits a byte", scan::entropy(bytes))
    };
    table.push(Row("sector 0 as Windows sees it".into(), hex(&sector(&images.plain, 0)?)));
    table.push(Row("its place on the raw disk before".into(), hex(before)));
    table.push(Row("its place on the raw disk after".into(), hex(&sector(&images.raw, DATA)?)));
    Ok(())
}

fn show(report: &mut Report, table: &[Row]) {
    report.section("Result");
    let width = table.iter().map(|r| r.0.chars().count()).max().unwrap_or(0);
    for Row(name, value) in table {
        report.say(&format!("{name:<width$}  {value}"));
    }
}
