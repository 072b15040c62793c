//! One test disk, as the suites see it: its stack's top, and the knobs of the
//! test driver behind it.

use zerocopy::{FromBytes, FromZeros, IntoBytes};

use crate::{
    device::{Device, Error, Pending},
    interface::*,
};

/// `\\.\SluiceTest`.
pub(crate) struct Bench(Device);

impl Bench {
    pub(crate) fn open() -> Result<Bench, Error> {
        Device::open("SluiceTest").map(Bench)
    }

    pub(crate) fn create(
        &self,
        image: &str,
        sector_size: u32,
        filter: &str,
        flags: u32,
        max_transfer: u32,
    ) -> Result<Created, Error> {
        let mut c = Create::new_zeroed();
        c.sector_size = sector_size;
        c.max_transfer = max_transfer;
        c.alignment_mask = 3;
        c.flags = flags;
        fill(&mut c.filter, filter);
        fill(&mut c.image, image);
        let out = self.0.control(CREATE, c.as_bytes(), size_of::<Created>())?;
        Created::read_from_bytes(&out).map_err(|_| crate::device::TIMED_OUT)
    }

    pub(crate) fn text(&self, code: u32) -> Result<String, Error> {
        let bytes = self.0.control(code, &[], 65536)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end_matches('\0').to_owned())
    }

    pub(crate) fn call(&self, code: u32, input: &[u8]) -> Result<(), Error> {
        self.0.control(code, input, 0).map(|_| ())
    }

    pub(crate) fn control(&self, code: u32, input: &[u8], room: usize) -> Result<Vec<u8>, Error> {
        self.0.control(code, input, room)
    }

    pub(crate) fn bytes(&self, code: u32, room: usize) -> Result<Vec<u8>, Error> {
        self.0.control(code, &[], room)
    }

    /// Objects that a driver's image owns now.
    pub(crate) fn leaks(&self, image: &str) -> Result<u32, Error> {
        word(&self.0.control(VERIFIER_LEAKS, image.as_bytes(), 4)?)
    }

    pub(crate) fn counters(&self) -> Result<VerifierCounters, Error> {
        let mut input = [0u8; size_of::<VerifierCounters>()];
        input[..4].copy_from_slice(&(size_of::<VerifierCounters>() as u32).to_le_bytes());
        let out = self.0.control(VERIFIER_COUNTERS, &input, input.len())?;
        VerifierCounters::read_from_bytes(&out).map_err(|_| crate::device::TIMED_OUT)
    }

    /// Default options for the verifier, with sluice.sys as its target.
    pub(crate) fn options() -> VerifierOptions {
        let mut o = VerifierOptions::new_zeroed();
        o.size = size_of::<VerifierOptions>() as u32;
        o.target[..10].copy_from_slice(b"sluice.sys");
        o
    }

    pub(crate) fn configure(&self, o: &VerifierOptions) -> Result<(), Error> {
        self.call(VERIFIER_CONFIGURE, o.as_bytes())
    }
}

fn fill(to: &mut [u16], text: &str) {
    let room = to.len() - 1;
    for (slot, unit) in to[..room].iter_mut().zip(text.encode_utf16()) {
        *slot = unit;
    }
}

fn word(bytes: &[u8]) -> Result<u32, Error> {
    bytes.try_into().map(u32::from_le_bytes).map_err(|_| crate::device::TIMED_OUT)
}

/// A disk by its number.
pub(crate) struct Disk {
    pub(crate) number: u32,
    pub(crate) top: Device,
    pub(crate) bench: Bench,
    pub(crate) sector: u64,
}

impl Disk {
    pub(crate) fn open(number: u32, sector: u64) -> Result<Disk, Error> {
        Ok(Disk {
            number,
            top: Device::open(&format!("SluiceTestDisk{number}"))?,
            bench: Bench::open()?,
            sector,
        })
    }

    pub(crate) fn statistics(&self) -> Result<Statistics, Error> {
        let out = self.bench.0.control(STATISTICS, &self.number.to_le_bytes(), size_of::<Statistics>())?;
        Statistics::read_from_bytes(&out).map_err(|_| crate::device::TIMED_OUT)
    }

    pub(crate) fn reset(&self) -> Result<(), Error> {
        self.bench.call(RESET, &self.number.to_le_bytes())
    }

    /// Sets the port's behaviour; what `set` leaves alone is the plain default.
    pub(crate) fn port(&self, set: impl FnOnce(&mut PortMode)) -> Result<(), Error> {
        let mut m = PortMode::new_zeroed();
        m.disk = self.number;
        m.fault_last = u64::MAX;
        set(&mut m);
        self.bench.call(PORT_MODE, m.as_bytes())
    }

    /// Sets how the class driver makes its SRBs.
    pub(crate) fn class(&self, flags: u32, max_transfer: u32, retries: u32) -> Result<(), Error> {
        let m = ClassMode { disk: self.number, flags, max_transfer, retries };
        self.bench.call(CLASS_MODE, m.as_bytes())
    }

    /// Looks for these 16 bytes in whatever is written to the port from now on.
    pub(crate) fn watch(&self, bytes: [u8; 16]) -> Result<(), Error> {
        self.bench.call(PATTERN, Pattern { disk: self.number, bytes }.as_bytes())
    }

    /// Sends a PnP request; the answer is its NTSTATUS.
    pub(crate) fn pnp(&self, minor: u32, argument: u32) -> Result<u32, Error> {
        pnp(&self.bench, self.number, minor, argument)
    }

    pub(crate) fn power(&self, state: u32) -> Result<u32, Error> {
        word(&self.bench.0.control(
            POWER,
            Pnp { disk: self.number, minor: state, argument: 0 }.as_bytes(),
            4,
        )?)
    }

    pub(crate) fn cancel(&self) -> Result<u32, Error> {
        word(&self.bench.0.control(CANCEL, &self.number.to_le_bytes(), 4)?)
    }

    /// Sends one SRB as `request` spells it and waits.
    pub(crate) fn send(&self, request: &Request) -> Result<Answer, Error> {
        request.start(self).wait().and_then(|b| Answer::parse(&b))
    }
}

/// Sends a PnP request to a disk that need not be open.
pub(crate) fn pnp(bench: &Bench, disk: u32, minor: u32, argument: u32) -> Result<u32, Error> {
    word(&bench.0.control(PNP, Pnp { disk, minor, argument }.as_bytes(), 4)?)
}

/// One SRB, right or wrong.
#[derive(Clone)]
pub(crate) struct Request {
    raw: Raw,
    data: Vec<u8>,
}

impl Request {
    /// SRB_FUNCTION_EXECUTE_SCSI with this CDB and no data.
    pub(crate) fn cdb(cdb: &[u8]) -> Request {
        let mut raw = Raw::new_zeroed();
        raw.cdb[..cdb.len()].copy_from_slice(cdb);
        raw.cdb_length = cdb.len() as u32;
        raw.srb_flags = 0x100; // NO_QUEUE_FREEZE
        Request { raw, data: Vec::new() }
    }

    /// Another SRB function.
    pub(crate) fn function(f: u32) -> Request {
        let mut r = Request::cdb(&[]);
        r.raw.function = f;
        r
    }

    pub(crate) fn extended(mut self, yes: bool) -> Request {
        if yes {
            self.raw.flags |= RAW_EXTENDED;
        }
        self
    }

    pub(crate) fn reads(mut self, length: usize) -> Request {
        self.raw.flags |= RAW_DATA_IN;
        self.raw.data_length = length as u32;
        self
    }

    pub(crate) fn writes(mut self, data: &[u8]) -> Request {
        self.raw.flags |= RAW_DATA_OUT;
        self.raw.data_length = data.len() as u32;
        self.data = data.to_vec();
        self
    }

    /// RAW_* flags, SRB flags.
    pub(crate) fn with(mut self, flags: u32, srb_flags: u32) -> Request {
        self.raw.flags |= flags;
        self.raw.srb_flags |= srb_flags;
        self
    }

    /// Writes `size` bytes of `value` at `offset` over the finished SRB.
    pub(crate) fn lie(mut self, offset: u16, size: u16, value: u64) -> Request {
        self.raw.patch[self.raw.patches as usize] = Patch { offset, size, reserved: 0, value };
        self.raw.patches += 1;
        self
    }

    pub(crate) fn start(&self, disk: &Disk) -> Pending {
        let mut raw = self.raw;
        raw.disk = disk.number;
        let input = [raw.as_bytes(), &self.data].concat();
        let room = if raw.flags & RAW_DATA_IN != 0 { raw.data_length as usize } else { 0 };
        disk.bench.0.start_control(RAW, input, size_of::<RawResult>() + room)
    }
}

/// What became of a [`Request`].
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u32,
    pub(crate) srb_status: u8,
    pub(crate) transferred: u32,
    /// Sense key, additional sense code, qualifier; zeros if there was no sense data.
    pub(crate) sense: [u8; 3],
    pub(crate) buffer_changed: bool,
    pub(crate) data: Vec<u8>,
}

impl Answer {
    pub(crate) fn parse(bytes: &[u8]) -> Result<Answer, Error> {
        let (r, data) = RawResult::read_from_prefix(bytes).map_err(|_| crate::device::TIMED_OUT)?;
        let sense = if r.sense_length > 0 { [r.sense[2] & 15, r.sense[12], r.sense[13]] } else { [0; 3] };
        Ok(Answer {
            status: r.status,
            srb_status: r.srb_status & 0x3f,
            transferred: r.transferred,
            sense,
            buffer_changed: r.buffer_changed != 0,
            data: data.to_vec(),
        })
    }

    /// SRB_STATUS_SUCCESS and a success NTSTATUS.
    pub(crate) fn good(&self) -> bool {
        self.srb_status == 1 && (self.status as i32) >= 0
    }

    /// A short form for reports, without the data.
    pub(crate) fn text(&self) -> String {
        let [key, asc, ascq] = self.sense;
        format!(
            "status {:#x}, SRB status {:#x}, sense {key:x}/{asc:02x}/{ascq:02x}, {} bytes",
            self.status, self.srb_status, self.transferred
        )
    }
}

/// Shorthands for the commonest CDBs.
pub(crate) mod cdb {
    pub(crate) fn read10(lba: u32, blocks: u16) -> [u8; 10] {
        ten(0x28, lba, blocks)
    }
    pub(crate) fn write10(lba: u32, blocks: u16) -> [u8; 10] {
        ten(0x2a, lba, blocks)
    }
    pub(crate) fn ten(op: u8, lba: u32, blocks: u16) -> [u8; 10] {
        let (l, b) = (lba.to_be_bytes(), blocks.to_be_bytes());
        [op, 0, l[0], l[1], l[2], l[3], 0, b[0], b[1], 0]
    }
    pub(crate) fn sixteen(op: u8, lba: u64, blocks: u32) -> [u8; 16] {
        let mut c = [0; 16];
        c[0] = op;
        c[2..10].copy_from_slice(&lba.to_be_bytes());
        c[10..14].copy_from_slice(&blocks.to_be_bytes());
        c
    }
}
