//! GraphQL: `schema` has a file a noun, `serving` takes requests and WebSockets, `request` is what the resolvers of one
//! request share, and `limits` is what a document may ask for.
//!
//! Resolvers call domain functions and nothing else. They read the floor plan, and usually timelines, from memory.
//! Reads from the database for many parents go through the DataLoader of the request's scope, so that a request costs
//! a fixed number of statements.

mod limits;
mod permissions;
mod request;
mod schema;
mod serving;

use std::sync::Arc;

use async_graphql::parser::types::{FieldDefinition, TypeDefinition, TypeKind, TypeSystemDefinition};
use async_graphql::parser::{self, parse_schema};
use async_graphql::{Name, SDLExportOptions};
use axum::Router;
use axum::routing::get;

pub use self::permissions::root_field;
use self::schema::{Mutation, Query, Subscription};
use self::serving::{Endpoint, Executor};
use crate::app::App;
use crate::auth::Need;
use crate::http::budget::Budgets;
use crate::http::route::{Answers, Route, RouteTable};
use crate::limits::Limits;

type Schema = async_graphql::Schema<Query, Mutation, Subscription>;

fn build_schema(introspection: bool) -> Schema {
    // `limits` has checked the document already, and the library's own limits would walk all of it.
    let schema = Schema::build(Query, Mutation::default(), Subscription).limit_recursive_depth(usize::MAX);
    // Suggestions in error messages would reveal parts of the schema.
    if introspection {
        schema.finish()
    } else {
        schema.disable_introspection().disable_suggestions().finish()
    }
}

static ROUTE: Route = Route::new("/graphql", Need::Operation, Answers::Long);

/// Returns the schema in GraphQL's schema language, as in `schema.graphql`.
pub fn sdl() -> String {
    let mut sdl = build_schema(true).sdl_with_options(SDLExportOptions::new());
    sdl.truncate(sdl.trim_end().len());
    sdl.push('\n');
    sdl
}

/// Returns the object types of a schema in GraphQL's schema language, with their fields.
fn objects(sdl: &str) -> Result<impl Iterator<Item = (Name, Vec<FieldDefinition>)>, parser::Error> {
    Ok(parse_schema(sdl)?.definitions.into_iter().filter_map(|definition| {
        let TypeSystemDefinition::Type(definition) = definition else { return None };
        let TypeDefinition { name, kind: TypeKind::Object(object), .. } = definition.node else {
            return None;
        };
        Some((name.node, object.fields.into_iter().map(|field| field.node).collect()))
    }))
}

/// Returns the router for `/graphql`, with and without a trailing slash, within the limits and the budgets.
///
/// # Panics
///
/// If the schema, which is part of the program, cannot be parsed. A test builds it.
#[expect(clippy::expect_used, reason = "a start-up invariant, and every test that starts a server checks it")]
pub(super) fn router(app: Arc<App>, limits: Limits, budgets: &Budgets, table: &mut RouteTable) -> Router {
    let executor = Executor::new(app, limits).expect("the schema is well-formed");
    let endpoint = Arc::new(Endpoint::new(executor, budgets.clone()));
    let methods = get(serving::get).post(serving::post);
    table.add(&ROUTE);
    Router::new().route("/graphql", methods.clone()).route("/graphql/", methods).with_state(endpoint)
}
