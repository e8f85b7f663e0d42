//! The parts of a floor plan that counts are made of.

use chrono::{NaiveDate, NaiveTime};
use values::{Instant, Placement};

/// An assignment: during `[starts_at, ends_at)` a DPU counted for a space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The assignment's id.
    pub id: i64,
    /// The DPU's id.
    pub dpu: i64,
    /// Which side of the doorway the DPU hung on.
    pub placement: Placement,
    /// Start, inclusive; `None`: from the beginning.
    pub starts_at: Option<Instant>,
    /// End, exclusive; `None`: no end.
    pub ends_at: Option<Instant>,
}

/// A recorded reset: `count` people were in a space at `ts`, the crossings at this very instant included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reset {
    /// The reset's id.
    pub id: i64,
    /// When the count was true.
    pub ts: Instant,
    /// The number of people.
    pub count: i32,
}

/// A reset rule: `count` people are in a space at the same local time of every day from `first_day` to `last_day`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResetRule {
    /// The rule's id. Of two rules that apply at one instant, the one with the higher id takes precedence.
    pub id: i64,
    /// When it applies, in the space's time zone.
    pub time_of_day: NaiveTime,
    /// The number of people.
    pub count: i32,
    /// The first day on which it applies.
    pub first_day: NaiveDate,
    /// The last day on which it applies; `None`: until further notice.
    pub last_day: Option<NaiveDate>,
}
