//! `GET /space/{id}/count?ts=`: the contract that existing clients rely on.
//!
//! Keys, their order, and the texts of all errors are part of the contract and must not change.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::{FromRequestParts, State};
use axum::http::HeaderValue;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use entity::Instant;
use utoipa::openapi::{self, RefOr};
use utoipa::{IntoResponses, ToSchema};

use super::openapi::{Refused, Unavailable, failures};
use super::query::Query;
use super::space_id;
use crate::app::App;
use crate::auth::{Access, Need};
use crate::http::error::RestError;
use crate::http::route::{Answers, Route};
use crate::ids::Kind;
use crate::telemetry::metrics;

pub(super) static ROUTE: Route = Route::new("/space/{id}/count", Need::Read, Answers::Short);

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The count of a space. Fields are written in this order.
#[derive(ToSchema)]
#[schema(example = json!({ "space_id": 24, "ts": "2018-05-01T08:46:00Z", "count": 42 }))]
pub(super) struct Count {
    /// The space's id.
    space_id: i64,
    /// The instant of the count, in UTC. Fractions of a second have three digits, and are left out when zero.
    #[schema(value_type = String, format = DateTime)]
    ts: Instant,
    /// Number of people in the space. Below zero if more people left than were known to be inside, unless the space
    /// reports such counts as zero.
    count: i64,
}

impl IntoResponse for Count {
    fn into_response(self) -> Response {
        // Written by hand: nothing in it needs escaping.
        let (mut space_id, mut count) = (itoa::Buffer::new(), itoa::Buffer::new());
        let mut body = String::with_capacity(96);
        for part in [
            r#"{"space_id":"#,
            space_id.format(self.space_id),
            r#","ts":""#,
            self.ts.text().as_ref(),
            r#"","count":"#,
            count.format(self.count),
            "}",
        ] {
            body.push_str(part);
        }
        let mut response = Response::new(Body::from(body));
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response
    }
}

/// The parameters of the request, read from its target without a copy.
pub(super) struct CountRequest {
    /// `None`: not an id.
    space_id: Option<i64>,
    at: Result<Option<Instant>, RestError>,
}

impl<S: Sync> FromRequestParts<S> for CountRequest {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let id = parts.uri.path().split('/').nth(2).unwrap_or_default();
        let id = percent_encoding::percent_decode_str(id).decode_utf8().unwrap_or_default();
        let query = Query::new(parts.uri.query().unwrap_or_default());
        let at = query.only(&["ts"]).and_then(|()| query.instant("ts"));
        Ok(Self { space_id: space_id(&id).ok(), at })
    }
}

/// Returns the number of people in the space at `ts`, or now.
#[utoipa::path(
    get,
    path = "/space/{id}/count",
    operation_id = "space_count",
    params(
        ("id" = i64, Path, description = "The space's id.", minimum = 0, example = 24),
        ("ts" = Option<String>, Query, description = "The instant. Events at exactly `ts` are included. Default: now.",
            example = "2018-05-01T08:46:00Z"),
    ),
    responses((status = 200, body = Count, description = "The count."), CountFailures, Refused, Unavailable),
    security((), ("token" = []))
)]
pub(super) async fn count(
    State(app): State<Arc<App>>,
    access: Access,
    CountRequest { space_id, at }: CountRequest,
) -> Result<Count, RestError> {
    let now = app.clock.now();
    let space_id = space_id.ok_or(RestError::NotFound)?;
    let ts = at.as_ref().map_or(now, |at| at.unwrap_or(now));
    let (app, access) = (&*app, &access);
    let count = app
        .counts
        .ask(|view| async move {
            let plan = access.view(view.plan());
            let space = plan.space(app.ids.row(Kind::Space, space_id)).ok_or(RestError::NotFound)?;
            Ok::<_, RestError>(space.answer(view.net(&space.account(ts)).await?))
        })
        .await?;
    // An unknown space takes precedence over an invalid `ts`.
    at?;
    metrics::counted(now, ts);
    Ok(Count { space_id, ts, count })
}

/// Errors of a request for a count.
struct CountFailures;

impl IntoResponses for CountFailures {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let no_timestamp = "yesterday".parse::<Instant>().err();
        let no_timestamp =
            no_timestamp.map(|error| ("Invalid `ts`.", RestError::Timestamp { name: "ts", error }));
        let unknown = RestError::UnknownParameter { given: "timestamp".to_owned(), accepted: &["ts"] };
        let others = [("Space not found.", RestError::NotFound), ("Unknown parameter.", unknown)];
        failures(others.into_iter().chain(no_timestamp))
    }
}
