//! `docs/storport.md` is what the tables say.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on stops")]

use std::{fs, path::Path};

use sluice_port::exports::{self, Coverage, EXTENDED, NOTIFICATIONS, document};

#[test]
fn the_document_is_what_the_tables_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/storport.md");
    let wanted = document::coverage();
    if std::env::var_os("SLUICE_BLESS").is_some() {
        fs::write(&path, &wanted).unwrap();
    }
    let there = fs::read_to_string(&path).unwrap_or_default();
    assert!(there == wanted, "docs/storport.md differs: SLUICE_BLESS=1 makes it anew");
}

#[test]
fn the_import_library_has_every_export_once() {
    let text = document::definitions("sluice.sys");
    let names: Vec<&str> = text.lines().skip(2).map(str::trim).collect();
    assert_eq!(names.len(), exports::all().count());
    assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "sorted, none twice");
    assert!(names.contains(&"StorPortExtendedFunction"));
}

#[test]
fn codes_stand_once() {
    for rows in [EXTENDED, NOTIFICATIONS] {
        assert!(rows.windows(2).all(|pair| pair[0].code < pair[1].code));
        assert!(rows.iter().all(|row| row.coverage != Coverage::Inline));
    }
}
