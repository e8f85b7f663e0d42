//! Enumerations of the schema: names and descriptions of those of the domain.

use async_graphql::Enum;
use entity::Instant;

use crate::http::graphql::request::view::ClientView;

/// The direction in which a person walked under a DPU.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::event::Direction")]
pub(in crate::http::graphql) enum Direction {
    /// Towards the DPU: +1.
    Toward,
    /// Away from the DPU: -1.
    Away,
}

/// The side of a doorway that a DPU hangs on, as seen from the space it counts for.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::assignment::Placement")]
pub(in crate::http::graphql) enum Placement {
    /// On the space's own side: walking towards the DPU enters the space.
    Inside,
    /// On the other side: walking towards the DPU leaves the space.
    Outside,
}

/// What a DPU reports. Everything else that the same sensor sends is not counted.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::dpu::Reports")]
pub(in crate::http::graphql) enum DpuReports {
    /// Single crossings, each with its time.
    Crossings,
    /// How many people crossed each way in an interval. They count at its last millisecond.
    Intervals,
    /// Running totals of the device's counters. The people between two readings are their difference, and count at the
    /// later one.
    Totals,
}

/// Which clock tells when something happened that a device sends in a format of its own. What a device had stored always
/// has the time of the device.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::dpu::DeviceClock")]
pub(in crate::http::graphql) enum DpuClock {
    /// The device's, or that of the arrival if it sends no time.
    Device,
    /// That of the arrival: of the network server for LoRaWAN, else of this server. A message that is sent again arrives
    /// again, so that a crossing counts twice.
    Arrival,
    /// The device's, as long as it is off by no more than `clockWithin` seconds, else that of the arrival.
    DeviceWithin,
}

/// How a space reports a count below zero, which occurs when people were inside before counting began.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::space::NegativeCounts")]
pub(in crate::http::graphql) enum NegativeCounts {
    /// As the signed figure: the difference since counting began.
    Report,
    /// As zero. Only the reported count is clamped, never the sum behind it.
    Clamp,
}

/// Length of a bucket of a history.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "counting::calendar::Interval")]
pub(in crate::http::graphql) enum Interval {
    /// A minute.
    Minute,
    /// Five minutes.
    FiveMinutes,
    /// A quarter of an hour.
    FifteenMinutes,
    /// Half an hour.
    ThirtyMinutes,
    /// An hour by the clocks of the time zone.
    Hour,
    /// A calendar day of the time zone, 23 to 25 hours long.
    Day,
    /// A calendar week of the time zone, from Monday.
    Week,
    /// A calendar month of the time zone.
    Month,
}

/// Time resolution of a count.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
pub(in crate::http::graphql) enum Resolution {
    /// To the millisecond.
    Millisecond,
    /// To the hour: the count is exact at the end of each hour of UTC, and crossings within the hour are counted there.
    /// Applies to instants whose events have been pruned.
    Hour,
    /// To the interval that a DPU reports: the count is exact at the end of each interval, and lies in `countRange` before.
    Interval,
}

impl Resolution {
    /// Returns the resolution of a count. `is_open`: whether an interval is open at `at`.
    pub(in crate::http::graphql) fn at(view: &ClientView, at: Instant, is_open: bool) -> Self {
        if view.plan().is_digested(at) {
            Self::Hour
        } else if is_open {
            Self::Interval
        } else {
            Self::Millisecond
        }
    }
}

/// Reason why an event is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::ingest::RejectionCode")]
pub(in crate::http::graphql) enum RejectionCode {
    /// No DPU has this serial.
    UnknownDpu,
    /// The timestamp is later than the server's clock plus the allowed skew.
    TimestampInFuture,
    /// The timestamp is before the earliest instant that the server accepts, by default 2010-01-01T00:00:00Z.
    TimestampOutOfRange,
    /// The timestamp is before the horizon: events that old have been pruned.
    TimestampPruned,
    /// The timestamp is invalid.
    BadTimestamp,
    /// The direction is invalid.
    BadDirection,
    /// The sequence number is not a whole number from 0 to 2147483647.
    BadSeq,
    /// The row as a whole cannot be read.
    Malformed,
    /// The DPU reports something else: see `Dpu.reports`.
    WrongKind,
    /// Other numbers are stored for the same interval, or for a reading at the same instant.
    Conflict,
    /// The interval overlaps another one that is stored.
    Overlap,
    /// The totals rose by more people than can be.
    Implausible,
    /// The interval ends before its start, is longer than a day, or its number of people is invalid.
    BadInterval,
    /// A total is invalid.
    BadTotal,
}

/// Kind of reason why a change was refused.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::floor_plan::RefusalCode")]
pub(in crate::http::graphql) enum UserErrorCode {
    /// A text is empty or consists only of blanks.
    Blank,
    /// A text has too many characters.
    TooLong,
    /// A text contains a control character, or one that changes the direction of writing.
    BadCharacter,
    /// A number or an instant is outside the accepted range.
    OutOfRange,
    /// The name, serial or instant is already in use.
    Taken,
    /// An object that the change refers to does not exist.
    NotFound,
    /// One DPU would count twice for one space at the same time.
    Overlap,
    /// A period would end at its start or before it.
    EndsBeforeStart,
    /// Other objects still refer to the object that would be deleted.
    InUse,
    /// A text has an invalid format.
    Invalid,
}
