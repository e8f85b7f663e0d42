//! `GET /openapi.json`: the description of the REST interface, for client generators and viewers.
//!
//! The same call, [`Documented::add`], adds a route to the router and to the document, so both have the same routes.
//! The errors of a request are described by their own values.

use std::collections::BTreeMap;
use std::sync::{Arc, OnceLock};

use axum::extract::Extension;
use axum::http::Method;
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::{Json, Router};
use sea_orm::{ConnAcquireErr, DbErr};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{self, Content, HeaderBuilder, ObjectBuilder, Ref, RefOr, ResponseBuilder, Type};
use utoipa::{IntoResponses, Modify, OpenApi, ToSchema};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};
use utoipa_axum::routes;

use super::query::NoParameters;
use crate::app::App;
use crate::auth::{Denied, Need};
use crate::http::error::{self, RestError};
use crate::http::route::{Answers, Route, RouteTable};

/// Description of the interface as a whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headcount",
        description = "How many people are in a space, now or at any instant of the past.\n\n\
            Timestamps are ISO-8601: a date, or a date and a time, with `Z`, an offset, or neither (then UTC; for \
            an event, the time zone of its DPU), or the seconds (10 digits) or milliseconds (13 digits) \
            since 1970. Unknown query parameters are refused with 400. \
            Paths may end with a slash. A method that a path does not support is \
            refused with 405 and the header `Allow`, an unknown path with 404, both with a `detail`."
    ),
    components(schemas(Problem)),
    modifiers(&TokenScheme)
)]
struct Interface;

/// Authentication by token.
struct TokenScheme;

impl Modify for TokenScheme {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let description = "The token that `headcount token create` prints. Also accepted as the password of HTTP \
            Basic, with any user name. An open server requires no token.";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// An error.
#[derive(ToSchema)]
#[schema(example = json!({ "detail": "Not found." }))]
#[expect(dead_code, reason = "answers are written by `RestError`; this describes them")]
struct Problem {
    /// What is wrong and what is accepted, for people.
    detail: String,
}

static ROUTE: Route = Route::new("/openapi.json", Need::Nothing, Answers::Long);

/// Routes that are described as they are added.
pub(super) struct Documented<'r> {
    table: &'r mut RouteTable,
    router: OpenApiRouter<Arc<App>>,
    document: Description,
}

/// The document, once all routes are in it.
type Description = Arc<OnceLock<openapi::OpenApi>>;

impl<'r> Documented<'r> {
    pub(super) fn new(table: &'r mut RouteTable) -> Self {
        let router = OpenApiRouter::with_openapi(Interface::openapi());
        Self { table, router, document: Description::default() }
    }

    /// Adds a route, with and without a trailing slash. Other methods get an answer that names the supported ones.
    pub(super) fn add(
        self,
        route: &'static Route,
        (schemas, paths, methods): UtoipaMethodRouter<Arc<App>>,
    ) -> Self {
        let posts = paths.paths.values().any(|item| item.post.is_some());
        let allowed = if posts { "POST" } else { "GET, HEAD" };
        let methods =
            methods.fallback(async move |method: Method| error::method_not_allowed(&method, allowed));
        self.table.add(route);
        let router = self.router.route(&format!("{}/", route.path), methods.clone());
        Self { router: router.routes((schemas, paths, methods)), ..self }
    }

    /// Adds the path of the document itself.
    pub(super) fn add_document(self) -> Self {
        let (schemas, paths, methods) = routes!(document);
        let methods = methods.layer(Extension(Arc::clone(&self.document)));
        self.add(&ROUTE, (schemas, paths, methods))
    }

    pub(super) fn into_router(self) -> Router<Arc<App>> {
        let (router, document) = self.router.split_for_parts();
        // Called once, so the document is not set yet.
        self.document.set(document).ok();
        router.fallback(async || error::not_found())
    }
}

/// Returns this document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", responses((status = 200, body = Object, description = "An OpenAPI 3.1 document."), Misasked))]
async fn document(Extension(document): Extension<Description>, _: NoParameters) -> Response {
    Json(document.get()).into_response()
}

/// Describes error responses by the errors themselves.
pub(super) fn failures(
    failures: impl IntoIterator<Item = (&'static str, RestError)>,
) -> BTreeMap<String, RefOr<openapi::Response>> {
    let describe = |(when, error): (&str, RestError)| {
        let status = error.status();
        let content = Content::builder()
            .schema(Some(Ref::from_schema_name(Problem::name())))
            .example(Some(serde_json::json!({ "detail": error.to_string() })))
            .build();
        let mut response = ResponseBuilder::new().description(when).content("application/json", content);
        if error.retry_after().is_some() {
            let seconds = HeaderBuilder::new()
                .schema(Some(ObjectBuilder::new().schema_type(Type::Integer)))
                .description(Some("Seconds after which to try again."));
            response = response.header(header::RETRY_AFTER.as_str(), seconds.build());
        }
        (status.as_str().to_owned(), response.build().into())
    };
    failures.into_iter().map(describe).collect()
}

/// Errors of authentication and authorization.
pub(super) struct Refused;

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        failures([
            ("No valid token was sent.", RestError::Refused(Denied::Missing)),
            ("The token does not allow this.", RestError::Refused(Denied::Forbidden)),
            ("Too many requests.", RestError::Refused(Denied::TooMany { after_s: 1 })),
        ])
    }
}

/// Errors of a route without parameters.
pub(super) struct Misasked;

impl IntoResponses for Misasked {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let error = RestError::UnknownParameter { given: "verbose".to_owned(), accepted: &[] };
        failures([("Unknown parameter: the path has none.", error)])
    }
}

/// Errors of reading from the database.
pub(super) struct Unavailable;

impl IntoResponses for Unavailable {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let away = DbErr::ConnectionAcquire(ConnAcquireErr::Timeout);
        failures([
            ("The database does not answer.", RestError::Database(away)),
            ("Internal error.", RestError::Database(DbErr::Custom(String::new()))),
        ])
    }
}
