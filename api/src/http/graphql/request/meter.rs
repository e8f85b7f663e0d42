//! The size of an operation's answer, measured while the operation runs.
//!
//! A list reports its number of entries before it resolves them. Together with the selection below it, this gives the
//! number of fields to come, and of bytes of their names. So lists that no argument bounds count with their actual
//! lengths, and an operation ends before its answer exceeds the limits.

use std::sync::atomic::{AtomicU64, Ordering};

use async_graphql::{Context, SelectionField, ServerError};

use super::error::{Fault, Result};
use crate::http::graphql::limits::{DocumentError, Measure};
use crate::limits::Limits;

/// Estimated size of a value in an answer, with its colon, comma and quotes, in bytes.
const VALUE_BYTES: u64 = 10;

/// Counts the fields and bytes of an answer, and ends an operation that exceeds the limits.
#[derive(Debug)]
pub(in crate::http::graphql) struct Meter {
    fields: AtomicU64,
    bytes: AtomicU64,
    fields_max: u32,
    bytes_max: u32,
}

/// The number and size of the fields that are selected below one entry of a list.
#[derive(Default)]
struct Selected {
    fields: u64,
    bytes: u64,
}

impl Meter {
    pub(in crate::http::graphql) fn new(limits: &Limits) -> Self {
        Self {
            fields: AtomicU64::default(),
            bytes: AtomicU64::default(),
            fields_max: limits.graphql_cost,
            bytes_max: limits.answer_bytes,
        }
    }

    /// Resets the counters for the next message of a subscription.
    pub(in crate::http::graphql) fn start_again(&self) {
        self.fields.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Counts a field that is about to answer this many entries.
    pub(in crate::http::graphql) fn list(&self, context: &Context<'_>, entries: usize) -> Result<()> {
        let Selected { fields, bytes } = Selected::below(context.field());
        let entries = entries as u64;
        let add = |sum: &AtomicU64, more: u64| sum.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        let fields = add(&self.fields, entries.saturating_mul(fields.max(1)));
        let bytes = add(&self.bytes, entries.saturating_mul(bytes));
        self.check(fields, bytes).map_err(|refusal| Fault::TooMuch(refusal.to_string()))
    }

    pub(in crate::http::graphql) fn exceeded(&self) -> Option<ServerError> {
        let (fields, bytes) = (self.fields.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        self.check(fields, bytes).err().map(ServerError::from)
    }

    fn check(&self, fields: u64, bytes: u64) -> std::result::Result<(), DocumentError> {
        Measure::Answered.check(fields, self.fields_max)?;
        Measure::AnswerBytes.check(bytes, self.bytes_max)
    }
}

impl Selected {
    fn below(field: SelectionField<'_>) -> Self {
        field.selection_set().fold(Self::default(), |sum, field| {
            let name = field.alias().unwrap_or(field.name()).len() as u64;
            let below = Self::below(field);
            Self {
                fields: sum.fields + 1 + below.fields,
                bytes: sum.bytes + name + VALUE_BYTES + below.bytes,
            }
        })
    }
}
