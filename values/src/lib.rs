//! The values that rows and counts are made of: instants, timestamps, directions and placements.
//!
//! With the feature `columns`, SeaORM reads and writes them as columns.

#![warn(missing_docs)]

mod direction;
mod instant;
mod placement;

#[cfg(feature = "columns")]
pub use direction::DirectionEnum;
pub use direction::{Direction, ParseDirectionError};
pub use instant::{Instant, InstantText, ParseInstantError, Timestamp};
pub use placement::Placement;
#[cfg(feature = "columns")]
pub use placement::PlacementEnum;

/// Returns the text in quotes for a message: cut short if it is long, with control characters escaped.
pub fn shown(text: &str) -> String {
    const CHARACTERS_MAX: usize = 40;
    let mut start = text.chars();
    let kept: String = start.by_ref().take(CHARACTERS_MAX).collect();
    let more = if start.next().is_some() { "…" } else { "" };
    format!("{kept:?}{more}")
}
