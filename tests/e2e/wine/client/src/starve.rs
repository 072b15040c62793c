//! Lives of a disk, in each of which one more allocation of `sluice.sys` goes
//! well before one fails: whatever was asked for then fails cleanly or works,
//! and once memory is back everything works and nothing written is lost.

use serde_json::json;

use crate::{
    device::{Error, TIMED_OUT},
    disk::{self, Bench, Disk},
    driver::Keys,
    interface::*,
    report,
};

const KEPT: u64 = 64 * 1024;
const SCRATCH: u64 = 1 << 20;
const LENGTH: usize = 200 * 1024;

struct Life<'a> {
    bench: &'a Bench,
    image: &'a str,
    keys: &'a Keys,
    /// The volume is mapped: its filter writes on its own account, and copies what is sent, which takes memory.
    mapped: bool,
    n: u32,
}

fn block(n: u32) -> Vec<u8> {
    (0..LENGTH / 4).flat_map(|i| (n ^ (i as u32).wrapping_mul(0x9e37_79b9)).to_le_bytes()).collect()
}

impl Life<'_> {
    fn fail(&self, nth: u32) -> Result<(), Error> {
        let mut o = Bench::options();
        o.fail_nth = nth;
        self.bench.configure(&o)
    }

    /// From now on every one fails.
    fn fail_all(&self) -> Result<(), Error> {
        let mut o = Bench::options();
        (o.fail_nth, o.fail_count) = (1, u32::MAX);
        self.bench.configure(&o)
    }

    fn create(&self) -> Result<Option<u32>, Error> {
        let flags = if self.mapped { CREATE_OWN_WRITES } else { 0 };
        let c = self.bench.create(self.image, 512, "sluice", flags, 65536)?;
        Ok((c.image_status | c.load_status | c.add_status | c.start_status == 0).then_some(c.disk))
    }

    fn unlock(&self) -> bool {
        self.keys.unlock()
    }

    fn said(&self, what: &str, ok: bool, detail: String) {
        if !ok {
            report::check(&format!("allocation {} fails: {what}", self.n), false, detail);
        }
    }

    /// What may fail now, but only with an error and without end to nobody.
    fn hungry(&self, d: &Disk) -> Result<(), Error> {
        for flags in [0, CLASS_EXTENDED | CLASS_CDB16, CLASS_PAGING] {
            d.class(flags, 0, 2)?;
            let w = d.top.write(SCRATCH, &block(self.n));
            let r = d.top.read(SCRATCH, LENGTH);
            self.said("requests end", w != Err(TIMED_OUT) && r != Err(TIMED_OUT), format!("{w:?}"));
            if let (Ok(_), Ok(data)) = (&w, &r) {
                self.said(
                    "what is read is what was written",
                    *data == block(self.n),
                    format!("{} bytes", data.len()),
                );
            }
            if flags & CLASS_PAGING != 0 {
                self.said(
                    "paging requests succeed without memory",
                    w.is_ok() && r.is_ok(),
                    format!("{w:?} {:?}", r.map(|d| d.len())),
                );
            }
        }
        Ok(())
    }

    /// Memory is back.
    fn fed(&self, d: &Disk) -> Result<(), Error> {
        d.class(0, 0, 0)?;
        let kept = d.top.read(KEPT, LENGTH);
        self.said(
            "what was written before is there",
            kept.as_ref() == Ok(&block(0)),
            format!("{:?}", kept.map(|b| b.len())),
        );
        let w = d.top.write(SCRATCH, &block(self.n));
        let r = d.top.read(SCRATCH, LENGTH);
        self.said(
            "afterwards a write reads back",
            w.is_ok() && r.as_ref() == Ok(&block(self.n)),
            format!("{w:?} {:?}", r.map(|b| b.len())),
        );
        Ok(())
    }

    /// Returns whether an allocation was made to fail.
    fn live(&self) -> Result<bool, Error> {
        let before = self.bench.counters()?.injected;
        self.fail(self.n)?;
        let born = self.create()?;
        let mut open = false;
        if let Some(number) = born {
            open = self.unlock();
            let d = Disk::open(number, 512)?;
            if open {
                self.hungry(&d)?;
            }
            disk::pnp(self.bench, number, 0x16, 0x101)?; // a page file comes
            disk::pnp(self.bench, number, 0x16, 0x001)?; // and goes
        }
        let injected = self.bench.counters()?.injected > before;
        self.fail(0)?;
        let number = match born {
            Some(number) => number,
            None => match self.create()? {
                Some(number) => number,
                None => return Err(TIMED_OUT),
            },
        };
        if !open {
            self.said("only for want of memory is a disk not unlocked", injected, String::new());
            let now = self.unlock();
            self.said("afterwards the disk unlocks", now, String::new());
        }
        let d = Disk::open(number, 512)?;
        if self.n == 0 {
            d.top.write(KEPT, &block(0))?;
            if self.mapped {
                // Its engine has taken all it needs.
                self.fail_all()?;
                self.hungry(&d)?;
                self.fail(0)?;
            }
        }
        self.fed(&d)?;
        drop(d);
        let s = disk::pnp(self.bench, number, 2, 0)?;
        self.said("the disk is removed", s == 0, format!("{s:#x}"));
        let v = self.bench.text(VERIFIER_REPORT)?;
        self.said("the verifier is content", v.is_empty(), v);
        Ok(injected)
    }
}

/// Which allocations fail: the `first`, and of `step` that follow one, in up to `most` lives.
pub(crate) struct Plan {
    pub(crate) first: u32,
    pub(crate) step: u32,
    pub(crate) most: u32,
}

/// A life in which none fails, and then those that are planned, until no allocation is left to fail.
pub(crate) fn run(bench: &Bench, image: &str, passphrase: &str, mapped: bool, plan: &Plan) {
    let (keys, mut lives) = (Keys::of(passphrase), 0);
    let planned = (0..plan.most).map(|life| plan.first.max(1) + life * plan.step.max(1));
    for n in std::iter::once(0).chain(planned) {
        let life = Life { bench, image, keys: &keys, mapped, n };
        report::progress("starve", lives.into(), plan.most.into());
        match life.live() {
            Ok(false) if n > 0 => break,
            Ok(failed) => lives += u32::from(failed),
            Err(e) => report::fatal(format!("allocation {n} fails: error {e} ({e:#x})")),
        }
    }
    let bad = report::failures();
    report::check(
        &format!("{lives} allocations failed, one in each life of a disk, and all was well"),
        lives > 5 && bad == 0,
        format!("{bad} failures"),
    );
    report::result(json!({ "lives": lives }));
}
