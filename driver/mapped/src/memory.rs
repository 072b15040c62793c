//! Memory, or the news that there is none.

use alloc::{boxed::Box, collections::VecDeque, sync::Arc, vec::Vec};

/// Room for `capacity`.
pub(crate) fn list<T>(capacity: usize) -> Option<Vec<T>> {
    let mut list = Vec::new();
    list.try_reserve_exact(capacity).ok()?;
    Some(list)
}

/// Room for `capacity`.
pub(crate) fn queue<T>(capacity: usize) -> Option<VecDeque<T>> {
    let mut queue = VecDeque::new();
    queue.try_reserve_exact(capacity).ok()?;
    Some(queue)
}

/// `length` zeros.
pub(crate) fn zeros(length: usize) -> Option<Box<[u8]>> {
    let mut bytes = list(length)?;
    bytes.resize(length, 0);
    Some(bytes.into_boxed_slice())
}

/// `length` zeros that may have several owners. The standard library has no way to ask for one: whether there is memory is
/// found out by asking for as much, last of all.
pub(crate) fn shared(length: usize) -> Option<Arc<[u8]>> {
    let bytes = zeros(length)?;
    drop(zeros(length + 64)?);
    Some(Arc::from(bytes))
}

/// `count` of what `make` makes.
pub(crate) fn several<T>(count: usize, make: impl Fn() -> Option<T>) -> Option<Vec<T>> {
    let mut all = list(count)?;
    for _ in 0..count {
        all.push(make()?);
    }
    Some(all)
}

/// The numbers below `count`, the lowest last.
pub(crate) fn numbers(count: usize) -> Option<Vec<u32>> {
    let mut all = list(count)?;
    all.extend((0..count as u32).rev());
    Some(all)
}
