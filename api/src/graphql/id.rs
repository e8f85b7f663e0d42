//! Ids, the same integers as in REST.

use async_graphql::{Context, ID};

use super::error::Result;
use super::scope::Scope;
use crate::ids::Kind;

/// What a row is called.
pub(super) fn public(context: &Context<'_>, kind: Kind, row: i64) -> Result<ID> {
    Ok(Scope::of(context)?.app().ids.public(kind, row).into())
}

/// The row that an id names; `None` where the text is no id at all, and so names nothing.
pub(super) fn row(context: &Context<'_>, kind: Kind, id: &ID) -> Result<Option<i64>> {
    let ids = &Scope::of(context)?.app().ids;
    Ok(id.parse().ok().map(|public| ids.row(kind, public)))
}
