//! The C headers and the Rust types say the same: every offset, every size, every code. The list stands once, in `table.rs`;
//! a C source made of it must compile with every compiler that miniports are built with, for Linux and for Windows.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test that cannot go on stops")]

mod table;

use std::{
    fmt::Write,
    io::Write as _,
    path::Path,
    process::{Command, Stdio},
};

use table::{CONSTANTS, OPAQUE, STRUCTURES, Structure, codes, functions};

const COMPILERS: &[&[&str]] = &[
    &["gcc", "-fshort-wchar"],
    &["clang-19", "-fshort-wchar"],
    &["clang-19", "--target=x86_64-pc-windows-msvc", "-ffreestanding", "-nostdlibinc"],
    &["x86_64-w64-mingw32-gcc"],
];

/// Standard error of the compiler, if it refuses the source.
fn refusal(compiler: &[&str], source: &str) -> Option<String> {
    let headers = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../compat-shim/include");
    let mut command = Command::new(compiler[0]);
    command.args(&compiler[1..]).args(["-std=c11", "-Wall", "-Wextra", "-Werror", "-fsyntax-only", "-I"]);
    command.arg(headers).args(["-x", "c", "-"]);
    let mut child = command
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{}: {error}; ./x setup installs it", compiler[0]));
    child.stdin.take().unwrap().write_all(source.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    (!output.status.success()).then(|| String::from_utf8_lossy(&output.stderr).into_owned())
}

const INCLUDES: &str =
    "#include <storport.h>\n#include <scsiwmi.h>\n#include <srbhelper.h>\n#include <ntddscsi.h>\n";

fn assertion(source: &mut String, condition: &str) {
    writeln!(source, "_Static_assert({condition}, \"{condition}\");").unwrap();
}

fn source_of(structures: &[Structure]) -> String {
    let mut source = INCLUDES.to_owned();
    for structure in structures {
        let name = structure.name;
        assertion(&mut source, &format!("sizeof({name}) == {}", structure.size));
        for field in structure.fields {
            let (field, offset, size) = (field.name, field.offset, field.size);
            assertion(&mut source, &format!("offsetof({name}, {field}) == {offset}"));
            assertion(&mut source, &format!("sizeof((({name} *)0)->{field}) == {size}"));
        }
    }
    source
}

#[test]
fn structures_are_laid_out_as_in_rust() {
    let source = source_of(&[STRUCTURES, OPAQUE].concat());
    for compiler in COMPILERS {
        if let Some(said) = refusal(compiler, &source) {
            panic!("{}: {said}", compiler.join(" "));
        }
    }
}

#[test]
fn no_field_is_left_out() {
    for structure in STRUCTURES {
        let mut end = 0;
        for field in structure.fields {
            let gap = field.offset.checked_sub(end).expect("fields are listed in their order");
            assert!(gap < 8, "{}: something is missing before {}", structure.name, field.name);
            end = field.offset + field.size;
        }
        assert!(structure.size - end < 8, "{}: something is missing at its end", structure.name);
    }
}

#[test]
fn codes_are_those_of_rust() {
    let mut source = INCLUDES.to_owned();
    for (name, value) in CONSTANTS.iter().copied().chain(codes()) {
        assertion(&mut source, &format!("(ULONG64)({name}) == {value:#x}ULL"));
    }
    for compiler in COMPILERS {
        if let Some(said) = refusal(compiler, &source) {
            panic!("{}: {said}", compiler.join(" "));
        }
    }
}

#[test]
fn every_function_of_the_port_is_declared() {
    let mut source = INCLUDES.to_owned();
    for (number, name) in functions().enumerate() {
        writeln!(source, "void test{number}(void);\nvoid test{number}(void) {{ (void)&{name}; }}").unwrap();
    }
    for compiler in COMPILERS {
        if let Some(said) = refusal(compiler, &source) {
            panic!("{}: {said}", compiler.join(" "));
        }
    }
}

#[test]
fn a_wrong_offset_is_noticed() {
    let wrong = Structure { size: STRUCTURES[0].size + 8, ..STRUCTURES[0] };
    for compiler in COMPILERS {
        assert!(refusal(compiler, &source_of(&[wrong])).is_some(), "{}", compiler.join(" "));
    }
}

/// Miniports are also built with a driver kit's headers before ours: here mingw-w64's.
#[test]
fn the_headers_stand_behind_those_of_a_driver_kit() {
    let kit = "-isystem/usr/share/mingw-w64/include/ddk";
    let source = format!("#include <ntddk.h>\n{INCLUDES}");
    let said = refusal(&["x86_64-w64-mingw32-gcc", kit, "-Wno-unknown-pragmas"], &source);
    assert!(said.is_none(), "{}", said.unwrap_or_default());
}
