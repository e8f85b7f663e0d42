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
