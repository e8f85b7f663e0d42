//! Ids: those of a type, which are the same integers as in REST, and global ones.

use async_graphql::{Context, ID};

use super::error::Result;
use super::scope::Scope;
use crate::ids::{Kind, public_id};

/// Returns the public id of a row.
pub(super) fn public(context: &Context<'_>, kind: Kind, row: i64) -> Result<ID> {
    Ok(Scope::of(context)?.app().ids.public(kind, row).into())
}

/// Returns the row of an id; `None` if the text is not an id.
pub(super) fn row(context: &Context<'_>, kind: Kind, id: &ID) -> Result<Option<i64>> {
    let ids = &Scope::of(context)?.app().ids;
    Ok(public_id(id).map(|public| ids.row(kind, public)))
}

/// The kinds of rows that have a global id.
const NODES: [Kind; 5] = [Kind::Space, Kind::Dpu, Kind::Assignment, Kind::Reset, Kind::ResetRule];

/// Returns the name of the type of such rows in the schema.
pub(super) fn type_name(kind: Kind) -> &'static str {
    match kind {
        Kind::Space => "Space",
        Kind::Dpu => "Dpu",
        Kind::Assignment => "Assignment",
        Kind::Reset => "Reset",
        Kind::ResetRule => "ResetRule",
        Kind::Cursor => "Cursor",
    }
}

/// Returns the global id of a row: its type and its id, in base64 so that it is not mistaken for an id of one type.
pub(super) fn node(context: &Context<'_>, kind: Kind, row: i64) -> Result<ID> {
    let public = Scope::of(context)?.app().ids.public(kind, row);
    let text = format!("{}:{public}", type_name(kind));
    Ok(data_encoding::BASE64URL_NOPAD.encode(text.as_bytes()).into())
}

/// Returns the kind and the row of a global id; `None` if the text is not a global id.
pub(super) fn row_of_node(context: &Context<'_>, id: &ID) -> Result<Option<(Kind, i64)>> {
    let ids = &Scope::of(context)?.app().ids;
    let read = || {
        let text = String::from_utf8(data_encoding::BASE64URL_NOPAD.decode(id.as_bytes()).ok()?).ok()?;
        let (name, public) = text.split_once(':')?;
        let kind = NODES.into_iter().find(|kind| type_name(*kind) == name)?;
        Some((kind, ids.row(kind, public_id(public)?)))
    };
    Ok(read())
}
