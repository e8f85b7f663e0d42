//! Assignments.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};
use entity::assignment;

use super::dpu::Dpu;
use super::enums::Placement;
use super::id;
use super::scalars::DateTime;
use super::space::Space;
use crate::floor_plan;
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::view::ClientView;
use crate::ids::Kind;

/// A period during which a DPU counts for a space.
#[derive(Clone)]
pub(in crate::http::graphql) struct Assignment {
    view: Arc<ClientView>,
    dpu: Arc<floor_plan::Dpu>,
    space: Arc<floor_plan::Space>,
    row: assignment::Model,
}

impl Assignment {
    /// Returns `None` only if the floor plan lacks the DPU or the space, which the database rules out.
    pub(in crate::http::graphql) fn new(view: &Arc<ClientView>, row: &assignment::Model) -> Option<Self> {
        let dpu = Arc::clone(view.plan().dpu(row.dpu_id)?);
        let space = Arc::clone(view.plan().space(row.space_id)?);
        Some(Self { view: Arc::clone(view), dpu, space, row: row.clone() })
    }

    pub(in crate::http::graphql) fn find(view: &Arc<ClientView>, id: i64) -> Option<Self> {
        let mut all = view.plan().spaces().values().flat_map(|space| &space.assignments);
        Self::new(view, all.find(|row| row.id == id)?)
    }
}

/// A period during which a DPU counts for a space.
#[Object]
impl Assignment {
    /// The id.
    async fn id(&self, context: &Context<'_>) -> Result<ID> {
        id::public(context, Kind::Assignment, self.row.id)
    }

    /// The global id, for the query `node`.
    pub(in crate::http::graphql) async fn node_id(&self, context: &Context<'_>) -> Result<ID> {
        id::node(context, Kind::Assignment, self.row.id)
    }

    /// The DPU that counts.
    async fn dpu(&self) -> Dpu {
        Dpu::new(&self.view, &self.dpu)
    }

    /// The space it counts for.
    async fn space(&self) -> Space {
        Space::new(&self.view, &self.space)
    }

    /// The side of the doorway that the DPU hangs on.
    async fn placement(&self) -> Placement {
        self.row.placement.into()
    }

    /// The name of the doorway, if it has one.
    async fn doorway(&self) -> Option<&str> {
        self.row.doorway.as_deref()
    }

    /// Start of the assignment, inclusive. Null: from the beginning.
    async fn starts_at(&self) -> Option<DateTime> {
        self.row.starts_at.map(Into::into)
    }

    /// End of the assignment, exclusive. Null: no end.
    async fn ends_at(&self) -> Option<DateTime> {
        self.row.ends_at.map(Into::into)
    }

    /// When the assignment was recorded, which may be long after it began.
    async fn created(&self) -> DateTime {
        self.row.created.into()
    }

    /// When the assignment was last changed.
    async fn modified(&self) -> DateTime {
        self.row.modified.into()
    }
}
