//! The client of all: fio by its NBD engine, with data of which half are duplicates and the rest halves.

use std::{path::Path, process::Command};

use serde_json::Value;

use crate::failure::Failure;

/// What is asked of a server, in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    SequentialWrite,
    SequentialRead,
    RandomRead,
    RandomWrite,
}

/// What came of it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Figure {
    /// MiB a second of sequential work, operations a second of random work.
    pub speed: f64,
    /// Bytes that were moved.
    pub bytes: u64,
    /// 99 of 100 requests took at most so long, in microseconds.
    pub p99: f64,
}

impl Work {
    pub(super) const ALL: [Self; 4] =
        [Self::SequentialWrite, Self::SequentialRead, Self::RandomRead, Self::RandomWrite];

    pub(super) fn name(self) -> &'static str {
        match self {
            Self::SequentialWrite => "write 1 MiB, in order",
            Self::SequentialRead => "read 1 MiB, in order",
            Self::RandomRead => "read 4 KiB, anywhere",
            Self::RandomWrite => "write 4 KiB, anywhere",
        }
    }

    /// For programs.
    pub(super) fn key(self) -> &'static str {
        match self {
            Self::SequentialWrite => "sequential_write",
            Self::SequentialRead => "sequential_read",
            Self::RandomRead => "random_read",
            Self::RandomWrite => "random_write",
        }
    }

    pub(super) fn unit(self) -> &'static str {
        if self.is_random() { "IOPS" } else { "MiB/s" }
    }

    fn is_random(self) -> bool {
        matches!(self, Self::RandomRead | Self::RandomWrite)
    }

    fn writes(self) -> bool {
        matches!(self, Self::SequentialWrite | Self::RandomWrite)
    }

    /// Has fio do it, and reads what fio has found.
    pub(super) fn run(self, folder: &Path, size: u64, seconds: u32, seed: u64) -> Result<Figure, Failure> {
        let found = folder.join("fio.json");
        let mut fio = Command::new("fio");
        fio.current_dir(folder).args(["--name=bench", "--ioengine=nbd", "--output-format=json"]);
        fio.arg("--output").arg(&found);
        fio.arg(format!("--uri=nbd+unix:///?socket={}", folder.join("socket").display()));
        fio.arg(format!("--size={size}")).arg(format!("--randseed={seed}"));
        fio.args(["--refill_buffers=1", "--buffer_compress_percentage=50", "--dedupe_percentage=50"]);
        // What was written counts when it is durable.
        fio.arg("--end_fsync=1");
        fio.arg(match self {
            Self::SequentialWrite => "--rw=write",
            Self::SequentialRead => "--rw=read",
            Self::RandomRead => "--rw=randread",
            Self::RandomWrite => "--rw=randwrite",
        });
        if self.is_random() {
            fio.args(["--bs=4k", "--iodepth=32", "--norandommap", "--time_based"]);
            fio.arg(format!("--runtime={seconds}"));
        } else {
            fio.args(["--bs=1M", "--iodepth=8"]);
        }
        let output =
            fio.output().map_err(|error| Failure::Bench { what: format!("fio does not start: {error}") })?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let last = said.lines().rfind(|line| !line.trim().is_empty()).unwrap_or("no word why");
            return Err(Failure::Bench {
                what: format!("fio ended with {}: {}", output.status, last.trim()),
            });
        }
        let text = std::fs::read_to_string(&found).map_err(|e| Failure::io("read", &found, e))?;
        self.figure(&text).ok_or_else(|| Failure::Bench { what: "what fio says is not understood".into() })
    }

    /// Out of fio's JSON.
    fn figure(self, text: &str) -> Option<Figure> {
        let whole: Value = serde_json::from_str(text).ok()?;
        let job = whole.get("jobs")?.get(0)?;
        if job.get("error")?.as_u64()? != 0 {
            return None;
        }
        let side = job.get(if self.writes() { "write" } else { "read" })?;
        let number = |name: &str| side.get(name)?.as_f64();
        let speed = if self.is_random() { number("iops")? } else { number("bw_bytes")? / f64::from(1 << 20) };
        let bytes = side.get("io_bytes")?.as_u64()?;
        let p99 = side.get("clat_ns")?.get("percentile")?.get("99.000000")?.as_f64()? / 1000.0;
        (speed > 0.0 && bytes > 0).then_some(Figure { speed, bytes, p99 })
    }
}
