//! GraphQL over HTTP, as its specification requires.
//!
//! The handler reads the raw body. It accepts only JSON, so that a page of another origin cannot send a mutation
//! without a CORS preflight. GET runs queries only. `Accept` selects `application/graphql-response+json`, in which a
//! request that cannot be executed is a 400, or `application/json`, in which it is a 200.

use std::sync::Arc;

use async_graphql::parser::types::OperationType;
use async_graphql::{Request, Response, ServerError, Value, Variables};
use axum::body::Body;
use axum::extract::{FromRequestParts, RawQuery, State};
use axum::http::header::{ACCEPT, ACCEPT_ENCODING, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response as HttpResponse};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::body::{self, Extent, Unread};
use super::error::{finish_errors, is_forbidden, no_persisted_queries, refused};
use super::executor::{Executor, Operation};
use super::limits::{self, Measure};
use super::socket::Socket;
use super::sockets::Sockets;
use crate::auth::{Access, Refusal};
use crate::budget::Budgets;
use crate::limits::Limits;
use crate::unpack::{self, Coding};

/// State of the route `/graphql`.
pub(super) struct Endpoint {
    pub(super) executor: Executor,
    pub(super) sockets: Sockets,
    pub(super) budgets: Budgets,
}

impl Endpoint {
    pub(super) fn new(executor: Executor, budgets: Budgets) -> Self {
        let sockets = Sockets::new(*executor.limits());
        Self { executor, sockets, budgets }
    }

    /// Returns a hint for users who open this route in a browser.
    fn hint(&self, headers: &HeaderMap) -> &'static str {
        let mut accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let wants_page = accept.any(|value| value.contains("text/html"));
        if wants_page && self.executor.app().door.settings().graphiql.is_on() {
            " (to explore the schema in a browser, open /graphiql)"
        } else {
            ""
        }
    }
}

/// The two media types of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MediaType {
    GraphqlResponse,
    Json,
}

/// The client's access. Clients without access are refused before anything is read.
pub(super) struct Caller(Access);

impl FromRequestParts<Arc<Endpoint>> for Caller {
    type Rejection = HttpResponse;

    async fn from_request_parts(parts: &mut Parts, endpoint: &Arc<Endpoint>) -> Result<Self, HttpResponse> {
        Access::of(parts, endpoint.executor.app()).await.map(Self).map_err(|refusal| {
            let media_type = MediaType::accepted(&parts.headers).unwrap_or(MediaType::Json);
            media_type.refuse_caller(&refusal)
        })
    }
}

/// The parameters of a request: from a JSON body, a query string, or a WebSocket.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Parameters {
    query: Option<String>,
    operation_name: Option<String>,
    variables: Option<Variables>,
    extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

/// Reason why a request has no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NoDocument {
    /// It names one by its hash, as clients with automatic persisted queries do first. Once they learn that this is not
    /// supported, they send documents.
    Persisted,
    /// The member `query` is missing.
    Missing,
}

/// `POST /graphql` with a JSON body.
pub(super) async fn post(
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
    let body = match body::read(body, coding, executor.limits(), budget, &mut held).await {
        Ok(body) => body,
        Err(unread) => return refuse_body(&unread, media_type),
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

/// Returns the answer to a body that is not a GraphQL request.
fn not_a_request(media_type: MediaType, cause: &str) -> HttpResponse {
    let message = format!(
        "the body is not a GraphQL request, {{\"query\": \"…\", \"variables\": {{…}}, \"operationName\": \"…\"}}: {cause}"
    );
    refusal(StatusCode::BAD_REQUEST, media_type, &message)
}

/// Refuses a body with too many values, or with a list that is too long.
fn check_extent(body: &[u8], limits: &Limits) -> Result<(), limits::Refusal> {
    let Extent { values, longest } = Extent::of(body, limits.json_values);
    Measure::Values.check(values, limits.json_values)?;
    // Events are the longest list that is accepted.
    Measure::List.check(longest, limits.ingest_events)
}

/// `GET /graphql?query=…` for queries, or the upgrade to a WebSocket.
pub(super) async fn get(
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
fn is_query(operation: &Operation) -> bool {
    let name = operation.name();
    let mut operations = operation.document.parsed.operations.iter();
    operations.all(|(found, operation)| {
        let would_run = name.is_none() || found.map(async_graphql::Name::as_str) == name;
        !would_run || operation.node.ty == OperationType::Query
    })
}

impl Parameters {
    fn from_query_string(query: &str) -> Result<Self, String> {
        let (mut document, mut operation_name, mut variables, mut extensions) = (None, None, None, None);
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "query" => document = Some(value.into_owned()),
                "operationName" => operation_name = Some(value.into_owned()).filter(|name| !name.is_empty()),
                "variables" => variables = object(&name, &value)?,
                "extensions" => extensions = object(&name, &value)?,
                _ => {}
            }
        }
        Ok(Self { query: document, operation_name, variables, extensions })
    }

    /// Returns the request, if it has a document.
    pub(super) fn into_request(self) -> Result<Request, NoDocument> {
        let Some(query) = self.query else {
            let is_persisted = self.extensions.is_some_and(|given| given.contains_key("persistedQuery"));
            return Err(if is_persisted { NoDocument::Persisted } else { NoDocument::Missing });
        };
        let mut variables = self.variables.unwrap_or_default();
        variables.values_mut().for_each(without_zero_fractions);
        let request = Request::new(query).variables(variables);
        Ok(match self.operation_name {
            Some(name) => request.operation_name(name),
            None => request,
        })
    }
}

/// Converts whole floats to integers: clients that store all numbers as floats write `1.0` for `1`. GraphQL accepts an
/// integer for a float.
fn without_zero_fractions(value: &mut Value) {
    match value {
        Value::Number(number) => {
            if number.is_f64()
                && let Ok(whole) = number.to_string().trim_end_matches(".0").parse::<i64>()
            {
                *number = whole.into();
            }
        }
        Value::List(values) => values.iter_mut().for_each(without_zero_fractions),
        Value::Object(values) => values.values_mut().for_each(without_zero_fractions),
        _ => {}
    }
}

/// Parses the JSON object in a parameter of a query string.
fn object<T: DeserializeOwned>(name: &str, value: &str) -> Result<T, String> {
    serde_json::from_str(value).map_err(|error| format!("{name}: invalid JSON object: {error}"))
}

impl MediaType {
    /// Returns the media type to answer in; `None` if the client accepts neither.
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

    /// Returns the answer to a request that is not executed.
    fn refuse(self, status: StatusCode, error: ServerError) -> HttpResponse {
        let mut errors = vec![error];
        finish_errors(&mut errors);
        self.body(status, &serde_json::json!({ "errors": errors }))
    }

    /// Returns the answer to a client that is refused.
    fn refuse_caller(self, refusal: &Refusal) -> HttpResponse {
        let mut response =
            self.body(refusal.status(), &serde_json::json!({ "errors": refused(refusal).errors }));
        let headers = response.headers_mut();
        if refusal.status() == StatusCode::UNAUTHORIZED {
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

/// Returns whether a response says that a request was not executed. Errors without a path concern the whole request,
/// and then there is no data.
pub(super) fn is_refusal(response: &Response) -> bool {
    response.data == Value::Null
        && !response.errors.is_empty()
        && response.errors.iter().all(|error| error.path.is_empty())
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
fn refuse_body(unread: &Unread, media_type: MediaType) -> HttpResponse {
    let mut error = ServerError::new(unread.to_string(), None);
    if let Unread::Exhausted(_) = unread {
        error.extensions.get_or_insert_default().set("code", Refusal::Unavailable.code());
    }
    let mut response = media_type.refuse(unread.status(), error);
    if let Unread::Exhausted(_) = unread {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

fn not_acceptable(hint: &str) -> HttpResponse {
    let message =
        format!("unsupported Accept: allow application/graphql-response+json or application/json{hint}");
    refusal(StatusCode::NOT_ACCEPTABLE, MediaType::Json, &message)
}

/// Returns the answer to a request for a persisted query.
fn persisted_query() -> Response {
    Response::from_errors(vec![no_persisted_queries()])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn any_query_string_is_read_or_refused(
            text in "\\PC*|((query|variables|extensions|operationName)=[{}\":0-9a-z%,\\[\\]&+]{0,20}&?){0,4}"
        ) {
            if let Err(message) = Parameters::from_query_string(&text) {
                prop_assert!(["variables", "extensions"].iter().any(|name| message.starts_with(name)));
            }
        }
    }
}
