//! What an INF of ours must say. Sources: Microsoft's "INF Version section", "Creating a primitive driver", "Installing a
//! filter driver", "Using an extension INF file", "INF AddFilter directive", "INF AddReg directive", "INF AddService
//! directive", "Enabling Message-Signaled Interrupts in the Registry".

use crate::Inf;

const DISK_DRIVES: &str = "{4d36e967-e325-11ce-bfc1-08002be10318}";
const EXTENSIONS: &str = "{e2f84ce7-8efa-411c-aa69-97454ca4cb57}";
const ADAPTERS: &str = "{4d36e97b-e325-11ce-bfc1-08002be10318}";
const MESSAGES: &str = r"Interrupt Management\MessageSignaledInterruptProperties";
const MACHINES: [&str; 2] = ["ntamd64", "ntarm64"];

/// Everything that is wrong with an INF file.
pub fn complaints(text: &str) -> Vec<String> {
    let inf = Inf::new(text);
    let mut out = Vec::new();
    version(&inf, &mut out);
    strings(&inf, &mut out);
    files(&inf, &mut out);
    services(&inf, &mut out);
    match inf.value("Version", "Class").as_deref() {
        Some("Extension") => extension(&inf, &mut out),
        Some("SCSIAdapter") => adapter(&inf, &mut out),
        _ => primitive(&inf, &mut out),
    }
    out
}

fn want(out: &mut Vec<String>, holds: bool, what: &str) {
    if !holds {
        out.push(what.to_owned());
    }
}

fn version(inf: &Inf, out: &mut Vec<String>) {
    let is =
        |key: &str, value: &str| inf.value("Version", key).is_some_and(|v| v.eq_ignore_ascii_case(value));
    want(out, is("Signature", "$WINDOWS NT$"), "Version: Signature");
    want(out, is("PnpLockdown", "1"), "Version: PnpLockdown = 1");
    want(out, inf.value("Version", "Provider").is_some(), "Version: Provider");
    let catalog = inf.value("Version", "CatalogFile").is_some_and(|name| name.ends_with(".cat"));
    want(out, catalog, "Version: CatalogFile");
    want(out, inf.value("Version", "DriverVer").is_some(), "Version: DriverVer");
}

/// Every `%name%` is a string or a folder's number.
fn strings(inf: &Inf, out: &mut Vec<String>) {
    for value in inf.lines().flat_map(|line| line.values.iter().chain([&line.key])) {
        for name in value.split('%').skip(1).step_by(2) {
            let known = name.parse::<u16>().is_ok() || inf.value("Strings", name).is_some();
            want(out, known, &format!("%{name}% is not defined"));
        }
    }
}

fn install_sections(inf: &Inf) -> Vec<String> {
    let begins = |name: &&str| name.starts_with("defaultinstall.") || *name == "install";
    inf.names().filter(begins).filter(|name| !name.ends_with(".services")).map(str::to_owned).collect()
}

/// What is copied comes from the package and goes to the driver store.
fn files(inf: &Inf, out: &mut Vec<String>) {
    want(
        out,
        inf.value("DestinationDirs", "DefaultDestDir").as_deref() == Some("13"),
        "files run from the driver store (13)",
    );
    for section in install_sections(inf) {
        let Some(list) = inf.value(&section, "CopyFiles") else {
            out.push(format!("{section}: CopyFiles"));
            continue;
        };
        let Some(lines) = inf.section(&list) else {
            out.push(format!("{section}: there is no section {list}"));
            continue;
        };
        for file in lines.iter().filter_map(|line| line.values.first()) {
            let disk = inf.value("SourceDisksFiles", file);
            let known = disk.is_some_and(|disk| inf.value("SourceDisksNames", &disk).is_some());
            want(out, known, &format!("{file} is on no source disk"));
        }
    }
}

fn services(inf: &Inf, out: &mut Vec<String>) {
    for section in install_sections(inf).iter().map(|name| format!("{name}.services")) {
        let lines = inf.section(&section).unwrap_or_default();
        let Some(add) = lines.iter().find(|line| line.key == "addservice") else {
            out.push(format!("{section}: AddService"));
            continue;
        };
        want(out, add.values.first().is_some_and(|name| name == "sluice"), "the service is called sluice");
        // SPSVCINST_ASSOCSERVICE makes it the function driver.
        let flags = if inf.value("Version", "Class").as_deref() == Some("SCSIAdapter") { "2" } else { "" };
        let right = add.values.get(1).is_some_and(|found| found == flags);
        want(out, right, "AddService's flags: none for a filter, 2 for a function driver");
        let Some(service) = add.values.get(2).filter(|name| inf.section(name).is_some()) else {
            out.push(format!("{section}: AddService names no section"));
            continue;
        };
        for (key, value) in [("ServiceType", "1"), ("StartType", "0"), ("ErrorControl", "1")] {
            want(
                out,
                inf.value(service, key).as_deref() == Some(value),
                &format!("{service}: {key} = {value}"),
            );
        }
        let binary = inf.value(service, "ServiceBinary").unwrap_or_default();
        want(out, binary == r"%13%\sluice.sys", &format!("{service}: ServiceBinary"));
    }
}

fn primitive(inf: &Inf, out: &mut Vec<String>) {
    want(out, inf.value("Version", "ClassGuid").as_deref() == Some(DISK_DRIVES), "the class is DiskDrive");
    want(out, inf.section("Manufacturer").is_none(), "a primitive driver has no Manufacturer");
    for machine in MACHINES {
        filter_line(inf, out, &format!("DefaultInstall.{machine}"), "AddReg", "0x00010008");
        filter_line(inf, out, &format!("DefaultUninstall.{machine}"), "DelReg", "0x00018002");
        let legacy = inf.value(&format!("DefaultUninstall.{machine}"), "LegacyUninstall");
        want(out, legacy.as_deref() == Some("1"), "DefaultUninstall: LegacyUninstall = 1");
    }
}

/// The one registry line: our name, and nobody else's, in the class's list of lower filters.
fn filter_line(inf: &Inf, out: &mut Vec<String>, section: &str, directive: &str, flags: &str) {
    let lines = inf.value(section, directive).and_then(|name| inf.section(&name)).unwrap_or_default();
    let key = format!(r"System\CurrentControlSet\Control\Class\{DISK_DRIVES}");
    let wanted = ["HKLM", &key, "LowerFilters", flags, "sluice"];
    let fits = lines.len() == 1 && lines[0].values == wanted;
    want(out, fits, &format!("{section}: {directive} changes LowerFilters of the class, with {flags}"));
}

/// A function driver: models, and no filter anywhere.
fn adapter(inf: &Inf, out: &mut Vec<String>) {
    want(out, inf.value("Version", "ClassGuid").as_deref() == Some(ADAPTERS), "the class is SCSIAdapter");
    models(inf, out);
    if inf.lines().any(|line| line.values.iter().any(|value| value.starts_with("PCI"))) {
        virtio(inf, out);
    } else {
        settings(inf, out);
    }
    let filters = inf.lines().flat_map(|line| line.values.iter()).any(|value| value.ends_with("Filters"));
    want(out, !filters, "a function driver's INF touches no filters");
}

/// What is particular to the RAM disks' driver: settings that an update leaves alone.
fn settings(inf: &Inf, out: &mut Vec<String>) {
    let settings = inf.value("Install.HW", "AddReg").and_then(|name| inf.section(&name)).unwrap_or_default();
    let names: Vec<&str> =
        settings.iter().filter_map(|line| line.values.get(2)).map(String::as_str).collect();
    want(out, names == ["Megabytes", "Units", "SectorSize"], "Install.HW: the settings of the RAM disks");
    for line in settings {
        let kept = line.values.first().is_some_and(|root| root == "HKR")
            && line.values.get(3).is_some_and(|flags| flags == "0x00010003");
        want(out, kept, "a setting is a number of the device's own key, and is not overwritten");
    }
}

fn extension(inf: &Inf, out: &mut Vec<String>) {
    want(out, inf.value("Version", "ClassGuid").as_deref() == Some(EXTENSIONS), "the class is Extension");
    let id = inf.value("Version", "ExtensionId").unwrap_or_default();
    want(out, id.len() == 38 && id.starts_with('{'), "Version: ExtensionId");
    models(inf, out);
    let filter = inf.section("Install.Filters").unwrap_or_default();
    let position =
        filter.first().and_then(|line| line.values.get(2)).and_then(|name| inf.value(name, "FilterPosition"));
    want(out, position.as_deref() == Some("Lower"), "AddFilter: FilterPosition = Lower");
}

/// Models for both machines, each with its install section.
fn models(inf: &Inf, out: &mut Vec<String>) {
    let makers = inf.section("Manufacturer").unwrap_or_default();
    for (line, machine) in makers.iter().flat_map(|line| line.values[1..].iter().map(move |m| (line, m))) {
        let models = inf.section(&format!("{}.{machine}", line.values[0])).unwrap_or_default();
        let named = models.iter().all(|model| model.values.first().is_some_and(|s| inf.section(s).is_some()));
        want(out, named && !models.is_empty(), &format!("models for {machine}"));
    }
    let decorated = |machine: &&str| {
        makers.iter().any(|l| l.values.iter().any(|v| v.to_lowercase().starts_with(*machine)))
    };
    want(out, MACHINES.iter().all(decorated), "models for both machines");
}

/// What is particular to the driver of PCI devices.
fn virtio(inf: &Inf, out: &mut Vec<String>) {
    for machine in MACHINES {
        let section = format!("Adapters.{machine}.10.0...18362");
        let lines = inf.section(&section).unwrap_or_default();
        let named: Vec<_> = lines.iter().filter_map(|line| line.values.get(1)).collect();
        // VIRTIO 1.2, 4.1.2 and 4.1.2.1.
        let wanted = [r"PCI\VEN_1AF4&DEV_1042", r"PCI\VEN_1AF4&DEV_1001"];
        want(out, named == wanted, &format!("{section}: the identifiers of virtio block devices"));
    }
    let messages = inf.value("Install.HW", "AddReg").and_then(|name| inf.section(&name)).unwrap_or_default();
    let sets = |name: &str, value: &str| {
        messages.iter().any(|line| line.values == ["HKR", MESSAGES, name, "0x00010001", value])
    };
    want(out, sets("MSISupported", "1"), "MSISupported = 1");
    // As many as driver/kernel/src/function/virtio tells apart.
    want(out, sets("MessageNumberLimit", "5"), "MessageNumberLimit = 5");
}
