//! The tables, one file each.
//!
//! Nothing here reads or writes: these are the rows as SeaORM sees them. What a row means, and which rows may coexist,
//! is decided in `api`.

#![warn(missing_docs)]

pub mod assignment;
pub mod dpu;
pub mod event;
pub mod hearing;
pub mod inbox;
pub mod interval;
pub mod reading;
pub mod reset;
pub mod reset_rule;
pub mod space;
pub mod tally;
pub mod token;
pub mod void;

pub use values::{Instant, InstantText, ParseInstantError, Timestamp, shown};
