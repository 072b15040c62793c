//! `driver/include/sluice_stage.h` says in C what `abi` and `registration` say in Rust: the compiler of the drivers that
//! include it is asked about every size, offset and number.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a failed test may panic")]

use std::{
    fmt::Write as _,
    io::Write as _,
    mem::offset_of,
    process::{Command, Stdio},
};

use sluice_chain::{
    abi::{
        ABI_VERSION, Direction, Extent, Flags, HostTable, Io, MAX_STAGES, Needs, STAGE_WORDS, Segment,
        StageTable, Status, Verdict,
    },
    registration::{EVERY_DISK, GET_INTERFACE, Kind, Place, Registered, Registration, StageInterface},
};

/// Every field of a type, under its name in C: `rust` or `rust: c`.
macro_rules! layout {
    ($out:ident, $rust:ident, $c:literal, $($field:ident $(as $other:ident)?),*) => {
        writeln!($out, "_Static_assert(sizeof({0}) == {1}, \"{0}\");", $c, size_of::<$rust>()).unwrap();
        $(
            let name = [$(stringify!($other),)? stringify!($field)][0];
            let at = offset_of!($rust, $field);
            writeln!($out, "_Static_assert(offsetof({0}, {name}) == {at}, \"{0}.{name}\");", $c).unwrap();
        )*
    };
}

fn layouts() -> String {
    let mut out = String::new();
    layout!(out, Segment, "sluice_segment", address, length);
    layout!(out, Extent, "sluice_extent", sector, count);
    layout!(out, HostTable, "sluice_host", size, reserved, now, resume);
    layout!(
        out,
        Io,
        "sluice_io",
        size,
        direction,
        flags,
        status,
        sector,
        length,
        transferred,
        sector_size,
        segment_count,
        segments,
        spare,
        private as private_copy,
        host,
        position,
        phase,
        entered,
        handshake,
        reserved,
        state
    );
    layout!(
        out,
        StageTable,
        "sluice_stage",
        size,
        version,
        name,
        needs,
        reserved,
        request,
        completion,
        detach
    );
    layout!(
        out,
        Registration,
        "sluice_registration",
        size,
        kind,
        place,
        altitude,
        disk,
        reserved,
        table as stage,
        context
    );
    layout!(out, Registered, "sluice_registered", handle, disk, kind, place, altitude, name);
    layout!(
        out,
        StageInterface,
        "sluice_stage_interface",
        size,
        version,
        register as register_stage,
        unregister as unregister_stage,
        list as list_stages
    );
    out
}

fn numbers() -> Vec<(&'static str, u32)> {
    vec![
        ("ABI_VERSION", ABI_VERSION),
        ("MAX_STAGES", MAX_STAGES as u32),
        ("STAGE_WORDS", STAGE_WORDS as u32),
        ("READ", Direction::READ.0),
        ("WRITE", Direction::WRITE.0),
        ("FLUSH", Direction::FLUSH.0),
        ("DISCARD", Direction::DISCARD.0),
        ("VERIFY", Direction::VERIFY.0),
        ("FUA", Flags::FUA.0),
        ("PAGING", Flags::PAGING.0),
        ("OK", Status::OK.0),
        ("DEVICE", Status::DEVICE.0),
        ("OUT_OF_RANGE", Status::OUT_OF_RANGE.0),
        ("INVALID", Status::INVALID.0),
        ("MEDIUM", Status::MEDIUM.0),
        ("WRITE_PROTECTED", Status::WRITE_PROTECTED.0),
        ("LOCKED", Status::LOCKED.0),
        ("NO_SPACE", Status::NO_SPACE.0),
        ("BUSY", Status::BUSY.0),
        ("NO_DEVICE", Status::NO_DEVICE.0),
        ("CANCELLED", Status::CANCELLED.0),
        ("INTERNAL", Status::INTERNAL.0),
        ("CONTINUE", Verdict::CONTINUE.0),
        ("DONE", Verdict::DONE.0),
        ("PENDING", Verdict::PENDING.0),
        ("SPARE_ON_WRITE", Needs::SPARE_ON_WRITE.0),
        ("OBSERVER", Kind::OBSERVER.0),
        ("TRANSFORMER", Kind::TRANSFORMER.0),
        ("ABOVE", Place::ABOVE.0),
        ("BELOW", Place::BELOW.0),
        ("EVERY_DISK", EVERY_DISK),
        ("GET_INTERFACE", GET_INTERFACE),
    ]
}

/// What the compiler says about a program that includes the header; nothing if it takes it.
fn compile(target: &str, program: &str) -> String {
    let include = concat!(env!("CARGO_MANIFEST_DIR"), "/../include");
    let compiler = ["clang-19", "clang"]
        .into_iter()
        .find(|name| Command::new(name).arg("--version").stdout(Stdio::null()).status().is_ok());
    let mut child = Command::new(compiler.expect("clang is not there: ./x setup installs it"))
        .args(["-target", target])
        .args(["-std=c17", "-ffreestanding", "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-I", include])
        .args(["-xc", "-"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(program.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.success(), said.is_empty(), "{said}");
    said
}

#[test]
fn the_example_of_the_page_is_the_driver_that_is_tested() {
    let page = include_str!("../../../docs/stages.md");
    let driver = include_str!("../../../tests/e2e/wine/stage/count.c");
    let example = page.split_once("```c\n").and_then(|(_, rest)| rest.split_once("```"));
    assert_eq!(example.map(|(example, _)| example), Some(driver));
    assert!(driver.lines().count() <= 50, "the page promises 50 lines");
}

#[test]
fn c_and_rust_agree_on_every_size_offset_and_number() {
    let header = include_str!("../../include/sluice_stage.h");
    let mut program = String::from("#include <sluice_stage.h>\n") + &layouts();
    for (name, value) in numbers() {
        writeln!(program, "_Static_assert(SLUICE_{name} == {value}u, \"{name}\");").unwrap();
    }
    for target in ["x86_64-pc-windows-msvc", "aarch64-pc-windows-msvc"] {
        assert_eq!(compile(target, &program), "", "{target}");
    }
    // No number is in the header that is not compared.
    let defined = header.lines().filter_map(|line| line.strip_prefix("#define SLUICE_")).count();
    assert_eq!(defined, numbers().len() + 1, "one is the guard");
    // And the compiler would have said something.
    let wrong = format!("{program}_Static_assert(offsetof(sluice_io, state) == 1, \"wrong\");\n");
    assert!(compile("x86_64-pc-windows-msvc", &wrong).contains("wrong"));
}
