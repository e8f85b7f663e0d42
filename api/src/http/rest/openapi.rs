//! `GET /openapi.json`: the REST interface for programs that generate clients, and for people with a viewer.
//!
//! A route enters the router and the document by the same call, [`Documented::add`], so neither knows one that
//! the other does not. What a request may fail with is described by the very errors that it fails with.

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
use crate::auth::Denied;
use crate::http::error::{self, RestError};

/// What the document says of the interface as a whole.
#[derive(OpenApi)]
#[openapi(
    info(
        title = "Headcount",
        description = "How many people are in a space, now or at any instant of the past.\n\n\
            Timestamps are ISO-8601: a date, or a date and a time, with `Z`, with an offset, or with neither (then \
            it is UTC; an event's is in the time zone of its DPU), or the seconds (10 digits) or milliseconds (13 digits) \
            since 1970. A query parameter that is not described here is refused with 400. \
            A path is accepted with a slash at its end, too. A method that a path does not answer is \
            refused with 405 and the header `Allow`, a path that there is not with 404, both with a `detail`."
    ),
    components(schemas(Problem)),
    modifiers(&Tokens)
)]
struct Interface;

/// How a client says who it is.
struct Tokens;

impl Modify for Tokens {
    fn modify(&self, document: &mut openapi::OpenApi) {
        let description = "What `headcount token create` prints; it is also accepted as the password of HTTP Basic, \
            with any user name. An open server asks for none.";
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).description(Some(description)).build();
        document
            .components
            .get_or_insert_default()
            .add_security_scheme("token", SecurityScheme::Http(scheme));
    }
}

/// What went wrong.
#[derive(ToSchema)]
#[schema(example = json!({ "detail": "Not found." }))]
#[expect(dead_code, reason = "answers are written by `RestError`; this describes them")]
struct Problem {
    /// What was wrong and what is accepted, for people.
    detail: String,
}

/// Routes that are described as they are added.
pub(super) struct Documented {
    router: OpenApiRouter<Arc<App>>,
    document: Document,
}

/// The document, once all routes are in it.
type Document = Arc<OnceLock<openapi::OpenApi>>;

impl Documented {
    /// No routes yet.
    pub(super) fn new() -> Self {
        Self { router: OpenApiRouter::with_openapi(Interface::openapi()), document: Document::default() }
    }

    /// Adds a path, with a slash at its end and without. Methods that it does not answer are told which it does.
    pub(super) fn add(self, (schemas, paths, methods): UtoipaMethodRouter<Arc<App>>) -> Self {
        let posts = paths.paths.values().any(|item| item.post.is_some());
        let allowed = if posts { "POST" } else { "GET, HEAD" };
        let methods =
            methods.fallback(async move |method: Method| error::method_not_allowed(&method, allowed));
        let slashed = paths.paths.keys().map(|path| format!("{path}/"));
        let router = slashed.fold(self.router, |router, path| router.route(&path, methods.clone()));
        Self { router: router.routes((schemas, paths, methods)), ..self }
    }

    /// Adds the path of the document itself.
    pub(super) fn add_document(self) -> Self {
        let (schemas, paths, methods) = routes!(document);
        // For this route alone: whatever surrounds a route costs each of its requests something.
        let methods = methods.layer(Extension(Arc::clone(&self.document)));
        self.add((schemas, paths, methods))
    }

    /// The router.
    pub(super) fn into_router(self) -> Router<Arc<App>> {
        let (router, document) = self.router.split_for_parts();
        // It is made once, so it is not set yet.
        self.document.set(document).ok();
        router
    }
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "openapi", responses((status = 200, body = Object, description = "An OpenAPI 3.1 document."), Misasked))]
async fn document(Extension(document): Extension<Document>, _: NoParameters) -> Response {
    Json(document.get()).into_response()
}

/// Describes answers by the errors that cause them.
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
                .description(Some("After how many seconds to try again."));
            response = response.header(header::RETRY_AFTER.as_str(), seconds.build());
        }
        (status.as_str().to_owned(), response.build().into())
    };
    failures.into_iter().map(describe).collect()
}

/// What whoever asks may be refused with.
pub(super) struct Refused;

impl IntoResponses for Refused {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        failures([
            ("No valid token was sent.", RestError::Refused(Denied::Missing)),
            ("The token is not for this.", RestError::Refused(Denied::Forbidden)),
            ("Too many requests.", RestError::Refused(Denied::TooMany { after_s: 1 })),
        ])
    }
}

/// What a route that takes no parameters may fail with.
pub(super) struct Misasked;

impl IntoResponses for Misasked {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let error = RestError::UnknownParameter { given: "verbose".to_owned(), accepted: &[] };
        failures([("The path has no parameters.", error)])
    }
}

/// What reading from the database may fail with.
pub(super) struct Unavailable;

impl IntoResponses for Unavailable {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let away = DbErr::ConnectionAcquire(ConnAcquireErr::Timeout);
        failures([
            ("The database does not answer.", RestError::Database(away)),
            ("The server is at fault.", RestError::Database(DbErr::Custom(String::new()))),
        ])
    }
}
