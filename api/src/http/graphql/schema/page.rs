//! Pages of long lists, as Relay connections.

use async_graphql::connection::{Connection, CursorType, Edge, EmptyFields, OpaqueCursor};
use async_graphql::{Context, OutputType, SchemaBuilder, SimpleObject};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::assignment::Assignment;
use super::dpu::Dpu;
use super::event::EventConnection;
use super::reset::Reset;
use super::space::Space;
use crate::http::graphql::limits::{PAGE_DEFAULT, PAGE_MAX};
use crate::http::graphql::request::error::{Fault, Result};
use crate::http::graphql::request::scope::Scope;
use crate::ids::Kind;

/// One page of a list.
pub(in crate::http::graphql) type Page<T> = Connection<String, T, Total>;

/// Length of a list.
#[derive(SimpleObject)]
pub(in crate::http::graphql) struct Total {
    /// Number of entries in the whole list.
    total_count: usize,
}

/// Describes the types of pages.
pub(in crate::http::graphql) fn describe<Q, M, S>(schema: SchemaBuilder<Q, M, S>) -> SchemaBuilder<Q, M, S> {
    const PAGE: &str = "One page of a list.";
    schema
        .override_output_type_description::<Page<Space>>(PAGE)
        .override_output_type_description::<Page<Dpu>>(PAGE)
        .override_output_type_description::<Page<Assignment>>(PAGE)
        .override_output_type_description::<Page<Reset>>(PAGE)
        .override_output_type_description::<EventConnection>(PAGE)
}

/// A row's id as a part of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub(in crate::http::graphql) struct RowKey(pub(in crate::http::graphql) i64);

/// Sort key of the entries of a list. Cursors contain it, with public ids in place of rows.
pub(in crate::http::graphql) trait Key: Ord + Serialize + DeserializeOwned {
    /// Returns the row's id in the key, if it has one.
    fn id(&mut self) -> Option<&mut i64> {
        None
    }
}

impl Key for i64 {}

impl Key for RowKey {
    fn id(&mut self) -> Option<&mut i64> {
        Some(&mut self.0)
    }
}

impl Key for (String, RowKey) {
    fn id(&mut self) -> Option<&mut i64> {
        self.1.id()
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

/// Maximum number of entries of a page, and the end of the range between its cursors from which they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::graphql) struct PageSize {
    pub(in crate::http::graphql) entries: usize,
    /// Whether they are the last ones instead of the first ones.
    pub(in crate::http::graphql) from_end: bool,
}

impl PageArguments {
    /// Returns the size of the page.
    pub(in crate::http::graphql) fn size(&self) -> Result<PageSize> {
        let (name, given, from_end) = match (self.first, self.last) {
            (None, None) => return Ok(PageSize { entries: PAGE_DEFAULT as usize, from_end: false }),
            (Some(first), None) => ("first", first, false),
            (None, Some(last)) => ("last", last, true),
            (Some(_), Some(_)) => {
                let use_one = "use first for a page from the beginning, or last for one from the end";
                return Err(Fault::BadInput(format!("first and last are both given: {use_one}")));
            }
        };
        match usize::try_from(given) {
            Ok(entries) if entries <= PAGE_MAX as usize => Ok(PageSize { entries, from_end }),
            _ => Err(Fault::BadInput(format!("{name}: {given} is not a number from 0 to {PAGE_MAX}"))),
        }
    }

    /// Returns the keys after and before which the page lies. `list` distinguishes its cursors from those of other
    /// lists, and of the same list in another order.
    pub(in crate::http::graphql) fn bounds<K: Serialize + DeserializeOwned>(
        &self,
        list: &str,
    ) -> Result<(Option<K>, Option<K>)> {
        let key = |name: &str, cursor: &Option<String>| {
            let Some(cursor) = cursor else { return Ok(None) };
            match OpaqueCursor::<(String, K)>::decode_cursor(cursor) {
                Ok(OpaqueCursor((of, key))) if of == list => Ok(Some(key)),
                _ => {
                    let accepted = "use one from its pageInfo or edges";
                    Err(Fault::BadInput(format!("{name}: not a cursor of this list: {accepted}")))
                }
            }
        };
        Ok((key("after", &self.after)?, key("before", &self.before)?))
    }

    /// Returns the page of entries that are in memory, sorted by their keys. A cursor contains its key, and so stays
    /// valid when entries are added or removed.
    pub(in crate::http::graphql) fn page<K: Key, T: OutputType>(
        &self,
        context: &Context<'_>,
        list: &str,
        mut entries: Vec<(K, T)>,
    ) -> Result<Page<T>> {
        let ids = &Scope::of(context)?.app().ids;
        let (size, (mut after, mut before)) = (self.size()?, self.bounds::<K>(list)?);
        for id in [&mut after, &mut before].into_iter().flatten().filter_map(K::id) {
            *id = ids.row(Kind::Cursor, *id);
        }
        entries.sort_unstable_by(|one, other| one.0.cmp(&other.0));
        let total_count = entries.len();
        let mut start = after.map_or(0, |after| entries.partition_point(|(key, _)| *key <= after));
        let mut end =
            before.map_or(total_count, |before| entries.partition_point(|(key, _)| *key < before)).max(start);
        if size.from_end {
            start = start.max(end.saturating_sub(size.entries));
        } else {
            end = end.min(start + size.entries);
        }
        Scope::list(context, end - start)?;
        let mut page = Page::with_additional_fields(start > 0, end < total_count, Total { total_count });
        page.edges.extend(entries.into_iter().take(end).skip(start).map(|(mut key, node)| {
            if let Some(id) = key.id() {
                *id = ids.public(Kind::Cursor, *id);
            }
            edge(list, key, node)
        }));
        Ok(page)
    }
}

/// Returns an entry of a list with its cursor.
pub(in crate::http::graphql) fn edge<K: Serialize + DeserializeOwned, T: OutputType>(
    list: &str,
    key: K,
    node: T,
) -> Edge<String, T, EmptyFields> {
    Edge::new(OpaqueCursor((list.to_owned(), key)).encode_cursor(), node)
}
