//! What an operation answers, counted while it runs.
//!
//! A list says how many entries it is about to answer before it does so. Together with what is selected below it, that tells
//! how many fields there will be, and how many bytes their names take. So lists whose lengths no argument bounds are paid for
//! as they are, and an operation ends before it has answered more than is accepted.

use std::sync::atomic::{AtomicU64, Ordering};

use async_graphql::{Context, SelectionField, ServerError};

use super::error::{Fault, Result};
use crate::http::graphql::limits::{Measure, Refusal};
use crate::limits::Limits;

/// About what a value takes in an answer, with its colon, comma and quotes, in bytes.
const VALUE_BYTES: u64 = 10;

/// Counts fields and bytes, and ends an operation that answers too many.
#[derive(Debug)]
pub(in crate::http::graphql) struct Meter {
    fields: AtomicU64,
    bytes: AtomicU64,
    fields_max: u32,
    bytes_max: u32,
}

/// The fields below one entry of a list, as they are selected.
#[derive(Default)]
struct Selected {
    fields: u64,
    bytes: u64,
}

impl Meter {
    /// Counts against these limits.
    pub(in crate::http::graphql) fn new(limits: &Limits) -> Self {
        Self {
            fields: AtomicU64::default(),
            bytes: AtomicU64::default(),
            fields_max: limits.graphql_cost,
            bytes_max: limits.answer_bytes,
        }
    }

    /// Forgets what was answered: the next message of a subscription begins.
    pub(in crate::http::graphql) fn start_again(&self) {
        self.fields.store(0, Ordering::Relaxed);
        self.bytes.store(0, Ordering::Relaxed);
    }

    /// Takes note that a field is about to answer so many entries.
    pub(in crate::http::graphql) fn list(&self, context: &Context<'_>, entries: usize) -> Result<()> {
        let Selected { fields, bytes } = Selected::below(context.field());
        let entries = entries as u64;
        let add = |sum: &AtomicU64, more: u64| sum.fetch_add(more, Ordering::Relaxed).saturating_add(more);
        let fields = add(&self.fields, entries.saturating_mul(fields.max(1)));
        let bytes = add(&self.bytes, entries.saturating_mul(bytes));
        self.check(fields, bytes).map_err(|refusal| Fault::TooMuch(refusal.to_string()))
    }

    /// Why the operation ends, if it has answered too much.
    pub(in crate::http::graphql) fn exceeded(&self) -> Option<ServerError> {
        let (fields, bytes) = (self.fields.load(Ordering::Relaxed), self.bytes.load(Ordering::Relaxed));
        self.check(fields, bytes).err().map(ServerError::from)
    }

    fn check(&self, fields: u64, bytes: u64) -> std::result::Result<(), Refusal> {
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
