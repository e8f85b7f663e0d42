//! Spaces.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use futures::future::{try_join, try_join_all};

use super::assignment::Assignment;
use super::breakdown::{CountBreakdown, CountRange};
use super::dpu::Dpu;
use super::enums::{Interval, NegativeCounts, Resolution};
use super::event::Event;
use super::health::{DpuHealth, HealthState};
use super::history::HistoryBucket;
use super::id;
use super::int::Int;
use super::page::{Page, PageArguments};
use super::reset::{Reset, ResetRule, ResetRuleChange};
use super::scalars::{DateTime, LocalDate, LocalTime};
use super::sequence::Sequence;
use crate::floor_plan::changes::reset_rule::NewResetRule;
use crate::floor_plan::{self, List, edge, history_edges};
use crate::health::Health;
use crate::http::graphql::limits::{DeclaredEntries, Entries};
use crate::http::graphql::request::error::{Fault, Result};
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::request::view::ClientView;
use crate::ids::Kind;

/// Sort order of spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(in crate::http::graphql) enum SpaceOrder {
    /// In order of creation.
    Id,
    /// By name.
    Name,
}

/// How many entries these fields have.
pub(super) const ENTRIES: DeclaredEntries = &[
    ("history", Entries::Buckets),
    ("resetRulePreview", Entries::Days),
    ("resetRules", Entries::All(List::RulesOfSpace)),
    ("dpus", Entries::All(List::AssignmentsOfSpace)),
    ("assignments", Entries::All(List::AssignmentsOfSpace)),
];

/// A place where people can be: a room, a floor, a building. The outside is not a space.
#[derive(Clone)]
pub(in crate::http::graphql) struct Space {
    view: Arc<ClientView>,
    space: Arc<floor_plan::Space>,
}

impl Space {
    pub(in crate::http::graphql) fn new(view: &Arc<ClientView>, space: &Arc<floor_plan::Space>) -> Self {
        Self { view: Arc::clone(view), space: Arc::clone(space) }
    }

    pub(in crate::http::graphql) fn find(view: &Arc<ClientView>, id: i64) -> Option<Self> {
        Some(Self::new(view, view.plan().space(id)?))
    }

    /// Returns the health of each DPU that counts for the space now.
    async fn health_of_dpus(&self, context: &Context<'_>) -> Result<Vec<Health>> {
        let ids = self.space.dpu_ids(Scope::of(context)?.instant(None));
        self.view.look_at_names(ids.len())?;
        let dpus = ids.into_iter().filter_map(|id| self.view.plan().dpu(id));
        try_join_all(dpus.map(|dpu| DpuHealth::known(context, dpu))).await
    }

    pub(in crate::http::graphql) fn view(&self) -> &Arc<ClientView> {
        &self.view
    }

    /// Returns the space in the floor plan.
    pub(in crate::http::graphql) fn planned(&self) -> &floor_plan::Space {
        &self.space
    }
}

/// A place where people can be: a room, a floor, a building. The outside is not a space.
#[Object]
impl Space {
    /// The id, the same as in REST.
    async fn id(&self, context: &Context<'_>) -> Result<ID> {
        id::public(context, Kind::Space, self.space.row.id)
    }

    /// The global id, for the query `node`.
    pub(in crate::http::graphql) async fn node_id(&self, context: &Context<'_>) -> Result<ID> {
        id::node(context, Kind::Space, self.space.row.id)
    }

    /// The name. No two spaces share a name.
    async fn name(&self) -> &str {
        &self.space.row.name
    }

    /// Number of people that the space is meant to hold. Null if not given.
    async fn capacity(&self) -> Option<i32> {
        self.space.row.capacity
    }

    /// The IANA time zone of its calendar days and its reset rules.
    async fn time_zone(&self) -> &str {
        &self.space.row.time_zone
    }

    /// How a count below zero is reported.
    async fn negative_counts(&self) -> NegativeCounts {
        self.space.row.negative_counts.into()
    }

    /// Number of people in the space, with `negativeCounts` applied.
    async fn count(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The instant, crossings at it included. Default: now.")] ts: Option<DateTime>,
    ) -> Result<Int> {
        let scope = Scope::of(context)?;
        let net = self.view.net(self.space.account(scope.counted_at(DateTime::given(ts)?))).await?;
        Ok(self.space.answer(net).into())
    }

    /// Number of people in the space as counted: the signed figure, never clamped.
    async fn net_count(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The instant, crossings at it included. Default: now.")] ts: Option<DateTime>,
    ) -> Result<Int> {
        let scope = Scope::of(context)?;
        Ok(self.view.net(self.space.account(scope.counted_at(DateTime::given(ts)?))).await?.into())
    }

    /// The lowest and the highest number of people that the reports allow, with `negativeCounts` applied. They are equal
    /// where the count is exact. They differ within an interval of which only the number of people is known, and include
    /// `count`.
    async fn count_range(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The instant, crossings at it included. Default: now.")] ts: Option<DateTime>,
    ) -> Result<CountRange> {
        let scope = Scope::of(context)?;
        let account = self.space.account(scope.counted_at(DateTime::given(ts)?));
        let (net, open) =
            try_join(self.view.net(account), self.view.open_intervals(account.readings())).await?;
        let range = account.range(net, |reading| open.get(&reading).copied());
        Ok(CountRange {
            low: self.space.answer(range.low).into(),
            high: self.space.answer(range.high).into(),
        })
    }

    /// Time resolution of the count: the millisecond, the interval that a DPU reports, or the hour where events have been
    /// pruned.
    async fn resolution(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The instant. Default: now.")] ts: Option<DateTime>,
    ) -> Result<Resolution> {
        let scope = Scope::of(context)?;
        let ts = DateTime::given(ts)?;
        let account = self.space.account(scope.counted_at(ts));
        let open = self.view.open_intervals(account.readings()).await?;
        Ok(Resolution::at(&self.view, scope.instant(ts), !open.is_empty()))
    }

    /// The parts of the count: where it starts, and what each assignment adds.
    async fn count_breakdown(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The instant, crossings at it included. Default: now.")] ts: Option<DateTime>,
    ) -> Result<CountBreakdown> {
        let scope = Scope::of(context)?;
        let at = scope.counted_at(DateTime::given(ts)?);
        let account = self.space.account(at);
        Scope::list(context, account.terms().count())?;
        let (odometers, open) =
            try_join(self.view.odometers(account.readings()), self.view.open_intervals(account.readings()))
                .await?;
        let resolution = Resolution::at(&self.view, at, !open.is_empty());
        Ok(CountBreakdown::new(self, &self.view, at, resolution, account, |reading| odometers[&reading]))
    }

    /// The count over time, in buckets that cover `[start, end)` and are cut where an interval begins. It agrees with
    /// `count` at every instant. In the future, it continues from what is known now.
    async fn history(
        &self,
        context: &Context<'_>,
        #[graphql(
            desc = "Start of the history, inclusive. A date alone is the start of that day in the time zone."
        )]
        start: DateTime,
        #[graphql(
            desc = "End of the history, exclusive. A date alone is the start of that day in the time zone."
        )]
        end: DateTime,
        #[graphql(desc = "Length of a bucket. A history has at most 10000 buckets.")] interval: Interval,
        #[graphql(
            desc = "The IANA time zone whose clocks and calendar cut the buckets. Default: the space's own."
        )]
        time_zone: Option<String>,
    ) -> Result<Sequence<HistoryBucket>> {
        let (start, end) = (start.timestamp("start")?, end.timestamp("end")?);
        let edges = history_edges(&self.space, start, end, interval.into(), time_zone.as_deref())
            .map_err(|error| Fault::BadInput(format!("{}: {error}", error.argument("timeZone"))))?;
        Scope::list(context, edges.len().saturating_sub(1))?;
        let buckets = self.view.history(self.space.row.id, edges).await?;
        Ok(HistoryBucket::all(buckets, self).into_iter().collect())
    }

    /// The latest event, by timestamp, of all DPUs while they counted for the space: it tells an empty room from dead
    /// sensors. Null: no events yet.
    async fn last_event(&self) -> Result<Option<Event>> {
        let last = self.view.last_event(self.space.stretches()).await?;
        Ok(last.and_then(|row| Event::new(&self.view, row)))
    }

    /// The resets of the space, earliest first.
    async fn resets(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Maximum number of entries from the beginning, 0 to 500. Default: 100.")]
        first: Option<i32>,
        #[graphql(desc = "Return entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Maximum number of entries from the end, 0 to 500; instead of first.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Return entries before this cursor.")] before: Option<String>,
    ) -> Result<Page<Reset>> {
        let resets = self.space.resets.iter().map(|row| (row.ts.ms(), Reset::new(self, row)));
        PageArguments { first, after, last, before }.page(context, "resets", resets.collect())
    }

    /// The reset rules of the space, oldest rule first.
    async fn reset_rules(&self, context: &Context<'_>) -> Result<Vec<ResetRule>> {
        Scope::list(context, self.space.rules.len())?;
        Ok(self.space.rules.iter().map(|row| ResetRule::new(self, row)).collect())
    }

    /// What a reset rule would change, before it is created: each of its occurrences in `[start, end)`, with the count
    /// without the rule and with it.
    #[expect(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn reset_rule_preview(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Time of day by the clocks of the space's time zone.")] time_of_day: LocalTime,
        #[graphql(desc = "Number of people in the space at that time: 0 or more.", default)] count: i32,
        #[graphql(desc = "First day on which the rule would hold.")] first_day: LocalDate,
        #[graphql(desc = "Last day on which the rule would hold. Default: no end.")] last_day: Option<
            LocalDate,
        >,
        #[graphql(
            desc = "Start of the preview, inclusive. A date alone is the start of that day in the space's time zone."
        )]
        start: DateTime,
        #[graphql(
            desc = "End of the preview, exclusive; at most 1000 days after `start`. A date alone: as for `start`."
        )]
        end: DateTime,
    ) -> Result<Sequence<ResetRuleChange>> {
        let named = |name: &'static str| move |error: String| Fault::BadInput(format!("{name}: {error}"));
        let rule = NewResetRule {
            space_id: self.space.row.id,
            time_of_day: time_of_day.parsed().map_err(named("timeOfDay"))?,
            count,
            first_day: first_day.parsed().map_err(named("firstDay"))?,
            last_day: last_day.map(LocalDate::parsed).transpose().map_err(named("lastDay"))?,
        };
        let zone = self.space.zone;
        let (start, end) = (edge(zone, start.timestamp("start")?), edge(zone, end.timestamp("end")?));
        let preview =
            self.space.preview(&rule, start, end).map_err(|error| Fault::BadInput(error.to_string()))?;
        Scope::list(context, preview.len())?;
        let changes = preview.into_iter().map(async |(ts, with_rule)| {
            let count = self.space.answer(self.view.net(self.space.account(ts)).await?).into();
            Ok(ResetRuleChange { ts: ts.into(), count, count_with_rule: self.space.answer(with_rule).into() })
        });
        try_join_all(changes).await.map(Sequence::from_iter)
    }

    /// The DPUs that count for the space, each once.
    async fn dpus(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The instant. Default: now.")] ts: Option<DateTime>,
    ) -> Result<Vec<Dpu>> {
        let at = Scope::of(context)?.instant(DateTime::given(ts)?);
        let ids = self.space.dpu_ids(at);
        Scope::list(context, ids.len())?;
        let dpus = ids.into_iter().filter_map(|id| self.view.plan().dpu(id));
        Ok(dpus.map(|dpu| Dpu::new(&self.view, dpu)).collect())
    }

    /// The worst state of the DPUs that count for the space now. Null: there are none.
    async fn health(&self, context: &Context<'_>) -> Result<Option<HealthState>> {
        let health = self.health_of_dpus(context).await?;
        Ok(health.into_iter().map(|health| health.state).max().map(Into::into))
    }

    /// Whether what is known of the space is older than expected: a DPU that counts for it now has reported nothing about the
    /// last 2 × `expectedEvery`.
    async fn stale(&self, context: &Context<'_>) -> Result<bool> {
        Ok(self.health_of_dpus(context).await?.iter().any(|health| health.is_stale))
    }

    /// All assignments of DPUs to the space, past ones included.
    async fn assignments(&self, context: &Context<'_>) -> Result<Vec<Assignment>> {
        Scope::list(context, self.space.assignments.len())?;
        let assignments = self.space.assignments.iter();
        Ok(assignments.filter_map(|row| Assignment::new(&self.view, row)).collect())
    }

    /// When the space was created.
    async fn created(&self) -> DateTime {
        self.space.row.created.into()
    }

    /// When the space was last changed.
    async fn modified(&self) -> DateTime {
        self.space.row.modified.into()
    }
}
