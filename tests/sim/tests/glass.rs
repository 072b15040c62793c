//! A volume that passes everything straight on to the device: right as long as power does not fail, with many
//! requests under way at once; wrong when it does. So what the model says of requests that overlap can be tested alone.

use std::collections::{HashMap, VecDeque};

use sluice_mapped::{
    disk::Disk,
    io::{Buffer, DeviceError, DeviceIo, DeviceOp, Done, Error, IoId, Request},
    units::BLOCK,
};
use sluice_sim::{
    plan::Mode,
    simulate::{Case, Keep, simulate},
    subject::{Setup, Subject},
    workload::Step,
};

/// See the module.
#[derive(Default)]
struct Glass {
    next: u32,
    wanted: VecDeque<DeviceIo>,
    users: HashMap<u32, u64>,
    done: VecDeque<Done>,
}

impl Subject for Glass {
    const GROWS: bool = true;

    fn volume_size(setup: &Setup) -> u64 {
        setup.device.min(setup.volume)
    }

    fn format(disk: &mut dyn Disk, setup: &Setup) -> Result<(), String> {
        disk.write(0, &vec![0; setup.device as usize]).map_err(|_| "write")?;
        disk.flush().map_err(|_| "flush".to_owned())
    }

    fn grow(disk: &mut dyn Disk, setup: &Setup) -> Result<(), String> {
        let new = vec![0; Setup::GROWTH as usize];
        disk.write(setup.device - Setup::GROWTH, &new).map_err(|_| "write")?;
        disk.flush().map_err(|_| "flush".to_owned())
    }

    fn open(_: &mut dyn Disk, _: &Setup) -> Result<Self, String> {
        Ok(Self::default())
    }

    fn submit(&mut self, user: u64, request: Request) {
        self.next += 1;
        let op = match request {
            Request::Read { offset, buffer } => {
                DeviceOp::Read { offset, length: buffer.len(), buffer: buffer.into() }
            }
            Request::Write { offset, buffer, .. } => {
                DeviceOp::Write { offset, length: buffer.len(), data: buffer.into() }
            }
            Request::Discard { offset, length } => {
                let (from, to) =
                    (offset.next_multiple_of(BLOCK as u64), (offset + length) / BLOCK as u64 * BLOCK as u64);
                if to <= from {
                    self.done.push_back(Done { user, result: Ok(()), buffer: None });
                    return;
                }
                let length = (to - from) as usize;
                DeviceOp::Write { offset: from, length, data: vec![0; length].into() }
            }
            Request::Flush
            | Request::Status { .. }
            | Request::Checkpoint
            | Request::Close
            | Request::Compact => DeviceOp::Flush,
        };
        self.users.insert(self.next, user);
        self.wanted.push_back(DeviceIo { id: IoId(self.next), op });
    }

    fn next_io(&mut self) -> Option<DeviceIo> {
        self.wanted.pop_front()
    }

    fn complete(&mut self, id: IoId, result: Result<(), DeviceError>, buffer: Option<Buffer>) {
        let Some(user) = self.users.remove(&id.0) else { return };
        self.done.push_back(Done {
            user,
            result: result.map_err(|_| Error::Medium),
            buffer: buffer.map(Into::into),
        });
    }

    fn next_done(&mut self) -> Option<Done> {
        self.done.pop_front()
    }
}

/// The cases that glass can do: it cannot cut sectors of 4096 bytes.
fn cases() -> impl Iterator<Item = Case> {
    (0..24).map(|seed| Case::new(seed, Mode::Crash)).filter(|case| case.plan().setup.sector == 512)
}

#[test]
fn nothing_is_wrong_while_power_does_not_fail() {
    for mut case in cases() {
        let trace = case.trace::<Glass>();
        let calm = trace.into_iter().filter(|(_, step)| !matches!(step, Step::Crash { .. }));
        case.keep = Some(Keep(calm.map(|(number, _)| number).collect()));
        let outcome = simulate::<Glass>(&case);
        assert!(outcome.failure.is_none(), "seed {}: {:?}", case.seed, outcome.failure);
    }
}

#[test]
fn much_is_wrong_when_it_does() {
    let wrong = cases().filter(|case| simulate::<Glass>(case).failure.is_some()).count();
    let all = cases().count();
    assert!(wrong * 4 > all * 3, "{wrong} of {all}");
}
