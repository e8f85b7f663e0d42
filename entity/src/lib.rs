//! The tables, one file each, and the few value types that their columns hold.
//!
//! Nothing here reads or writes: these are the rows as SeaORM sees them. What a row means, and which
//! rows may stand together, is `api`'s to say.

pub mod assignment;
pub mod digest;
pub mod dpu;
pub mod event;
mod instant;
pub mod reset;
pub mod reset_rule;
pub mod space;
pub mod tally;
pub mod token;

pub use instant::{Instant, InstantText, ParseInstantError};
