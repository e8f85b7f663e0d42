//! Timelines: what odometers show at any instant, cached in memory and read from the database.
//!
//! An odometer at any age is what it showed at the end of the day before, and the crossings of one part of a
//! day. Both are kept in a cache of a bounded size (the module `memory` says what keeps it correct), so a count of
//! five years ago costs what one of now does.

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

pub(crate) use self::days::Days;
pub(crate) use self::events::pages as event_pages;
pub use self::events::{EventKey, EventPage, EventRange};
pub use self::load::Lacking;
pub(crate) use self::load::load;
pub use self::memory::{Loaded, PageKey, Patch, Since, Timelines, Version};
pub(crate) use self::page::{Page, PageAt};
#[cfg(test)]
pub(crate) use self::step::Step;
pub(crate) use self::stretch::last_events;
pub(crate) use self::summary::{Grain, Summary, SummaryKey, SummarySource};

/// How many bytes of timelines are kept in memory unless somebody says otherwise: 256 MiB.
pub const CACHE_BYTES: u64 = 256 << 20;
