//! Ids, the same integers as in REST.

use async_graphql::ID;

/// The row's id; `None` where the text is no id at all, and so names nothing.
pub(super) fn row_id(id: &ID) -> Option<i64> {
    id.parse().ok()
}
