//! DPUs.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};
use entity::Instant;

use super::assignment::Assignment;
use super::enums::{Direction, DpuClock, DpuReports};
use super::event::{Event, EventConnection};
use super::health::DpuHealth;
use super::id;
use super::page::{Cut, Page, PageArguments, RowKey, StoredPage};
use super::report::{DpuInterval, DpuReading};
use super::scalars::DateTime;
use crate::counts::ReportPage;
use crate::floor_plan::{self, List, Span};
use crate::http::graphql::limits::{DeclaredEntries, Entries};
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::request::view::ClientView;
use crate::ids::Kind;
use crate::timelines::EventRange;

/// Sort order of DPUs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Enum)]
pub(in crate::http::graphql) enum DpuOrder {
    /// In order of creation.
    Id,
    /// By serial.
    Serial,
    /// By name, with DPUs without a name first.
    Name,
}

/// How many entries these fields have.
pub(super) const ENTRIES: DeclaredEntries = &[("assignments", Entries::PageOf(List::AssignmentsOfDpu))];

/// A DPU (depth processing unit): a sensor over a doorway. It reports crossings, or how many people crossed.
#[derive(Clone)]
pub(in crate::http::graphql) struct Dpu {
    view: Arc<ClientView>,
    dpu: Arc<floor_plan::Dpu>,
}

impl Dpu {
    pub(in crate::http::graphql) fn new(view: &Arc<ClientView>, dpu: &Arc<floor_plan::Dpu>) -> Self {
        Self { view: Arc::clone(view), dpu: Arc::clone(dpu) }
    }

    pub(in crate::http::graphql) fn find(view: &Arc<ClientView>, id: i64) -> Option<Self> {
        Some(Self::new(view, view.plan().dpu(id)?))
    }

    pub(in crate::http::graphql) fn view(&self) -> &Arc<ClientView> {
        &self.view
    }

    /// Returns pages of all reports in a range that the client may see, one for each part of it.
    fn report_pages(
        &self,
        start: Option<DateTime>,
        end: Option<DateTime>,
        voided: bool,
    ) -> Result<Vec<ReportPage>> {
        let start = start.map(|start| start.argument("start")).transpose()?;
        let end = end.map(|end| end.argument("end")).transpose()?;
        let spans = self.dpu.shown().iter().filter_map(|span| span.within(start, end));
        let dpu = self.dpu.row.id;
        let page = |Span { start, end }| ReportPage {
            dpu,
            start,
            end,
            voided,
            after: None,
            before: None,
            newest_first: false,
            size: 0,
        };
        Ok(spans.map(page).collect())
    }
}

/// Returns a cut of a page.
fn within(page: ReportPage, cut: &Cut<i64>) -> ReportPage {
    ReportPage {
        after: cut.after.map(Instant::from_ms),
        before: cut.before.map(Instant::from_ms),
        newest_first: cut.newest_first,
        size: cut.size,
        ..page
    }
}

/// A DPU (depth processing unit): a sensor over a doorway. It reports crossings, or how many people crossed.
#[Object]
impl Dpu {
    /// The id.
    async fn id(&self, context: &Context<'_>) -> Result<ID> {
        id::public(context, Kind::Dpu, self.dpu.row.id)
    }

    /// The global id, for the query `node`.
    pub(in crate::http::graphql) async fn node_id(&self, context: &Context<'_>) -> Result<ID> {
        id::node(context, Kind::Dpu, self.dpu.row.id)
    }

    /// The hardware id that devices and files use. No two DPUs share a serial.
    async fn serial(&self) -> &str {
        &self.dpu.row.serial
    }

    /// The name, if it has one.
    async fn name(&self) -> Option<&str> {
        self.dpu.row.name.as_deref()
    }

    /// The IANA time zone of its clock, for event timestamps that have neither `Z` nor an offset. Null: UTC.
    async fn time_zone(&self) -> Option<&str> {
        self.dpu.row.time_zone.as_deref()
    }

    /// What it reports. Everything else that the same sensor sends is not counted.
    async fn reports(&self) -> DpuReports {
        self.dpu.row.reports.into()
    }

    /// The width of its counters in bits, 16 or 32, after which they show 0 again. Null: they never do.
    async fn counter_bits(&self) -> Option<i32> {
        self.dpu.row.counter_bits
    }

    /// The highest plausible number of people a minute and direction. Null: 240.
    async fn max_per_minute(&self) -> Option<i32> {
        self.dpu.row.max_per_minute
    }

    /// The time between two of its reports in seconds. Null: it is not known.
    async fn expected_every(&self) -> Option<i32> {
        self.dpu.row.expected_every
    }

    /// Which clock tells when something happened that its device sends in a format of its own.
    async fn clock(&self) -> DpuClock {
        self.dpu.row.clock.into()
    }

    /// How far the device's clock may be off, in seconds, if `clock` is `DEVICE_WITHIN`.
    async fn clock_within(&self) -> Option<i32> {
        self.dpu.row.clock_within
    }

    /// Whether it is alive, by its reports and heartbeats.
    async fn health(&self, context: &Context<'_>) -> Result<DpuHealth> {
        DpuHealth::of(context, &self.view, &self.dpu).await
    }

    /// The assignments of the DPU to spaces, past ones included, in order of creation.
    async fn assignments(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Maximum number of entries from the beginning, 0 to 500. Default: 100.")]
        first: Option<i32>,
        #[graphql(desc = "Return entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Maximum number of entries from the end, 0 to 500; instead of first.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Return entries before this cursor.")] before: Option<String>,
    ) -> Result<Page<Assignment>> {
        let assignments = self.dpu.assignments.iter();
        let assignments =
            assignments.filter_map(|row| Some((RowKey(row.id), Assignment::new(&self.view, row)?)));
        PageArguments { first, after, last, before }.page(context, "assignments", assignments.collect())
    }

    /// The crossings that the DPU reported, oldest first by default.
    #[expect(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn events(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Start of the range, inclusive. Default: the first event.")] start: Option<DateTime>,
        #[graphql(desc = "End of the range, exclusive. Default: no end.")] end: Option<DateTime>,
        #[graphql(desc = "Filter by direction.")] direction: Option<Direction>,
        #[graphql(desc = "List the newest events first.", default)] newest_first: bool,
        #[graphql(desc = "List the events that were voided, instead of those that count.", default)]
        voided: bool,
        #[graphql(desc = "Maximum number of entries from the beginning, 0 to 500. Default: 100.")]
        first: Option<i32>,
        #[graphql(desc = "Return entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Maximum number of entries from the end, 0 to 500; instead of first.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Return entries before this cursor.")] before: Option<String>,
    ) -> Result<EventConnection> {
        let start = start.map(|start| start.argument("start")).transpose()?;
        let end = end.map(|end| end.argument("end")).transpose()?;
        let spans = self.dpu.shown().iter().filter_map(|span| span.within(start, end));
        let (dpu, direction) = (self.dpu.row.id, direction.map(Into::into));
        let range = |Span { start, end }| EventRange { dpu, start, end, direction, voided };
        let ranges = spans.map(range).collect();
        let arguments = PageArguments { first, after, last, before };
        Scope::list(context, arguments.size()?.entries())?;
        EventConnection::read(&self.view, ranges, newest_first, voided, &arguments).await
    }

    /// The intervals that count for the DPU, oldest first by default: those that it reported, those between its readings,
    /// and sums of what has been pruned. `start` and `end` apply to the instant at which an interval counts, its last
    /// millisecond.
    #[expect(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn intervals(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Start of the range, inclusive. Default: the first interval.")] start: Option<
            DateTime,
        >,
        #[graphql(desc = "End of the range, exclusive. Default: no end.")] end: Option<DateTime>,
        #[graphql(desc = "List the newest intervals first.", default)] newest_first: bool,
        #[graphql(desc = "List the intervals that were voided, instead of those that count.", default)]
        voided: bool,
        #[graphql(desc = "Maximum number of entries from the beginning, 0 to 500. Default: 100.")]
        first: Option<i32>,
        #[graphql(desc = "Return entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Maximum number of entries from the end, 0 to 500; instead of first.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Return entries before this cursor.")] before: Option<String>,
    ) -> Result<StoredPage<DpuInterval>> {
        let name = if voided { "voided intervals" } else { "intervals" };
        let arguments = PageArguments { first, after, last, before };
        Scope::list(context, arguments.size()?.entries())?;
        let pages = self.report_pages(start, end, voided)?;
        let read = async |cut: Cut<i64>| {
            let rows = self.view.intervals(pages.iter().map(|page| within(*page, &cut))).await?;
            Ok(rows.into_iter().map(|row| (row.ends.ms(), row)).collect())
        };
        let node = |row| Some(DpuInterval::new(&self.view, row));
        arguments.stored(name, newest_first, read, node).await
    }

    /// The readings of totals that the DPU reported, oldest first by default. Of those that have been pruned, the last one is
    /// kept.
    #[expect(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn readings(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Start of the range, inclusive. Default: the first reading.")] start: Option<
            DateTime,
        >,
        #[graphql(desc = "End of the range, exclusive. Default: no end.")] end: Option<DateTime>,
        #[graphql(desc = "List the newest readings first.", default)] newest_first: bool,
        #[graphql(desc = "List the readings that were voided, instead of those that are used.", default)]
        voided: bool,
        #[graphql(desc = "Maximum number of entries from the beginning, 0 to 500. Default: 100.")]
        first: Option<i32>,
        #[graphql(desc = "Return entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Maximum number of entries from the end, 0 to 500; instead of first.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Return entries before this cursor.")] before: Option<String>,
    ) -> Result<StoredPage<DpuReading>> {
        let name = if voided { "voided readings" } else { "readings" };
        let arguments = PageArguments { first, after, last, before };
        Scope::list(context, arguments.size()?.entries())?;
        let pages = self.report_pages(start, end, voided)?;
        let read = async |cut: Cut<i64>| {
            let rows = self.view.readings(pages.iter().map(|page| within(*page, &cut))).await?;
            Ok(rows.into_iter().map(|row| (row.ts.ms(), row)).collect())
        };
        let node = |row| Some(DpuReading::new(&self.view, row));
        arguments.stored(name, newest_first, read, node).await
    }

    /// The latest event by timestamp: it tells a quiet doorway from a dead sensor. Null: no events yet.
    async fn last_event(&self) -> Result<Option<Event>> {
        let stretches = self.dpu.shown().iter().map(|span| span.stretch(self.dpu.row.id));
        let last = self.view.last_event(stretches).await?;
        Ok(last.and_then(|row| Event::new(&self.view, row)))
    }

    /// When the DPU was created.
    async fn created(&self) -> DateTime {
        self.dpu.row.created.into()
    }

    /// When the DPU was last changed.
    async fn modified(&self) -> DateTime {
        self.dpu.row.modified.into()
    }
}
