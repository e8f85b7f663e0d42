//! What can be asked.

use async_graphql::{Context, ID, Object};

use super::dpu::Dpu;
use super::error::Result;
use super::id::row_id;
use super::page::{Page, PageArguments};
use super::scope::Scope;
use super::space::Space;

/// What can be asked.
pub(super) struct Query;

/// What can be asked.
#[Object]
impl Query {
    /// The space with this id, or null.
    async fn space(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The space's id, the same as in REST.")] id: ID,
    ) -> Result<Option<Space>> {
        let plan = Scope::of(context)?.plan().await?;
        Ok(row_id(&id).and_then(|id| plan.space(id)).map(|space| Space::new(plan, space)))
    }

    /// All spaces, in the order of their ids.
    async fn spaces(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "At most this many, from 0 to 500; 100 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those after the one with this cursor.")] after: Option<String>,
    ) -> Result<Page<Space>> {
        let plan = Scope::of(context)?.plan().await?;
        PageArguments { first, after }.page("space", plan.spaces(), |space| Space::new(plan, space))
    }

    /// The DPU with this serial, or null.
    async fn dpu(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The hardware id, `dpu_id` in a CSV.")] serial: String,
    ) -> Result<Option<Dpu>> {
        let plan = Scope::of(context)?.plan().await?;
        Ok(plan.dpu_id(&serial).and_then(|id| plan.dpu(id)).map(|dpu| Dpu::new(plan, dpu)))
    }

    /// All DPUs, in the order of their ids.
    async fn dpus(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "At most this many, from 0 to 500; 100 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those after the one with this cursor.")] after: Option<String>,
    ) -> Result<Page<Dpu>> {
        let plan = Scope::of(context)?.plan().await?;
        PageArguments { first, after }.page("dpu", plan.dpus(), |dpu| Dpu::new(plan, dpu))
    }
}
