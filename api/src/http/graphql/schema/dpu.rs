//! DPUs.

use std::sync::Arc;

use async_graphql::{Context, Enum, ID, Object};

use super::assignment::Assignment;
use super::enums::Direction;
use super::event::{Event, EventConnection};
use super::id;
use super::page::{Page, PageArguments, RowKey};
use super::scalars::DateTime;
use crate::floor_plan::{self, Span};
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

/// A DPU (depth processing unit): a sensor over a doorway that reports each crossing.
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
}

/// A DPU (depth processing unit): a sensor over a doorway that reports each crossing.
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
        let ranges = spans.map(|Span { start, end }| EventRange { dpu, start, end, direction }).collect();
        let arguments = PageArguments { first, after, last, before };
        Scope::list(context, arguments.size()?.entries())?;
        EventConnection::read(&self.view, ranges, newest_first, &arguments).await
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
