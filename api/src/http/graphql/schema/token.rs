//! Tokens.

use std::sync::Arc;

use async_graphql::{Context, Enum, Object};
use entity::token;

use super::dpu::Dpu;
use super::scalars::DateTime;
use super::space::Space;
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::request::view::ClientView;

/// What a token allows.
#[derive(Clone, Copy, PartialEq, Eq, Enum)]
#[graphql(remote = "entity::token::Role")]
pub(in crate::http::graphql) enum TokenRole {
    /// To query and subscribe: everything, or some spaces.
    Read,
    /// To record reports: of all DPUs, or of one.
    Ingest,
    /// Everything.
    Admin,
}

/// A token, which authenticates a client. Its secret is shown once, when it is created.
#[derive(Clone)]
pub(in crate::http::graphql) struct Token {
    view: Arc<ClientView>,
    row: token::Model,
}

impl Token {
    pub(in crate::http::graphql) fn new(view: &Arc<ClientView>, row: token::Model) -> Self {
        Self { view: Arc::clone(view), row }
    }
}

/// A token, which authenticates a client. Its secret is shown once, when it is created.
#[Object]
impl Token {
    /// The name of the person or program that has it. No two tokens that are not revoked share a name.
    async fn name(&self) -> &str {
        &self.row.name
    }

    /// What it allows.
    async fn role(&self) -> TokenRole {
        self.row.role.into()
    }

    /// The spaces to which a token with the role `READ` is limited. Null: it is not limited. Deleted spaces are left out.
    async fn spaces(&self, context: &Context<'_>) -> Result<Option<Vec<Space>>> {
        let Some(ids) = &self.row.spaces else { return Ok(None) };
        let ids = ids.split(',').filter_map(|id| id.parse().ok());
        let spaces: Vec<_> =
            ids.filter_map(|id: i64| Some(Space::new(&self.view, self.view.plan().space(id)?))).collect();
        Scope::list(context, spaces.len())?;
        Ok(Some(spaces))
    }

    /// The DPU to which a token with the role `INGEST` is limited. Null: it is not limited.
    async fn dpu(&self) -> Option<Dpu> {
        Dpu::find(&self.view, self.row.dpu_id?)
    }

    /// When it expires. Null: never.
    async fn expires(&self) -> Option<DateTime> {
        self.row.expires.map(Into::into)
    }

    /// When it was revoked. Null: it was not.
    async fn revoked(&self) -> Option<DateTime> {
        self.row.revoked.map(Into::into)
    }

    /// The beginning of the day, in UTC, on which it was last used. Null: never.
    async fn last_used(&self) -> Option<DateTime> {
        self.row.last_used_day.map(Into::into)
    }

    /// When it was created.
    async fn created(&self) -> DateTime {
        self.row.created.into()
    }
}
