//! GraphQL over HTTP, as its specification requires.
//!
//! The handler reads the raw body. It accepts only JSON, so that a page of another origin cannot send a mutation
//! without a CORS preflight. GET runs queries only. `Accept` selects `application/graphql-response+json`, in which a
//! request that cannot be executed is a 400, or `application/json`, in which it is a 200.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{Response, ServerError};
use axum::body::Body;
use axum::extract::{FromRequestParts, RawQuery, State};
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response as HttpResponse};

use super::body::check_extent;
use super::endpoint::Endpoint;
use super::executor::PreparedOperation;
use super::parameters::{NoDocument, Parameters};
use super::socket::Socket;
use crate::auth::{Access, Denied};
use crate::http::authorization::access;
use crate::http::body::{self, BodyError, BodyLimits};
use crate::http::error::status_of;
use crate::http::graphql::request::error::{
    finish_errors, is_forbidden, is_refusal, no_persisted_queries, refused,
};
use crate::http::unpack::{self, Coding};

#[derive(Clone, Copy, PartialEq, Eq)]
enum MediaType {
    GraphqlResponse,
    Json,
}

/// The client's access. Clients without access are refused before anything is read.
pub(in crate::http::graphql) struct Caller(Access);

impl FromRequestParts<Arc<Endpoint>> for Caller {
    type Rejection = HttpResponse;

    async fn from_request_parts(parts: &mut Parts, endpoint: &Arc<Endpoint>) -> Result<Self, HttpResponse> {
        access(parts, &endpoint.executor.app().auth).await.map(Self).map_err(|refusal| {
            let media_type = MediaType::accepted(&parts.headers).unwrap_or(MediaType::Json);
            media_type.refuse_caller(&refusal)
        })
    }
}

/// `POST /graphql` with a JSON body.
pub(in crate::http::graphql) async fn post(
    State(endpoint): State<Arc<Endpoint>>,
    caller: Caller,
    headers: HeaderMap,
    body: Body,
) -> HttpResponse {
    let executor = &endpoint.executor;
    let Some(media_type) = MediaType::accepted(&headers) else { return not_acceptable("") };
    if !is_json(&headers) {
        let message = "a POST must be JSON: send it with the header content-type: application/json";
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, media_type, message);
    }
    let coding = match Coding::of(&headers) {
        Ok(coding) => coding,
        Err(unknown) => {
            let refused = refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, media_type, &unknown.to_string());
            return ([(ACCEPT_ENCODING, unpack::ACCEPTED)], refused).into_response();
        }
    };
    // The memory for the body stays reserved until the operation ends, since its variables take as much.
    let budget = &endpoint.budgets.bodies;
    let mut held = budget.none();
    let limits = executor.limits();
    let limits = BodyLimits { bytes: limits.body_bytes, seconds: limits.body_timeout_s };
    let body = match body::read(body, coding, limits, budget, &mut held).await {
        Ok(body) => body,
        Err(error) => return refuse_body(&error, media_type),
    };
    if body.trim_ascii_start().starts_with(b"[") {
        let message =
            "a batch of requests is not accepted: send each by itself, or combine them in one document";
        return refusal(StatusCode::BAD_REQUEST, media_type, message);
    }
    if let Err(refused) = check_extent(&body, executor.limits()) {
        return media_type.refuse(StatusCode::BAD_REQUEST, refused.into());
    }
    let parameters = serde_json::from_slice::<Parameters>(&body);
    drop(body);
    let request = match parameters.map(Parameters::into_request) {
        Ok(Ok(request)) => request,
        Ok(Err(NoDocument::Persisted)) => return media_type.answer(&persisted_query()),
        Ok(Err(NoDocument::Missing)) => return not_a_request(media_type, "the member query is missing"),
        Err(error) => return not_a_request(media_type, &error.to_string()),
    };
    let response = match executor.prepare(request, &caller.0) {
        Ok(operation) => executor.execute(operation, caller.0).await,
        Err(errors) => Response::from_errors(errors),
    };
    media_type.answer(&response)
}

fn not_a_request(media_type: MediaType, cause: &str) -> HttpResponse {
    let message = format!(
        "the body is not a GraphQL request, {{\"query\": \"…\", \"variables\": {{…}}, \"operationName\": \"…\"}}: {cause}"
    );
    refusal(StatusCode::BAD_REQUEST, media_type, &message)
}

/// `GET /graphql?query=…` for queries, or the upgrade to a WebSocket.
pub(in crate::http::graphql) async fn get(
    State(endpoint): State<Arc<Endpoint>>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    caller: Result<Caller, HttpResponse>,
    socket: Option<Socket>,
) -> HttpResponse {
    if let Some(socket) = socket {
        return socket.serve(endpoint);
    }
    let caller = match caller {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    let hint = endpoint.hint(&headers);
    let Some(media_type) = MediaType::accepted(&headers) else { return not_acceptable(hint) };
    let parameters = match Parameters::from_query_string(query.as_deref().unwrap_or_default()) {
        Ok(parameters) => parameters,
        Err(message) => return refusal(StatusCode::BAD_REQUEST, media_type, &message),
    };
    let request = match parameters.into_request() {
        Ok(request) => request,
        Err(NoDocument::Persisted) => return media_type.answer(&persisted_query()),
        Err(NoDocument::Missing) => {
            let message = format!("the parameter query is missing: it holds the GraphQL document{hint}");
            return refusal(StatusCode::BAD_REQUEST, media_type, &message);
        }
    };
    let operation = match endpoint.executor.prepare(request, &caller.0) {
        Ok(operation) => operation,
        Err(errors) => return media_type.answer(&Response::from_errors(errors)),
    };
    if !is_query(&operation) {
        let message = "GET runs queries only: send this operation by POST";
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, media_type, message);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    media_type.answer(&endpoint.executor.execute(operation, caller.0).await)
}

/// Returns whether the operation to run is a query. An unknown operation counts as one: executing it reports the error.
fn is_query(operation: &PreparedOperation) -> bool {
    let name = operation.name();
    let mut operations = operation.document.parsed.operations.iter();
    operations.all(|(found, operation)| {
        let would_run = name.is_none() || found.map(async_graphql::Name::as_str) == name;
        !would_run || operation.node.ty == OperationType::Query
    })
}

impl MediaType {
    /// `None` if the client accepts neither.
    fn accepted(headers: &HeaderMap) -> Option<Self> {
        let mut accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok()).peekable();
        if accept.peek().is_none() {
            return Some(Self::Json);
        }
        let ranges = accept.flat_map(|value| value.split(',')).map(|range| {
            let mut parts = range.split(';').map(str::trim);
            let name = parts.next().unwrap_or_default().to_ascii_lowercase();
            let quality =
                parts.find_map(|part| part.strip_prefix("q=")).map_or(Some(1.0), |q| q.parse::<f32>().ok());
            (name, quality.unwrap_or(0.0))
        });
        let wanted =
            ranges.filter(|(_, quality)| *quality > 0.0).filter_map(|(name, quality)| match name.as_str() {
                "application/graphql-response+json" => Some((Self::GraphqlResponse, quality)),
                "application/json" | "application/*" | "*/*" => Some((Self::Json, quality)),
                _ => None,
            });
        // Of equal qualities, the first one.
        wanted
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(media_type, _)| media_type)
    }

    fn answer(self, response: &Response) -> HttpResponse {
        if is_refusal(response) {
            let forbidden = response.errors.iter().any(is_forbidden);
            let status = match self {
                _ if forbidden => StatusCode::FORBIDDEN,
                Self::GraphqlResponse => StatusCode::BAD_REQUEST,
                Self::Json => StatusCode::OK,
            };
            return self.body(status, &serde_json::json!({ "errors": response.errors }));
        }
        self.body(StatusCode::OK, response)
    }

    fn refuse(self, status: StatusCode, error: ServerError) -> HttpResponse {
        let mut errors = vec![error];
        finish_errors(&mut errors);
        self.body(status, &serde_json::json!({ "errors": errors }))
    }

    fn refuse_caller(self, refusal: &Denied) -> HttpResponse {
        let mut response =
            self.body(status_of(refusal), &serde_json::json!({ "errors": refused(refusal).errors }));
        let headers = response.headers_mut();
        if status_of(refusal) == StatusCode::UNAUTHORIZED {
            // Basic is accepted but not offered: a browser would ask the user of a page for a password.
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(seconds) = refusal.retry_after_s() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        response
    }

    fn body(self, status: StatusCode, body: &impl serde::Serialize) -> HttpResponse {
        let content_type = match self {
            Self::GraphqlResponse => "application/graphql-response+json; charset=utf-8",
            Self::Json => "application/json; charset=utf-8",
        };
        match serde_json::to_vec(body) {
            Ok(body) => (status, [(CONTENT_TYPE, content_type)], body).into_response(),
            Err(error) => {
                tracing::error!(%error, "a response could not be written as JSON");
                StatusCode::INTERNAL_SERVER_ERROR.into_response()
            }
        }
    }
}

fn is_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let name = content_type.split(';').next().unwrap_or_default().trim();
    name.eq_ignore_ascii_case("application/json")
}

fn refusal(status: StatusCode, media_type: MediaType, message: &str) -> HttpResponse {
    media_type.refuse(status, ServerError::new(message, None))
}

/// Returns the answer to a body that was not read.
fn refuse_body(error: &BodyError, media_type: MediaType) -> HttpResponse {
    let mut refused = ServerError::new(error.to_string(), None);
    let is_exhausted = matches!(error, BodyError::Exhausted(_));
    if is_exhausted {
        refused.extensions.get_or_insert_default().set("code", Denied::Unavailable.code());
    }
    let mut response = media_type.refuse(error.status(), refused);
    if is_exhausted {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn not_acceptable(hint: &str) -> HttpResponse {
    let message =
        format!("unsupported Accept: allow application/graphql-response+json or application/json{hint}");
    refusal(StatusCode::NOT_ACCEPTABLE, MediaType::Json, &message)
}

fn persisted_query() -> Response {
    Response::from_errors(vec![no_persisted_queries()])
}
