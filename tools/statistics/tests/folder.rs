//! Servers are found, and what only looks like one is told apart.
#![cfg(unix)]
#![allow(clippy::unwrap_used, clippy::panic, reason = "a failed test may panic")]

use std::{fs, io::Write, os::unix::fs::PermissionsExt, os::unix::net::UnixListener, path::PathBuf, thread};

use sluice_statistics::{
    Snapshot, VERSION,
    folder::{Found, ask_in, listen},
};

fn folder(name: &str) -> PathBuf {
    let folder = std::env::temp_dir().join(format!("sluice-statistics-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&folder);
    folder
}

/// Answers one connection.
fn answer(listener: UnixListener, bytes: Vec<u8>) -> thread::JoinHandle<()> {
    thread::spawn(move || listener.accept().unwrap().0.write_all(&bytes).unwrap())
}

#[test]
fn a_server_is_found_and_a_dead_one_told_apart() {
    let folder = folder("found");
    assert!(ask_in(&folder).is_empty(), "there is no folder");
    let (listener, socket) = listen(&folder).unwrap();
    assert_eq!(fs::metadata(&folder).unwrap().permissions().mode() & 0o777, 0o700);
    let told = Snapshot { version: VERSION, pid: 1, ..Snapshot::default() };
    let answering = answer(listener, serde_json::to_vec(&told).unwrap());
    drop(UnixListener::bind(folder.join("0.sock")).unwrap());
    fs::write(folder.join("note"), "no socket").unwrap();
    let found = ask_in(&folder);
    assert!(
        matches!(&found[..], [Found::Stale(stale), Found::Server(server)]
            if stale.ends_with("0.sock") && **server == told),
        "{found:?}"
    );
    // Nobody listens any more.
    answering.join().unwrap();
    let found = ask_in(&folder);
    assert!(matches!(&found[..], [Found::Stale(_), Found::Stale(one)] if *one == socket), "{found:?}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn nonsense_is_a_problem_and_no_server() {
    let folder = folder("nonsense");
    let (listener, _) = listen(&folder).unwrap();
    let answering = answer(listener, b"{\"version\": 1, \"volumes\": 3}".to_vec());
    let found = ask_in(&folder);
    answering.join().unwrap();
    assert!(matches!(&found[..], [Found::Problem(..)]), "{found:?}");
    fs::remove_dir_all(folder).unwrap();
}

#[test]
fn a_folder_that_others_may_look_into_is_refused() {
    let folder = folder("open");
    fs::create_dir(&folder).unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    assert!(listen(&folder).is_err());
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
    assert!(listen(&folder).is_ok());
    fs::remove_dir_all(folder).unwrap();
}
