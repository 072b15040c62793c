//! `sluice-bench xts`: AES-256-XTS on each backend, beside `openssl speed` on the same core count: one.
//!
//! Two shapes of work. *units*: one data unit a call, in place in the same buffer, which is what `openssl speed`
//! does; its ratio compares like with like. *requests*: 64 KiB a call, as an I/O comes, out of one buffer into
//! another; OpenSSL has no such call, so it is set against the same rival figure.
//!
//! The contestants take turns, several rounds, and medians are shown: whatever else the machine does meets all. Time
//! is processor time on both sides (what `openssl speed` takes without `-elapsed`), so that a busy machine does not
//! count against whoever was put to sleep.

use std::{fmt::Write as _, hint::black_box, process::Command, time::Duration};

use rustix::time::{ClockId, clock_gettime};
use sluice_chain::bytes::{Source, Target};
use sluice_xts::{Backend, Xts256};

const ROUNDS: usize = 5;
/// Bytes of one request.
const REQUEST: usize = 64 << 10;
/// Data units in bytes: the two sizes of sector.
const UNITS: [usize; 2] = [512, 4096];
const BACKENDS: [Backend; 3] = [Backend::Portable, Backend::AesNi, Backend::Vaes];
/// What of a processor's flags bears on the figures.
const FLAGS: [&str; 8] = ["aes", "avx", "avx2", "vaes", "vpclmulqdq", "avx512f", "avx512bw", "avx512vl"];

#[derive(Clone, Copy)]
enum Way {
    Encrypt,
    Decrypt,
}

impl Way {
    const ALL: [Self; 2] = [Self::Encrypt, Self::Decrypt];

    fn name(self) -> &'static str {
        match self {
            Self::Encrypt => "encrypt",
            Self::Decrypt => "decrypt",
        }
    }
}

/// Bytes a second of one backend: each round's figure.
struct Ours {
    backend: Backend,
    cipher: Xts256,
    units: Vec<f64>,
    requests: Vec<f64>,
}

/// One size of unit in one direction.
struct Case {
    unit: usize,
    way: Way,
    /// Empty without OpenSSL.
    rival: Vec<f64>,
    ours: Vec<Ours>,
}

/// The subcommand. `words` are `--json` and `--seconds N`: how long OpenSSL runs in each round (our own runs take a
/// quarter of it, for our clock is finer).
///
/// # Errors
/// When the words are others, or `openssl speed` is there and cannot be understood.
pub(crate) fn run(words: &[&str]) -> Result<(), String> {
    let (json, seconds) = options(words)?;
    let rival = openssl_version();
    let mut cases = cases()?;
    for _ in 0..ROUNDS {
        for case in &mut cases {
            if rival.is_some() {
                case.rival.push(openssl(case.unit, case.way, seconds)?);
            }
            let time = Duration::from_secs(seconds) / 4;
            for ours in &mut case.ours {
                ours.units.push(units(&ours.cipher, case.unit, case.way, time)?);
                ours.requests.push(requests(&ours.cipher, case.unit, case.way, time)?);
            }
        }
    }
    let machine = Machine::read();
    if json {
        println!("{}", as_json(&machine, rival.as_deref(), seconds, &cases));
    } else {
        print!("{}", as_table(&machine, rival.as_deref(), seconds, &cases));
    }
    Ok(())
}

fn options(words: &[&str]) -> Result<(bool, u64), String> {
    let (mut json, mut seconds) = (false, 1);
    let mut words = words.iter();
    while let Some(word) = words.next() {
        match *word {
            "--json" => json = true,
            "--seconds" => {
                let number = words.next().and_then(|number| number.parse().ok());
                seconds = number
                    .filter(|n| (1..=60).contains(n))
                    .ok_or("--seconds takes a whole number from 1 to 60")?;
            }
            other => return Err(format!("xts knows --json and --seconds N, not {other:?}")),
        }
    }
    Ok((json, seconds))
}

fn cases() -> Result<Vec<Case>, String> {
    let key: [u8; 64] = std::array::from_fn(|index| index as u8);
    let mut cases = Vec::new();
    for unit in UNITS {
        for way in Way::ALL {
            let mut ours = Vec::new();
            for backend in BACKENDS {
                match Xts256::new(&key, backend) {
                    Ok(cipher) => ours.push(Ours { backend, cipher, units: vec![], requests: vec![] }),
                    Err(sluice_xts::Error::Backend) => {}
                    Err(error) => return Err(format!("{backend:?}: {error:?}")),
                }
            }
            cases.push(Case { unit, way, rival: vec![], ours });
        }
    }
    Ok(cases)
}

/// Calls `work`, which handles `bytes`, for `time`; answers bytes a second.
fn measure(bytes: usize, time: Duration, mut work: impl FnMut() -> bool) -> Result<f64, String> {
    // Between two looks at the clock: long beside the look, short beside `time`.
    let calls = (1 << 20) / bytes;
    let (start, mut total) = (clock_gettime(ClockId::ProcessCPUTime), 0);
    loop {
        for _ in 0..calls {
            if !work() {
                return Err("the cipher refused its work".into());
            }
        }
        total += calls * bytes;
        let passed = clock_gettime(ClockId::ProcessCPUTime) - start;
        let passed = Duration::try_from(passed).map_err(|_| "the clock went backwards")?;
        if passed >= time {
            return Ok(total as f64 / passed.as_secs_f64());
        }
    }
}

fn units(cipher: &Xts256, unit: usize, way: Way, time: Duration) -> Result<f64, String> {
    let mut buffer = vec![0x5A_u8; unit];
    let mut number = 0;
    measure(unit, time, || {
        number += 1;
        let target = Target::from(black_box(&mut buffer[..]));
        match way {
            Way::Encrypt => cipher.encrypt_in_place(number, unit, target),
            Way::Decrypt => cipher.decrypt_in_place(number, unit, target),
        }
        .is_ok()
    })
}

fn requests(cipher: &Xts256, unit: usize, way: Way, time: Duration) -> Result<f64, String> {
    let (from, mut to) = (vec![0x5A_u8; REQUEST], vec![0_u8; REQUEST]);
    let mut first = 0;
    measure(REQUEST, time, || {
        first += (REQUEST / unit) as u64;
        let (source, target) = (Source::from(black_box(&from[..])), Target::from(black_box(&mut to[..])));
        match way {
            Way::Encrypt => cipher.encrypt(first, unit, source, target),
            Way::Decrypt => cipher.decrypt(first, unit, source, target),
        }
        .is_ok()
    })
}

/// `OpenSSL 3.0.x ...`, or none where there is no such command.
fn openssl_version() -> Option<String> {
    let output = Command::new("openssl").arg("version").output().ok()?;
    let line = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    (output.status.success() && !line.is_empty()).then_some(line)
}

/// What `openssl speed` reaches, in bytes a second of its processor time.
fn openssl(unit: usize, way: Way, seconds: u64) -> Result<f64, String> {
    let mut command = Command::new("openssl");
    command.args(["speed", "-mr", "-evp", "aes-256-xts"]);
    command.args(["-seconds", &seconds.to_string(), "-bytes", &unit.to_string()]);
    if let Way::Decrypt = way {
        command.arg("-decrypt");
    }
    let output = command.output().map_err(|error| format!("openssl: {error}"))?;
    speed(&String::from_utf8_lossy(&output.stdout))
        .ok_or_else(|| format!("openssl speed: {}", String::from_utf8_lossy(&output.stderr).trim()))
}

/// The figure of the line `+F:25:AES-256-XTS:8171444767.35` of `openssl speed -mr`.
fn speed(said: &str) -> Option<f64> {
    let line = said.lines().find(|line| line.starts_with("+F:"))?;
    line.rsplit(':').next()?.trim().parse().ok()
}

fn median(figures: &[f64]) -> Option<f64> {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

/// What the figures were measured on.
struct Machine {
    model: String,
    flags: Vec<&'static str>,
}

impl Machine {
    fn read() -> Self {
        let text = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let field = |name: &str| {
            let line = text.lines().find(|line| line.starts_with(name)).unwrap_or_default();
            line.split_once(':').map_or("", |(_, value)| value.trim())
        };
        let model = field("model name").to_owned();
        let flags = FLAGS.into_iter().filter(|flag| field("flags").split(' ').any(|there| there == *flag));
        Self { model, flags: flags.collect() }
    }
}

fn mebibytes(figure: Option<f64>) -> f64 {
    figure.unwrap_or_default() / f64::from(1 << 20)
}

fn as_table(machine: &Machine, rival: Option<&str>, seconds: u64, cases: &[Case]) -> String {
    let mut text = String::new();
    let version = rival.unwrap_or("openssl is MISSING: nothing to compare with (apt-get install openssl)");
    let _ = writeln!(
        text,
        "AES-256-XTS, one core, MiB/s, medians of {ROUNDS} rounds, openssl {seconds} s in each\n{}: {}\n{version}\n",
        machine.model,
        machine.flags.join(" ")
    );
    let _ = writeln!(
        text,
        "{:>5} {:8} {:9} {:>10} {:>10} {:>9} {:>14} {:>9}",
        "unit", "", "", "openssl", "unit/call", "x openssl", "64 KiB request", "x openssl"
    );
    for case in cases {
        let rival = median(&case.rival);
        let beside = |figure: Option<f64>| match (figure, rival) {
            (Some(figure), Some(rival)) => format!("{:.2}", figure / rival),
            _ => "-".into(),
        };
        let shown = rival.map_or("-".into(), |rival| format!("{:.0}", mebibytes(Some(rival))));
        for ours in &case.ours {
            let (units, requests) = (median(&ours.units), median(&ours.requests));
            let _ = writeln!(
                text,
                "{:5} {:8} {:9} {shown:>10} {:10.0} {:>9} {:14.0} {:>9}",
                case.unit,
                case.way.name(),
                format!("{:?}", ours.backend),
                mebibytes(units),
                beside(units),
                mebibytes(requests),
                beside(requests)
            );
        }
    }
    text.push_str(
        "\nPortable is the `aes` crate, which takes AES instructions by itself where it finds them.\n",
    );
    for backend in BACKENDS {
        if !cases.iter().any(|case| case.ours.iter().any(|ours| ours.backend == backend)) {
            let _ = writeln!(text, "{backend:?}: not measured, this machine lacks it.");
        }
    }
    text
}

fn as_json(machine: &Machine, rival: Option<&str>, seconds: u64, cases: &[Case]) -> String {
    let number = |figure: Option<f64>| figure.map_or("null".into(), |figure| format!("{figure:.3}"));
    let results: Vec<String> = cases
        .iter()
        .map(|case| {
            let rival = median(&case.rival);
            let ratio = |figure: Option<f64>| figure.zip(rival).map(|(figure, rival)| figure / rival);
            let ours: Vec<String> = case
                .ours
                .iter()
                .map(|ours| {
                    let (units, requests) = (median(&ours.units), median(&ours.requests));
                    format!(
                        "{{\"backend\":\"{:?}\",\"units\":{},\"units_ratio\":{},\"requests\":{},\"requests_ratio\":{}}}",
                        ours.backend,
                        number(units),
                        number(ratio(units)),
                        number(requests),
                        number(ratio(requests))
                    )
                })
                .collect();
            format!(
                "{{\"unit\":{},\"way\":\"{}\",\"openssl\":{},\"backends\":[{}]}}",
                case.unit,
                case.way.name(),
                number(rival),
                ours.join(",")
            )
        })
        .collect();
    format!(
        "{{\"cpu\":{:?},\"flags\":{:?},\"openssl\":{},\"figures\":\"bytes per second\",\"rounds\":{ROUNDS},\"seconds\":{seconds},\"request\":{REQUEST},\"results\":[{}]}}",
        machine.model,
        machine.flags,
        rival.map_or("null".into(), |version| format!("{version:?}")),
        results.join(",")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_figure_of_openssl_is_found_and_nothing_else_is() {
        let said = "+DT:AES-256-XTS:1:4096\n+R:977541:AES-256-XTS:0.490000\n+H:4096\n+F:25:AES-256-XTS:8171444767.35\n";
        assert_eq!(speed(said), Some(8_171_444_767.35));
        assert_eq!(speed("+H:4096\n"), None);
        assert_eq!(speed("+F:25:AES-256-XTS:\n"), None);
    }

    #[test]
    fn words_are_taken_or_refused() {
        assert_eq!(options(&[]), Ok((false, 1)));
        assert_eq!(options(&["--seconds", "3", "--json"]), Ok((true, 3)));
        for bad in [&["--seconds"][..], &["--seconds", "0"], &["--seconds", "x"], &["-j"]] {
            assert!(options(bad).is_err());
        }
    }
}
