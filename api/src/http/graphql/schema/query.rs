//! The queries of the schema.

use std::sync::Arc;

use async_graphql::{Context, ID, Object};

use super::dpu::{Dpu, DpuOrder};
use super::id;
use super::node::Node;
use super::page::{Cut, Page, PageArguments, RowKey, StoredPage};
use super::space::{Space, SpaceOrder};
use super::token::Token;
use super::unknown_device::UnknownDevice;
use crate::auth;
use crate::floor_plan;
use crate::gateway::DevicePage;
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::scope::Scope;
use crate::ids::Kind;

/// The queries.
pub(in crate::http::graphql) struct Query;

/// The queries.
#[Object]
impl Query {
    /// The space with this id, or null.
    async fn space(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The space's id, the same as in REST.")] id: ID,
    ) -> Result<Option<Space>> {
        let view = Scope::of(context)?.view().await?;
        let row = id::row(context, Kind::Space, &id)?;
        Ok(row.and_then(|row| view.plan().space(row)).map(|space| Space::new(view, space)))
    }

    /// The object with this global id (its `nodeId`), or null.
    async fn node(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The object's `nodeId`.")] id: ID,
    ) -> Result<Option<Node>> {
        let Some((kind, row)) = id::row_of_node(context, &id)? else { return Ok(None) };
        let node = Node::find(Scope::of(context)?.view().await?, kind, row)?;
        if let Some(node) = &node {
            Scope::answers(context, node.type_name())?;
        }
        Ok(node)
    }

    /// All spaces, or those that match the filter.
    #[expect(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn spaces(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Maximum number of entries from the beginning, 0 to 500. Default: 100.")]
        first: Option<i32>,
        #[graphql(desc = "Return entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Maximum number of entries from the end, 0 to 500; instead of first.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Return entries before this cursor.")] before: Option<String>,
        #[graphql(desc = "Filter by name: case-insensitive substring.")] name_contains: Option<String>,
        #[graphql(desc = "Sort order.", default_with = "SpaceOrder::Id")] order_by: SpaceOrder,
    ) -> Result<Page<Space>> {
        let view = Scope::of(context)?.view().await?;
        view.look_at_names(view.plan().spaces().len())?;
        let part = name_contains.map(|part| part.to_lowercase()).unwrap_or_default();
        let spaces =
            view.plan().spaces().values().filter(|space| space.row.name.to_lowercase().contains(&part));
        let spaces = spaces.map(|space| {
            let name = match order_by {
                SpaceOrder::Id => String::new(),
                SpaceOrder::Name => space.row.name.clone(),
            };
            ((name, RowKey(space.row.id)), Space::new(view, space))
        });
        let sorted = format!("spaces by {order_by:?}");
        PageArguments { first, after, last, before }.page(context, &sorted, spaces.collect())
    }

    /// The DPU with this serial, or null.
    async fn dpu(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The hardware id: `dpu_id` in a CSV file.")] serial: String,
    ) -> Result<Option<Dpu>> {
        let view = Scope::of(context)?.view().await?;
        Ok(view.plan().dpu_id(&serial).and_then(|id| view.plan().dpu(id)).map(|dpu| Dpu::new(view, dpu)))
    }

    /// All DPUs, or those that match the filters.
    #[expect(clippy::too_many_arguments, reason = "each is an argument of the field")]
    async fn dpus(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Maximum number of entries from the beginning, 0 to 500. Default: 100.")]
        first: Option<i32>,
        #[graphql(desc = "Return entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Maximum number of entries from the end, 0 to 500; instead of first.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Return entries before this cursor.")] before: Option<String>,
        #[graphql(desc = "Filter by name or serial: case-insensitive substring.")] name_contains: Option<
            String,
        >,
        #[graphql(
            desc = "True: only DPUs that count for no space now. False: only DPUs that count for at least one."
        )]
        unassigned: Option<bool>,
        #[graphql(desc = "Sort order.", default_with = "DpuOrder::Id")] order_by: DpuOrder,
    ) -> Result<Page<Dpu>> {
        let scope = Scope::of(context)?;
        let (view, now) = (scope.view().await?, scope.instant(None));
        view.look_at_names(view.plan().dpus().len())?;
        let part = name_contains.map(|part| part.to_lowercase()).unwrap_or_default();
        let kept = |dpu: &&Arc<floor_plan::Dpu>| {
            let mut texts = [Some(&dpu.row.serial), dpu.row.name.as_ref()].into_iter().flatten();
            let named = texts.any(|text| text.to_lowercase().contains(&part));
            named && unassigned.is_none_or(|unassigned| unassigned != dpu.is_assigned(now))
        };
        let dpus = view.plan().dpus().values().filter(kept).map(|dpu| {
            let name = match order_by {
                DpuOrder::Id => String::new(),
                DpuOrder::Serial => dpu.row.serial.clone(),
                DpuOrder::Name => dpu.row.name.clone().unwrap_or_default(),
            };
            ((name, RowKey(dpu.row.id)), Dpu::new(view, dpu))
        });
        PageArguments { first, after, last, before }.page(
            context,
            &format!("DPUs by {order_by:?}"),
            dpus.collect(),
        )
    }

    /// The lines of devices that send reports, but that no DPU has the serial of, by serial.
    async fn unknown_devices(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Maximum number of entries from the beginning, 0 to 500. Default: 100.")]
        first: Option<i32>,
        #[graphql(desc = "Return entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Maximum number of entries from the end, 0 to 500; instead of first.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Return entries before this cursor.")] before: Option<String>,
    ) -> Result<StoredPage<UnknownDevice>> {
        let arguments = PageArguments { first, after, last, before };
        Scope::list(context, arguments.size()?.entries())?;
        let inbox = Scope::of(context)?.app().gateway.inbox();
        let read = async |Cut { after, before, newest_first, size }: Cut<String>| {
            let devices = inbox.devices(DevicePage { after, before, descending: newest_first, size }).await?;
            Ok(devices.into_iter().map(|device| (device.device.clone(), device)).collect())
        };
        arguments.stored("unknown devices", false, read, |device| Some(device.into())).await
    }

    /// The tokens, revoked ones included, oldest first.
    async fn tokens(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Maximum number of entries from the beginning, 0 to 500. Default: 100.")]
        first: Option<i32>,
        #[graphql(desc = "Return entries after this cursor.")] after: Option<String>,
        #[graphql(desc = "Maximum number of entries from the end, 0 to 500; instead of first.")] last: Option<
            i32,
        >,
        #[graphql(desc = "Return entries before this cursor.")] before: Option<String>,
    ) -> Result<Page<Token>> {
        let scope = Scope::of(context)?;
        let view = scope.view().await?;
        let rows = auth::list(&scope.app().database).await?;
        let tokens = rows.into_iter().map(|row| (RowKey(row.id), Token::new(view, row)));
        PageArguments { first, after, last, before }.page(context, "tokens", tokens.collect())
    }
}
