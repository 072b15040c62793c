//! What was done, for the reader.

use std::{ops::AddAssign, time::Duration};

/// Sums over runs.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Runs.
    pub runs: u64,
    /// Steps of traces.
    pub steps: u64,
    /// Bytes that the volumes were given to write.
    pub written: u64,
    /// Writes that the devices got.
    pub device_writes: u64,
    /// Bytes of these.
    pub device_bytes: u64,
    /// Flushes that the devices got.
    pub device_flushes: u64,
    /// Power failures.
    pub crashes: u64,
    /// Of these, during recovery, growth, a change of keys or formatting.
    pub nested: u64,
    /// Times that a volume has grown.
    pub growths: u64,
    /// Times that a key was added, changed or removed.
    pub rekeys: u64,
    /// Successful openings.
    pub recoveries: u64,
    /// Blocks read back and judged.
    pub judged: u64,
    /// Of these, those with too many possibilities to try.
    pub believed: u64,
    /// Full verifications.
    pub checks: u64,
    /// Openings in which everything was repaired that could be.
    pub repairs: u64,
    /// I/O errors that the devices gave.
    pub io_errors: u64,
    /// Bits flipped, writes lost or misplaced.
    pub corruptions: u64,
    /// Requests that ended with an error for which there was a reason.
    pub failed: u64,
    /// Requests refused for want of space.
    pub no_space: u64,
    /// Blocks that were reported as damaged after a recovery.
    pub damaged: u64,
    /// Volumes that were too damaged to open.
    pub refused: u64,
}

impl Figures {
    /// Names and values, in the order of the fields.
    pub fn rows(&self) -> [(&'static str, u64); 21] {
        [
            ("runs", self.runs),
            ("steps", self.steps),
            ("written", self.written),
            ("device_writes", self.device_writes),
            ("device_bytes", self.device_bytes),
            ("device_flushes", self.device_flushes),
            ("crashes", self.crashes),
            ("nested", self.nested),
            ("growths", self.growths),
            ("rekeys", self.rekeys),
            ("recoveries", self.recoveries),
            ("judged", self.judged),
            ("believed", self.believed),
            ("checks", self.checks),
            ("repairs", self.repairs),
            ("io_errors", self.io_errors),
            ("corruptions", self.corruptions),
            ("failed", self.failed),
            ("no_space", self.no_space),
            ("damaged", self.damaged),
            ("refused", self.refused),
        ]
    }

    /// One line of JSON.
    pub fn json(&self, took: Duration) -> String {
        let rows: Vec<String> =
            self.rows().iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{},\"seconds\":{:.3}}}", rows.join(","), took.as_secs_f64())
    }

    /// One line for people: after so long, of which so much was processor time.
    pub fn line(&self, took: Duration, worked: Duration) -> String {
        let (seconds, worked) = (took.as_secs_f64(), worked.as_secs_f64().max(0.001));
        format!(
            "{} runs, {} device writes ({:.1} M an hour of processor time), {} crashes ({} in recovery), {} growths, {} changes of keys, \
             {} checks, {} repairs, {} blocks judged, {} errors and {} corruptions by the device; {:.2} bytes to the device for each; {worked:.1} s of processor time in {seconds:.1} s",
            self.runs,
            self.device_writes,
            self.device_writes as f64 / worked * 3600.0 / 1e6,
            self.crashes,
            self.nested,
            self.growths,
            self.rekeys,
            self.checks,
            self.repairs,
            self.judged,
            self.io_errors,
            self.corruptions,
            self.device_bytes as f64 / self.written.max(1) as f64,
        )
    }
}

impl AddAssign for Figures {
    fn add_assign(&mut self, other: Self) {
        self.runs += other.runs;
        self.steps += other.steps;
        self.written += other.written;
        self.device_writes += other.device_writes;
        self.device_bytes += other.device_bytes;
        self.device_flushes += other.device_flushes;
        self.crashes += other.crashes;
        self.nested += other.nested;
        self.growths += other.growths;
        self.rekeys += other.rekeys;
        self.recoveries += other.recoveries;
        self.judged += other.judged;
        self.believed += other.believed;
        self.checks += other.checks;
        self.repairs += other.repairs;
        self.io_errors += other.io_errors;
        self.corruptions += other.corruptions;
        self.failed += other.failed;
        self.no_space += other.no_space;
        self.damaged += other.damaged;
        self.refused += other.refused;
    }
}
