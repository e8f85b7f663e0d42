//! The mutations of the schema, one file per noun.
//!
//! A change that the rules refuse is not an error of the request: `userErrors` of its payload lists the reasons, and
//! its object is null.

mod assignment;
mod dpu;
pub(super) mod ingest;
mod reset;
mod reset_rule;
mod space;
mod token;
mod void;

use std::fmt::Display;
use std::sync::Arc;

use async_graphql::{Context, ID, MaybeUndefined, MergedObject, SimpleObject};
use entity::Instant;
use futures::future::BoxFuture;
use sea_orm::DatabaseTransaction;

use super::enums::UserErrorCode;
use super::id::row;
use super::scalars::DateTime;
use crate::floor_plan::{ChangeError, Refusal, RefusalCode};
use crate::http::graphql::request::error::{Fault, Result};
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::request::view::ClientView;
use crate::ids::{Kind, PublicIds};

/// The mutations.
#[derive(Default, MergedObject)]
pub(in crate::http::graphql) struct Mutation(
    ingest::IngestMutation,
    space::SpaceMutation,
    dpu::DpuMutation,
    assignment::AssignmentMutation,
    reset::ResetMutation,
    reset_rule::ResetRuleMutation,
    void::VoidMutation,
    token::TokenMutation,
);

/// Reason why a change was refused.
#[derive(SimpleObject)]
struct UserError {
    /// Kind of reason.
    code: UserErrorCode,
    /// Path of the argument that is wrong, from the mutation's arguments down.
    field: Vec<String>,
    /// What is wrong and what is accepted.
    message: String,
}

/// Outcome of a change: its result with the state after it, or the reasons why it was refused.
type Outcome<T> = std::result::Result<(T, Arc<ClientView>), Vec<UserError>>;

/// Makes a change, unless its input is invalid.
async fn change<I: Send, T: Send>(
    context: &Context<'_>,
    input: std::result::Result<I, Refusal>,
    work: impl for<'t> FnOnce(
        &'t DatabaseTransaction,
        I,
        Instant,
    ) -> BoxFuture<'t, std::result::Result<T, ChangeError>>
    + Send,
) -> Result<Outcome<T>> {
    let scope = Scope::of(context)?;
    let app = scope.app();
    let changed = match input {
        Ok(input) => app.state.change(&app.clock, |transaction, now| work(transaction, input, now)).await,
        Err(refusal) => Err(refusal.into()),
    };
    match changed {
        Ok(done) => Ok(Ok((done, scope.view_of_change().await?))),
        Err(ChangeError::Refused(refusal)) => Ok(Err(vec![UserError::of(&refusal, &app.ids)])),
        Err(ChangeError::Database(error)) => Err(error.into()),
    }
}

impl UserError {
    fn of(refusal: &Refusal, ids: &PublicIds) -> Self {
        // `id` and `at` are arguments of their own; all others are fields of `input`.
        let input = if ["id", "at"].contains(&refusal.field.as_str()) { None } else { Some("input") };
        let path = input.into_iter().chain(refusal.field.split('.'));
        let field = path.map(str::to_owned).collect();
        Self { code: refusal.code.into(), field, message: refusal.told(ids) }
    }

    /// Returns the same error for a mutation whose `at` is the start or end of assignments.
    fn at_their_edge(self) -> Self {
        match self.field.as_slice() {
            [_, edge] if ["startsAt", "endsAt"].contains(&edge.as_str()) => {
                Self { field: vec!["at".to_owned()], ..self }
            }
            _ => self,
        }
    }

    /// Returns the same error for a mutation without `input`.
    fn of_argument(self) -> Self {
        Self { field: self.field.into_iter().skip_while(|name| name == "input").collect(), ..self }
    }

    /// Returns the same error for a mutation whose arguments are all fields of `input`.
    fn beneath_input(mut self) -> Self {
        if self.field.first().is_some_and(|first| first != "input") {
            self.field.insert(0, "input".to_owned());
        }
        self
    }
}

/// Returns the row of an id, or an error if the id is invalid.
fn id(context: &Context<'_>, field: &str, kind: Kind, id: &ID) -> std::result::Result<i64, Refusal> {
    let refusal = || {
        let message = format!("there is no {} {:.40}", kind.name(), id.as_str());
        Refusal::new(RefusalCode::NotFound, field, message)
    };
    row(context, kind, id).ok().flatten().ok_or_else(refusal)
}

/// Returns a parsed argument, or the error that names its field.
fn readable<T, E: Display>(
    field: &str,
    parsed: std::result::Result<T, E>,
) -> std::result::Result<T, Refusal> {
    parsed.map_err(|error| Refusal::new(RefusalCode::Invalid, field, error.to_string()))
}

/// Returns the instant of an optional timestamp, or the error that names its field.
fn optional_instant(field: &str, given: Option<DateTime>) -> std::result::Result<Option<Instant>, Refusal> {
    given.map(|given| readable(field, given.parsed())).transpose()
}

/// Returns the change of a nullable field: `None` leaves it alone, `Some(None)` sets it to null.
fn changed<T, U, E>(
    given: MaybeUndefined<T>,
    read: impl FnOnce(T) -> std::result::Result<U, E>,
) -> std::result::Result<Option<Option<U>>, E> {
    match given {
        MaybeUndefined::Undefined => Ok(None),
        MaybeUndefined::Null => Ok(Some(None)),
        MaybeUndefined::Value(value) => read(value).map(|value| Some(Some(value))),
    }
}

/// Returns the changed object, as found in the floor plan that was read after the change.
fn made<T>(thing: Option<T>) -> Result<T> {
    // Another client may have deleted it in the meantime.
    thing.ok_or_else(|| {
        Fault::Unavailable("the change was made, but the object was deleted in the meantime".to_owned())
    })
}
