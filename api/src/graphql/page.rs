//! Pages of lists that can grow, as Relay connections.

use async_graphql::connection::PageInfo;
use async_graphql::{Context, OutputType, SimpleObject};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::assignment::Assignment;
use super::dpu::Dpu;
use super::error::{Fault, Result};
use super::event::Event;
use super::reset::Reset;
use super::scope::Scope;
use super::space::Space;
use crate::ids::{Kind, PublicIds};

/// How many entries a page has unless `first` says otherwise.
pub(super) const PAGE_DEFAULT: u32 = 100;
/// How many entries a page can have.
pub(super) const PAGE_MAX: u32 = 500;

/// One page of a list.
#[derive(SimpleObject)]
#[graphql(concrete(name = "SpaceConnection", params(Space)))]
#[graphql(concrete(name = "DpuConnection", params(Dpu)))]
#[graphql(concrete(name = "AssignmentConnection", params(Assignment)))]
#[graphql(concrete(name = "ResetConnection", params(Reset)))]
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
#[derive(SimpleObject, Clone)]
#[graphql(concrete(name = "SpaceEdge", params(Space)))]
#[graphql(concrete(name = "DpuEdge", params(Dpu)))]
#[graphql(concrete(name = "AssignmentEdge", params(Assignment)))]
#[graphql(concrete(name = "ResetEdge", params(Reset)))]
#[graphql(concrete(name = "EventEdge", params(Event)))]
pub(super) struct Edge<T: OutputType> {
    /// The entry.
    pub(super) node: T,
    /// Where it stands: the list goes on from here with `after`.
    pub(super) cursor: String,
}

/// A row's id as a part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(super) struct RowKey(pub(super) i64);

/// By what the entries of a list are sorted. Cursors hold it, rows by their public ids.
pub(super) trait Key: Ord + Serialize + DeserializeOwned {
    /// The key with the ids in it turned.
    fn turned(self, turn: impl Fn(i64) -> i64) -> Self;
}

impl Key for i64 {
    fn turned(self, _: impl Fn(i64) -> i64) -> Self {
        self
    }
}

impl Key for RowKey {
    fn turned(self, turn: impl Fn(i64) -> i64) -> Self {
        Self(turn(self.0))
    }
}

impl Key for (String, RowKey) {
    fn turned(self, turn: impl Fn(i64) -> i64) -> Self {
        (self.0, self.1.turned(turn))
    }
}

/// Which page is asked for.
#[derive(Clone, Debug)]
pub(super) struct PageArguments {
    /// At most this many entries.
    pub(super) first: Option<i32>,
    /// Entries after the one with this cursor.
    pub(super) after: Option<String>,
}

impl PageArguments {
    /// How many entries the page has at most.
    pub(super) fn size(&self) -> Result<usize> {
        let Some(first) = self.first else { return Ok(PAGE_DEFAULT as usize) };
        let size = usize::try_from(first).ok().filter(|size| *size <= PAGE_MAX as usize);
        size.ok_or_else(|| Fault::BadInput(format!("first: {first} is not a number from 0 to {PAGE_MAX}")))
    }

    /// The key after which the page begins. `list` tells its cursors from those of other lists, and of
    /// this one in another order.
    pub(super) fn after<K: DeserializeOwned>(&self, list: &str) -> Result<Option<K>> {
        let decode = |cursor: &String| {
            let bytes = data_encoding::BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
            let (of, key): (String, K) = serde_json::from_slice(&bytes).ok()?;
            (of == list).then_some(key)
        };
        let refused = || {
            Fault::BadInput(
                "after: this is not a cursor of this list; take one from its pageInfo or edges".to_owned(),
            )
        };
        self.after.as_ref().map(|cursor| decode(cursor).ok_or_else(refused)).transpose()
    }

    /// The page of entries that are in memory, in the order of their keys. A cursor holds its key, and so
    /// stays good when entries come and go.
    pub(super) fn page<K, T>(
        &self,
        context: &Context<'_>,
        list: &str,
        mut entries: Vec<(K, T)>,
    ) -> Result<Page<T>>
    where
        K: Key,
        T: OutputType + Clone,
        Edge<T>: OutputType,
    {
        let ids: &PublicIds = &Scope::of(context)?.app().ids;
        let (size, after) = (self.size()?, self.after::<K>(list)?);
        let after = after.map(|after| after.turned(|public| ids.row(Kind::Cursor, public)));
        entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let total_count = entries.len();
        let skipped = after.map_or(0, |after| entries.partition_point(|(key, _)| *key <= after));
        let more = total_count - skipped > size;
        Scope::list(context, size.min(total_count - skipped))?;
        let edges = entries.into_iter().skip(skipped).take(size);
        let edges: Vec<_> = edges
            .map(|(key, node)| {
                let key = key.turned(|row| ids.public(Kind::Cursor, row));
                Edge { node, cursor: cursor(list, &key) }
            })
            .collect();
        let nodes = edges.iter().map(|edge| edge.node.clone()).collect();
        Ok(Page { page_info: page_info(&edges, skipped > 0, more), edges, nodes, total_count })
    }
}

/// The cursor of the entry with this key.
pub(super) fn cursor<K: Serialize>(list: &str, key: &K) -> String {
    let json = serde_json::to_vec(&(list, key)).unwrap_or_default();
    data_encoding::BASE64URL_NOPAD.encode(&json)
}

/// What a page says about its place.
pub(super) fn page_info<T: OutputType>(
    edges: &[Edge<T>],
    has_previous_page: bool,
    has_next_page: bool,
) -> PageInfo {
    PageInfo {
        has_previous_page,
        has_next_page,
        start_cursor: edges.first().map(|edge| edge.cursor.clone()),
        end_cursor: edges.last().map(|edge| edge.cursor.clone()),
    }
}
