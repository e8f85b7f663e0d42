//! Pages of lists that can grow, as Relay connections.

use std::collections::BTreeMap;
use std::ops::Bound::{Excluded, Unbounded};

use async_graphql::connection::PageInfo;
use async_graphql::{OutputType, SimpleObject};

use super::assignment::Assignment;
use super::dpu::Dpu;
use super::error::{Fault, Result};
use super::space::Space;

/// How many entries a page has unless `first` says otherwise.
const PAGE_DEFAULT: usize = 100;
/// How many entries a page can have.
const PAGE_MAX: usize = 500;

/// One page of a list.
#[derive(SimpleObject)]
#[graphql(concrete(name = "SpaceConnection", params(Space)))]
#[graphql(concrete(name = "DpuConnection", params(Dpu)))]
#[graphql(concrete(name = "AssignmentConnection", params(Assignment)))]
pub(super) struct Page<T: OutputType>
where
    Edge<T>: OutputType,
{
    /// The entries, each with its cursor.
    edges: Vec<Edge<T>>,
    /// The entries alone.
    nodes: Vec<T>,
    /// Whether there is more, and where to go on.
    page_info: PageInfo,
    /// How many entries the whole list has.
    total_count: usize,
}

/// An entry of a list and where it stands in it.
#[derive(SimpleObject)]
#[graphql(concrete(name = "SpaceEdge", params(Space)))]
#[graphql(concrete(name = "DpuEdge", params(Dpu)))]
#[graphql(concrete(name = "AssignmentEdge", params(Assignment)))]
pub(super) struct Edge<T: OutputType> {
    /// The entry.
    node: T,
    /// Where it stands: the list goes on from here with `after`.
    cursor: String,
}

/// Which page is asked for.
pub(super) struct PageArguments {
    /// At most this many entries.
    pub(super) first: Option<i32>,
    /// Entries after the one with this cursor.
    pub(super) after: Option<String>,
}

impl PageArguments {
    /// The page of entries that `entries` holds by their ids. `kind` tells its cursors from those of other lists.
    pub(super) fn page<E, T>(
        self,
        kind: &str,
        entries: &BTreeMap<i64, E>,
        node: impl Fn(&E) -> T,
    ) -> Result<Page<T>>
    where
        T: OutputType + Clone,
        Edge<T>: OutputType,
    {
        let size = match self.first {
            None => PAGE_DEFAULT,
            Some(first) => usize::try_from(first).ok().filter(|size| *size <= PAGE_MAX).ok_or_else(|| {
                Fault::BadInput(format!("first: {first} is not a number from 0 to {PAGE_MAX}"))
            })?,
        };
        let after = self.after.map(|cursor| decode(kind, &cursor)).transpose()?;
        let mut rest = entries.range((after.map_or(Unbounded, Excluded), Unbounded)).peekable();
        let edges: Vec<_> = rest
            .by_ref()
            .take(size)
            .map(|(id, entry)| Edge { node: node(entry), cursor: encode(kind, *id) })
            .collect();
        let page_info = PageInfo {
            has_previous_page: after.is_some_and(|after| entries.range(..=after).next().is_some()),
            has_next_page: rest.peek().is_some(),
            start_cursor: edges.first().map(|edge| edge.cursor.clone()),
            end_cursor: edges.last().map(|edge| edge.cursor.clone()),
        };
        let nodes = edges.iter().map(|edge| edge.node.clone()).collect();
        Ok(Page { edges, nodes, page_info, total_count: entries.len() })
    }
}

fn encode(kind: &str, id: i64) -> String {
    data_encoding::BASE64URL_NOPAD.encode(format!("{kind}:{id}").as_bytes())
}

fn decode(kind: &str, cursor: &str) -> Result<i64> {
    let id = || {
        let bytes = data_encoding::BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
        String::from_utf8(bytes).ok()?.strip_prefix(kind)?.strip_prefix(':')?.parse().ok()
    };
    id().ok_or_else(|| {
        Fault::BadInput(
            "after: this is not a cursor of this list; take one from its pageInfo or edges".to_owned(),
        )
    })
}
