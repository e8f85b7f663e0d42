//! Pages of long lists, as Relay connections.

use async_graphql::connection::PageInfo;
use async_graphql::{Context, OutputType, SimpleObject};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::assignment::Assignment;
use super::dpu::Dpu;
use super::event::Event;
use super::report::{DpuInterval, DpuReading};
use super::reset::Reset;
use super::space::Space;
use super::token::Token;
use super::unknown_device::UnknownDevice;
use crate::http::graphql::limits::{PAGE_DEFAULT, PAGE_MAX};
use crate::http::graphql::request::error::{Fault, Result};
use crate::http::graphql::request::scope::Scope;
use crate::ids::{Kind, PublicIds};

/// One page of a list.
#[derive(SimpleObject)]
#[graphql(concrete(name = "SpaceConnection", params(Space)))]
#[graphql(concrete(name = "DpuConnection", params(Dpu)))]
#[graphql(concrete(name = "AssignmentConnection", params(Assignment)))]
#[graphql(concrete(name = "ResetConnection", params(Reset)))]
#[graphql(concrete(name = "TokenConnection", params(Token)))]
pub(in crate::http::graphql) struct Page<T: OutputType>
where
    Edge<T>: OutputType,
{
    /// The entries, each with its cursor.
    edges: Vec<Edge<T>>,
    /// The entries without their cursors.
    nodes: Vec<T>,
    /// Paging information.
    page_info: PageInfo,
    /// Number of entries in the whole list.
    total_count: usize,
}

/// An entry of a list with its cursor.
#[derive(SimpleObject, Clone)]
#[graphql(concrete(name = "SpaceEdge", params(Space)))]
#[graphql(concrete(name = "DpuEdge", params(Dpu)))]
#[graphql(concrete(name = "AssignmentEdge", params(Assignment)))]
#[graphql(concrete(name = "ResetEdge", params(Reset)))]
#[graphql(concrete(name = "TokenEdge", params(Token)))]
#[graphql(concrete(name = "EventEdge", params(Event)))]
#[graphql(concrete(name = "DpuIntervalEdge", params(DpuInterval)))]
#[graphql(concrete(name = "DpuReadingEdge", params(DpuReading)))]
#[graphql(concrete(name = "UnknownDeviceEdge", params(UnknownDevice)))]
pub(in crate::http::graphql) struct Edge<T: OutputType> {
    /// The entry.
    pub(in crate::http::graphql) node: T,
    /// Position of the entry: pass it as `after` or `before` to continue from here.
    pub(in crate::http::graphql) cursor: String,
}

/// A row's id as a part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::http::graphql) struct RowKey(pub(in crate::http::graphql) i64);

/// Sort key of the entries of a list. Cursors contain it, with public ids in place of rows.
pub(in crate::http::graphql) trait Key: Ord + Serialize + DeserializeOwned {
    /// Returns the key with `turn` applied to its ids.
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

/// The arguments that select a page.
#[derive(Clone, Debug)]
pub(in crate::http::graphql) struct PageArguments {
    /// Maximum number of entries, from the beginning of the list.
    pub(in crate::http::graphql) first: Option<i32>,
    /// Entries after the one with this cursor.
    pub(in crate::http::graphql) after: Option<String>,
    /// Maximum number of entries, from the end of the list.
    pub(in crate::http::graphql) last: Option<i32>,
    /// Entries before the one with this cursor.
    pub(in crate::http::graphql) before: Option<String>,
}

/// Maximum number of entries of a page, counted from one end of the range between its cursors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::graphql) enum PageSize {
    /// This many from the beginning.
    First(usize),
    /// This many from the end.
    Last(usize),
}

impl PageSize {
    /// Returns the maximum number of entries.
    pub(in crate::http::graphql) fn entries(self) -> usize {
        let (Self::First(size) | Self::Last(size)) = self;
        size
    }
}

impl PageArguments {
    /// Returns the maximum number of entries of the page, and from which end they are taken.
    pub(in crate::http::graphql) fn size(&self) -> Result<PageSize> {
        let size = |name: &str, given: i32| {
            let size = usize::try_from(given).ok().filter(|size| *size <= PAGE_MAX as usize);
            size.ok_or_else(|| {
                Fault::BadInput(format!("{name}: {given} is not a number from 0 to {PAGE_MAX}"))
            })
        };
        match (self.first, self.last) {
            (None, None) => Ok(PageSize::First(PAGE_DEFAULT as usize)),
            (Some(first), None) => Ok(PageSize::First(size("first", first)?)),
            (None, Some(last)) => Ok(PageSize::Last(size("last", last)?)),
            (Some(_), Some(_)) => Err(Fault::BadInput(
                "first and last are both given: use first for a page from the beginning, or last for one from the end"
                    .to_owned(),
            )),
        }
    }

    /// Returns the keys after and before which the page lies. `list` distinguishes its cursors from those of other
    /// lists, and of the same list in another order.
    pub(in crate::http::graphql) fn bounds<K: DeserializeOwned>(
        &self,
        list: &str,
    ) -> Result<(Option<K>, Option<K>)> {
        let decode = |cursor: &String| {
            let bytes = data_encoding::BASE64URL_NOPAD.decode(cursor.as_bytes()).ok()?;
            let (of, key): (String, K) = serde_json::from_slice(&bytes).ok()?;
            (of == list).then_some(key)
        };
        let key = |name: &str, cursor: &Option<String>| {
            let refused = || {
                let accepted = "use one from its pageInfo or edges";
                Fault::BadInput(format!("{name}: not a cursor of this list: {accepted}"))
            };
            cursor.as_ref().map(|cursor| decode(cursor).ok_or_else(refused)).transpose()
        };
        Ok((key("after", &self.after)?, key("before", &self.before)?))
    }

    /// Returns the page of entries that are in memory, sorted by their keys. A cursor contains its key, and so stays
    /// valid when entries are added or removed.
    pub(in crate::http::graphql) fn page<K, T>(
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
        let (size, (after, before)) = (self.size()?, self.bounds::<K>(list)?);
        let row_key = |key: K| key.turned(|public| ids.row(Kind::Cursor, public));
        let (after, before) = (after.map(row_key), before.map(row_key));
        entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let total_count = entries.len();
        let mut start = after.map_or(0, |after| entries.partition_point(|(key, _)| *key <= after));
        let mut end =
            before.map_or(total_count, |before| entries.partition_point(|(key, _)| *key < before)).max(start);
        match size {
            PageSize::First(size) => end = end.min(start + size),
            PageSize::Last(size) => start = start.max(end.saturating_sub(size)),
        }
        Scope::list(context, end - start)?;
        let edges = entries.into_iter().take(end).skip(start);
        let edges: Vec<_> = edges
            .map(|(key, node)| {
                let key = key.turned(|row| ids.public(Kind::Cursor, row));
                Edge { node, cursor: cursor(list, &key) }
            })
            .collect();
        let nodes = edges.iter().map(|edge| edge.node.clone()).collect();
        Ok(Page { page_info: page_info(&edges, start > 0, end < total_count), edges, nodes, total_count })
    }
}

/// A page of a list that is read from the database, in one direction.
pub(in crate::http::graphql) struct Cut<K> {
    /// Only entries after this one, in the direction of reading.
    pub(in crate::http::graphql) after: Option<K>,
    /// Only entries before this one, in the direction of reading.
    pub(in crate::http::graphql) before: Option<K>,
    /// Whether the newest entries are read first.
    pub(in crate::http::graphql) newest_first: bool,
    /// Maximum number of entries to read.
    pub(in crate::http::graphql) size: usize,
}

/// One page of a list that is read from the database.
#[derive(SimpleObject)]
#[graphql(concrete(name = "DpuIntervalConnection", params(DpuInterval)))]
#[graphql(concrete(name = "DpuReadingConnection", params(DpuReading)))]
#[graphql(concrete(name = "UnknownDeviceConnection", params(UnknownDevice)))]
pub(in crate::http::graphql) struct StoredPage<T: OutputType>
where
    Edge<T>: OutputType,
{
    /// The entries, each with its cursor.
    pub(in crate::http::graphql) edges: Vec<Edge<T>>,
    /// The entries without their cursors.
    nodes: Vec<T>,
    /// Paging information.
    pub(in crate::http::graphql) page_info: PageInfo,
}

impl PageArguments {
    /// Returns the page of a list that `read` reads. It returns the rows of a cut in any order, each with its key.
    pub(in crate::http::graphql) async fn stored<K, R, T>(
        &self,
        list: &str,
        newest_first: bool,
        read: impl AsyncFnOnce(Cut<K>) -> Result<Vec<(K, R)>>,
        node: impl Fn(R) -> Option<T>,
    ) -> Result<StoredPage<T>>
    where
        K: Ord + Clone + Serialize + DeserializeOwned,
        T: OutputType + Clone,
        Edge<T>: OutputType,
    {
        let list = if newest_first { format!("{list}, newest first") } else { list.to_owned() };
        let (after, before) = self.bounds(&list)?;
        let (is_after, is_before) = (after.is_some(), before.is_some());
        // A page from the end of the list is read backwards from the end.
        let (backwards, size) = match self.size()? {
            PageSize::First(size) => (false, size),
            PageSize::Last(size) => (true, size),
        };
        let (from, until) = if backwards { (before, after) } else { (after, before) };
        let descends = newest_first != backwards;
        // One more entry than requested shows whether there is another page.
        let cut = Cut { after: from, before: until, newest_first: descends, size: size + 1 };
        let mut rows = read(cut).await?;
        rows.sort_unstable_by(|(one, _), (other, _)| one.cmp(other));
        if descends {
            rows.reverse();
        }
        let more = rows.len() > size;
        rows.truncate(size);
        let (has_previous, has_next) = if backwards {
            rows.reverse();
            (more || is_after, is_before)
        } else {
            (is_after, more || is_before)
        };
        let edges = rows
            .into_iter()
            .filter_map(|(key, row)| Some(Edge { cursor: cursor(&list, &key), node: node(row)? }));
        let edges: Vec<_> = edges.collect();
        let nodes = edges.iter().map(|edge| edge.node.clone()).collect();
        Ok(StoredPage { page_info: page_info(&edges, has_previous, has_next), edges, nodes })
    }
}

/// Returns the cursor of the entry with this key.
pub(in crate::http::graphql) fn cursor<K: Serialize>(list: &str, key: &K) -> String {
    let json = serde_json::to_vec(&(list, key)).unwrap_or_default();
    data_encoding::BASE64URL_NOPAD.encode(&json)
}

/// Returns the paging information of a page.
pub(in crate::http::graphql) fn page_info<T: OutputType>(
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
