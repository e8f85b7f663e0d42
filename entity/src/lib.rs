//! The tables, one file each, and the few value types that their columns hold.
//!
//! Nothing here reads or writes: these are the rows as SeaORM sees them. What a row means, and which rows may coexist,
//! is decided in `api`.

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

pub use instant::{Instant, InstantText, ParseInstantError, Timestamp};

/// Returns the text in quotes for a message: cut short if it is long, with control characters escaped.
pub fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 40;
    let mut start = text.chars();
    let kept: String = start.by_ref().take(CHARACTERS_MAX).collect();
    let more = if start.next().is_some() { "…" } else { "" };
    format!("{kept:?}{more}")
}
