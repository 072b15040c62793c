//! Blocks that lead behind the end of the table.
//!
//! The table grows by one number at a time, so one day a new chunk would get the number to which such a block leads, be read
//! in the block's place, and lose a reference with it. A free number *in* the table is simply taken then
//! (`Volume::keep_number`). Numbers behind its end are too many for that: the table would have to grow as far. Of the chunk
//! that such a block once had, the number says nothing any more, so they are marked as lost.

use crate::{
    Volume,
    check::{Problem, Report},
    disk::Disk,
    leaf,
    memory::list,
    pages::of_block,
    recover::OpenError,
    units::{Block, Chunk},
};

/// Blocks that are marked after one pass over the map: 16 MiB of memory.
const BATCH: usize = 1 << 20;

impl Volume {
    /// Marks them.
    pub(crate) fn repair_strays(
        &mut self,
        disk: &mut dyn Disk,
        repaired: &mut Report,
    ) -> Result<(), OpenError> {
        let mut batch = list(BATCH).ok_or(OpenError::NoMemory)?;
        loop {
            let size = self.table_size;
            batch.clear();
            self.walk_map(disk, &mut Report::default(), |_, block, chunk| {
                if chunk.0 >= size && chunk != Chunk::LOST && batch.len() < BATCH {
                    batch.push((block, chunk));
                }
            })?;
            if batch.is_empty() {
                return Ok(());
            }
            for &(block, chunk) in &batch {
                self.lose_block(disk, block)?;
                repaired.add(Problem::Stray(block, chunk));
            }
        }
    }

    fn lose_block(&mut self, disk: &mut dyn Disk, block: Block) -> Result<(), OpenError> {
        self.make_room(disk)?;
        let (key, entry) = of_block(block);
        self.pump(disk, |volume| {
            let frame = volume.page_to_change(key)?;
            leaf::set_map(volume.cache.page_mut(frame), entry, Some(Chunk::LOST));
            Ok(())
        })
    }
}
