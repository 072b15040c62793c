//! What is generated from the tables: `docs/storport.md` and the list for the import library.

use alloc::{format, string::String, vec::Vec};
use core::fmt::Write;

use super::{Code, Coverage, EXTENDED, Export, INLINE, NOTIFICATIONS, all};

const HEAD: &str = "\
# The StorPort interface, function by function

Generated from the tables in [`compat-shim/port/src/exports`](../compat-shim/port/src/exports/mod.rs); a test fails if it
differs. To make it anew: `SLUICE_BLESS=1 cargo test -p sluice-port --test document`.

A miniport is linked to these instead of Microsoft's `storport.sys`. **Done** means that it does what its documentation
says, under the host's services; the functions that answer `STOR_STATUS_NOT_IMPLEMENTED` are those that miniports must
expect that answer from, since it is StorPort's own on versions that lack them.

What a miniport may notice:

- SRBs have mapped data whatever `MapBuffers` says; scatter lists are made when they are asked for.
- One transfer has at most 1 MiB; an adapter has at most 1023 requests at once. Where its device does not find data where it
  lies, the miniport sees a copy in its SRB, of at most 64 KiB, and has at most 32 requests at once.
- DPC redirection, message ranges and the like are granted, and DPCs run where the host's DPC runs. Locality by groups
  (`STOR_PERF_ADV_CONFIG_LOCALITY`) is not granted. Channels are chosen by the number of the processor.
- Work items of one adapter run one after another.
- A lock that is taken twice or against the order is not taken: the mistake is counted, and nothing hangs.
- A request that neither resets nor the end of the adapter bring back is answered all the same. Its SRB stays the
  miniport's until that completes it; the memory of its data does not.
- `BusResetHoldTime` is not looked at: after a reported reset nothing is started for four seconds.
- A link that is reported down holds requests back until it is up, for half a minute at most.
- There is no power framework (PoFx): a device is not registered (`STOR_STATUS_UNSUCCESSFUL`), and what needs a registered
  one answers `STOR_STATUS_INVALID_DEVICE_REQUEST`, as where Windows does not take the device.
- Threaded DPCs run at DISPATCH_LEVEL, as they may on Windows. A DPC that a processor has taken up already is not there for
  `StorPortCancelDpc`, and runs.
- MDLs are those of nonpaged memory, with their system address. No request transfers both ways, so there is no data-in
  buffer. Host memory buffers are one range, aligned to a page.
- Where functions have no public description of their arguments (high-resolution timers, threads, events, the driver proxy,
  NVMe), they answer `STOR_STATUS_NOT_IMPLEMENTED` and are not in the headers.
- Instance names of WMI blocks are the host's; the functions by which a miniport makes them up are not there.

## Miniports of others

Sources of public miniports were held against the headers, unchanged and outside of this repository:

| project | version | what was done, and what came of it |
|---|---|---|
| storport-ramdisk (Coppermine-SP/kmdf-example), a virtual miniport | files of `bf0a1fc`, `39dce81`, `c78ef6f` | compiled by clang with these headers, and linked to the import library: it wants StorPortInitialize, -Notification, -ExtendedFunction, -MoveMemory and the kernel. Run in user mode: four threads wrote and read back 2000 pieces, the last block was read, the one behind it refused; no fault counted, no rule broken |
| vioscsi, viostor (virtio-win) | `b57548c`, `e6d9d7a` | read, for the names they use; they need a device |
| WNBD (cloudbase) | `14e11e4`, `00cb9cc` | likewise; it is a virtual one over the driver's own IOCTLs |
| StorAHCI (Microsoft's samples) | `06050d0` | likewise |

The first did not compile at first, and could not have been hosted. All that was missing was ours: members and tags of CDBs
and pages, `VIRTUAL_HW_INITIALIZATION_DATA` and its size, lists, flags of `FeatureSupport` that had wrong values, the header
of `STOR_ADAPTER_CONTROL_POWER`, the argument of `StorPortGetSystemPortNumber`. Of the other three, names that are WMI's
(`hbapiwmi.h`) or a tracing tool's are not in these headers. That they compile as a whole has not been seen.
";

fn exported(text: &mut String) {
    let exports: Vec<&Export> = all().collect();
    let _ = write!(text, "\n## Exported functions\n\n{} of them.\n", exports.len());
    let mut group = "";
    for export in exports {
        if export.group != group {
            group = export.group;
            let _ = write!(text, "\n### {group}\n\n| function | what it does here |\n|---|---|\n");
        }
        let _ = writeln!(text, "| `{}` | {} |", export.name, export.text.trim());
    }
}

fn coverage_of(code: &Code) -> String {
    match code.coverage {
        Coverage::Done => String::from("done"),
        Coverage::Accepted => String::from("accepted, and nothing is done"),
        Coverage::Inline => String::from("inline in the header"),
        Coverage::Answers(status) => format!("answers `{status}`"),
    }
}

fn codes(text: &mut String, title: &str, note: &str, rows: &[Code], radix: bool) {
    let done = rows.iter().filter(|row| row.coverage == Coverage::Done).count();
    let _ = write!(text, "\n## {title}\n\n{note}{done} of {} done.\n\n", rows.len());
    text.push_str("| code | name | function of the header | |\n|---|---|---|---|\n");
    for row in rows {
        let number = if radix { format!("{:#06x}", row.code) } else { format!("{}", row.code) };
        let _ = writeln!(text, "| {number} | `{}` | `{}` | {} |", row.name, row.function, coverage_of(row));
    }
}

/// The document.
#[must_use]
pub fn coverage() -> String {
    let mut text = String::from(HEAD);
    exported(&mut text);
    let note = "A notification has no result: one that is not there is counted, and changes nothing. ";
    codes(&mut text, "StorPortNotification", note, NOTIFICATIONS, true);
    codes(&mut text, "StorPortExtendedFunction", "", EXTENDED, false);
    text.push_str("\n## Inline in the header\n\n| function | what it is |\n|---|---|\n");
    for (name, what) in INLINE {
        let _ = writeln!(text, "| {name} | {what} |");
    }
    text
}

/// The module definition file of the import library: what a miniport finds in `image` (`sluice.sys`).
#[must_use]
pub fn definitions(image: &str) -> String {
    let mut names: Vec<&str> = all().map(|export| export.name).collect();
    names.sort_unstable();
    let mut text = format!("LIBRARY {image}\nEXPORTS\n");
    for name in names {
        let _ = writeln!(text, "    {name}");
    }
    text
}
