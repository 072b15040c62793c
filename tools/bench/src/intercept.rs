//! `sluice-bench intercept`: what the shim and an empty chain cost, in instructions and allocations.
//!
//! *points* is what the two interception points do themselves for one I/O when the chain is empty: the chain called
//! down and up, both points' statistics, two looks at the clock. That is what an I/O has through the points and would
//! not have without them, and what the target is about. The points are part of the shim and cannot be left out of
//! it, so this is run by itself, on an I/O of its own, with the calls that `sluice_shim::interception` makes.
//!
//! Beside it, three ways to the same disk in memory, with the same payload, one I/O at a time:
//!
//! - *miniport*: the `ram` miniport alone. An SRB that was built once is checked and carried out by what
//!   `HwStartIo` consists of, up to the point where it would be completed.
//! - *port*: the least that anybody does who has an I/O for a miniport: makes the SRB, calls `HwStartIo`, takes
//!   RequestComplete on whatever thread it comes (an exchange of ownership, a list), and has a DPC take up what is
//!   in the list, read the result and tell the caller. No chain, no queue, no locks, no private memory, no
//!   statistics, no clock. See `port.rs`.
//! - *shim*: `Unit::submit` through both interception points with an empty chain, to `Host::finish`, with all that
//!   the shim does.
//!
//! *Shim* less *port* is thus the price of everything the shim does, chain or no chain. The program counts its
//! allocations, callgrind its instructions.

use std::{
    alloc::{GlobalAlloc, Layout, System},
    hint::black_box,
    ptr::NonNull,
    sync::atomic::{AtomicU64, Ordering},
};

use sluice_chain::{Chain, Direction, Flags, Io, Outcome, Segment, Status, stats::PointStats};
use sluice_miniport_ram::Ram;
use sluice_shim::{
    adapter::Adapter,
    miniport::Hw,
    queue::Waiting,
    request::{Carry, Incoming, Request},
    scsi::{
        cdb::{BlockRange, Form},
        encode::Cdb,
    },
    spare::Spares,
    storport::{
        SrbFlags, SrbKind, SrbStatus,
        srb::{SrbRequest, SrbStorage},
    },
    unit::{Finished, Host, Unit},
};
use sluice_user_host::User;

use crate::{
    callgrind::{self, Cost},
    port::{self, Port},
};

/// I/Os of the shorter run.
const COUNT: u64 = 20_000;
/// Payload of each, in bytes.
const PAYLOAD: usize = 4096;
const SECTOR: u32 = 512;
/// The most that the points may take, in instructions for one I/O.
const TARGET: i64 = 300;

/// The name under which this program runs itself below callgrind.
pub(crate) const DRIVER: &str = "intercept-driver";

/// Counts allocations of the whole program.
struct Counting;

static ALLOCATIONS: AtomicU64 = AtomicU64::new(0);

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: everything is the system allocator's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        // SAFETY: the caller's contract is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(pointer, layout) }
    }
}

/// What is measured.
#[derive(Clone, Copy)]
struct Case {
    kind: SrbKind,
    direction: Direction,
}

impl Case {
    const ALL: [Self; 4] = [
        Self { kind: SrbKind::Extended, direction: Direction::READ },
        Self { kind: SrbKind::Extended, direction: Direction::WRITE },
        Self { kind: SrbKind::Legacy, direction: Direction::READ },
        Self { kind: SrbKind::Legacy, direction: Direction::WRITE },
    ];

    fn name(self) -> &'static str {
        match (self.kind, self.direction) {
            (SrbKind::Extended, Direction::READ) => "extended-read",
            (SrbKind::Extended, _) => "extended-write",
            (SrbKind::Legacy, Direction::READ) => "legacy-read",
            (SrbKind::Legacy, _) => "legacy-write",
        }
    }

    fn cdb(self, lba: u64) -> Cdb {
        let range = BlockRange { lba, blocks: (PAYLOAD / SECTOR as usize) as u32 };
        match self.direction {
            Direction::READ => Cdb::read(range, false, false, Form::Ten),
            _ => Cdb::write(range, false, false, Form::Ten),
        }
    }

    fn flags(self) -> SrbFlags {
        if self.direction == Direction::READ { SrbFlags::DATA_IN } else { SrbFlags::DATA_OUT }
    }
}

/// The subcommand.
///
/// # Errors
/// When callgrind cannot be run, or the target is missed.
pub(crate) fn run(json: bool) -> Result<(), String> {
    let mut missed = false;
    if !json {
        println!("one I/O of {PAYLOAD} bytes, empty chain, queue depth 1; instructions by callgrind\n");
        println!(
            "{:16} {:>9} {:>9} {:>9} {:>9} {:>13} {:>11} {:>12}",
            "", "points", "miniport", "port", "shim", "over miniport", "over port", "allocations"
        );
    }
    let mut lines = Vec::new();
    for case in Case::ALL {
        let [points, miniport, port, shim] =
            ["points", "miniport", "port", "shim"].map(|way| measure(way, case));
        let (points, miniport, port, shim) = (points?, miniport?, port?, shim?);
        let (alone, added) =
            (shim.instructions - miniport.instructions, shim.instructions - port.instructions);
        let allocated = shim.counted - miniport.counted;
        missed |= points.instructions > TARGET as f64 || allocated > 0.0;
        if json {
            lines.push(format!(
                "{{\"case\":\"{}\",\"points\":{:.1},\"miniport\":{:.1},\"port\":{:.1},\"shim\":{:.1},\"over_miniport\":{alone:.1},\"over_port\":{added:.1},\"allocations\":{allocated}}}",
                case.name(),
                points.instructions,
                miniport.instructions,
                port.instructions,
                shim.instructions
            ));
        } else {
            println!(
                "{:16} {:9.1} {:9.1} {:9.1} {:9.1} {alone:13.1} {added:11.1} {allocated:12}",
                case.name(),
                points.instructions,
                miniport.instructions,
                port.instructions,
                shim.instructions
            );
        }
    }
    if json {
        println!(
            "{{\"payload\":{PAYLOAD},\"target\":{TARGET},\"met\":{},\"cases\":[{}]}}",
            !missed,
            lines.join(",")
        );
    } else {
        let verdict = if missed { "missed" } else { "met" };
        println!(
            "\ntarget: at most {TARGET} instructions for the points with an empty chain, no allocation: {verdict}"
        );
    }
    if missed { Err("the target was missed".into()) } else { Ok(()) }
}

fn measure(way: &str, case: Case) -> Result<Cost, String> {
    callgrind::per_item(COUNT, |count| {
        [DRIVER.to_owned(), way.to_owned(), case.name().to_owned(), count.to_string()]
    })
}

/// What runs below callgrind: `way case count`. Prints how many allocations the I/Os made.
///
/// # Errors
/// When the words are others, or an I/O failed.
pub(crate) fn drive(arguments: &[String]) -> Result<(), String> {
    let [way, case, count] = arguments else { return Err("expected: way case count".into()) };
    let case = Case::ALL.into_iter().find(|known| known.name() == case).ok_or("unknown case")?;
    let count: u64 = count.parse().map_err(|_| "count is no number")?;
    let ram = Ram::new(1024, SECTOR, case.kind).ok_or("no memory")?;
    let ram: &'static Ram = Box::leak(Box::new(ram));
    let mut buffer = vec![0x5A_u8; PAYLOAD];
    let allocations = match way.as_str() {
        "points" => points(case, &mut buffer, count)?,
        "miniport" => miniport(ram, case, &mut buffer, count)?,
        "port" => bare(ram, case, &mut buffer, count)?,
        "shim" => shim(ram, case, &mut buffer, count)?,
        _ => return Err("unknown way".into()),
    };
    println!("{allocations}");
    Ok(())
}

/// What `interception::dispatch` and `interception::complete` do, but for what they call to send and to finish.
fn points(case: Case, buffer: &mut [u8], count: u64) -> Result<u64, String> {
    sluice_user_host::clock::start();
    let (chain, dispatched, completed) = (Chain::new(), PointStats::new(), PointStats::new());
    let segment = Segment { address: buffer.as_mut_ptr(), length: PAYLOAD };
    let mut io = Io {
        direction: case.direction,
        sector: 8,
        length: PAYLOAD as u32,
        segment_count: 1,
        segments: &raw const segment,
        ..Io::idle(std::ptr::null())
    };
    // By pointers, as the shim has them.
    let (chain, now) = (black_box(&chain), black_box(sluice_user_host::clock::now as extern "C" fn() -> u64));
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..count {
        let io = black_box(&mut io);
        let started = now();
        dispatched.count(u64::from(io.length));
        if io.status != Status::OK || chain.request(io) != Outcome::Through {
            return Err("an empty chain ended an I/O".into());
        }
        let io = black_box(io);
        if chain.completion(io) == Outcome::Pending {
            return Err("an empty chain kept an I/O".into());
        }
        let elapsed = now().saturating_sub(started);
        completed.record(u64::from(io.length), io.status != Status::OK, elapsed);
    }
    let counted = completed.requests.load(Ordering::Relaxed);
    let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
    if counted == count { Ok(made) } else { Err("an I/O was not counted".into()) }
}

fn miniport(ram: &Ram, case: Case, buffer: &mut [u8], count: u64) -> Result<u64, String> {
    let cdb = case.cdb(8);
    let request = SrbRequest::command(cdb.as_bytes()).with_data(
        case.flags(),
        buffer.as_mut_ptr().cast(),
        PAYLOAD as u32,
    );
    let mut srb = SrbStorage::new();
    srb.fill(case.kind, &request).map_err(|error| format!("{error:?}"))?;
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..count {
        let mut view = black_box(&mut srb).view().map_err(|error| format!("{error:?}"))?;
        // SAFETY: the SRB names `buffer`.
        unsafe { ram.execute(&mut view) };
        if view.srb_status() != SrbStatus::SUCCESS {
            return Err("a direct I/O failed".into());
        }
    }
    Ok(ALLOCATIONS.load(Ordering::Relaxed) - before)
}

fn bare(ram: &'static Ram, case: Case, buffer: &mut [u8], count: u64) -> Result<u64, String> {
    let port: &'static Port = Box::leak(Box::new(Port::new(ram, case.kind)));
    let mut request = Box::new(port::Request::new(port));
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    let mut finished = 0;
    for _ in 0..count {
        let cdb = case.cdb(black_box(8));
        let command = SrbRequest::command(cdb.as_bytes()).with_data(
            case.flags(),
            buffer.as_mut_ptr().cast(),
            PAYLOAD as u32,
        );
        port.send(&mut request, &command)?;
        port.run(|answer| {
            let good = answer.srb_status == SrbStatus::SUCCESS;
            finished += u64::from(good && answer.data_transfer_length as usize == PAYLOAD);
        });
    }
    let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
    if finished == count { Ok(made) } else { Err("an I/O failed".into()) }
}

/// A host whose only request is known.
struct Caller {
    incoming: Incoming,
    finished: AtomicU64,
}

// SAFETY: the payload is the driver's own and used by one thread.
unsafe impl Sync for Caller {}

// SAFETY: the driver's node stays on its stack while a request is under way.
unsafe impl Host for Caller {
    fn queued(&self, _waiting: NonNull<Waiting>) -> bool {
        true
    }

    fn describe(&self, _waiting: NonNull<Waiting>) -> Incoming {
        self.incoming
    }

    fn claim(&self, _waiting: NonNull<Waiting>) -> bool {
        true
    }

    fn finish(&self, _waiting: NonNull<Waiting>, result: &Finished<'_>) {
        let good = result.device.is_some_and(|device| device.srb_status == SrbStatus::SUCCESS);
        if good && result.transferred as usize == PAYLOAD {
            self.finished.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn left(&self) {}

    fn release(&self, _request: &Request) {}
}

fn shim(ram: &'static Ram, case: Case, buffer: &mut [u8], count: u64) -> Result<u64, String> {
    let platform: &'static User = Box::leak(Box::new(User::new()));
    let adapter: &'static Adapter = Box::leak(Box::new(Adapter::new(Hw::of(ram), platform)));
    let incoming = Incoming {
        direction: case.direction,
        flags: Flags::default(),
        sector: 8,
        length: PAYLOAD as u32,
        payload: Segment { address: buffer.as_mut_ptr(), length: PAYLOAD },
        same: false,
        carry: Carry::default(),
    };
    let caller: &'static Caller = Box::leak(Box::new(Caller { incoming, finished: AtomicU64::new(0) }));
    let requests = (0..4).map(|_| Request::new([0; 4])).collect();
    let unit = Unit::new(adapter, caller, Chain::new(), SECTOR, requests, Spares::none());
    let mut node = Waiting::new();
    let node = NonNull::from(&mut node);
    let before = ALLOCATIONS.load(Ordering::Relaxed);
    for _ in 0..count {
        unit.submit(node, black_box(&caller.incoming)).map_err(|status| format!("{status:?}"))?;
        platform.run_until_idle(adapter);
    }
    let made = ALLOCATIONS.load(Ordering::Relaxed) - before;
    if caller.finished.load(Ordering::Relaxed) == count { Ok(made) } else { Err("an I/O failed".into()) }
}
