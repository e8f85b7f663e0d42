//! Intervals and readings: what DPUs report besides crossings, and why something was voided.

use std::sync::Arc;

use async_graphql::{Enum, Object, SimpleObject};
use entity::{interval, reading, void};

use super::int::Int;
use super::scalars::DateTime;
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::view::ClientView;

/// Where the numbers of an interval come from.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::interval::IntervalSource")]
enum IntervalSource {
    /// The DPU reported them.
    Reported,
    /// They are the difference of two neighbouring readings.
    Derived,
    /// They are the sum of what has been pruned.
    Pruned,
}

/// People who crossed under a DPU during `[start, end)`. They count at the last millisecond.
#[derive(Clone)]
pub(in crate::http::graphql) struct DpuInterval {
    view: Arc<ClientView>,
    row: interval::Model,
}

impl DpuInterval {
    pub(in crate::http::graphql) fn new(view: &Arc<ClientView>, row: interval::Model) -> Self {
        Self { view: Arc::clone(view), row }
    }
}

/// People who crossed under a DPU during `[start, end)`. They count at the last millisecond.
#[Object]
impl DpuInterval {
    /// Start, inclusive.
    async fn start(&self) -> DateTime {
        self.row.starts.into()
    }

    /// End, exclusive.
    async fn end(&self) -> DateTime {
        self.row.ends.into()
    }

    /// Number of people who walked towards the DPU.
    async fn toward(&self) -> Int {
        self.row.toward.into()
    }

    /// Number of people who walked away from it.
    async fn away(&self) -> Int {
        self.row.away.into()
    }

    /// Where the numbers come from.
    async fn source(&self) -> IntervalSource {
        self.row.source.into()
    }

    /// Whether people were lost: a counter was restarted, or counting began again with new totals.
    async fn is_gap(&self) -> bool {
        self.row.is_gap
    }

    /// When the server received it, or the later of its two readings. Null: it has been pruned.
    async fn created(&self) -> Option<DateTime> {
        (self.row.source != interval::IntervalSource::Pruned).then(|| self.row.created.into())
    }

    /// Why it does not count, if it was voided.
    async fn void(&self) -> Result<Option<Void>> {
        Void::find(&self.view, self.row.void).await
    }
}

/// What the counters of a DPU showed.
#[derive(Clone)]
pub(in crate::http::graphql) struct DpuReading {
    view: Arc<ClientView>,
    row: reading::Model,
}

impl DpuReading {
    pub(in crate::http::graphql) fn new(view: &Arc<ClientView>, row: reading::Model) -> Self {
        Self { view: Arc::clone(view), row }
    }
}

/// What the counters of a DPU showed.
#[Object]
impl DpuReading {
    /// When they were read, by the DPU's clock.
    async fn ts(&self) -> DateTime {
        self.row.ts.into()
    }

    /// Number of people who walked towards the DPU since it was started, a whole number.
    #[expect(clippy::cast_precision_loss, reason = "totals are exact up to 2^53")]
    async fn total_toward(&self) -> f64 {
        self.row.toward as f64
    }

    /// Number of people who walked away from it, a whole number.
    #[expect(clippy::cast_precision_loss, reason = "totals are exact up to 2^53")]
    async fn total_away(&self) -> f64 {
        self.row.away as f64
    }

    /// Whether counting begins again here: nobody is counted between the reading before and this one.
    async fn is_baseline(&self) -> bool {
        self.row.is_baseline
    }

    /// When the server received it.
    async fn created(&self) -> DateTime {
        self.row.created.into()
    }

    /// Why nothing is derived from it, if it was voided.
    async fn void(&self) -> Result<Option<Void>> {
        Void::find(&self.view, self.row.void).await
    }
}

/// An administrator's statement that something that was reported never happened.
#[derive(SimpleObject)]
pub(in crate::http::graphql) struct Void {
    /// Why it is taken back.
    reason: String,
    /// The name of the token that was used. Null if the server required none.
    voided_by: Option<String>,
    /// When it was taken back.
    created: DateTime,
}

impl Void {
    /// Returns the void with this id.
    pub(in crate::http::graphql) async fn find(
        view: &Arc<ClientView>,
        id: Option<i64>,
    ) -> Result<Option<Self>> {
        let Some(id) = id else { return Ok(None) };
        let row = view.void(id).await?;
        Ok(row.map(|void::Model { reason, voided_by, created, .. }| Self {
            reason,
            voided_by,
            created: created.into(),
        }))
    }
}
