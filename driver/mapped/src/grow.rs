//! Growing: the header says so, and the next opening adapts.
//!
//! The root record tells how many blocks and segments the volume had when it was written. An opening with more puts inner
//! pages above trees that have become too shallow, takes the new segments as free ones, and the checkpoint that every
//! opening makes writes it all down. Until its root record is there, the old one stands, and the next opening adapts again.
//!
//! When the device has become larger, the header's second copy moves, and with it those of the root records. What lies at
//! the new places may be anything, also root records of another life of this volume, put back from a backup since. So
//! they are written over first ([`Volume::begin_growth`]), and then the header (`sluice_engine::format::plan::grow`).

use crate::{
    Volume,
    cache::{PageKey, State, Tree},
    disk::Disk,
    layout::Layout,
    leaf::{self, Ref},
    memory::zeros,
    mutants::Mutant,
    pages::{TreeRoot, depths},
    recover::{OpenError, newest_root},
    root::Root,
    seal::Sealer,
    units::{Address, BLOCK},
};

/// The layout with which `root` was written, for a volume that has `layout` now.
pub(crate) fn written_with(root: &Root, layout: &Layout) -> Result<Layout, OpenError> {
    let segments = u32::try_from(root.segments).map_err(|_| OpenError::Larger)?;
    if root.blocks > layout.blocks || segments > layout.segments {
        return Err(OpenError::Larger);
    }
    let written = Layout { blocks: root.blocks, segments, ..*layout };
    if root.fits(&written) { Ok(written) } else { Err(OpenError::NoRoot) }
}

impl Volume {
    /// Prepares a closed volume for a header that says `to` instead of `from`: what recovery needs lies at the new places,
    /// and still at the old ones. The header must follow before the volume is opened again; if it does not, the volume is
    /// what it was, and this has to be done again.
    ///
    /// # Errors
    /// [`OpenError::Device`], [`OpenError::NoRoot`]; [`OpenError::Larger`] if `to` is smaller.
    pub fn begin_growth(
        disk: &mut dyn Disk,
        from: &Layout,
        to: &Layout,
        sealer: &Sealer,
    ) -> Result<(), OpenError> {
        if to.blocks < from.blocks || to.segments < from.segments || to.copy_b < from.copy_b {
            return Err(OpenError::Larger);
        }
        disk.flush().map_err(|_| OpenError::Device)?;
        // Both first copies are as good as the second ones now, which are about to be left.
        newest_root(disk, from, sealer, true)?;
        if to.copy_b == from.copy_b {
            return Ok(());
        }
        let mut page = zeros(BLOCK).ok_or(OpenError::NoMemory)?;
        for slot in [0, 1] {
            let ([first, _], [_, second]) = (from.roots(slot), to.roots(slot));
            disk.read(first, &mut page).map_err(|_| OpenError::Device)?;
            disk.write(second, &page).map_err(|_| OpenError::Device)?;
        }
        disk.flush().map_err(|_| OpenError::Device)
    }

    /// Gives each tree the depth that the layout needs. The pages above the old root stay in memory, changed, until a
    /// checkpoint writes them: each leads to the one below then.
    pub(crate) fn raise_trees(&mut self) -> Result<(), OpenError> {
        let wanted = depths(&self.layout);
        for tree in [Tree::Map, Tree::Table, Tree::Space] {
            let TreeRoot { root, depth } = self.trees[tree as usize];
            let wanted = wanted[tree as usize];
            // An empty tree is empty at any depth.
            let raised = wanted > depth && root.address != Address(0);
            let root_now = if raised { Ref::default() } else { root };
            self.trees[tree as usize] = TreeRoot { root: root_now, depth: wanted };
            for level in depth..if raised { wanted } else { depth } {
                let key = PageKey::new(tree, level, 0);
                let frame = self.cache.insert(key, State::Dirty).ok_or(OpenError::NoMemory)?;
                let page = self.cache.page_mut(frame);
                page.fill(0);
                if level == depth && !self.options.errs(Mutant::TreeNotLinked) {
                    leaf::set_child(page, 0, root);
                }
            }
        }
        Ok(())
    }
}
