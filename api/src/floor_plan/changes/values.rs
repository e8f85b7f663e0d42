//! Validation of single values.

use chrono_tz::Tz;
use entity::dpu::DeviceClock;
use entity::shown;
use unicode_normalization::UnicodeNormalization;

use crate::floor_plan::{Refusal, RefusalCode};

/// Maximum length of a name, serial or doorway, in characters.
pub(in crate::floor_plan) const NAME_CHARACTERS_MAX: usize = 200;
pub(super) const NOTE_CHARACTERS_MAX: usize = 2000;

/// Returns the text trimmed and with composed characters (Unicode NFC), so that equal-looking texts are equal.
pub fn composed(given: &str) -> String {
    let kept = given.trim();
    if kept.is_ascii() { kept.to_owned() } else { kept.nfc().collect() }
}

/// Returns the composed text, or a refusal.
pub(super) fn text(field: &str, given: &str, characters_max: usize) -> Result<String, Refusal> {
    let kept = composed(given);
    let refused = |code, message| Err(Refusal::new(code, field, message));
    if kept.chars().all(|character| character.is_whitespace() || is_invisible(character)) {
        return refused(
            RefusalCode::Blank,
            format!("{field} is empty: give it at least one visible character"),
        );
    }
    if kept.chars().any(|character| character.is_control() || turns_writing(character)) {
        return refused(
            RefusalCode::BadCharacter,
            format!("{field} contains a control or text-direction character: remove it"),
        );
    }
    if kept.chars().nth(characters_max).is_some() {
        return refused(
            RefusalCode::TooLong,
            format!("{field} is too long: use at most {characters_max} characters"),
        );
    }
    Ok(kept)
}

/// Returns whether the character is invisible: Unicode 16's property `Default_Ignorable_Code_Point`.
fn is_invisible(character: char) -> bool {
    matches!(character, '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}'..='\u{1160}' | '\u{17B4}'..='\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
        | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}' | '\u{FFF0}'..='\u{FFF8}'
        | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}' | '\u{E0000}'..='\u{E0FFF}')
}

/// Returns whether the character changes the direction of text, which can make a name look like another one.
fn turns_writing(character: char) -> bool {
    matches!(character, '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}')
}

pub(super) fn name(field: &str, given: &str) -> Result<String, Refusal> {
    text(field, given, NAME_CHARACTERS_MAX)
}

pub(super) fn optional_name(field: &str, given: Option<&str>) -> Result<Option<String>, Refusal> {
    given.map(|given| name(field, given)).transpose()
}

/// Checks the name of a time zone. Returns it as the tz database spells it.
pub(super) fn time_zone(given: &str) -> Result<String, Refusal> {
    let zone: Result<Tz, _> = given.trim().parse();
    zone.map(|zone| zone.name().to_owned()).map_err(|_| {
        let given = shown(given);
        let message =
            format!("unknown time zone {given}: use a name of the tz database, such as Europe/Berlin");
        Refusal::new(RefusalCode::Invalid, "timeZone", message)
    })
}

/// Checks the width of counters: 16 or 32 bits.
pub(super) fn counter_bits(bits: Option<i32>) -> Result<Option<i32>, Refusal> {
    match bits {
        Some(bits) if bits != 16 && bits != 32 => {
            let message = format!(
                "invalid counterBits {bits}: use 16 or 32, or null for counters that never roll over"
            );
            Err(Refusal::new(RefusalCode::OutOfRange, "counterBits", message))
        }
        valid => Ok(valid),
    }
}

/// Checks a number: 1 or more.
pub(super) fn positive(field: &str, number: Option<i32>) -> Result<Option<i32>, Refusal> {
    match number {
        Some(number) if number < 1 => {
            let message = format!("invalid {field} {number}: use 1 or more");
            Err(Refusal::new(RefusalCode::OutOfRange, field, message))
        }
        valid => Ok(valid),
    }
}

/// Checks how far a device's clock may be off: 1 second or more, if that matters.
pub(super) fn clock_within(clock: DeviceClock, seconds: Option<i32>) -> Result<Option<i32>, Refusal> {
    let message = match (clock, seconds) {
        (DeviceClock::DeviceWithin, None) => {
            "clockWithin is missing: DEVICE_WITHIN needs the seconds by which the device's clock may be off"
                .to_owned()
        }
        (DeviceClock::Device | DeviceClock::Arrival, Some(seconds)) => {
            format!("clockWithin {seconds} has no meaning for this clock: use it with DEVICE_WITHIN only")
        }
        (_, seconds) => return positive("clockWithin", seconds),
    };
    Err(Refusal::new(RefusalCode::Invalid, "clockWithin", message))
}

/// Checks the number of people in a reset or reset rule: 0 or more.
pub(super) fn people(count: i32) -> Result<i32, Refusal> {
    if count >= 0 {
        return Ok(count);
    }
    let message = format!("invalid count {count}: use 0 or more");
    Err(Refusal::new(RefusalCode::OutOfRange, "count", message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_composed_and_have_visible_characters() {
        assert_eq!(name("name", " Cafe\u{301} ").as_deref(), Ok("Caf\u{e9}"));
        // A joiner within a name is valid.
        assert_eq!(
            name("name", "\u{915}\u{94d}\u{200d}\u{937}").as_deref(),
            Ok("\u{915}\u{94d}\u{200d}\u{937}")
        );
        for (given, code) in [
            ("", RefusalCode::Blank),
            (" \u{200B}\u{2060} ", RefusalCode::Blank),
            ("Hall\u{202E}", RefusalCode::BadCharacter),
            ("Hall\u{2066}", RefusalCode::BadCharacter),
            ("Ha\nll", RefusalCode::BadCharacter),
            (&"a".repeat(201), RefusalCode::TooLong),
        ] {
            assert_eq!(name("name", given).map_err(|refusal| refusal.code), Err(code), "{given:?}");
        }
    }
}
