//! GraphQL: the schema, one file per noun, and its serving over HTTP and WebSockets.
//!
//! Resolvers call domain functions and nothing else. They read the floor plan, and usually timelines, from memory.
//! Reads from the database for many parents go through the DataLoader of the request's scope, so that a request costs
//! a fixed number of statements.

mod assignment;
mod body;
mod breakdown;
mod documents;
mod dpu;
mod enums;
mod error;
mod event;
mod executor;
mod history;
mod http;
mod id;
mod int;
mod limits;
mod literals;
mod meter;
mod mutation;
mod node;
mod pacer;
mod page;
mod query;
mod reset;
mod roots;
mod scalars;
mod scope;
mod sequence;
mod shape;
mod socket;
mod sockets;
mod space;
mod subscription;
mod view;

use std::sync::Arc;

use async_graphql::SDLExportOptions;
use axum::Router;
use axum::routing::get;

use crate::app::App;
use crate::budget::Budgets;
use crate::limits::Limits;

/// The GraphQL schema of the server.
type Schema = async_graphql::Schema<query::Query, mutation::Mutation, subscription::Subscription>;

fn schema(introspection: bool) -> Schema {
    // `limits` has checked the document already, and the library's own limits would walk all of it.
    let schema = Schema::build(query::Query, mutation::Mutation::default(), subscription::Subscription)
        .limit_recursive_depth(usize::MAX);
    // Suggestions in error messages would reveal parts of the schema.
    if introspection {
        schema.finish()
    } else {
        schema.disable_introspection().disable_suggestions().finish()
    }
}

/// Returns the schema in GraphQL's schema language, as in `schema.graphql`.
pub fn sdl() -> String {
    let mut sdl = schema(true).sdl_with_options(SDLExportOptions::new());
    sdl.truncate(sdl.trim_end().len());
    sdl.push('\n');
    sdl
}

/// Returns the router for `/graphql`, with and without a trailing slash, within the limits and the budgets.
///
/// # Panics
///
/// If the schema, which is part of the program, cannot be parsed. A test builds it.
#[expect(clippy::expect_used, reason = "a start-up invariant, and every test that starts a server checks it")]
pub fn router(app: Arc<App>, limits: Limits, budgets: Budgets) -> Router {
    let executor = executor::Executor::new(app, limits).expect("the schema is well-formed");
    let endpoint = Arc::new(http::Endpoint::new(executor, budgets));
    let methods = get(http::get).post(http::post);
    Router::new().route("/graphql", methods.clone()).route("/graphql/", methods).with_state(endpoint)
}
