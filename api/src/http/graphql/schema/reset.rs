//! Resets and reset rules.

use std::sync::Arc;

use async_graphql::{Context, ID, Object, SimpleObject};
use entity::{reset, reset_rule};

use super::id;
use super::int::Int;
use super::scalars::{DateTime, LocalDate, LocalTime};
use super::space::Space;
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::view::View;
use crate::ids::Kind;

/// The true count of a space at an instant, which ends drift: later counts go on from it.
#[derive(Clone)]
pub(in crate::http::graphql) struct Reset {
    space: Space,
    row: reset::Model,
}

impl Reset {
    pub(in crate::http::graphql) fn new(space: &Space, row: &reset::Model) -> Self {
        Self { space: space.clone(), row: row.clone() }
    }

    pub(in crate::http::graphql) fn find(view: &Arc<View>, id: i64) -> Option<Self> {
        view.plan().spaces().values().find_map(|space| {
            let row = space.resets.iter().find(|reset| reset.id == id)?;
            Some(Self::new(&Space::new(view, space), row))
        })
    }
}

/// The true count of a space at an instant, which ends drift: later counts go on from it.
#[Object]
impl Reset {
    /// The id.
    async fn id(&self, context: &Context<'_>) -> Result<ID> {
        id::public(context, Kind::Reset, self.row.id)
    }

    /// The global id, by which `node` finds it.
    pub(in crate::http::graphql) async fn node_id(&self, context: &Context<'_>) -> Result<ID> {
        id::node(context, Kind::Reset, self.row.id)
    }

    /// The space.
    async fn space(&self) -> &Space {
        &self.space
    }

    /// When the count was true. Crossings at this very instant are in it.
    async fn ts(&self) -> DateTime {
        self.row.ts.into()
    }

    /// How many people were in the space.
    async fn count(&self) -> i32 {
        self.row.count
    }

    /// Why, or who counted, where somebody said.
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

/// At the same time of every day, a space's count is known. Its occurrences are computed, never stored.
#[derive(Clone)]
pub(in crate::http::graphql) struct ResetRule {
    space: Space,
    row: reset_rule::Model,
}

impl ResetRule {
    pub(in crate::http::graphql) fn new(space: &Space, row: &reset_rule::Model) -> Self {
        Self { space: space.clone(), row: row.clone() }
    }

    pub(in crate::http::graphql) fn find(view: &Arc<View>, id: i64) -> Option<Self> {
        view.plan().spaces().values().find_map(|space| {
            let row = space.rules.iter().find(|rule| rule.id == id)?;
            Some(Self::new(&Space::new(view, space), row))
        })
    }
}

/// At the same time of every day, a space's count is known. Its occurrences are computed, never stored.
#[Object]
impl ResetRule {
    /// The id.
    async fn id(&self, context: &Context<'_>) -> Result<ID> {
        id::public(context, Kind::ResetRule, self.row.id)
    }

    /// The global id, by which `node` finds it.
    pub(in crate::http::graphql) async fn node_id(&self, context: &Context<'_>) -> Result<ID> {
        id::node(context, Kind::ResetRule, self.row.id)
    }

    /// The space.
    async fn space(&self) -> &Space {
        &self.space
    }

    /// When it holds, by the clocks of the space's time zone. Where they are turned past it, it holds at the change;
    /// where they show it twice, at the first time.
    async fn time_of_day(&self) -> LocalTime {
        self.row.time_of_day.into()
    }

    /// How many people are in the space then.
    async fn count(&self) -> i32 {
        self.row.count
    }

    /// The first day on which it holds.
    async fn first_day(&self) -> LocalDate {
        self.row.first_day.into()
    }

    /// The last day on which it holds; null: until further notice.
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

/// What a reset rule would state at one of its occurrences.
#[derive(SimpleObject)]
pub(in crate::http::graphql) struct ResetRuleChange {
    /// When.
    pub(in crate::http::graphql) ts: DateTime,
    /// The count as it is answered now.
    pub(in crate::http::graphql) count: Int,
    /// The count as it would be answered with the rule. Later counts would differ as much, until the next reset.
    pub(in crate::http::graphql) count_with_rule: Int,
}
