//! Decodes what people counters send.
//!
//! [`Format::decode`] turns the bytes of one message into [`Report`]s: single crossings, people in an interval, running
//! totals, and signs of life. It reads no clock, opens no file and connects to nothing.
//!
//! ```
//! use devices::{Content, Format, Settings};
//!
//! let message = br#"{"FriendlyDeviceSerial": "V4D-17020025", "CountLogs": [
//!     {"LogEntryId": 353493, "Timestamp": "2018-12-03T14:21:00Z", "Counts": [{"Name": "In", "RegisterId": 0, "Value": 121}]}]}"#;
//! let decoded = Format::Irisys.decode(message, &Settings::default())?;
//! assert_eq!(decoded.reports[0].serial, "V4D-17020025/0");
//! assert!(matches!(decoded.reports[0].content, Content::Totals { toward: 121, away: 0, .. }));
//! # Ok::<(), devices::Unreadable>(())
//! ```

#![warn(missing_docs)]

mod axis;
mod chirpstack;
mod footfallcam;
mod format;
mod hikvision;
mod hourly;
mod irisys;
mod json;
mod lorawan;
mod milesight;
mod opendatacam;
mod report;
mod settings;
mod ttn;
mod xovis;

pub use format::{Format, UnknownFormat};
pub use lorawan::Preset;
pub use report::{Content, Kind, Message, Report, Unreadable};
pub use settings::{Settings, SettingsError};
