//! `GET /space/{id}/count?ts=`: the contract that existing clients rely on.
//!
//! Keys, their order, and every error's text are part of it. They do not change.

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
use crate::auth::Access;
use crate::http::error::RestError;
use crate::ids::Kind;
use crate::telemetry::metrics;

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// A space's count; its fields are written in this order.
#[derive(ToSchema)]
#[schema(example = json!({ "space_id": 24, "ts": "2018-05-01T08:46:00Z", "count": 42 }))]
pub(super) struct Count {
    /// The space's id.
    space_id: i64,
    /// The instant that was asked about, in UTC: without a fraction of a second where it is zero, else with three
    /// digits.
    #[schema(value_type = String, format = DateTime)]
    ts: Instant,
    /// How many people were in the space. Below zero where more people left than were known of, unless the space
    /// wants such counts answered as zero.
    count: i64,
}

impl IntoResponse for Count {
    fn into_response(self) -> Response {
        // Written as it stands, since there is nothing in it to escape.
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

/// What is asked for, read from the request's target without a copy.
pub(super) struct Asked {
    /// `None`: no space is called so.
    space_id: Option<i64>,
    at: Result<Option<Instant>, RestError>,
}

impl<S: Sync> FromRequestParts<S> for Asked {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        let id = parts.uri.path().split('/').nth(2).unwrap_or_default();
        let id = percent_encoding::percent_decode_str(id).decode_utf8().unwrap_or_default();
        let query = Query::new(parts.uri.query().unwrap_or_default());
        let at = query.only(&["ts"]).and_then(|()| query.instant("ts"));
        Ok(Self { space_id: space_id(&id).ok(), at })
    }
}

/// How many people were in the space at `ts`, or are in it now.
#[utoipa::path(
    get,
    path = "/space/{id}/count",
    operation_id = "space_count",
    params(
        ("id" = i64, Path, description = "The space's id.", minimum = 0, example = 24),
        ("ts" = Option<String>, Query, description = "The instant; events at exactly `ts` are in. Left out: now.",
            example = "2018-05-01T08:46:00Z"),
    ),
    responses((status = 200, body = Count, description = "The count."), CountFailures, Refused, Unavailable),
    security((), ("token" = []))
)]
pub(super) async fn count(
    State(app): State<Arc<App>>,
    access: Access,
    Asked { space_id, at }: Asked,
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
    // What is wrong with it matters only where there is such a space.
    at?;
    metrics::counted(now, ts);
    Ok(Count { space_id, ts, count })
}

/// What asking for a count may fail with.
struct CountFailures;

impl IntoResponses for CountFailures {
    fn responses() -> BTreeMap<String, RefOr<openapi::Response>> {
        let no_timestamp = "yesterday".parse::<Instant>().err();
        let no_timestamp =
            no_timestamp.map(|error| ("`ts` is no timestamp.", RestError::Timestamp { name: "ts", error }));
        let unknown = RestError::UnknownParameter { given: "timestamp".to_owned(), accepted: &["ts"] };
        let others = [("There is no such space.", RestError::NotFound), ("`ts` is misspelt.", unknown)];
        failures(others.into_iter().chain(no_timestamp))
    }
}
