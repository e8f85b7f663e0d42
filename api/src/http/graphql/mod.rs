//! GraphQL: `schema` has a file a noun, `serving` takes requests and WebSockets, `request` is what the resolvers of one
//! request share, and `limits` is what a document may ask for.
//!
//! Resolvers call domain functions and nothing else. What is in memory (the floor plan, and timelines as a
//! rule) they read from there; what must be read from the database for many parents goes through the
//! DataLoader of the request's scope, so that a request costs a fixed number of statements.

mod limits;
mod permissions;
mod request;
mod schema;
mod serving;

use std::sync::Arc;

use async_graphql::SDLExportOptions;
use axum::Router;
use axum::routing::get;

pub use self::permissions::root_field;
use self::schema::{Mutation, Query, Subscription};
use self::serving::{Endpoint, Executor};
use crate::app::App;
use crate::http::budget::Budgets;
use crate::limits::Limits;

/// Everything that can be asked.
type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

fn build_schema(introspection: bool) -> Schema {
    // What a document may ask for is decided before it gets here, by `limits`; the library's own limits walk it first.
    let schema = Schema::build(Query, Mutation::default(), Subscription).limit_recursive_depth(usize::MAX);
    // Whoever may not ask what there is shall not learn it from suggestions either.
    if introspection {
        schema.finish()
    } else {
        schema.disable_introspection().disable_suggestions().finish()
    }
}

/// The schema in GraphQL's schema language, as `schema.graphql` holds it.
pub fn sdl() -> String {
    let mut sdl = build_schema(true).sdl_with_options(SDLExportOptions::new());
    sdl.truncate(sdl.trim_end().len());
    sdl.push('\n');
    sdl
}

/// `/graphql`, with a slash at its end and without, within the limits and the budgets.
///
/// # Panics
///
/// If the schema, which is part of the program, cannot be parsed; a test builds it.
#[expect(clippy::expect_used, reason = "a start-up invariant, and every test that starts a server checks it")]
pub fn router(app: Arc<App>, limits: Limits, budgets: Budgets) -> Router {
    let executor = Executor::new(app, limits).expect("the schema is well-formed");
    let endpoint = Arc::new(Endpoint::new(executor, budgets));
    let methods = get(serving::get).post(serving::post);
    Router::new().route("/graphql", methods.clone()).route("/graphql/", methods).with_state(endpoint)
}
