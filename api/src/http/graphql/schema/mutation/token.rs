//! Mutations that create and revoke tokens.

use async_graphql::{Context, ID, InputObject, Object, SimpleObject};

use super::{UserError, id, optional_instant};
use crate::auth::{self, ManageError, NewToken, Role};
use crate::floor_plan::{FloorPlan, Refusal, RefusalCode};
use crate::http::graphql::request::error::{Fault, Result};
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::schema::scalars::DateTime;
use crate::http::graphql::schema::token::{Token, TokenRole};
use crate::ids::Kind;

#[derive(Default)]
pub(in crate::http::graphql) struct TokenMutation;

/// Input for creating a token.
#[derive(InputObject)]
struct TokenCreateInput {
    /// The name of the person or program that gets it: 1 to 200 characters, not all of them digits. No two tokens that are not
    /// revoked share a name.
    name: String,
    /// What it allows.
    role: TokenRole,
    /// Limit a token with the role READ to these spaces. Null: all.
    spaces: Option<Vec<ID>>,
    /// Limit a token with the role INGEST to this DPU. Null: all.
    dpu: Option<ID>,
    /// When it expires, an instant in the future. Null: never.
    expires: Option<DateTime>,
}

/// Result of creating a token.
#[derive(SimpleObject, Default)]
struct TokenCreatePayload {
    /// The token. Null if the change was refused.
    token: Option<Token>,
    /// The secret to send as `Authorization: Bearer SECRET`. It is shown only here. Null if the change was refused.
    secret: Option<String>,
    /// Reasons why the change was refused. Empty on success.
    user_errors: Vec<UserError>,
}

/// Result of revoking a token.
#[derive(SimpleObject, Default)]
struct TokenPayload {
    /// The token after the change. Null if the change was refused.
    token: Option<Token>,
    /// Reasons why the change was refused. Empty on success.
    user_errors: Vec<UserError>,
}

#[Object]
impl TokenMutation {
    /// Creates a token. From the first token on, every request needs one.
    async fn token_create(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The new token.")] input: TokenCreateInput,
    ) -> Result<TokenCreatePayload> {
        let scope = Scope::of(context)?;
        let app = scope.app();
        let view = scope.view_of_change().await?;
        let created = match input.read(context, view.plan()) {
            Ok(new) => auth::create(&app.database, app.clock.now(), new).await,
            Err(refusal) => {
                let user_errors = vec![UserError::of(&refusal, &app.ids)];
                return Ok(TokenCreatePayload { user_errors, ..TokenCreatePayload::default() });
            }
        };
        app.auth.tokens_changed();
        match created {
            Ok((row, secret)) => {
                let token = Some(Token::new(&view, row));
                let secret = Some(secret.reveal().to_owned());
                Ok(TokenCreatePayload { token, secret, user_errors: Vec::new() })
            }
            Err(error) => {
                let user_errors = vec![UserError::of(&refusal(error)?, &app.ids)];
                Ok(TokenCreatePayload { user_errors, ..TokenCreatePayload::default() })
            }
        }
    }

    /// Revokes a token, which cannot be undone. Requests with it are refused from now on.
    async fn token_revoke(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The name of the token.")] name: String,
    ) -> Result<TokenPayload> {
        let scope = Scope::of(context)?;
        let app = scope.app();
        let revoked = auth::revoke(&app.database, app.clock.now(), &name).await;
        app.auth.tokens_changed();
        match revoked {
            Ok(row) => {
                let token = Some(Token::new(&scope.view_of_change().await?, row));
                Ok(TokenPayload { token, user_errors: Vec::new() })
            }
            Err(error) => {
                let user_errors = vec![UserError::of(&refusal(error)?, &app.ids).of_argument()];
                Ok(TokenPayload { user_errors, ..TokenPayload::default() })
            }
        }
    }
}

impl TokenCreateInput {
    fn read(self, context: &Context<'_>, plan: &FloorPlan) -> std::result::Result<NewToken, Refusal> {
        let only = |field: &str, role: &str| {
            let message =
                format!("{field} has no meaning for this role: it limits tokens with the role {role}");
            Err(Refusal::new(RefusalCode::Invalid, field, message))
        };
        let role = match (self.role, self.spaces, self.dpu) {
            (TokenRole::Ingest | TokenRole::Admin, Some(_), _) => return only("spaces", "READ"),
            (TokenRole::Read | TokenRole::Admin, _, Some(_)) => return only("dpu", "INGEST"),
            (TokenRole::Read, Some(spaces), _) if spaces.is_empty() => {
                let message = "spaces is empty: name a space, or leave it out for all spaces";
                return Err(Refusal::new(RefusalCode::Blank, "spaces", message));
            }
            (TokenRole::Read, spaces, None) => {
                let row = |(index, space): (usize, &ID)| {
                    let field = format!("spaces.{index}");
                    let row = id(context, &field, Kind::Space, space)?;
                    plan.space(row).map(|_| row).ok_or_else(|| Refusal::not_found(&field, Kind::Space, row))
                };
                let rows = spaces.map(|spaces| spaces.iter().enumerate().map(row).collect());
                Role::Read(rows.transpose()?)
            }
            (TokenRole::Ingest, None, dpu) => {
                let row = |dpu: ID| {
                    let row = id(context, "dpu", Kind::Dpu, &dpu)?;
                    plan.dpu(row).map(|_| row).ok_or_else(|| Refusal::not_found("dpu", Kind::Dpu, row))
                };
                Role::Ingest(dpu.map(row).transpose()?)
            }
            (TokenRole::Admin, None, None) => Role::Admin,
        };
        Ok(NewToken { name: self.name, role, expires: optional_instant("expires", self.expires)? })
    }
}

/// Returns the reason why a change of tokens was refused, or the error of the request.
fn refusal(error: ManageError) -> Result<Refusal> {
    let (code, field) = match error {
        ManageError::Name(_) => (RefusalCode::Invalid, "name"),
        ManageError::Taken(_) => (RefusalCode::Taken, "name"),
        ManageError::Expired { .. } => (RefusalCode::OutOfRange, "expires"),
        ManageError::NotFound(_) => (RefusalCode::NotFound, "name"),
        ManageError::Space(_) | ManageError::SpaceId(_) => (RefusalCode::NotFound, "spaces"),
        ManageError::Dpu(_) => (RefusalCode::NotFound, "dpu"),
        ManageError::Random(cause) => return Err(Fault::Unavailable(cause.to_string())),
        ManageError::Database(cause) => return Err(cause.into()),
    };
    Ok(Refusal::new(code, field, error.to_string()))
}
