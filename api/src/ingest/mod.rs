//! Ingest: the only code that writes what DPUs report to the database.
//!
//! A sender sends a batch and gets an outcome for each event: accepted, duplicate, or rejected with the reason. It may
//! send the same batch any number of times. [`Recorder`] gathers the batches of all senders into shared commits;
//! [`record`] does the work of one commit. [`csv`], [`json`] and [`decoder`] parse batches, and [`zone`] resolves
//! timestamps without a time zone.

mod check;
mod config;
pub mod csv;
pub mod decoder;
mod event;
#[cfg(test)]
pub(crate) mod fuzz;
pub mod json;
mod ledger;
mod record;
mod recorder;
pub mod report;
mod reports;
mod rows;
mod tallies;
pub mod voids;
pub mod zone;

pub use check::{CLOCK_SKEW_MS, EARLIEST, Intake, Unrecorded};
pub use config::EventsConfig;
pub use event::{Crossing, Identity, Outcome, OutcomeCounts, Rejection, RejectionCode};
pub use record::{Recorded, record};
pub use recorder::{RecordError, Recorder, Writer};
pub use report::{Batch, FAULTS_CHARACTERS_MAX, Heartbeat, IntervalReport, Report, TotalsReport};
