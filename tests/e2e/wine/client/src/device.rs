//! Device handles: overlapped I/O with a time limit on every wait. A seam to
//! Win32; `unsafe` stays here and in `service.rs`.

use std::{mem, ptr};

use windows_sys::Win32::{
    Foundation::{
        CloseHandle, ERROR_IO_PENDING, GENERIC_READ, GENERIC_WRITE, GetLastError, HANDLE,
        INVALID_HANDLE_VALUE, WAIT_OBJECT_0,
    },
    Storage::FileSystem::{
        CreateFileW, FILE_FLAG_OVERLAPPED, FILE_SHARE_READ, FILE_SHARE_WRITE, OPEN_EXISTING, ReadFile,
        WriteFile,
    },
    System::{
        IO::{CancelIoEx, DeviceIoControl, GetOverlappedResult, OVERLAPPED},
        Threading::{CreateEventW, WaitForSingleObject},
    },
};

/// A Win32 error code.
pub(crate) type Error = u32;
/// No answer within the time limit; not a code that Win32 uses.
pub(crate) const TIMED_OUT: Error = 0xffff_fffe;
/// How long any single request may take, in milliseconds.
const LIMIT: u32 = 30_000;

/// An open device.
pub(crate) struct Device(HANDLE);

/// A request under way. Dropping it cancels it and waits for its end.
pub(crate) struct Pending {
    handle: HANDLE,
    parts: Box<Parts>,
    started: Result<(), Error>,
    over: bool,
}

/// What the kernel may touch until the request is over.
struct Parts {
    overlapped: OVERLAPPED,
    input: Vec<u8>,
    output: Vec<u8>,
}

impl Device {
    /// Opens `\\.\name`.
    pub(crate) fn open(name: &str) -> Result<Device, Error> {
        let path: Vec<u16> = format!("\\\\.\\{name}\0").encode_utf16().collect();
        // SAFETY: the path is zero-terminated and outlives the call; no pointers are kept.
        let handle = unsafe {
            CreateFileW(
                path.as_ptr(),
                GENERIC_READ | GENERIC_WRITE,
                FILE_SHARE_READ | FILE_SHARE_WRITE,
                ptr::null(),
                OPEN_EXISTING,
                FILE_FLAG_OVERLAPPED,
                ptr::null_mut(),
            )
        };
        if handle == INVALID_HANDLE_VALUE { Err(last_error()) } else { Ok(Device(handle)) }
    }

    /// Sends an I/O control and waits; returns what came back.
    pub(crate) fn control(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, Error> {
        self.start_control(code, input.to_vec(), room).wait()
    }

    /// Starts an I/O control.
    pub(crate) fn start_control(&self, code: u32, input: Vec<u8>, room: usize) -> Pending {
        let mut p = Pending::new(self.0, input, vec![0; room], 0);
        // SAFETY: both buffers and the OVERLAPPED are owned by `p`, which waits for the end before it drops them.
        let ok = unsafe {
            DeviceIoControl(
                self.0,
                code,
                p.parts.input.as_ptr().cast(),
                p.parts.input.len() as u32,
                p.parts.output.as_mut_ptr().cast(),
                p.parts.output.len() as u32,
                ptr::null_mut(),
                &mut p.parts.overlapped,
            )
        };
        p.launched(ok)
    }

    /// Starts a read of `length` bytes at byte `offset`.
    pub(crate) fn start_read(&self, offset: u64, length: usize) -> Pending {
        let mut p = Pending::new(self.0, Vec::new(), vec![0; length], offset);
        // SAFETY: as in `start_control`.
        let ok = unsafe {
            ReadFile(
                self.0,
                p.parts.output.as_mut_ptr(),
                length as u32,
                ptr::null_mut(),
                &mut p.parts.overlapped,
            )
        };
        p.launched(ok)
    }

    /// Starts a write at byte `offset`.
    pub(crate) fn start_write(&self, offset: u64, data: Vec<u8>) -> Pending {
        let mut p = Pending::new(self.0, data, Vec::new(), offset);
        // SAFETY: as in `start_control`.
        let ok = unsafe {
            WriteFile(
                self.0,
                p.parts.input.as_ptr(),
                p.parts.input.len() as u32,
                ptr::null_mut(),
                &mut p.parts.overlapped,
            )
        };
        p.launched(ok)
    }

    /// Reads and waits. Fewer bytes than asked for are returned as they came.
    pub(crate) fn read(&self, offset: u64, length: usize) -> Result<Vec<u8>, Error> {
        self.start_read(offset, length).wait()
    }

    /// Writes and waits; returns how many bytes were taken.
    pub(crate) fn write(&self, offset: u64, data: &[u8]) -> Result<usize, Error> {
        self.start_write(offset, data.to_vec()).wait_count()
    }
}

impl Drop for Device {
    fn drop(&mut self) {
        // SAFETY: the handle is ours and is closed once.
        unsafe { CloseHandle(self.0) };
    }
}

impl Pending {
    fn new(handle: HANDLE, input: Vec<u8>, output: Vec<u8>, offset: u64) -> Pending {
        // SAFETY: OVERLAPPED is plain data, for which zeros are valid.
        let mut overlapped: OVERLAPPED = unsafe { mem::zeroed() };
        // SAFETY: no pointers are passed but null ones.
        overlapped.hEvent = unsafe { CreateEventW(ptr::null(), 1, 0, ptr::null()) };
        overlapped.Anonymous.Anonymous.Offset = offset as u32;
        overlapped.Anonymous.Anonymous.OffsetHigh = (offset >> 32) as u32;
        Pending { handle, parts: Box::new(Parts { overlapped, input, output }), started: Ok(()), over: false }
    }

    fn launched(mut self, ok: i32) -> Pending {
        if ok == 0 {
            let error = last_error();
            if error != ERROR_IO_PENDING {
                self.started = Err(error);
                self.over = true;
            }
        }
        self
    }

    fn finish(&mut self) -> Result<usize, Error> {
        self.started?;
        // SAFETY: the event is ours.
        if unsafe { WaitForSingleObject(self.parts.overlapped.hEvent, LIMIT) } != WAIT_OBJECT_0 {
            return Err(TIMED_OUT);
        }
        self.over = true;
        let mut n = 0;
        // SAFETY: the request is over; OVERLAPPED and count live through the call.
        if unsafe { GetOverlappedResult(self.handle, &self.parts.overlapped, &mut n, 0) } == 0 {
            Err(last_error())
        } else {
            Ok(n as usize)
        }
    }

    /// Waits for the end; returns the bytes that came back.
    pub(crate) fn wait(mut self) -> Result<Vec<u8>, Error> {
        let n = self.finish()?;
        let mut out = mem::take(&mut self.parts.output);
        out.truncate(n);
        Ok(out)
    }

    /// Waits for the end; returns the count.
    pub(crate) fn wait_count(mut self) -> Result<usize, Error> {
        self.finish()
    }

    /// Has it ended?
    pub(crate) fn is_over(&self) -> bool {
        // SAFETY: the event is ours.
        self.over || unsafe { WaitForSingleObject(self.parts.overlapped.hEvent, 0) } == WAIT_OBJECT_0
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.over {
            // SAFETY: handle and OVERLAPPED are those of the request.
            unsafe { CancelIoEx(self.handle, &self.parts.overlapped) };
            // SAFETY: the event is ours.
            if unsafe { WaitForSingleObject(self.parts.overlapped.hEvent, 2000) } != WAIT_OBJECT_0 {
                // The kernel may still write there: better lost than given back.
                let none = Parts { overlapped: OVERLAPPED::default(), input: Vec::new(), output: Vec::new() };
                mem::forget(mem::replace(&mut self.parts, Box::new(none)));
                return;
            }
        }
        // SAFETY: the event is ours and is closed once.
        unsafe { CloseHandle(self.parts.overlapped.hEvent) };
    }
}

/// The calling thread's last Win32 error.
pub(crate) fn last_error() -> Error {
    // SAFETY: no arguments, no memory.
    unsafe { GetLastError() }
}
