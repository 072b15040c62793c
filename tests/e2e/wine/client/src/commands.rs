//! The subcommands, each a step of the runner's scenario.

use std::{collections::HashMap, fs::File, process::exit};

use serde_json::json;

use crate::{
    adapter::Adapter,
    copy,
    device::Error,
    disk::{self, Bench, Disk},
    driver,
    interface::*,
    report, service, starve, suites,
};

/// `name=value` arguments after the subcommand; a bare name means "1".
struct Options(HashMap<String, String>);

impl Options {
    fn parse(args: &[String]) -> Options {
        Options(
            args.iter()
                .map(|a| a.split_once('=').unwrap_or((a, "1")))
                .map(|(k, v)| (k.to_owned(), v.to_owned()))
                .collect(),
        )
    }

    fn text(&self, name: &str) -> &str {
        match self.0.get(name) {
            Some(v) => v,
            None => report::fatal(format!("argument {name}= is missing")),
        }
    }

    fn number_or(&self, name: &str, default: u64) -> u64 {
        match self.0.get(name).map(|v| v.parse()) {
            None => default,
            Some(Ok(n)) => n,
            Some(Err(_)) => report::fatal(format!("argument {name}= is no number")),
        }
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name);
        self.number_or(name, 0)
    }

    fn flag(&self, name: &str) -> bool {
        self.0.contains_key(name)
    }

    fn disk(&self) -> Disk {
        let (n, sector) = (self.number("disk") as u32, self.number_or("sector", 512));
        Disk::open(n, sector).unwrap_or_else(|e| report::fatal(format!("disk {n} does not open: error {e}")))
    }

    fn file(&self) -> (File, u64) {
        let path = self.text("file");
        let opened = File::open(path).and_then(|f| f.metadata().map(|m| (f, m.len())));
        let (file, length) = opened.unwrap_or_else(|e| report::fatal(format!("{path}: {e}")));
        (file, self.number_or("length", length))
    }
}

fn must<T>(what: &str, r: Result<T, Error>) -> T {
    r.unwrap_or_else(|e| report::fatal(format!("{what}: error {e} ({e:#x})")))
}

fn bench() -> Bench {
    must("\\\\.\\SluiceTest", Bench::open())
}

/// Installs both services and starts the test driver; the filter is loaded by
/// the first disk that names it.
fn install(o: &Options) {
    let folder = o.text("drivers");
    must("install sluicetest", service::install("sluicetest", &format!("{folder}\\sluicetest.sys")));
    for name in ["sluice", "sluicecount", "sluicestage"] {
        must(&format!("install {name}"), service::install(name, &format!("{folder}\\{name}.sys")));
    }
    must("start sluicetest", service::start("sluicetest"));
    must("verifier", bench().configure(&Bench::options()));
}

fn create(o: &Options) {
    let mut flags = 0;
    if o.flag("legacy") {
        flags |= CREATE_LEGACY;
    }
    if o.flag("read-only") {
        flags |= CREATE_READ_ONLY;
    }
    if o.flag("own-writes") {
        flags |= CREATE_OWN_WRITES;
    }
    if o.flag("no-unmap") {
        flags |= CREATE_NO_UNMAP;
    }
    if o.flag("short-unmap") {
        flags |= CREATE_SHORT_UNMAP;
    }
    let filter = if o.flag("no-filter") { "" } else { "sluice" };
    let sector = o.number_or("sector", 512) as u32;
    let c = must(
        "create",
        bench().create(o.text("image"), sector, filter, flags, o.number_or("max-transfer", 131_072) as u32),
    );
    report::result(json!({
        "disk": c.disk, "image_status": c.image_status, "load_status": c.load_status,
        "add_status": c.add_status, "start_status": c.start_status, "capacity": c.capacity,
    }));
}

fn statistics(o: &Options) {
    let s = must("statistics", o.disk().statistics());
    report::result(json!({
        "reads": s.reads, "writes": s.writes, "read_bytes": s.read_bytes, "written_bytes": s.written_bytes,
        "flushes": s.flushes, "fua_writes": s.fua_writes, "paging": s.paging, "own_srbs": s.own_srbs, "srbs": s.srbs,
        "ioctls": s.ioctls, "pattern_hits": s.pattern_hits, "pattern_sector": s.pattern_sector, "violations": s.violations,
        "in_flight": s.in_flight, "in_flight_max": s.in_flight_max, "pending": s.pending, "buffer_changes": s.buffer_changes,
        "unmaps": s.opcodes[0x42], "unmapped": s.unmapped, "unmap_first": s.unmap_first, "unmap_step": s.unmap_step,
        "unmap_longest": s.unmap_longest,
        "written_hash": format!("{:016x}", s.written_hash),
    }));
}

/// The three books of wrongs must be empty.
fn clean() {
    let b = bench();
    let log = must("log", b.text(LOG));
    report::check(
        "port and class driver found nothing wrong",
        log.is_empty(),
        log.trim_end().replace('\n', "; "),
    );
    let report = must("verifier report", b.text(VERIFIER_REPORT));
    report::check("verifier found nothing wrong", report.is_empty(), report.trim_end().replace('\n', "; "));
}

fn verifier(o: &Options) {
    let mut v = Bench::options();
    v.force_pending = o.flag("force-pending").into();
    v.raise_completion = o.flag("raise-completion").into();
    v.dpc_inline = o.flag("dpc-inline").into();
    must("verifier", bench().configure(&v));
}

/// IRPs were made to pend, if that was asked for.
fn forced() {
    let counters = must("counters", bench().counters());
    report::check(
        "the driver's IRPs were made to pend",
        counters.forced_pending > 0,
        counters.forced_pending.to_string(),
    );
}

fn write(o: &Options) {
    let (disk, (file, length)) = (o.disk(), o.file());
    match copy::write(
        &disk,
        &file,
        length,
        o.number_or("unit", 2 << 20),
        o.number_or("seed", 1),
        o.flag("legacy"),
    ) {
        Ok(seconds) => report::result(json!({ "bytes": length, "seconds": seconds })),
        Err(e) => report::check("copy the image onto the disk", false, e),
    }
}

/// Takes a disk out of the stack as PnP does: query, remove.
fn remove(o: &Options) {
    let (b, n) = (bench(), o.number("disk") as u32);
    if !o.flag("gone") {
        let s = must("QUERY_REMOVE", disk::pnp(&b, n, 1, 0));
        report::check("QUERY_REMOVE_DEVICE succeeds", s == 0, format!("{s:#x}"));
    }
    let s = must("REMOVE", disk::pnp(&b, n, 2, 0));
    report::check("REMOVE_DEVICE succeeds", s == 0, format!("{s:#x}"));
}

/// The function driver's role: one of its suites, on an adapter of its own.
fn adapter(o: &Options) {
    let adapter = Adapter::new(bench());
    match o.text("suite") {
        "lives" => suites::adapter::lives(&adapter),
        "surprise" => suites::adapter::surprise(&adapter),
        "watched" => suites::watched::run(&adapter),
        "volume" => suites::adapter::volume(&adapter, o.text("image"), o.text("passphrase-file")),
        "linked" => suites::linked::run(&adapter, o.text("miniport")),
        "torture" => suites::torture::run(&adapter, o.text("miniport"), o.number("all") != 0),
        "virtio" => suites::virtio::run(&adapter),
        "virtio-starve" => suites::virtio::starve(&adapter, o.number("most") as u32),
        "starve" => suites::adapter::starve(&adapter, o.number("most") as u32),
        other => report::fatal(format!("unknown suite {other} of the adapter's")),
    }
}

fn stop() {
    // Under Wine a driver that ZwLoadDriver loaded is not "running" to the service manager: it then
    // goes with its host, and what it owned is looked at here.
    let stopped = service::stop("sluice");
    if stopped.is_ok() {
        let leaks = bench().leaks("sluice.sys");
        report::check("sluice.sys leaves nothing behind", leaks == Ok(0), format!("{leaks:?}"));
    }
    report::progress(&format!("stop sluice: {stopped:?}"), 0, 0);
    must("stop sluicetest", service::stop("sluicetest"));
}

/// Runs one subcommand; the exit code says whether every check passed.
pub(crate) fn run(args: &[String]) -> ! {
    let Some((command, rest)) = args.split_first() else { report::fatal("no subcommand") };
    let o = Options::parse(rest);
    match command.as_str() {
        "install" => install(&o),
        "create" => create(&o),
        "statistics" => statistics(&o),
        "reset" => must("reset", o.disk().reset()),
        "watch" => {
            let mut bytes = [0; 16];
            bytes.copy_from_slice(&o.text("pattern").as_bytes()[..16]);
            must("watch", o.disk().watch(bytes));
        }
        "write" => write(&o),
        "verify" => {
            let (disk, (file, length)) = (o.disk(), o.file());
            copy::verify(&disk, &file, length, o.number_or("seed", 7), o.flag("legacy"));
        }
        "measure" => {
            let (disk, (file, length)) = (o.disk(), o.file());
            copy::measure(&disk, &file, length);
        }
        "driver-statistics" => driver::statistics(),
        "starve" => {
            let number = |name, otherwise| o.number_or(name, otherwise) as u32;
            let (first, step, most) = (number("first", 1), number("step", 1), o.number("most") as u32);
            let plan = starve::Plan { first, step, most };
            starve::run(&bench(), o.text("image"), o.text("passphrase-file"), o.flag("mapped"), &plan)
        }
        "verifier" => verifier(&o),
        "forced" => forced(),
        "clean" => clean(),
        "forget" => {
            must("log", bench().call(LOG_RESET, &[]));
            must("verifier", bench().call(VERIFIER_RESET, &[]));
        }
        "remove" => remove(&o),
        "adapter" => adapter(&o),
        "stop" => stop(),
        "stages" => suites::stages::run(o.text("name"), o.disk(), o.text("image")),
        "suite" => suites::run(o.text("name"), o.disk(), o.number_or("volume", 0)),
        _ => report::fatal(format!("unknown subcommand {command}")),
    }
    exit((report::failures() > 0).into())
}
