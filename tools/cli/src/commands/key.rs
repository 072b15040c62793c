//! `sluice key`: who may open a volume. The data is not touched: only the wrapping of its key changes.

use serde_json::json;
use sluice_engine::{
    format::{Draft, Header, Probe, plan},
    keys::VolumeKey,
};
use zeroize::Zeroizing;

use crate::{
    args::{self, Key, KeyAdd, KeyRemove, SecretSource},
    commands::{
        format::{add_slot, now, put_slot},
        info::slot_json,
    },
    failure::Failure,
    image::Image,
    output::Report,
    secret::{KdfCost, Secret, kind_name},
};

pub(crate) fn run(args: &Key) -> Result<Report, Failure> {
    match args {
        Key::List(args) => list(args),
        Key::Add(args) => add(args),
        Key::Change(args) => change(args),
        Key::Remove(args) => remove(args),
    }
}

fn list(args: &args::Image) -> Result<Report, Failure> {
    let image = Image::open(&args.image, false)?;
    let copies = image.copies();
    let (header, _) = image.header(&copies)?;
    let mut text = String::new();
    for slot in header.slots() {
        let (memory, passes) = (slot.raw.memory_kib.get() >> 10, slot.raw.iterations.get());
        let kind = kind_name(slot.kind);
        text += &format!(
            "key {}  {kind:13}  Argon2id {memory} MiB, {passes} passes  {}\n",
            slot.index,
            slot.label()
        );
    }
    let slots: Vec<_> = header.slots().map(slot_json).collect();
    Ok(Report::new(text, json!({ "slots": slots })))
}

/// A volume that has been opened to change its keys.
struct Opened<'a> {
    image: &'a Image,
    header: Header<'a>,
    probe: Probe<'a>,
    key: Box<VolumeKey>,
    slot: usize,
}

impl<'a> Opened<'a> {
    fn new(
        image: &'a Image,
        copies: &'a crate::image::Copies,
        secret: &SecretSource,
    ) -> Result<Self, Failure> {
        let (header, probe) = image.header(copies)?;
        if header.is_open() {
            return Err(Failure::NoKeys);
        }
        let mut key = Box::new(VolumeKey::zeroed());
        let slot = Secret::obtain(secret)?.open(&header, &mut key)?;
        Ok(Self { image, header, probe, key, slot })
    }

    fn draft(&self) -> Result<Draft, Failure> {
        Draft::of(self.header).map_err(Failure::Draft)
    }

    fn write(&self, draft: &mut Draft) -> Result<(), Failure> {
        let path = || self.image.path.clone();
        let steps = plan::update(&self.probe, draft.seal(&self.key))
            .map_err(|plan::NoGoodHeader| Failure::NotSluice { path: path() })?;
        self.image.carry_out(&steps)
    }
}

/// The new secret that the arguments ask for, and a recovery code to print.
fn new_secret(args: &KeyAdd) -> Result<(Secret, Option<Zeroizing<String>>), Failure> {
    if args.new_recovery_code {
        let (secret, text) = Secret::new_recovery_code()?;
        return Ok((secret, Some(text)));
    }
    let secret = Secret::obtain_new(args.new_passphrase_file.as_deref(), args.new_key_file.as_deref())?;
    Ok((secret, None))
}

fn report(done: &str, slot: usize, code: Option<&Zeroizing<String>>) -> Report {
    let mut text = format!("{done} key {slot}.");
    if let Some(code) = code {
        text += &format!(
            "\nWrite this recovery code down and keep it apart; it opens the volume:\n  {}",
            &**code
        );
    }
    Report::new(text, json!({"slot": slot, "recovery_code": code.map(|code| code.as_str())}))
}

fn add(args: &KeyAdd) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, true)?;
    let copies = image.copies();
    let opened = Opened::new(&image, &copies, &args.secret)?;
    let mut draft = opened.draft()?;
    draft.free_slot().map_err(Failure::Draft)?;
    let (secret, code) = new_secret(args)?;
    let slot = add_slot(&mut draft, &secret, KdfCost::choose(args.cost)?, &args.label, &opened.key, now())?;
    opened.write(&mut draft)?;
    Ok(report("Added", slot, code.as_ref()))
}

fn change(args: &KeyAdd) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, true)?;
    let copies = image.copies();
    let opened = Opened::new(&image, &copies, &args.secret)?;
    let (secret, code) = new_secret(args)?;
    let label = if args.label.is_empty() {
        opened.header.slot(opened.slot).map_or("", |s| s.label())
    } else {
        &args.label
    };
    let mut draft = opened.draft()?;
    put_slot(&mut draft, opened.slot, &secret, KdfCost::choose(args.cost)?, label, &opened.key, now())?;
    opened.write(&mut draft)?;
    Ok(report("Changed", opened.slot, code.as_ref()))
}

fn remove(args: &KeyRemove) -> Result<Report, Failure> {
    let image = Image::open(&args.image.image, true)?;
    let copies = image.copies();
    let opened = Opened::new(&image, &copies, &args.secret)?;
    let mut draft = opened.draft()?;
    draft.clear(args.slot.into()).map_err(Failure::Draft)?;
    opened.write(&mut draft)?;
    Ok(report("Removed", args.slot.into(), None))
}
