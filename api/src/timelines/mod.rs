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
mod stretch;
mod summary;

pub(crate) use self::days::Days;
pub(crate) use self::events::pages as event_pages;
pub use self::events::{EventKey, EventPage, EventRange};
pub use self::load::Lacking;
pub(crate) use self::load::load;
pub use self::memory::{Loaded, PageKey, Patch, Since, Timelines, Version};
#[cfg(test)]
pub(crate) use self::page::Step;
pub(crate) use self::page::{Page, PageAt};
pub(crate) use self::stretch::last_events;
pub(crate) use self::summary::{Grain, Summary, SummaryKey, SummarySource};
