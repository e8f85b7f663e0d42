//! Objects that can be read again by their global ids, as Relay requires.

use std::sync::Arc;

use async_graphql::{ID, Interface};

use super::assignment::Assignment;
use super::dpu::Dpu;
use super::id;
use super::reset::{Reset, ResetRule};
use super::space::Space;
use crate::floor_plan;
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::view::ClientView;
use crate::ids::Kind;

/// An object that the query `node` finds by its global id.
#[derive(Interface)]
#[graphql(field(
    name = "node_id",
    ty = "ID",
    desc = "The global id, for the query `node`. Unique among the objects of all types."
))]
pub(in crate::http::graphql) enum Node {
    /// A space.
    Space(Space),
    /// A DPU.
    Dpu(Dpu),
    /// An assignment.
    Assignment(Assignment),
    /// A reset.
    Reset(Reset),
    /// A reset rule.
    ResetRule(ResetRule),
}

impl Node {
    /// Returns the object of this kind with this row.
    pub(in crate::http::graphql) fn find(
        view: &Arc<ClientView>,
        kind: Kind,
        row: i64,
    ) -> Result<Option<Self>> {
        let look_at = |rows: fn(&floor_plan::Space) -> usize| {
            view.look_at_names(view.plan().spaces().values().map(|space| rows(space)).sum())
        };
        Ok(match kind {
            Kind::Space => Space::find(view, row).map(Self::Space),
            Kind::Dpu => Dpu::find(view, row).map(Self::Dpu),
            Kind::Assignment => {
                look_at(|space| space.assignments.len())?;
                Assignment::find(view, row).map(Self::Assignment)
            }
            Kind::Reset => {
                look_at(|space| space.resets.len())?;
                Reset::find(view, row).map(Self::Reset)
            }
            Kind::ResetRule => {
                look_at(|space| space.rules.len())?;
                ResetRule::find(view, row).map(Self::ResetRule)
            }
            Kind::Cursor => None,
        })
    }

    /// Returns the name of its type in the schema.
    pub(in crate::http::graphql) fn type_name(&self) -> &'static str {
        id::type_name(match self {
            Self::Space(_) => Kind::Space,
            Self::Dpu(_) => Kind::Dpu,
            Self::Assignment(_) => Kind::Assignment,
            Self::Reset(_) => Kind::Reset,
            Self::ResetRule(_) => Kind::ResetRule,
        })
    }
}
