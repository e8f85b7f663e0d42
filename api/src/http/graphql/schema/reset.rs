//! Resets and reset rules.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};
use entity::{reset, reset_rule};

use super::id;
use super::int::Int;
use super::scalars::{DateTime, LocalDate, LocalTime};
use super::space::Space;
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::view::ClientView;
use crate::ids::Kind;

/// The true count of a space at an instant. Later counts continue from it, which ends drift.
#[derive(Clone)]
pub(in crate::http::graphql) struct Reset {
    space: Space,
    row: reset::Model,
}

impl Reset {
    pub(in crate::http::graphql) fn new(space: &Space, row: &reset::Model) -> Self {
        Self { space: space.clone(), row: row.clone() }
    }

    pub(in crate::http::graphql) fn find(view: &Arc<ClientView>, id: i64) -> Option<Self> {
        view.plan().spaces().values().find_map(|space| {
            let row = space.resets.iter().find(|reset| reset.id == id)?;
            Some(Self::new(&Space::new(view, space), row))
        })
    }
}

/// The true count of a space at an instant. Later counts continue from it, which ends drift.
#[Object]
impl Reset {
    /// The id.
    async fn id(&self, context: &Context<'_>) -> Result<ID> {
        id::public(context, Kind::Reset, self.row.id)
    }

    /// The global id, for the query `node`.
    pub(in crate::http::graphql) async fn node_id(&self, context: &Context<'_>) -> Result<ID> {
        id::node(context, Kind::Reset, self.row.id)
    }

    /// The space.
    async fn space(&self) -> &Space {
        &self.space
    }

    /// When the count was true. Crossings at exactly this instant are included in it.
    async fn ts(&self) -> DateTime {
        self.row.ts.into()
    }

    /// Number of people in the space.
    async fn count(&self) -> i32 {
        self.row.count
    }

    /// The reason for the reset, or who counted. Null if not given.
    async fn note(&self) -> Option<&str> {
        self.row.note.as_deref()
    }

    /// When the reset was recorded, which may be long after its instant.
    async fn created(&self) -> DateTime {
        self.row.created.into()
    }

    /// When the reset was last changed.
    async fn modified(&self) -> DateTime {
        self.row.modified.into()
    }
}

/// The known count of a space at the same time of every day. Its occurrences are computed, never stored.
#[derive(Clone)]
pub(in crate::http::graphql) struct ResetRule {
    space: Space,
    row: reset_rule::Model,
}

impl ResetRule {
    pub(in crate::http::graphql) fn new(space: &Space, row: &reset_rule::Model) -> Self {
        Self { space: space.clone(), row: row.clone() }
    }

    pub(in crate::http::graphql) fn find(view: &Arc<ClientView>, id: i64) -> Option<Self> {
        view.plan().spaces().values().find_map(|space| {
            let row = space.rules.iter().find(|rule| rule.id == id)?;
            Some(Self::new(&Space::new(view, space), row))
        })
    }
}

/// The known count of a space at the same time of every day. Its occurrences are computed, never stored.
#[Object]
impl ResetRule {
    /// The id.
    async fn id(&self, context: &Context<'_>) -> Result<ID> {
        id::public(context, Kind::ResetRule, self.row.id)
    }

    /// The global id, for the query `node`.
    pub(in crate::http::graphql) async fn node_id(&self, context: &Context<'_>) -> Result<ID> {
        id::node(context, Kind::ResetRule, self.row.id)
    }

    /// The space.
    async fn space(&self) -> &Space {
        &self.space
    }

    /// Time of day by the clocks of the space's time zone. If the clocks skip it, the rule holds at the change; if they
    /// show it twice, at the first time.
    async fn time_of_day(&self) -> LocalTime {
        self.row.time_of_day.into()
    }

    /// Number of people in the space at that time.
    async fn count(&self) -> i32 {
        self.row.count
    }

    /// First day on which the rule holds.
    async fn first_day(&self) -> LocalDate {
        self.row.first_day.into()
    }

    /// Last day on which the rule holds. Null: no end.
    async fn last_day(&self) -> Option<LocalDate> {
        self.row.last_day.map(Into::into)
    }

    /// When the rule was created.
    async fn created(&self) -> DateTime {
        self.row.created.into()
    }

    /// When the rule was last changed.
    async fn modified(&self) -> DateTime {
        self.row.modified.into()
    }
}

/// The effect of a reset rule at one of its occurrences.
#[derive(SimpleObject)]
pub(in crate::http::graphql) struct ResetRuleChange {
    /// The instant.
    pub(in crate::http::graphql) ts: DateTime,
    /// The count without the rule.
    pub(in crate::http::graphql) count: Int,
    /// The count with the rule. Later counts would differ by the same amount, until the next reset.
    pub(in crate::http::graphql) count_with_rule: Int,
}
