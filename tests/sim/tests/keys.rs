//! Changes of keys: what they leave, and that the simulator sees one that leaves nothing.

use sluice_sim::{
    engine::Mapped,
    keys::{KeyChange, Keys},
    plan::Mode,
    simulate::{Case, simulate},
};

#[test]
fn the_first_free_slot_is_filled_and_the_last_key_stays() {
    let one = Keys::new(7);
    assert_eq!(one.after(KeyChange::Remove { pick: 5 }), None);
    let two = one.after(KeyChange::Add { secret: 8 }).expect("there is room");
    assert_eq!(two.0[..3], [Some(7), Some(8), None]);
    let other = two.after(KeyChange::Remove { pick: 2 }).expect("one is left");
    assert_eq!(other.0[..3], [None, Some(8), None]);
    let again = other.after(KeyChange::Add { secret: 9 }).expect("there is room");
    assert_eq!(again.0[..3], [Some(9), Some(8), None]);
    let changed = again.after(KeyChange::Change { pick: 1, secret: 10 }).expect("it is there");
    assert_eq!(changed.0[..3], [Some(9), Some(10), None]);
    let full = (0..6).fold(changed, |keys, secret| keys.after(KeyChange::Add { secret }).unwrap_or(keys));
    assert_eq!(full.after(KeyChange::Add { secret: 11 }), None);
}

#[test]
fn a_header_written_wrongly_is_found_and_found_again() {
    let mutant = Some("header's copies at once");
    let outcome = |mutant| {
        let outcomes =
            (1..6).map(|seed| simulate::<Mapped>(&Case { mutant, ..Case::new(seed, Mode::Exhaustive) }));
        let mut outcomes = outcomes.filter(|outcome| outcome.failure.is_some());
        outcomes.next().map(|outcome| format!("{outcome:?}"))
    };
    let found = outcome(mutant);
    assert!(found.as_deref().is_some_and(|text| text.contains("change of keys")), "{found:?}");
    assert_eq!(found, outcome(mutant), "one seed is one run");
}
