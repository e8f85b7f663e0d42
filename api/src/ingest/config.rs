//! Options of what is recorded.

use entity::Instant;

/// Accepted events.
#[derive(Clone, Copy, Debug, clap::Args)]
pub struct EventsConfig {
    /// Reject events before this instant: they come from clocks that were never set
    #[arg(long, env = "EARLIEST_EVENT", value_name = "TIMESTAMP", default_value = "2010-01-01")]
    pub earliest_event: Instant,
}
