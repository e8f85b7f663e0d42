//! Events.

use std::sync::Arc;

use async_graphql::Object;
use async_graphql::connection::PageInfo;
use entity::Instant;
use entity::event;

use super::dpu::Dpu;
use super::enums::Direction;
use super::int::Int;
use super::page::{Cut, Edge, PageArguments};
use super::report::Void;
use super::scalars::DateTime;
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::view::ClientView;
use crate::timelines::{EventKey, EventPage, EventRange};

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

    /// Why it does not count, if it was voided.
    async fn void(&self) -> Result<Option<Void>> {
        Void::find(self.dpu.view(), self.row.void).await
    }
}

/// The key of an event: milliseconds, sign and number, since the columns' types have no JSON form.
type StoredKey = (i64, i64, i32);

fn key_of((ts_ms, sign, seq): StoredKey) -> Option<EventKey> {
    Some((Instant::from_ms(ts_ms), event::Direction::from_sign(sign).ok()?, seq))
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
        voided: bool,
        arguments: &PageArguments,
    ) -> Result<Self> {
        let read = async |cut: Cut<StoredKey>| {
            let (after, before) = (cut.after.and_then(key_of), cut.before.and_then(key_of));
            let page = |range: &EventRange| EventPage {
                range: *range,
                after,
                before,
                newest_first: cut.newest_first,
                size: cut.size,
            };
            let rows = view.events(ranges.iter().map(page)).await?;
            let key = |row: &event::Model| (row.ts.ms(), i64::from(row.direction.sign()), row.seq);
            Ok(rows.into_iter().map(|row| (key(&row), row)).collect())
        };
        let list = if voided { "voided events" } else { "events" };
        let page = arguments.stored(list, newest_first, read, |row| Event::new(view, row)).await?;
        Ok(Self { view: Arc::clone(view), page_info: page.page_info, ranges, edges: page.edges })
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
