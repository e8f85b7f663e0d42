//! Events.

use std::sync::Arc;

use async_graphql::Object;
use async_graphql::connection::PageInfo;
use entity::Instant;
use entity::event;

use super::dpu::Dpu;
use super::enums::Direction;
use super::int::Int;
use super::page::{self, Edge, PageArguments, PageSize};
use super::scalars::DateTime;
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::view::ClientView;
use crate::timelines::{EventPage, EventRange};

/// A crossing: one person walked through a doorway under a DPU.
#[derive(Clone)]
pub(in crate::http::graphql) struct Event {
    dpu: Dpu,
    row: event::Model,
}

impl Event {
    /// Returns `None` only if the floor plan lacks the DPU, which the database rules out.
    pub(in crate::http::graphql) fn new(view: &Arc<ClientView>, row: event::Model) -> Option<Self> {
        Some(Self { dpu: Dpu::find(view, row.dpu_id)?, row })
    }
}

/// A crossing: one person walked through a doorway under a DPU.
#[Object]
impl Event {
    /// The DPU that reported it.
    async fn dpu(&self) -> &Dpu {
        &self.dpu
    }

    /// When it happened, by the DPU's clock.
    async fn ts(&self) -> DateTime {
        self.row.ts.into()
    }

    /// The direction in which the person walked.
    async fn direction(&self) -> Direction {
        self.row.direction.into()
    }

    /// Distinguishes people who crossed in the same millisecond.
    async fn seq(&self) -> i32 {
        self.row.seq
    }

    /// When the server first received it.
    async fn created(&self) -> DateTime {
        self.row.created.into()
    }
}

/// One page of a DPU's events.
pub(in crate::http::graphql) struct EventConnection {
    view: Arc<ClientView>,
    /// In order of time, without overlaps.
    ranges: Vec<EventRange>,
    edges: Vec<Edge<Event>>,
    page_info: PageInfo,
}

impl EventConnection {
    /// Reads the page that the arguments select.
    pub(in crate::http::graphql) async fn read(
        view: &Arc<ClientView>,
        ranges: Vec<EventRange>,
        newest_first: bool,
        arguments: &PageArguments,
    ) -> Result<Self> {
        let list = if newest_first { "events, newest first" } else { "events" };
        // A key of milliseconds, sign and number, since the columns' types have no JSON form.
        let key = |(ts_ms, sign, seq): (i64, i64, i32)| {
            Some((Instant::from_ms(ts_ms), event::Direction::from_sign(sign).ok()?, seq))
        };
        let (after, before) = arguments.bounds(list)?;
        let (after, before) = (after.and_then(key), before.and_then(key));
        // A page from the end of the list is read backwards from the end.
        let (backwards, size) = match arguments.size()? {
            PageSize::First(size) => (false, size),
            PageSize::Last(size) => (true, size),
        };
        let (from, until) = if backwards { (before, after) } else { (after, before) };
        // One more entry than requested shows whether there is another page.
        let page = |range: &EventRange| EventPage {
            range: *range,
            after: from,
            before: until,
            newest_first: newest_first != backwards,
            size: size + 1,
        };
        let mut rows = view.events(ranges.iter().map(page)).await?;
        rows.sort_unstable_by_key(|event| (event.ts, event.direction, event.seq));
        if newest_first != backwards {
            rows.reverse();
        }
        let more = rows.len() > size;
        rows.truncate(size);
        let (has_previous, has_next) = if backwards {
            rows.reverse();
            (more || after.is_some(), before.is_some())
        } else {
            (after.is_some(), more || before.is_some())
        };
        let edges = rows.into_iter().filter_map(|row| {
            let key = (row.ts.ms(), i64::from(row.direction.sign()), row.seq);
            Some(Edge { cursor: page::cursor(list, &key), node: Event::new(view, row)? })
        });
        let edges: Vec<_> = edges.collect();
        Ok(Self {
            view: Arc::clone(view),
            page_info: page::page_info(&edges, has_previous, has_next),
            ranges,
            edges,
        })
    }
}

/// One page of a list.
#[Object]
impl EventConnection {
    /// The entries, each with its cursor.
    async fn edges(&self) -> &[Edge<Event>] {
        &self.edges
    }

    /// The entries without their cursors.
    async fn nodes(&self) -> Vec<&Event> {
        self.edges.iter().map(|edge| &edge.node).collect()
    }

    /// Paging information.
    async fn page_info(&self) -> &PageInfo {
        &self.page_info
    }

    /// Number of entries in the whole list. They are counted only if this field is selected.
    async fn total_count(&self) -> Result<Int> {
        Ok(self.view.event_count(self.ranges.iter().copied()).await?.into())
    }
}
