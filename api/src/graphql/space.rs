//! Spaces.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};

use super::assignment::Assignment;
use super::dpu::Dpu;
use super::error::Result;
use super::scalars::{DateTime, NegativeCounts};
use super::scope::Scope;
use crate::floor_plan::{self, FloorPlan};

/// A place where people can be: a room, a floor, a building. Outside is no space.
#[derive(Clone)]
pub(super) struct Space {
    plan: Arc<FloorPlan>,
    space: Arc<floor_plan::Space>,
}

impl Space {
    pub(super) fn new(plan: &Arc<FloorPlan>, space: &Arc<floor_plan::Space>) -> Self {
        Self { plan: Arc::clone(plan), space: Arc::clone(space) }
    }
}

/// A place where people can be: a room, a floor, a building. Outside is no space.
#[Object]
impl Space {
    /// The id, the same as in REST.
    async fn id(&self) -> ID {
        self.space.row.id.into()
    }

    /// What people call it. No two spaces share a name.
    async fn name(&self) -> &str {
        &self.space.row.name
    }

    /// How many people it is meant to hold, where somebody said.
    async fn capacity(&self) -> Option<i32> {
        self.space.row.capacity
    }

    /// What is answered when the count is below zero.
    async fn negative_counts(&self) -> NegativeCounts {
        self.space.row.negative_counts.into()
    }

    /// How many people were in the space. Below zero it is answered as `negativeCounts` says.
    async fn count(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "At this instant, crossings at it included; without it, now.")] ts: Option<DateTime>,
    ) -> Result<i64> {
        let scope = Scope::of(context)?;
        let net = scope.net(self.space.account(scope.instant(ts)?)).await?;
        Ok(self.space.answer(net))
    }

    /// How many people were in the space by what was counted: the signed figure, never clamped.
    async fn net_count(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "At this instant, crossings at it included; without it, now.")] ts: Option<DateTime>,
    ) -> Result<i64> {
        let scope = Scope::of(context)?;
        scope.net(self.space.account(scope.instant(ts)?)).await
    }

    /// The DPUs that counted for the space, each once.
    async fn dpus(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "At this instant; without it, now.")] ts: Option<DateTime>,
    ) -> Result<Vec<Dpu>> {
        let at = Scope::of(context)?.instant(ts)?;
        let dpus = self.space.dpu_ids(at).into_iter().filter_map(|id| self.plan.dpu(id));
        Ok(dpus.map(|dpu| Dpu::new(&self.plan, dpu)).collect())
    }

    /// Every assignment of a DPU to the space, past ones included.
    async fn assignments(&self) -> Vec<Assignment> {
        self.space.assignments.iter().filter_map(|row| Assignment::new(&self.plan, row)).collect()
    }

    /// When the space was created.
    async fn created(&self) -> DateTime {
        self.space.row.created.into()
    }

    /// When the space was last changed.
    async fn modified(&self) -> DateTime {
        self.space.row.modified.into()
    }
}
