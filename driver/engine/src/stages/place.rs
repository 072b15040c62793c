//! The last stage of an in-place volume: logical sector *n* is physical sector *n* + offset.

use sluice_chain::{Direction, Stage, StageIo, Status, Verdict, abi::Needs};

/// Checks that an I/O lies on the volume, and moves it to its place on the device.
#[derive(Debug)]
pub struct Place {
    offset: u64,
    sectors: u64,
}

impl Place {
    /// A volume of `sectors` sectors that begins `offset` sectors into the device.
    pub fn new(offset: u64, sectors: u64) -> Self {
        Self { offset, sectors }
    }

    fn physical(&self, sector: u64, count: u64) -> Option<u64> {
        let end = sector.checked_add(count)?;
        if end > self.sectors { None } else { sector.checked_add(self.offset) }
    }

    fn move_extents(&self, io: &mut StageIo<'_>) -> Option<()> {
        // All are checked before the first is moved.
        let extents = io.extents();
        extents.iter().try_for_each(|extent| self.physical(extent.sector, extent.count).map(drop))?;
        for extent in extents {
            extent.sector += self.offset;
        }
        Some(())
    }
}

impl Stage for Place {
    const NAME: &'static str = "place";
    const NEEDS: Needs = Needs(0);

    fn request(&self, io: &mut StageIo<'_>) -> Verdict {
        let placed = match io.direction() {
            Direction::FLUSH => Some(()),
            Direction::DISCARD => self.move_extents(io),
            _ => {
                let count = u64::from(io.length() / io.sector_size());
                self.physical(io.sector(), count).map(|sector| io.set_sector(sector))
            }
        };
        match placed {
            Some(()) => Verdict::CONTINUE,
            None => io.finish(Status::OUT_OF_RANGE),
        }
    }

    fn completion(&self, io: &mut StageIo<'_>) -> Verdict {
        if !matches!(io.direction(), Direction::FLUSH | Direction::DISCARD) {
            // The stages above counted on the volume; `request` added the offset.
            io.set_sector(io.sector().wrapping_sub(self.offset));
        }
        Verdict::CONTINUE
    }
}
