//! Ingest: how events get into the database, and the only code that writes them.
//!
//! A sender hands over a batch and is told about each event of it: accepted, a duplicate, or rejected
//! and why. It may send the same batch again as often as it likes. [`Recorder`] gathers the batches
//! of all senders into shared commits; [`record`] is one such commit's work. [`csv`], [`json`] and
//! [`decoder`] read what senders write, and [`zone`] reads the timestamps that name no time zone.

mod config;
pub mod csv;
pub mod decoder;
mod event;
#[cfg(test)]
pub(crate) mod fuzz;
pub mod json;
mod record;
mod recorder;
mod rows;
pub mod zone;

pub use config::EventsConfig;
pub use event::{Batch, Crossing, Identity, Outcome, Rejection, RejectionCode, Summary};
pub use record::{CLOCK_SKEW_MS, EARLIEST, Intake, Recorded, Unrecorded, instant, record};
pub use recorder::{RecordError, Recorder, Writer};
