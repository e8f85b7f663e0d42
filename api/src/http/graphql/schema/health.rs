//! The health of DPUs.

use std::sync::Arc;

use async_graphql::{ComplexObject, Context, Enum, SimpleObject};

use super::int::Int;
use super::scalars::DateTime;
use crate::counts::ReportCounts;
use crate::floor_plan;
use crate::health::Health;
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::request::view::ClientView;

const DAY_MS: i64 = 86_400_000;

/// Whether a DPU is alive.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "crate::health::HealthState")]
pub(in crate::http::graphql) enum HealthState {
    /// It was heard of within 2 × `expectedEvery`.
    Online,
    /// It was heard of, but how often it reports is not known, so that silence means nothing: `expectedEvery` is null.
    Unknown,
    /// It was not heard of for more than 2 × `expectedEvery`.
    Late,
    /// It was never heard of.
    Never,
    /// It was not heard of for more than 10 × `expectedEvery`.
    Offline,
}

/// Whether a DPU is alive. Every report is heard, and so is a heartbeat, whether or not anybody crossed.
#[derive(SimpleObject)]
#[graphql(complex)]
pub(in crate::http::graphql) struct DpuHealth {
    /// The state now.
    state: HealthState,
    /// When the last report was received, by the server's clock. What other servers have heard appears within two minutes.
    last_heard: Option<DateTime>,
    /// The time between two reports in seconds, as the DPU is set up. Null: it is not known.
    expected_every: Option<i32>,
    /// How long the next report is overdue, in seconds; 0: it is not. Null: it is not known when it is due.
    late_by_seconds: Option<Int>,
    /// How far the DPU's clock was ahead of the server's in its last report, in milliseconds. Negative: behind, or the report
    /// was delayed. Null: it has told no time.
    clock_offset_ms: Option<Int>,
    /// Charge of the battery in percent, as the DPU last said.
    battery: Option<f64>,
    /// Faults of the DPU, as it last said.
    faults: Option<String>,
    #[graphql(skip)]
    dpu: Arc<floor_plan::Dpu>,
    #[graphql(skip)]
    view: Arc<ClientView>,
}

/// Whether a DPU is alive. Every report is heard, and so is a heartbeat, whether or not anybody crossed.
#[ComplexObject]
impl DpuHealth {
    /// Number of expected intervals or readings of the last 24 hours that have not been received. Null: it is not known how
    /// many there should be, or the DPU reports crossings.
    async fn missed_reports(&self, context: &Context<'_>) -> Result<Option<Int>> {
        let row = &self.dpu.row;
        if row.reports == entity::dpu::Reports::Crossings {
            return Ok(None);
        }
        let Some(every_ms) = row.expected_every.map(|seconds| i64::from(seconds) * 1_000) else {
            return Ok(None);
        };
        let now = Scope::of(context)?.instant(None);
        let ms = DAY_MS.min(now.ms() - row.created.ms()).max(0);
        let received = self.counts(context).await?.received;
        Ok(Some((ms / every_ms - received).max(0).into()))
    }

    /// Number of intervals that ended in the last 24 hours and in which people were lost, since a counter was restarted or
    /// counting began again.
    async fn gaps(&self, context: &Context<'_>) -> Result<Int> {
        Ok(self.counts(context).await?.gaps.into())
    }
}

impl DpuHealth {
    pub(in crate::http::graphql) async fn of(
        context: &Context<'_>,
        view: &Arc<ClientView>,
        dpu: &Arc<floor_plan::Dpu>,
    ) -> Result<Self> {
        let Health { state, heard, late_by_s, .. } = Self::known(context, dpu).await?;
        let heard = heard.as_ref();
        Ok(Self {
            state: state.into(),
            last_heard: heard.map(|heard| heard.at.into()),
            expected_every: dpu.row.expected_every,
            late_by_seconds: late_by_s.map(Into::into),
            clock_offset_ms: heard.and_then(|heard| heard.clock_offset_ms).map(Into::into),
            battery: heard.and_then(|heard| heard.battery),
            faults: heard.and_then(|heard| heard.faults.clone()),
            dpu: Arc::clone(dpu),
            view: Arc::clone(view),
        })
    }

    /// Returns the health of a DPU now.
    pub(in crate::http::graphql) async fn known(
        context: &Context<'_>,
        dpu: &floor_plan::Dpu,
    ) -> Result<Health> {
        let scope = Scope::of(context)?;
        let heard = scope.app().hearings.of(dpu.row.id).await?;
        Ok(Health::new(&dpu.row, heard, scope.instant(None)))
    }

    async fn counts(&self, context: &Context<'_>) -> Result<ReportCounts> {
        let now = Scope::of(context)?.instant(None);
        self.view.report_counts(self.dpu.row.id, now.plus_ms(-DAY_MS), now).await
    }
}
