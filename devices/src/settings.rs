//! Settings of a format: what a message cannot tell by itself.

use crate::format::Format;
use crate::json::{Name, is_name};
use crate::report::Unreadable;

/// What a message cannot tell by itself. Which settings a format has, [`Format::settings`] tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// The device, if the message names none.
    pub device: Option<String>,
    /// The name of the column, member, register or counter with people who go in.
    pub r#in: Option<String>,
    /// The name of the column, member, register or counter with people who go out.
    pub out: Option<String>,
    /// The names of the columns of start and end of a time bucket.
    pub start: Option<String>,
    /// See `start`.
    pub end: Option<String>,
    /// The name of the column that names the line.
    pub line: Option<String>,
    /// The LoRaWAN device whose payload it is, by the name of its preset. `None`: the payload's members tell.
    pub preset: Option<crate::Preset>,
    /// The width of the counters in bits, 16 or 32, if `in` and `out` name members of a LoRaWAN payload.
    pub bits: Option<u8>,
    /// The length of a time bucket in minutes, if no column names its end.
    pub minutes: Option<u32>,
    /// How times are written, in the notation of strftime.
    pub time_format: Option<String>,
    /// What the message is, where a header of its sender says so.
    pub event: Option<String>,
    /// Whether staff is left out.
    pub without_staff: bool,
}

/// Error for a setting that a format does not have, or a value that it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SettingsError {
    /// The format does not have it.
    #[error("unknown setting {given:?} of the format {format}: accepted are {accepted}")]
    Unknown {
        /// The name that was given.
        given: String,
        /// The name of the format.
        format: &'static str,
        /// The names of its settings.
        accepted: String,
    },
    /// The value is not one of those that it can have.
    #[error("{name}: invalid value {given:?}: use {accepted}")]
    Value {
        /// The name of the setting.
        name: &'static str,
        /// The value that was given.
        given: String,
        /// The values that it can have.
        accepted: &'static str,
    },
    /// One of the settings `in` and `out` was given without the other.
    #[error("{given} is given without {lacking}: give both")]
    Half {
        /// The setting that was given.
        given: &'static str,
        /// The one that was not.
        lacking: &'static str,
    },
}

impl Settings {
    /// Reads the settings of a format from names and values, such as those of a query string.
    pub fn parse<'a>(
        format: Format,
        given: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, SettingsError> {
        let mut settings = Self::default();
        for (name, value) in given {
            if !format.settings().contains(&name) {
                let (given, accepted) = (name.to_owned(), format.settings().join(", "));
                return Err(SettingsError::Unknown { given, format: format.name(), accepted });
            }
            let text = || Some(value.to_owned());
            if name == "device" && !is_name(value.trim()) {
                return Err(invalid("device", value, "a name of 1 to 200 characters"));
            }
            match name {
                "device" => settings.device = text(),
                "in" => settings.r#in = text(),
                "out" => settings.out = text(),
                "start" => settings.start = text(),
                "end" => settings.end = text(),
                "line" => settings.line = text(),
                "time_format" => settings.time_format = text(),
                "event" => settings.event = text(),
                "minutes" => {
                    let minutes = value.parse().ok().filter(|minutes| (1..=1_440).contains(minutes));
                    settings.minutes = Some(
                        minutes.ok_or_else(|| invalid("minutes", value, "a whole number from 1 to 1440"))?,
                    );
                }
                "preset" => {
                    let preset =
                        value.parse().map_err(|()| invalid("preset", value, crate::Preset::NAMES))?;
                    settings.preset = Some(preset);
                }
                "bits" => {
                    settings.bits = match value {
                        "16" => Some(16),
                        "32" => Some(32),
                        _ => return Err(invalid("bits", value, "16 or 32")),
                    };
                }
                "staff" => {
                    settings.without_staff = match value {
                        "count" => false,
                        "ignore" => true,
                        _ => return Err(invalid("staff", value, "count or ignore")),
                    };
                }
                _ => {}
            }
        }
        match (&settings.r#in, &settings.out) {
            (Some(_), None) => Err(SettingsError::Half { given: "in", lacking: "out" }),
            (None, Some(_)) => Err(SettingsError::Half { given: "out", lacking: "in" }),
            _ => Ok(settings),
        }
    }

    /// Returns the device that a message names in this member, or else the one of the settings.
    pub(crate) fn device(&self, member: &str, named: Option<Name>) -> Result<String, Unreadable> {
        let device = named.map(|Name(device)| device).or_else(|| self.device.clone());
        device.ok_or_else(|| {
            Unreadable::at(
                member,
                "it is missing: have the device send it, or add ?device=SERIAL to the address",
            )
        })
    }

    /// Returns the names of what counts people who go in and out, if they are set.
    pub(crate) fn directions(&self) -> Option<(&str, &str)> {
        Some((self.r#in.as_deref()?, self.out.as_deref()?))
    }
}

fn invalid(name: &'static str, given: &str, accepted: &'static str) -> SettingsError {
    SettingsError::Value { name, given: given.to_owned(), accepted }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_a_format_does_not_have_are_refused() {
        for (given, expected) in [
            (
                ("devise", "1"),
                "unknown setting \"devise\" of the format irisys: accepted are device, in, out",
            ),
            (("in", "1"), "in is given without out: give both"),
            (("out", "1"), "out is given without in: give both"),
        ] {
            assert_eq!(Settings::parse(Format::Irisys, [given]).unwrap_err().to_string(), expected);
        }
    }
}
