//! Enumerations of the schema: what the domain's own are called here, and how they are described.

use async_graphql::Enum;
use entity::Instant;

use crate::http::graphql::request::view::View;

/// Which way a person walked under a DPU.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::event::Direction")]
pub(in crate::http::graphql) enum Direction {
    /// Towards the side the DPU looks from: +1.
    Toward,
    /// Away from the side the DPU looks from: -1.
    Away,
}

/// Which side of a doorway a DPU hangs on, as seen from the space it counts for.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::assignment::Placement")]
pub(in crate::http::graphql) enum Placement {
    /// On the space's own side: walking towards the DPU enters the space.
    Inside,
    /// On the other side: walking towards the DPU leaves the space.
    Outside,
}

/// What a space answers when its count is below zero, as it is when people were inside before counting began.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::space::NegativeCounts")]
pub(in crate::http::graphql) enum NegativeCounts {
    /// The signed figure: a difference since counting began.
    Report,
    /// Zero. Only the answer is clamped, never the sum behind it.
    Clamp,
}

/// How long a bucket of a history is.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::counting::calendar::Interval")]
pub(in crate::http::graphql) enum Interval {
    /// A minute.
    Minute,
    /// Five minutes.
    FiveMinutes,
    /// A quarter of an hour.
    FifteenMinutes,
    /// Half an hour.
    ThirtyMinutes,
    /// An hour of the zone's clocks.
    Hour,
    /// A day of the zone's calendar, of 23 to 25 hours.
    Day,
    /// A week of the zone's calendar, from Monday.
    Week,
    /// A month of the zone's calendar.
    Month,
}

/// How finely a count is known in time.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
pub(in crate::http::graphql) enum Resolution {
    /// To the millisecond.
    Millisecond,
    /// To the hour: it is exact at the end of each hour of UTC, and what happened within the hour is counted then. So it
    /// is for instants whose events are pruned.
    Hour,
}

impl Resolution {
    pub(in crate::http::graphql) fn at(view: &View, at: Instant) -> Self {
        if view.plan().is_digested(at) { Self::Hour } else { Self::Millisecond }
    }
}

/// Why an event is not stored.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::ingest::RejectionCode")]
pub(in crate::http::graphql) enum RejectionCode {
    /// No DPU has this serial.
    UnknownDpu,
    /// It would happen later than the server's clock and the allowed skew say.
    TimestampInFuture,
    /// It would have happened before 1970.
    TimestampOutOfRange,
    /// It happened before the horizon, where events are pruned.
    TimestampPruned,
    /// The timestamp cannot be read.
    BadTimestamp,
    /// The direction is none.
    BadDirection,
    /// The sequence number is no whole number from 0 to 2147483647.
    BadSeq,
    /// The row as a whole cannot be read.
    Malformed,
}

/// What kind of thing was wrong with a change.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::floor_plan::RefusalCode")]
pub(in crate::http::graphql) enum UserErrorCode {
    /// A text is empty, or nothing but blanks.
    Blank,
    /// A text has more characters than are kept.
    TooLong,
    /// A text holds a control character.
    BadCharacter,
    /// A number or an instant lies outside what is accepted.
    OutOfRange,
    /// The name, serial or instant belongs to another one already.
    Taken,
    /// What the change refers to does not exist.
    NotFound,
    /// One DPU would count twice for one space at a time.
    Overlap,
    /// A stretch of time would end before it has started.
    EndsBeforeStart,
    /// Something still refers to what would be deleted.
    InUse,
    /// A text cannot be read as what it should be.
    Invalid,
}
