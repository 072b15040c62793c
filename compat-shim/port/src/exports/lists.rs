//! Lists of a miniport's own: singly linked ones, which the port locks, and doubly linked ones with the miniport's lock.

use core::ptr;

use sluice_shim::{platform::LockWord, storport::status::StorStatus};

use super::Arguments;
use crate::{
    faults::count,
    port::Port,
    services::DISPATCH_LEVEL,
    types::{ListEntry, SingleEntry, SingleHead},
};

/// Calls `then` under the port's lock for such lists.
fn locked(port: &Port, then: impl FnOnce()) -> StorStatus {
    if port.system().irql() > DISPATCH_LEVEL {
        count(&port.faults().irql);
        return StorStatus::INVALID_IRQL;
    }
    let _lists = port.lists().lock(port.system());
    then();
    StorStatus::SUCCESS
}

/// Writes to the place of a result, which may be null.
///
/// # Safety
/// The argument is null or may be written.
unsafe fn put<T>(arguments: &Arguments<'_>, index: usize, value: T) {
    if let Some(place) = arguments.place::<T>(index) {
        // SAFETY: the caller's contract.
        unsafe { place.write(value) };
    }
}

/// InitializeSListHead(STOR_SLIST_HEADER *head).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn initialize(_port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(head) = arguments.place::<SingleHead>(0) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract.
    unsafe { head.write(SingleHead { first: ptr::null_mut(), depth: 0 }) };
    StorStatus::SUCCESS
}

/// InterlockedFlushSList(STOR_SLIST_HEADER *head, STOR_SLIST_ENTRY **all).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn flush(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(head) = arguments.place::<SingleHead>(0) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract; the list changes under the lock only.
    locked(port, || unsafe {
        let all = head.replace(SingleHead { first: ptr::null_mut(), depth: 0 });
        put(arguments, 1, all.first);
    })
}

/// InterlockedPopEntrySList(STOR_SLIST_HEADER *head, STOR_SLIST_ENTRY **first): null if there is none.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn pop(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let (head, place) = (arguments.place::<SingleHead>(0), arguments.place::<*mut SingleEntry>(1));
    let (Some(head), Some(place)) = (head, place) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: as in `flush`; entries stay while they are in the list.
    locked(port, || unsafe {
        let SingleHead { first, depth } = head.read();
        if !first.is_null() {
            head.write(SingleHead { first: (*first).next, depth: depth.wrapping_sub(1) });
        }
        place.write(first);
    })
}

/// InterlockedPushEntrySList(STOR_SLIST_HEADER *head, STOR_SLIST_ENTRY *entry, STOR_SLIST_ENTRY **first): what was the first.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn push(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let (head, entry) = (arguments.place::<SingleHead>(0), arguments.place::<SingleEntry>(1));
    let (Some(head), Some(entry)) = (head, entry) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: as in `flush`; the entry is the caller's.
    locked(port, || unsafe {
        let SingleHead { first, depth } = head.read();
        (*entry).next = first;
        head.write(SingleHead { first: entry, depth: depth.wrapping_add(1) });
        put(arguments, 2, first);
    })
}

/// QueryDepthSList(STOR_SLIST_HEADER *head, SHORT *depth).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn depth(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let (head, place) = (arguments.place::<SingleHead>(0), arguments.place::<u16>(1));
    let (Some(head), Some(place)) = (head, place) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: as in `flush`.
    locked(port, || unsafe { place.write((*head).depth as u16) })
}

/// InitializeSpinlock(STOR_KSPIN_LOCK *lock).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn initialize_lock(_port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(lock) = arguments.place::<LockWord>(0) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract.
    unsafe { lock.write(LockWord::default()) };
    StorStatus::SUCCESS
}

/// Calls `then` with the list's head under the miniport's lock, which is argument `lock`, and writes what it says to
/// argument `result`.
///
/// # Safety
/// Head, lock and result are what the code's documentation says.
unsafe fn with_list(
    port: &Port,
    arguments: &Arguments<'_>,
    [result, lock]: [usize; 2],
    then: impl FnOnce(*mut ListEntry) -> *mut ListEntry,
) -> StorStatus {
    let head = arguments.place::<ListEntry>(0);
    let (lock, result) = (arguments.place::<LockWord>(lock), arguments.place::<*mut ListEntry>(result));
    let (Some(head), Some(lock), Some(result)) = (head, lock, result) else {
        return StorStatus::INVALID_PARAMETER;
    };
    if port.system().irql() > DISPATCH_LEVEL {
        count(&port.faults().irql);
        return StorStatus::INVALID_IRQL;
    }
    // SAFETY: the caller's contract: a word that InitializeSpinlock has made, and a place for a pointer.
    unsafe {
        let lock = &*lock;
        let old = port.system().acquire(lock);
        let answer = then(head);
        port.system().release(lock, old);
        result.write(answer);
    }
    StorStatus::SUCCESS
}

/// What was at one end of a list: null if it was empty.
fn unless_head(entry: *mut ListEntry, head: *mut ListEntry) -> *mut ListEntry {
    if ptr::eq(entry, head) { ptr::null_mut() } else { entry }
}

/// Puts `entry` between two neighbours.
///
/// # Safety
/// They are neighbours in a list whose lock is held; the entry is in none.
unsafe fn link(before: *mut ListEntry, entry: *mut ListEntry, after: *mut ListEntry) {
    // SAFETY: the caller's contract.
    unsafe {
        entry.write(ListEntry { next: after, before });
        (*before).next = entry;
        (*after).before = entry;
    }
}

/// InterlockedInsertHeadList(STOR_LIST_ENTRY *head, STOR_LIST_ENTRY *entry, STOR_LIST_ENTRY **first, STOR_KSPIN_LOCK *lock).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn insert_head(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(entry) = arguments.place::<ListEntry>(1) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract.
    unsafe {
        with_list(port, arguments, [2, 3], |head| {
            let first = (*head).next;
            link(head, entry, first);
            unless_head(first, head)
        })
    }
}

/// InterlockedInsertTailList: the same at the other end.
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn insert_tail(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    let Some(entry) = arguments.place::<ListEntry>(1) else { return StorStatus::INVALID_PARAMETER };
    // SAFETY: the code's contract.
    unsafe {
        with_list(port, arguments, [2, 3], |head| {
            let last = (*head).before;
            link(last, entry, head);
            unless_head(last, head)
        })
    }
}

/// InterlockedRemoveHeadList(STOR_LIST_ENTRY *head, STOR_LIST_ENTRY **first, STOR_KSPIN_LOCK *lock).
///
/// # Safety
/// See [`super::Handler`].
pub(super) unsafe fn remove_head(port: &Port, arguments: &Arguments<'_>) -> StorStatus {
    // SAFETY: the code's contract.
    unsafe {
        with_list(port, arguments, [1, 2], |head| {
            let first = (*head).next;
            if !ptr::eq(first, head) {
                let second = (*first).next;
                (*head).next = second;
                (*second).before = head;
            }
            unless_head(first, head)
        })
    }
}
