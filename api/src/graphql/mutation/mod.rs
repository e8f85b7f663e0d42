//! What can be changed, a file a noun.
//!
//! A change that the rules refuse is no error of the request: its payload says in `userErrors` what was
//! wrong, and its object is null.

mod assignment;
mod dpu;
mod ingest;
mod reset;
mod reset_rule;
mod space;

use std::fmt::Display;
use std::sync::Arc;

use async_graphql::{Context, ID, MaybeUndefined, MergedObject, SimpleObject};
use entity::Instant;
use futures::future::BoxFuture;
use sea_orm::DatabaseTransaction;

use super::enums::UserErrorCode;
use super::error::{Fault, Result};
use super::id::row;
use super::scalars::DateTime;
use super::scope::Scope;
use super::view::View;
use crate::floor_plan::{ChangeError, Refusal, RefusalCode};
use crate::ids::{Kind, PublicIds};

/// The mutations.
#[derive(Default, MergedObject)]
pub(super) struct Mutation(
    ingest::IngestMutation,
    space::SpaceMutation,
    dpu::DpuMutation,
    assignment::AssignmentMutation,
    reset::ResetMutation,
    reset_rule::ResetRuleMutation,
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

/// What a change came to: its result and the state with it, or why it was not made.
type Outcome<T> = std::result::Result<(T, Arc<View>), Vec<UserError>>;

/// Makes a change, given its input as far as that could be read.
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
        Ok(input) => app.change(|transaction, now| work(transaction, input, now)).await,
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

    /// The same error where `at` is when assignments start and end.
    fn at_their_edge(self) -> Self {
        match self.field.as_slice() {
            [_, edge] if ["startsAt", "endsAt"].contains(&edge.as_str()) => {
                Self { field: vec!["at".to_owned()], ..self }
            }
            _ => self,
        }
    }

    /// The same error where all arguments are fields of `input`.
    fn beneath_input(mut self) -> Self {
        if self.field.first().is_some_and(|first| first != "input") {
            self.field.insert(0, "input".to_owned());
        }
        self
    }
}

/// The row that an id names; one that is no id names nothing.
fn id(context: &Context<'_>, field: &str, kind: Kind, id: &ID) -> std::result::Result<i64, Refusal> {
    let refusal = || {
        let message = format!("there is no {} {:.40}", kind.name(), id.as_str());
        Refusal::new(RefusalCode::NotFound, field, message)
    };
    row(context, kind, id).ok().flatten().ok_or_else(refusal)
}

/// What an argument that came as text says.
fn readable<T, E: Display>(
    field: &str,
    parsed: std::result::Result<T, E>,
) -> std::result::Result<T, Refusal> {
    parsed.map_err(|error| Refusal::new(RefusalCode::Invalid, field, error.to_string()))
}

/// What an optional timestamp says.
fn optional_instant(field: &str, given: Option<DateTime>) -> std::result::Result<Option<Instant>, Refusal> {
    given.map(|given| readable(field, given.parsed())).transpose()
}

/// What to change of a field that may be null: nothing where it is not given.
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

/// What was made is in the floor plan that was read after it.
fn made<T>(thing: Option<T>) -> Result<T> {
    // Somebody else may have deleted it in between.
    thing.ok_or_else(|| Fault::Unavailable("what was changed is gone again".to_owned()))
}
