//! Blocks that lead behind the end of the table.
//!
//! The table grows by one number at a time, so one day a new chunk would get the number to which such a block leads, be read
//! in the block's place, and lose a reference with it. A free number *in* the table is simply taken then
//! (`Volume::keep_number`). Numbers behind its end are too many for that: the table would have to grow as far. Of the chunk
//! that such a block once had, the number says nothing any more, so all of them are led to one that nobody can read, the
//! first behind the end. They stay lost, and can be written and discarded.

use crate::{
    Volume,
    cache::PageKey,
    check::{Problem, Report},
    disk::Disk,
    leaf,
    memory::list,
    pages::{most_chunks, of_block},
    recover::OpenError,
    repair::Counts,
    units::{Block, Chunk},
};

/// Blocks that are led elsewhere after one pass over the map: 16 MiB of memory.
const BATCH: usize = 1 << 20;

impl Volume {
    /// Leads them there. That number has all its references before the first block leads to it, so that a checkpoint on the
    /// way is no harm: there are too many then, not too few.
    pub(crate) fn repair_strays(
        &mut self,
        disk: &mut dyn Disk,
        counts: &mut Counts,
        repaired: &mut Report,
    ) -> Result<(), OpenError> {
        let mut batch = list(BATCH).ok_or(OpenError::NoMemory)?;
        loop {
            let size = self.table_size;
            batch.clear();
            self.walk_map(disk, &mut Report::default(), |_, block, chunk| {
                if chunk.0 >= size && batch.len() < BATCH {
                    batch.push((block, chunk));
                }
            })?;
            if batch.is_empty() || !self.keep_one_more(disk, batch.len() as u32, counts)? {
                return Ok(());
            }
            for &(block, chunk) in &batch {
                self.lead(disk, block, Chunk(size))?;
                repaired.add(Problem::Stray(block, chunk));
            }
        }
    }

    /// Lets the table grow by a number that nobody can read; `false` if it cannot.
    fn keep_one_more(
        &mut self,
        disk: &mut dyn Disk,
        references: u32,
        counts: &mut Counts,
    ) -> Result<bool, OpenError> {
        let number = Chunk(self.table_size);
        let segment = self.segment_for_one_more(counts);
        let Some(segment) = segment.filter(|_| number.0 < most_chunks(&self.layout)) else {
            return Ok(false);
        };
        self.make_room(disk)?;
        self.table_size += 1;
        match self.pump(disk, |volume| volume.entry(number)) {
            Ok(None) => {}
            // What the last root record forgot is not written over, nor what cannot be read.
            Ok(Some(_)) | Err(OpenError::Page) => {
                self.table_size -= 1;
                return Ok(false);
            }
            Err(error) => return Err(error),
        }
        self.pump(disk, |volume| volume.keep_number(number, references, segment))?;
        Ok(true)
    }

    fn lead(&mut self, disk: &mut dyn Disk, block: Block, to: Chunk) -> Result<(), OpenError> {
        self.make_room(disk)?;
        let (key, entry): (PageKey, u64) = of_block(block);
        self.pump(disk, |volume| {
            let frame = volume.page_to_change(key)?;
            leaf::set_map(volume.cache.page_mut(frame), entry, Some(to));
            Ok(())
        })
    }
}
