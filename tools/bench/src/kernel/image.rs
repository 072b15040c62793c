//! A driver's file in memory: sections where they belong, relocations made, imports bound.

use std::{ffi::c_void, path::Path, ptr};

use object::{
    LittleEndian as LE,
    pe::{IMAGE_REL_BASED_DIR64, ImageNtHeaders64},
    read::pe::{ImageNtHeaders, ImageOptionalHeader, Import, PeFile64},
};
use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};

/// Loads it, for as long as the process lives; answers its entry point.
///
/// `bind` says where an import is.
///
/// # Errors
/// When the file is not what is expected, or there is no memory.
pub(super) fn load(file: &Path, bind: impl Fn(&[u8]) -> *const c_void) -> Result<*const c_void, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    let image = Image::map(&bytes).map_err(|error| format!("{}: {error}", file.display()))?;
    image.relocate()?;
    image.bind(bind)?;
    Ok(image
        .at(image.file.nt_headers().optional_header().address_of_entry_point() as usize, 0)?
        .cast_const()
        .cast())
}

struct Image<'a> {
    file: PeFile64<'a>,
    start: *mut u8,
    size: usize,
}

impl<'a> Image<'a> {
    /// Memory for all of it, with the sections in it.
    fn map(bytes: &'a [u8]) -> Result<Self, String> {
        let file = PeFile64::parse(bytes).map_err(|error| error.to_string())?;
        let header: &ImageNtHeaders64 = file.nt_headers();
        let size = header.optional_header().size_of_image() as usize;
        let all = ProtFlags::READ | ProtFlags::WRITE | ProtFlags::EXEC;
        // SAFETY: fresh memory, at whatever address is free.
        let start = unsafe { mmap_anonymous(ptr::null_mut(), size, all, MapFlags::PRIVATE) };
        let image = Self { start: start.map_err(|error| error.to_string())?.cast(), size, file };
        for section in image.file.section_table().iter() {
            let data = section.pe_data(bytes).map_err(|error| error.to_string())?;
            let data = data.get(..section.virtual_size.get(LE) as usize).unwrap_or(data);
            let to = image.at(section.virtual_address.get(LE) as usize, data.len())?;
            // SAFETY: inside the mapping, checked by `at`.
            unsafe { to.copy_from_nonoverlapping(data.as_ptr(), data.len()) };
        }
        Ok(image)
    }

    /// The address of so many bytes at an offset of the image.
    fn at(&self, offset: usize, bytes: usize) -> Result<*mut u8, String> {
        match offset.checked_add(bytes) {
            // SAFETY: inside the mapping.
            Some(end) if end <= self.size => Ok(unsafe { self.start.add(offset) }),
            _ => Err("something lies outside of the image".into()),
        }
    }

    fn relocate(&self) -> Result<(), String> {
        let preferred = self.file.nt_headers().optional_header().image_base();
        let moved = (self.start.expose_provenance() as u64).wrapping_sub(preferred);
        let directories = self.file.data_directories();
        let blocks = directories.relocation_blocks(self.file.data(), &self.file.section_table());
        let Some(mut blocks) = blocks.map_err(|error| error.to_string())? else { return Ok(()) };
        while let Some(block) = blocks.next().map_err(|error| error.to_string())? {
            for relocation in block.filter(|relocation| relocation.typ == IMAGE_REL_BASED_DIR64) {
                let place: *mut u64 = self.at(relocation.virtual_address as usize, 8)?.cast();
                // SAFETY: inside the mapping, checked by `at`; need not be aligned.
                unsafe { place.write_unaligned(place.read_unaligned().wrapping_add(moved)) };
            }
        }
        Ok(())
    }

    fn bind(&self, bind: impl Fn(&[u8]) -> *const c_void) -> Result<(), String> {
        let told = |error: object::Error| error.to_string();
        let Some(table) = self.file.import_table().map_err(told)? else { return Ok(()) };
        let mut descriptors = table.descriptors().map_err(told)?;
        while let Some(descriptor) = descriptors.next().map_err(told)? {
            let mut thunks = table.thunks(descriptor.original_first_thunk.get(LE)).map_err(told)?;
            let mut slot = descriptor.first_thunk.get(LE) as usize;
            while let Some(thunk) = thunks.next::<ImageNtHeaders64>().map_err(told)? {
                let Import::Name(_, name) = table.import::<ImageNtHeaders64>(thunk).map_err(told)? else {
                    return Err("an import without a name".into());
                };
                // SAFETY: inside the mapping, checked by `at`.
                unsafe { self.at(slot, 8)?.cast::<*const c_void>().write_unaligned(bind(name)) };
                slot += size_of::<u64>();
            }
        }
        Ok(())
    }
}

/// Memory with `code` in it.
pub(super) fn executable(code: &[u8]) -> *const c_void {
    let all = ProtFlags::READ | ProtFlags::WRITE | ProtFlags::EXEC;
    // SAFETY: fresh memory, of the code's length.
    unsafe {
        let Ok(place) = mmap_anonymous(ptr::null_mut(), code.len(), all, MapFlags::PRIVATE) else {
            super::nt::give_up("no memory for a stub");
        };
        place.cast::<u8>().copy_from_nonoverlapping(code.as_ptr(), code.len());
        place
    }
}
