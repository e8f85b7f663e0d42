//! The formats.

use std::fmt;
use std::str::FromStr;

use crate::report::{Message, Unreadable};
use crate::settings::Settings;
use crate::{axis, chirpstack, footfallcam, hikvision, hourly, irisys, milesight, opendatacam, ttn, xovis};

/// A format of messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    /// Xovis PC-series: live data and logics data of version 5, and version 4.
    Xovis,
    /// Milesight VS121-P, VS125 and VS135 over HTTP or MQTT, and webhooks of the Milesight Development Platform.
    Milesight,
    /// Axis 3D People Counter (Axis Retail Data), Axis People Counter, and Axis Object Analytics.
    Axis,
    /// Hikvision cameras: people counting of ISAPI.
    Hikvision,
    /// Irisys Vector and Gazelle.
    Irisys,
    /// The Things Stack v3: uplinks of LoRaWAN devices.
    Ttn,
    /// ChirpStack v4: events of LoRaWAN devices.
    Chirpstack,
    /// FootfallCam 3D Pro2.
    Footfallcam,
    /// OpenDataCam: counter data as JSON or CSV.
    Opendatacam,
    /// Tables of people in time buckets, as CSV or JSON: exports of Eco-Counter, Axis, Xovis, and open data.
    Hourly,
}

/// Error for a name that no format has.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown format {given}: accepted are {}", names())]
pub struct UnknownFormat {
    given: String,
}

fn names() -> String {
    Format::ALL.map(Format::name).join(", ")
}

impl Format {
    /// All formats.
    pub const ALL: [Self; 10] = [
        Self::Xovis,
        Self::Milesight,
        Self::Axis,
        Self::Hikvision,
        Self::Irisys,
        Self::Ttn,
        Self::Chirpstack,
        Self::Footfallcam,
        Self::Opendatacam,
        Self::Hourly,
    ];

    /// Returns its name, as in addresses and configurations.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Xovis => "xovis",
            Self::Milesight => "milesight",
            Self::Axis => "axis",
            Self::Hikvision => "hikvision",
            Self::Irisys => "irisys",
            Self::Ttn => "ttn",
            Self::Chirpstack => "chirpstack",
            Self::Footfallcam => "footfallcam",
            Self::Opendatacam => "opendatacam",
            Self::Hourly => "hourly",
        }
    }

    /// Returns the names of its settings.
    pub const fn settings(self) -> &'static [&'static str] {
        match self {
            Self::Xovis | Self::Irisys | Self::Opendatacam => &["device", "in", "out"],
            Self::Milesight | Self::Ttn => &["device", "preset", "in", "out", "bits"],
            Self::Axis | Self::Hikvision => &["device"],
            Self::Chirpstack => &["device", "preset", "in", "out", "bits", "event"],
            Self::Footfallcam => &["device", "staff"],
            Self::Hourly => &["device", "line", "in", "out", "start", "end", "minutes", "time_format"],
        }
    }

    /// Decodes a message.
    ///
    /// # Errors
    ///
    /// If nothing of it can be read: it is not of this format.
    pub fn decode(self, message: &[u8], settings: &Settings) -> Result<Message, Unreadable> {
        let decode = match self {
            Self::Xovis => xovis::decode,
            Self::Milesight => milesight::decode,
            Self::Axis => axis::decode,
            Self::Hikvision => hikvision::decode,
            Self::Irisys => irisys::decode,
            Self::Ttn => ttn::decode,
            Self::Chirpstack => chirpstack::decode,
            Self::Footfallcam => footfallcam::decode,
            Self::Opendatacam => opendatacam::decode,
            Self::Hourly => hourly::decode,
        };
        decode(message, settings)
    }
}

impl fmt::Display for Format {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl FromStr for Format {
    type Err = UnknownFormat;

    fn from_str(name: &str) -> Result<Self, UnknownFormat> {
        let found = Self::ALL.into_iter().find(|format| format.name() == name);
        found.ok_or_else(|| UnknownFormat { given: values::shown(name) })
    }
}
