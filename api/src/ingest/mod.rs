//! Ingest: the only code that writes events to the database.
//!
//! A sender sends a batch and gets an outcome for each event: accepted, duplicate, or rejected with the reason. It may
//! send the same batch any number of times. [`Recorder`] gathers the batches of all senders into shared commits;
//! [`record`] does the work of one commit. [`csv`], [`json`] and [`decoder`] parse batches, and [`zone`] resolves
//! timestamps without a time zone.

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
pub use event::{Batch, Crossing, Identity, Outcome, OutcomeCounts, Rejection, RejectionCode};
pub use record::{CLOCK_SKEW_MS, EARLIEST, Intake, Recorded, Unrecorded, instant, record};
pub use recorder::{RecordError, Recorder, Writer};
