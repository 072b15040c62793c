//! Random requests beside a model (`exercise.py`), with the server stopped or killed in between.
//!
//! `SLUICE_EXERCISE_SECONDS` for how long, on each kind of volume; `SLUICE_EXERCISE_SEED` to have a run again that failed.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{env, fs, process::Command};

use sluice_conformance::{Bench, KINDS, run};

/// A server's life.
const ROUND: f64 = 3.0;

fn number(variable: &str) -> Option<f64> {
    let text = env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is no number: {text}")))
}

#[test]
fn random_requests_do_what_the_model_says() {
    let seconds = number("SLUICE_EXERCISE_SECONDS").unwrap_or(9.0);
    let seed = number("SLUICE_EXERCISE_SEED").map_or_else(|| fastrand::u64(..1 << 32), |seed| seed as u64);
    println!("seed {seed}");
    for kind in KINDS {
        let bench = Bench::new("exercise", kind, 64);
        let model = bench.path("model");
        let mut requests = 0;
        for round in 0..(seconds / ROUND).ceil() as u64 {
            let server = bench.serve(&[]);
            let script = concat!(env!("CARGO_MANIFEST_DIR"), "/exercise.py");
            let mut exercise = Command::new("/usr/bin/python3");
            exercise.arg(script).arg(server.uri()).arg((seed + round).to_string());
            let said = run(exercise.arg(ROUND.min(seconds).to_string()).arg(&model)).stdout;
            requests += String::from_utf8_lossy(&said).trim().parse::<u64>().unwrap();
            // All is flushed.
            if round % 2 == 0 { server.kill() } else { server.stop() }
        }
        println!("{kind:?}: {requests} requests");
        let expected = fs::read(&model).unwrap();
        assert!(bench.cat(expected.len() as u64) == expected, "{kind:?}, seed {seed}: after the last server");
        bench.check();
    }
}
