//! What a single value may be.

use chrono_tz::Tz;
use entity::shown;

use crate::floor_plan::{Refusal, RefusalCode};

/// The most characters that a name, serial or doorway may have.
pub(super) const NAME_CHARACTERS_MAX: usize = 200;
/// The most characters that a note may have.
pub(super) const NOTE_CHARACTERS_MAX: usize = 2000;

/// The text without blanks around it, or what is wrong with it.
pub(super) fn text(field: &str, given: &str, characters_max: usize) -> Result<String, Refusal> {
    let kept = given.trim();
    let refused = |code, message| Err(Refusal::new(code, field, message));
    if kept.is_empty() {
        return refused(RefusalCode::Blank, format!("{field} is empty: give it at least one character"));
    }
    if kept.chars().any(char::is_control) {
        return refused(
            RefusalCode::BadCharacter,
            format!("{field} holds a control character: leave it out"),
        );
    }
    if kept.chars().nth(characters_max).is_some() {
        return refused(
            RefusalCode::TooLong,
            format!("{field} is too long: at most {characters_max} characters are kept"),
        );
    }
    Ok(kept.to_owned())
}

/// A name, serial or doorway.
pub(super) fn name(field: &str, given: &str) -> Result<String, Refusal> {
    text(field, given, NAME_CHARACTERS_MAX)
}

/// A name, serial or doorway, or none.
pub(super) fn optional_name(field: &str, given: Option<&str>) -> Result<Option<String>, Refusal> {
    given.map(|given| name(field, given)).transpose()
}

/// The name of a time zone, as the tz database spells it.
pub(super) fn time_zone(given: &str) -> Result<String, Refusal> {
    let zone: Result<Tz, _> = given.trim().parse();
    zone.map(|zone| zone.name().to_owned()).map_err(|_| {
        let given = shown(given);
        let message =
            format!("{given} is no time zone: name one as the tz database does, such as Europe/Berlin");
        Refusal::new(RefusalCode::Invalid, "timeZone", message)
    })
}

/// How many people a space is meant to hold: 1 or more.
pub(super) fn capacity(people: Option<i32>) -> Result<Option<i32>, Refusal> {
    match people {
        Some(people) if people < 1 => {
            let message = format!("a capacity is 1 or more, not {people}");
            Err(Refusal::new(RefusalCode::OutOfRange, "capacity", message))
        }
        within => Ok(within),
    }
}

/// How many people were in a space: 0 or more.
pub(super) fn people(count: i32) -> Result<i32, Refusal> {
    if count >= 0 {
        return Ok(count);
    }
    let message = format!("a space holds 0 people or more, not {count}");
    Err(Refusal::new(RefusalCode::OutOfRange, "count", message))
}
