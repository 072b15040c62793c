//! The judge: is what a recovery left the state after some prefix of the writes?
//!
//! A set of visible writes is a prefix if with each write that is in it, everything is in it that was acknowledged
//! before that one was submitted. Let *T* be the latest submission of a write that must be in it. Then everything
//! acknowledged before *T* must be, so that what is found in a block must be explained without leaving those out. That
//! may take a write submitted after *T*, which raises *T*; and so on until nothing changes, or something cannot be
//! explained. In the beginning *T* is when the last completed flush was submitted.
//!
//! Within a block, writes that were under way at the same time may have come in any order, and those not required may
//! be missing, but none may be there in part, except where another has overwritten it.

use crate::{
    content::Prints,
    model::{History, Lived, Model, NEVER, SECTORS, Time},
};

/// What was found in a block after a recovery.
#[derive(Clone, Copy, Debug)]
pub struct Found {
    /// Which block.
    pub block: u32,
    /// Its contents; `None` if it was reported as damaged.
    pub prints: Option<Prints>,
}

/// Judges what was found. `flushes` is whether flushes count: on a device that lies they do not. Returns how often there
/// were too many possibilities to try, and the subject was believed.
///
/// # Errors
/// The block that cannot be explained.
pub fn judge(model: &Model, found: &[Found], flushes: bool) -> Result<u64, String> {
    let mut believed = 0;
    let mut limit = if flushes { model.floor } else { 0 };
    let mut cause = None;
    loop {
        let before = limit;
        for block in found {
            let history = &model.blocks[block.block as usize];
            let Some(prints) = block.prints else { continue };
            if older(history, &prints) {
                continue;
            }
            match explain(history, &model.changes, &prints, limit, flushes, &mut believed) {
                Some(later) if later > limit => (limit, cause) = (later, Some(block.block)),
                Some(_) => {}
                None => return Err(complaint(model, block.block, &prints, limit, cause)),
            }
        }
        if limit == before {
            return Ok(believed);
        }
    }
}

/// Whether a block holds nothing but what it held long ago: then a lying device brought it back.
fn older(history: &History, prints: &Prints) -> bool {
    !history.older.is_empty()
        && (0..SECTORS).all(|sector| {
            let covers = |mask: u8| mask & (1 << sector) != 0;
            let mut known = history.older.iter().chain(&history.versions).filter(|v| covers(v.mask));
            history.base[sector] == prints[sector] || known.any(|v| v.prints[sector] == prints[sector])
        })
}

/// The least time, `limit` or later, by which the writes were submitted that explain a block, if all that was
/// acknowledged before `limit` has happened.
fn explain(
    history: &History,
    changes: &[Lived],
    prints: &Prints,
    limit: Time,
    durable: bool,
    believed: &mut u64,
) -> Option<Time> {
    if history.versions.is_empty() {
        return (history.wild || history.base == *prints).then_some(limit);
    }
    let submits = history.versions.iter().map(|v| changes[v.change as usize].submit).filter(|s| *s > limit);
    let mut bounds: Vec<Time> = std::iter::once(limit).chain(submits).collect();
    bounds.sort_unstable();
    bounds.into_iter().find(|bound| {
        let mut writes = [Write::default(); MOST];
        let mut count = 0;
        for version in &history.versions {
            let lived = &changes[version.change as usize];
            if lived.submit > *bound {
                continue;
            }
            if count == MOST {
                *believed += 1;
                return true;
            }
            let same = (0..SECTORS).filter(|s| version.prints[*s] == prints[*s]);
            writes[count] = Write {
                submit: lived.submit,
                end: lived.end,
                mask: version.mask,
                matches: same.fold(0, |mask, s| mask | 1 << s),
                required: lived.good && (lived.end < limit || (durable && lived.durable)),
            };
            count += 1;
        }
        let same = (0..SECTORS).filter(|s| history.wild || history.base[*s] == prints[*s]);
        let base = same.fold(0, |mask, s| mask | 1 << s);
        let all = if count == 0 { 0 } else { !0 >> (MOST - count) };
        let mut budget = 1000;
        let explained = peel(&writes[..count], all, 0xff, base, &mut budget);
        *believed += u64::from(budget == 0);
        explained
    })
}

/// Most writes to a block between two durable ones that are judged.
const MOST: usize = 128;

/// A write to a block, compared with what was found.
#[derive(Clone, Copy, Default)]
struct Write {
    submit: Time,
    end: Time,
    mask: u8,
    /// Sectors in which it and what was found are equal.
    matches: u8,
    required: bool,
}

/// Whether the writes in `left` explain the sectors in `open`, taken away from the last backwards.
///
/// A write that can have been the last, and equals what was found wherever nothing later lies over it, is taken as
/// that: it can only help. Only if there is none, one that is not required is left out, whichever leads on.
fn peel(writes: &[Write], mut left: u128, mut open: u8, base: u8, budget: &mut u32) -> bool {
    loop {
        if left == 0 || (open == 0) {
            return open & !base == 0;
        }
        let each = |set: u128| (0..writes.len()).filter(move |index| set & (1 << index) != 0);
        let latest = each(left).map(|index| writes[index].submit).max().unwrap_or(0);
        let last = |index: &usize| writes[*index].end > latest || writes[*index].submit == latest;
        let fits = |index: &usize| writes[*index].mask & open & !writes[*index].matches == 0;
        if let Some(index) = each(left).filter(last).find(fits) {
            left &= !(1 << index);
            open &= !writes[index].mask;
            continue;
        }
        let mut droppable = each(left).filter(last).filter(|index| !writes[*index].required);
        let Some(first) = droppable.next() else { return false };
        for other in droppable {
            *budget = budget.saturating_sub(1);
            if *budget == 0 {
                // Too many ways: in doubt for the subject.
                return true;
            }
            if peel(writes, left & !(1 << other), open, base, budget) {
                return true;
            }
        }
        left &= !(1 << first);
    }
}

/// What cannot be explained.
fn complaint(model: &Model, block: u32, prints: &Prints, limit: Time, cause: Option<u32>) -> String {
    use std::fmt::Write as _;
    let history = &model.blocks[block as usize];
    let mut text = format!(
        "after recovery, block {block} (at {}) is no state that the promises allow\n",
        u64::from(block) * 4096
    );
    let marks = |mask: u8, of: &Prints| -> String {
        let mark = |s: usize| match (mask & (1 << s) != 0, of[s] == prints[s]) {
            (false, _) => '.',
            (true, true) => '=',
            (true, false) => 'x',
        };
        (0..SECTORS).map(mark).collect()
    };
    let _ = writeln!(text, "    its sectors: = as found, x otherwise, . not written");
    let _ = writeln!(text, "    {}  the state before", marks(0xff, &history.base));
    for version in &history.versions {
        let lived = &model.changes[version.change as usize];
        let fate = match (lived.good, lived.end) {
            (_, NEVER) => "not acknowledged".to_owned(),
            (true, end) if end < limit || lived.durable => format!("acknowledged at {end}, required"),
            (true, end) => format!("acknowledged at {end}"),
            (false, end) => format!("failed at {end}"),
        };
        let marks = marks(version.mask, &version.prints);
        let _ = writeln!(text, "    {marks}  step {}, submitted at {}, {fate}", lived.step, lived.submit);
    }
    let _ = write!(text, "    everything acknowledged before {limit} is required, because ");
    let _ = match cause {
        Some(other) => write!(text, "block {other} holds what was submitted then"),
        None => write!(text, "a flush or FUA write submitted then was completed"),
    };
    if prints.iter().all(|print| *print == 0) {
        text.push_str("; what was found are zeros");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(byte: u8) -> Vec<u8> {
        vec![byte; 4096]
    }

    fn prints(bytes: &[u8]) -> Option<Prints> {
        let mut prints = [0; SECTORS];
        for (print, sector) in prints.iter_mut().zip(bytes.chunks(512)) {
            *print = crate::content::print(sector);
        }
        Some(prints)
    }

    fn look(model: &Model, blocks: &[Vec<u8>]) -> bool {
        let each = blocks.iter().enumerate();
        let found: Vec<_> = each.map(|(block, b)| Found { block: block as u32, prints: prints(b) }).collect();
        judge(model, &found, true).is_ok()
    }

    fn put(model: &mut Model, at: u64, byte: u8, acknowledged: bool) -> u32 {
        let change = model.write(0, at, &block(byte), NEVER);
        if acknowledged {
            model.end(change, true, false);
        }
        change
    }

    #[test]
    fn a_later_write_needs_the_earlier_ones() {
        let mut model = Model::new(8192, false);
        put(&mut model, 0, 1, true);
        put(&mut model, 4096, 2, true);
        assert!(look(&model, &[block(0), block(0)]));
        assert!(look(&model, &[block(1), block(0)]));
        assert!(look(&model, &[block(1), block(2)]));
        assert!(!look(&model, &[block(0), block(2)]));
    }

    #[test]
    fn writes_under_way_together_come_in_any_order() {
        let mut model = Model::new(8192, false);
        let first = put(&mut model, 0, 1, false);
        let second = put(&mut model, 4096, 2, false);
        model.end(first, true, false);
        model.end(second, true, false);
        assert!(look(&model, &[block(0), block(2)]));
    }

    #[test]
    fn a_flush_makes_what_was_acknowledged_before_it_stay() {
        let mut model = Model::new(8192, false);
        put(&mut model, 0, 1, true);
        let flush = model.tick();
        put(&mut model, 4096, 2, true);
        model.flushed(flush);
        assert!(!look(&model, &[block(0), block(0)]));
        assert!(look(&model, &[block(1), block(0)]));
    }

    #[test]
    fn equal_contents_are_explained_by_the_earliest() {
        let mut model = Model::new(8192, false);
        put(&mut model, 4096, 2, true);
        put(&mut model, 0, 1, true);
        put(&mut model, 4096, 2, true);
        assert!(look(&model, &[block(0), block(2)]));
        put(&mut model, 4096, 3, true);
        assert!(!look(&model, &[block(0), block(3)]));
    }

    #[test]
    fn what_overwrote_it_may_hide_a_required_write() {
        let mut model = Model::new(8192, false);
        put(&mut model, 0, 1, true);
        put(&mut model, 0, 3, false);
        put(&mut model, 4096, 2, true);
        assert!(look(&model, &[block(3), block(2)]));
        assert!(look(&model, &[block(1), block(2)]));
        assert!(!look(&model, &[block(0), block(2)]));
    }

    #[test]
    fn no_block_is_torn() {
        let mut model = Model::new(4096, false);
        let mut torn = block(1);
        torn[512..1024].fill(0);
        put(&mut model, 0, 1, false);
        assert!(look(&model, &[block(0)]));
        assert!(look(&model, &[block(1)]));
        assert!(!look(&model, &[torn.clone()]));
        // A later write over part of it explains that part.
        model.write(0, 512, &[0; 512], NEVER);
        assert!(look(&model, &[torn]));
    }

    #[test]
    fn a_state_that_never_was_is_refused() {
        let mut model = Model::new(4096, false);
        put(&mut model, 0, 1, true);
        assert!(!look(&model, &[block(9)]));
        // Nor one that a later write overwrote, once the later is required.
        put(&mut model, 0, 2, true);
        let flush = model.tick();
        model.flushed(flush);
        assert!(!look(&model, &[block(1)]));
    }

    #[test]
    fn raising_the_bound_raises_it_again() {
        let mut model = Model::new(3 * 4096, false);
        put(&mut model, 0, 1, true);
        put(&mut model, 4096, 2, true);
        put(&mut model, 4096, 1, false);
        put(&mut model, 8192, 3, true);
        // Block 2 requires both others; block 1 holds what was never written there: not found.
        assert!(look(&model, &[block(1), block(1), block(3)]));
        assert!(!look(&model, &[block(0), block(1), block(3)]));
    }
}
