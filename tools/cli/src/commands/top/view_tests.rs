//! The screen, on a terminal in memory.
#![allow(clippy::unwrap_used, reason = "a failed test may panic")]

use ratatui::{Terminal, backend::TestBackend};
use sluice_statistics::{Engine, Latency, Log, Operation, Snapshot, Space, Stage};

use super::*;

fn collected(uptime: u64, requests: u64, exports: &[&str]) -> Collected {
    let volumes = exports.iter().map(|export| Volume {
        uuid: format!("uuid of {export}"),
        path: format!("/images/{export}.img"),
        export: (*export).into(),
        kind: "mapped".into(),
        volume_bytes: 1 << 30,
        operations: vec![Operation {
            name: "read".into(),
            requests,
            bytes: requests << 20,
            nanoseconds: requests * 1000,
            latency: Latency(vec![(2_560_000, requests)]),
            ..Operation::default()
        }],
        stages: vec![Stage { name: "engine_busy".into(), times: 1, bytes: 0, nanoseconds: uptime / 2 }],
        mapped: Some(Mapped {
            space: Space { written_bytes: 8 << 20, stored_bytes: 2 << 20, ..Space::default() },
            log: Log { segments: 99, free_segments: 42, cleaning: true, ..Log::default() },
            engine: Engine {
                user_written_bytes: requests * 100,
                shared_bytes: requests * 25,
                ..Engine::default()
            },
            ..Mapped::default()
        }),
        ..Volume::default()
    });
    let server = Snapshot { pid: 7, uptime_ns: uptime, volumes: volumes.collect(), ..Snapshot::default() };
    Collected { servers: vec![server], ..Collected::default() }
}

fn screen(view: &mut View, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| view.draw(frame)).unwrap();
    terminal.backend().to_string()
}

fn viewed(exports: &[&str]) -> View {
    let mut view = View::new(Duration::from_secs(1));
    view.take(&collected(1_000_000_000, 10, exports), &collected(3_000_000_000, 30, exports));
    view
}

#[test]
fn everything_of_a_mapped_volume_is_on_the_screen() {
    let screen = screen(&mut viewed(&["alpha"]), 150, 40);
    for wanted in [
        "1 volume in 1 server",
        "alpha",
        "10.00 MiB/s",
        "2.6 ms",
        "75.0 %",
        "/images/alpha.img",
        "engine busy",
        "42 of 99 are free",
        "cleaning",
        "hits now    25.0 %",
        "q ends",
    ] {
        assert!(screen.contains(wanted), "{wanted}: {screen}");
    }
    // A bar as high as there is room for.
    assert!(screen.contains('█'), "{screen}");
}

#[test]
fn arrows_choose_a_volume_and_stop_at_the_ends() {
    let mut view = viewed(&["alpha", "beta"]);
    let chosen = |view: &mut View| {
        let screen = screen(view, 150, 40);
        ["alpha", "beta"].map(|name| screen.contains(&format!("/images/{name}.img")))
    };
    assert_eq!(chosen(&mut view), [true, false]);
    view.choose(-1);
    assert_eq!(chosen(&mut view), [true, false]);
    view.choose(1);
    view.choose(1);
    assert_eq!(chosen(&mut view), [false, true]);
    // It stays chosen while others come.
    view.take(&Collected::default(), &collected(4_000_000_000, 40, &["new", "alpha", "beta"]));
    assert_eq!(chosen(&mut view), [false, true]);
    // When it has gone, another is.
    view.take(&Collected::default(), &collected(5_000_000_000, 50, &["alpha"]));
    assert_eq!(chosen(&mut view), [true, false]);
}

#[test]
fn nothing_served_and_no_room_are_no_trouble() {
    let mut view = View::new(Duration::from_secs(1));
    view.take(&Collected::default(), &Collected::default());
    assert!(screen(&mut view, 100, 30).contains("Nothing is being served"));
    for (width, height) in [(1, 1), (20, 5), (80, 24), (300, 100)] {
        screen(&mut viewed(&["alpha"]), width, height);
    }
}

#[test]
fn names_cannot_command_the_terminal() {
    let screen = screen(&mut viewed(&["bad\u{1b}[2Jname"]), 150, 40);
    assert!(screen.contains("bad\u{fffd}[2Jname") && !screen.contains('\u{1b}'), "{screen}");
}
