//! Timelines: what odometers show at any instant, cached in memory and read from the database.
//!
//! An odometer's reading at any instant is its reading at the end of the previous day plus the crossings of a part of
//! the day. Both are in a cache of bounded size (the module `memory` describes what keeps it correct), so a count
//! from five years ago costs as much as one from now.

mod cache;
mod days;
mod events;
mod load;
mod memory;
mod packed;
mod page;
mod step;
mod stretch;
mod summary;
mod sums;

#[cfg(test)]
pub(crate) use self::days::DayTotal;
pub(crate) use self::days::{Days, Extent};
pub use self::events::{EventKey, EventPage, EventRange};
pub(crate) use self::events::{counts as event_counts, pages as event_pages};
pub use self::load::Lacking;
pub(crate) use self::load::load;
pub use self::memory::{Loaded, PageKey, Patch, Since, Timelines, Version};
pub(crate) use self::page::{Page, PageAt};
#[cfg(test)]
pub(crate) use self::step::Step;
pub(crate) use self::stretch::last_events;
pub(crate) use self::summary::{Grain, Summary, SummaryKey, SummarySource};

/// Default size of the cache of timelines, in bytes: 256 MiB.
pub const CACHE_BYTES: u64 = 256 << 20;
