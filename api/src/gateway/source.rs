//! How the messages of a sender are read.

use chrono_tz::Tz;
use devices::{Format, Settings, SettingsError};

use crate::ingest::zone::{self, UnknownZone};

/// How the messages of a sender are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Source {
    pub format: Format,
    pub settings: Settings,
    /// The zone of times without one. `None`: that of their DPU.
    pub zone: Option<Tz>,
    /// The only DPU that the sender may report of. `None`: all.
    pub only: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SourceError {
    #[error("{0}")]
    Settings(#[from] SettingsError),
    #[error("time_zone: {0}")]
    Zone(#[from] UnknownZone),
}

impl Source {
    /// Reads the settings of a format from a query string, such as `device=A&time_zone=Europe/Berlin`. `time_zone` is a
    /// setting of every format.
    pub fn parse(format: Format, query: &str) -> Result<Self, SourceError> {
        let pairs: Vec<_> = form_urlencoded::parse(query.as_bytes()).collect();
        let (zones, settings): (Vec<_>, Vec<_>) =
            pairs.iter().map(|(name, value)| (&**name, &**value)).partition(|(name, _)| *name == "time_zone");
        let zone = zones.last().map(|(_, name)| zone::parse(name)).transpose()?;
        Ok(Self { format, settings: Settings::parse(format, settings)?, zone, only: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_read_from_a_query_string() {
        let source =
            Source::parse(Format::Hourly, "device=A%2F1&time_zone=Europe/Berlin&minutes=15").unwrap();
        assert_eq!(source.zone, Some(Tz::Europe__Berlin));
        assert_eq!((source.settings.device.as_deref(), source.settings.minutes), (Some("A/1"), Some(15)));
        for (query, expected) in [
            ("time_zone=Berlin", "time_zone: \"Berlin\" is not a time zone"),
            ("minutes=0", "minutes: invalid value \"0\": use a whole number from 1 to 1440"),
            ("token=x", "unknown setting \"token\" of the format hourly: accepted are device, "),
        ] {
            let error = Source::parse(Format::Hourly, query).unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
