//! The table of requests, in every state, beside `docs/requests.md`, which is written for people and read here.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot go on stops")]

use std::collections::HashSet;

use sluice_shim::{
    scsi::{
        cdb::{AtaPassThrough, Command, Form},
        edit::Edit,
        miniport::MiniportControl,
        policy::{Answer, Inspect, RequestKind, Treatment, VolumeState, treatment},
        sense::Refusal,
    },
    storport::SrbFunction,
};

const PAGE: &str = include_str!("../../docs/requests.md");

/// A line of a table: what, and what is done.
struct Rule {
    name: &'static str,
    /// As the page spells it.
    request: &'static str,
    writes: bool,
    locked: Treatment,
    broken: Treatment,
    in_place: Treatment,
    mapped: Treatment,
}

impl Rule {
    fn expected(&self, state: VolumeState) -> Treatment {
        let protected = Treatment::Refuse(Refusal::WriteProtected);
        match state {
            VolumeState::Plain => Treatment::Pass,
            VolumeState::Locked => self.locked,
            VolumeState::Damaged | VolumeState::Unreadable => self.broken,
            VolumeState::InPlace { read_only: true, .. } | VolumeState::Mapped { read_only: true }
                if self.writes =>
            {
                protected
            }
            VolumeState::InPlace { discards: false, .. } if self.in_place == Treatment::Discard => {
                Treatment::Answer(Answer::Done)
            }
            VolumeState::InPlace { .. } => self.in_place,
            VolumeState::Mapped { .. } => self.mapped,
        }
    }
}

fn word(cell: &str) -> Treatment {
    use Treatment::{Answer as Answered, Edit as Edited, Inspect as Look, Refuse};
    match cell {
        "pass" => Treatment::Pass,
        "at once" => Treatment::PassUnqueued,
        "quiesce" => Treatment::Quiesce,
        "transform" => Treatment::Transform,
        "discard" => Treatment::Discard,
        "drain" => Treatment::Drain,
        "invalid" => Refuse(Refusal::InvalidOpcode),
        "field" => Refuse(Refusal::InvalidField),
        "no key" => Refuse(Refusal::NotAuthorised),
        "lost" => Refuse(Refusal::Medium),
        "protected" => Refuse(Refusal::WriteProtected),
        "answer size 10" => Answered(Answer::Capacity10),
        "answer size 16" => Answered(Answer::Capacity16),
        "answer limits" => Answered(Answer::Limits),
        "answer provisioning" => Answered(Answer::Provisioning),
        "edit longest" => Edited(Edit::MaximumTransfer),
        "edit pages" => Edited(Edit::Pages),
        "edit limits" => Edited(Edit::Limits),
        "edit provisioning" => Edited(Edit::Provisioning),
        "edit protect 6" => Edited(Edit::WriteProtect(Form::Six)),
        "edit protect 10" => Edited(Edit::WriteProtect(Form::Ten)),
        "edit cache 6" => Edited(Edit::WriteCache { form: Form::Six, changeable: false }),
        "edit cache 10" => Edited(Edit::WriteCache { form: Form::Ten, changeable: false }),
        "edit cache mask 6" => Edited(Edit::WriteCache { form: Form::Six, changeable: true }),
        "edit thin" => Edited(Edit::ProvisioningProperty),
        "edit alignment" => Edited(Edit::AlignmentProperty),
        "edit trim" => Edited(Edit::TrimProperty),
        "edit write cache" => Edited(Edit::WriteCacheProperty),
        "look cdb" => Look(Inspect::Cdb),
        "look task file" => Look(Inspect::TaskFile),
        "look protocol" => Look(Inspect::Protocol),
        "look miniport" => Look(Inspect::Miniport),
        "look property" => Look(Inspect::Property),
        "look parameters" => Look(Inspect::ModeParameters),
        other => panic!("the page says {other:?}"),
    }
}

/// All lines of tables with seven columns, less their heads.
fn rules() -> Vec<Rule> {
    let mut rules = Vec::new();
    for line in PAGE.lines() {
        let cells: Vec<_> = line.split('|').map(str::trim).collect();
        let &["", name, request, writes, locked, broken, in_place, mapped, ""] = &cells[..] else { continue };
        if name == "name" || name.starts_with("---") {
            continue;
        }
        let [locked, broken, in_place, mapped] = [locked, broken, in_place, mapped].map(word);
        let writes = writes == "w";
        rules.push(Rule { name, request, writes, locked, broken, in_place, mapped });
    }
    rules
}

fn hex(word: &str) -> u32 {
    u32::from_str_radix(word, 16).unwrap()
}

/// A command by its first bytes.
fn command(head: &[u8]) -> RequestKind {
    let mut bytes = [0; 32];
    bytes[..head.len()].copy_from_slice(head);
    RequestKind::Command(Command::parse(&bytes).unwrap())
}

fn long(service: u16) -> RequestKind {
    let [high, low] = service.to_be_bytes();
    command(&[0x7F, 0, 0, 0, 0, 0, 0, 24, high, low])
}

fn ata(command: u8, features: u8) -> RequestKind {
    RequestKind::Command(Command::AtaPassThrough(AtaPassThrough {
        protocol: 4,
        extended: false,
        from_device: true,
        command,
        features: u16::from(features),
    }))
}

/// Every request that a line's words mean.
fn requests(words: &str) -> Vec<RequestKind> {
    let words: Vec<_> = words.split(' ').collect();
    let bytes = || words[1..].iter().map(|word| hex(word) as u8).collect::<Vec<_>>();
    match (words[0], words[1]) {
        ("cdb", opcode) if words.last() == Some(&"*") => {
            let taken: &[u8] = if opcode == "83" { &[0x10, 0x11] } else { &[] };
            let others = (0..32).filter(|service| !taken.contains(service));
            others.map(|service| command(&[hex(opcode) as u8, service])).collect()
        }
        ("cdb", _) => vec![command(&bytes())],
        ("long", service) => vec![long(hex(service) as u16)],
        ("srb", function) => vec![RequestKind::Function(SrbFunction(hex(function) as u8))],
        ("ioctl", code) => vec![RequestKind::Ioctl(hex(code))],
        ("property", number) => vec![RequestKind::Property(number.parse().unwrap())],
        ("ata", command) if words.len() == 3 => vec![ata(hex(command) as u8, hex(words[2]) as u8)],
        ("ata", command) => (0..=255).map(|features| ata(hex(command) as u8, features)).collect(),
        ("nvme", command) => vec![RequestKind::NvmeAdmin(Some(hex(command) as u8))],
        ("miniport", "smart") => vec![RequestKind::MiniportControl(MiniportControl::Smart)],
        ("miniport", "other") => vec![RequestKind::MiniportControl(MiniportControl::Other)],
        _ => panic!("the page says {words:?}"),
    }
}

/// As many states as there are lines would have to be wrong at once, for a slip here to go unseen.
#[test]
fn the_page_has_all_its_lines() {
    let rules = rules();
    assert!(rules.len() > 140, "{} lines", rules.len());
    let requests: HashSet<_> = rules.iter().map(|rule| rule.request).collect();
    assert_eq!(requests.len(), rules.len(), "a request has two lines");
    for rule in &rules {
        let cells = [rule.locked, rule.broken, rule.in_place, rule.mapped];
        let moves = cells.iter().any(|cell| matches!(cell, Treatment::Transform | Treatment::Discard));
        let sealed = [rule.locked, rule.broken].iter().all(|cell| matches!(cell, Treatment::Refuse(_)));
        assert!(!moves || sealed, "{}: what moves data is refused without a key", rule.name);
    }
}

#[test]
fn each_line_holds_in_every_state() {
    for rule in rules() {
        for request in requests(rule.request) {
            for state in VolumeState::ALL {
                let found = treatment(&request, state);
                assert_eq!(found, rule.expected(state), "{} ({}), {state:?}", rule.name, rule.request);
            }
        }
    }
}

/// Codes whose second byte is a service action, and does not say how but what.
const WITH_SERVICE_ACTIONS: [u8; 10] = [0x5E, 0x5F, 0x7F, 0x83, 0x84, 0x9B, 0x9D, 0x9E, 0x9F, 0xA3];

fn refused(request: &RequestKind, what: &str) {
    for state in VolumeState::ALL.into_iter().filter(|state| *state != VolumeState::Plain) {
        let found = treatment(request, state);
        assert_eq!(found, Treatment::Refuse(Refusal::InvalidOpcode), "{what} has no line; {state:?}");
    }
    assert_eq!(treatment(request, VolumeState::Plain), Treatment::Pass, "{what}");
}

#[test]
fn commands_without_a_line_are_refused() {
    let rules = rules();
    let listed = |start: &str| {
        let longer = format!("{start} ");
        rules.iter().any(|rule| rule.request == start || rule.request.starts_with(&longer))
    };
    let mut without = 0;
    for operation in (0..=255_u8).filter(|operation| !matches!(operation, 0x7F | 0x85 | 0xA1)) {
        for service in 0..32 {
            let by_service = WITH_SERVICE_ACTIONS.contains(&operation) && !matches!(operation, 0x5E | 0x5F);
            let (all, one) = (format!("cdb {operation:02X}"), format!("cdb {operation:02X} {service:02X}"));
            let found = if by_service { listed(&one) || listed(&format!("{all} *")) } else { listed(&all) };
            if !found {
                refused(&command(&[operation, service]), &one);
                without += 1;
            }
        }
    }
    for service in 0..=u16::MAX {
        if !listed(&format!("long {service:04X}")) {
            refused(&long(service), "a long command");
        }
    }
    for (code, features) in (0..=255_u8).flat_map(|code| (0..=255).map(move |features| (code, features))) {
        let any = listed(&format!("ata {code:02X}")) && code != 0xB0;
        if !any && !listed(&format!("ata {code:02X} {features:02X}")) {
            refused(&ata(code, features), "an ATA command");
        }
    }
    assert!(without > 4000, "{without}");
}

#[test]
fn everything_else_without_a_line_is_refused() {
    let listed: HashSet<_> = rules().into_iter().map(|rule| rule.request).collect();
    let unless_listed = |name: String, request: RequestKind| {
        if !listed.contains(name.as_str()) {
            refused(&request, &name);
        }
    };
    for number in 0..=255 {
        unless_listed(format!("srb {number:02X}"), RequestKind::Function(SrbFunction(number)));
        unless_listed(format!("nvme {number:02X}"), RequestKind::NvmeAdmin(Some(number)));
    }
    refused(&RequestKind::NvmeAdmin(None), "an NVMe command that moves data");
    for number in (0..10_000).chain([u32::MAX]) {
        unless_listed(format!("property {number}"), RequestKind::Property(number));
    }
    // The kinds of device whose controls reach a disk: DISK, CONTROLLER, MASS_STORAGE, VOLUME, and one that is nobody's.
    for device in [0x07_u32, 0x04, 0x2D, 0x56, 0xABCD] {
        for low in 0..=0xFFFF {
            let code = device << 16 | low;
            unless_listed(format!("ioctl {code:08X}"), RequestKind::Ioctl(code));
        }
    }
}
