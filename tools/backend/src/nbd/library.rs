//! libnbd, the C library, as far as it is used here. It is loaded when the first URI is opened: whoever uses files needs none.
//!
//! Its functions and their types are those of libnbd(3), and stay what they are (its ABI is stable).

use std::{
    ffi::{CStr, CString, c_char, c_int, c_void},
    io,
    os::fd::BorrowedFd,
    ptr::NonNull,
    sync::OnceLock,
    time::{Duration, Instant},
};

use libloading::Library;
use rustix::net::sockopt;

/// The name that its ABI has had from 1.0 on.
const LIBRARY: &str = "libnbd.so.0";
/// A server that is silent for so long is gone, although nothing has closed the connection.
const SILENT: Duration = Duration::from_secs(30);

/// `struct nbd_handle *`.
type Raw = *mut c_void;

/// The table of functions, and how it is filled.
macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $answer:ty)?;)*) => {
        struct Functions { $($name: unsafe extern "C" fn($($argument),*) $(-> $answer)?,)* }

        impl Functions {
            /// # Safety
            /// The library's functions have the types of this table.
            unsafe fn find(library: &'static Library) -> Result<Self, libloading::Error> {
                // SAFETY: as the caller says. The library is never unloaded.
                Ok(unsafe { Self { $($name: *library.get(concat!(stringify!($name), "\0").as_bytes())?,)* } })
            }
        }
    };
}

functions! {
    nbd_create: fn() -> Raw;
    nbd_close: fn(Raw);
    nbd_get_error: fn() -> *const c_char;
    nbd_get_errno: fn() -> c_int;
    nbd_set_uri_allow_local_file: fn(Raw, bool) -> c_int;
    nbd_aio_connect_uri: fn(Raw, *const c_char) -> c_int;
    nbd_poll: fn(Raw, c_int) -> c_int;
    nbd_aio_is_ready: fn(Raw) -> c_int;
    nbd_aio_get_fd: fn(Raw) -> c_int;
    nbd_get_size: fn(Raw) -> i64;
    nbd_get_block_size: fn(Raw, c_int) -> i64;
    nbd_can_flush: fn(Raw) -> c_int;
    nbd_can_trim: fn(Raw) -> c_int;
    nbd_can_multi_conn: fn(Raw) -> c_int;
    nbd_is_read_only: fn(Raw) -> c_int;
    nbd_pread: fn(Raw, *mut c_void, usize, u64, u32) -> c_int;
    nbd_pwrite: fn(Raw, *const c_void, usize, u64, u32) -> c_int;
    nbd_flush: fn(Raw, u32) -> c_int;
    nbd_trim: fn(Raw, u64, u64, u32) -> c_int;
}

fn functions() -> io::Result<&'static Functions> {
    static FUNCTIONS: OnceLock<Result<Functions, String>> = OnceLock::new();
    let load = || -> Result<Functions, libloading::Error> {
        // SAFETY: what it does when it is loaded is to prepare TLS and XML; it is made to be linked into any program.
        let library = unsafe { Library::new(LIBRARY) }?;
        // SAFETY: the table above is that of libnbd(3).
        unsafe { Functions::find(Box::leak(Box::new(library))) }
    };
    let found = FUNCTIONS.get_or_init(|| load().map_err(|error| error.to_string()));
    found.as_ref().map_err(|error| {
        let what = format!("NBD servers are reached by libnbd: install the package libnbd0 ({error})");
        io::Error::new(io::ErrorKind::Unsupported, what)
    })
}

/// What the server says of its disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Told {
    pub(super) bytes: u64,
    /// What all places and lengths are multiples of; 0: it does not say.
    pub(super) least: u64,
    /// The longest request; 0: it does not say.
    pub(super) most: u64,
    pub(super) flushes: bool,
    pub(super) trims: bool,
    pub(super) read_only: bool,
    /// A flush on one connection is of what was written on all.
    pub(super) many: bool,
}

/// A connection that has been made. One request at a time.
pub(super) struct Connection {
    raw: NonNull<c_void>,
    calls: &'static Functions,
}

// SAFETY: a handle belongs to no thread (libnbd(3), "Multithreading").
unsafe impl Send for Connection {}

impl Connection {
    /// Connects, within so long a time.
    pub(super) fn new(uri: &CStr, patience: Duration) -> io::Result<Self> {
        let calls = functions()?;
        let until = Instant::now() + patience;
        // SAFETY: it takes nothing.
        let raw = NonNull::new(unsafe { (calls.nbd_create)() }).ok_or_else(|| said(calls))?;
        let connection = Self { raw, calls };
        // SAFETY: an open handle; the URI ends with a zero. Files that a URI names are those of whoever gave it.
        let begun = unsafe {
            (calls.nbd_set_uri_allow_local_file)(raw.as_ptr(), true);
            (calls.nbd_aio_connect_uri)(raw.as_ptr(), uri.as_ptr())
        };
        connection.judge(begun)?;
        while !connection.is_whole() {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "the server does not answer"));
            }
            // SAFETY: an open handle.
            let moved = unsafe { (calls.nbd_poll)(raw.as_ptr(), left.as_millis() as c_int + 1) };
            connection.judge(moved)?;
        }
        connection.watch();
        Ok(connection)
    }

    /// Has the system find out when the server's machine has gone without a word. Sockets of this machine need that not,
    /// and refuse it.
    fn watch(&self) {
        // SAFETY: an open handle.
        let descriptor = unsafe { (self.calls.nbd_aio_get_fd)(self.raw.as_ptr()) };
        if descriptor < 0 {
            return;
        }
        // SAFETY: the connection's socket is open as long as the handle is.
        let socket = unsafe { BorrowedFd::borrow_raw(descriptor) };
        let _ = sockopt::set_socket_keepalive(socket, true)
            .and_then(|()| sockopt::set_tcp_keepidle(socket, SILENT / 3))
            .and_then(|()| sockopt::set_tcp_keepintvl(socket, SILENT / 6))
            .and_then(|()| sockopt::set_tcp_keepcnt(socket, 4))
            .and_then(|()| sockopt::set_tcp_user_timeout(socket, SILENT.as_millis() as u32));
    }

    /// Whether requests can be sent.
    pub(super) fn is_whole(&self) -> bool {
        // SAFETY: an open handle.
        unsafe { (self.calls.nbd_aio_is_ready)(self.raw.as_ptr()) == 1 }
    }

    pub(super) fn told(&self) -> io::Result<Told> {
        let (raw, calls) = (self.raw.as_ptr(), self.calls);
        let number = |answer: i64| u64::try_from(answer).map_err(|_| said(calls));
        // SAFETY: an open handle, which has been told all this when it connected.
        unsafe {
            let truth = |answer: c_int| number(answer.into()).map(|answer| answer == 1);
            Ok(Told {
                bytes: number((calls.nbd_get_size)(raw))?,
                least: number((calls.nbd_get_block_size)(raw, 0))?,
                most: number((calls.nbd_get_block_size)(raw, 2))?,
                flushes: truth((calls.nbd_can_flush)(raw))?,
                trims: truth((calls.nbd_can_trim)(raw))?,
                read_only: truth((calls.nbd_is_read_only)(raw))?,
                many: truth((calls.nbd_can_multi_conn)(raw))?,
            })
        }
    }

    pub(super) fn read(&self, offset: u64, into: &mut [u8]) -> io::Result<()> {
        // SAFETY: an open handle, and room for so many bytes.
        let answer = unsafe {
            (self.calls.nbd_pread)(self.raw.as_ptr(), into.as_mut_ptr().cast(), into.len(), offset, 0)
        };
        self.judge(answer)
    }

    pub(super) fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        // SAFETY: an open handle, and so many bytes.
        let answer = unsafe {
            (self.calls.nbd_pwrite)(self.raw.as_ptr(), bytes.as_ptr().cast(), bytes.len(), offset, 0)
        };
        self.judge(answer)
    }

    pub(super) fn flush(&self) -> io::Result<()> {
        // SAFETY: an open handle.
        self.judge(unsafe { (self.calls.nbd_flush)(self.raw.as_ptr(), 0) })
    }

    pub(super) fn trim(&self, offset: u64, length: u64) -> io::Result<()> {
        // SAFETY: an open handle.
        self.judge(unsafe { (self.calls.nbd_trim)(self.raw.as_ptr(), length, offset, 0) })
    }

    fn judge(&self, answer: c_int) -> io::Result<()> {
        if answer >= 0 {
            return Ok(());
        }
        // A server says why by a number, which others may pass on; libnbd has words for everything else.
        // SAFETY: it takes nothing.
        match unsafe { (self.calls.nbd_get_errno)() } {
            number @ 1.. if self.is_whole() => Err(io::Error::from_raw_os_error(number)),
            _ => Err(said(self.calls)),
        }
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        // SAFETY: an open handle, which nobody uses any more.
        unsafe { (self.calls.nbd_close)(self.raw.as_ptr()) }
    }
}

/// The error of this thread's last call.
fn said(calls: &Functions) -> io::Error {
    // SAFETY: the text is this thread's until its next call; it may be null.
    let (number, text) = unsafe {
        let text = (calls.nbd_get_error)();
        let text = if text.is_null() { c"unknown error" } else { CStr::from_ptr(text) };
        ((calls.nbd_get_errno)(), CString::from(text))
    };
    let kind = io::Error::from_raw_os_error(number).kind();
    io::Error::new(kind, text.to_string_lossy().into_owned())
}
