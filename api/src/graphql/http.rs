//! GraphQL over HTTP, to the letter of its specification.
//!
//! A handler of its own on the raw body: JSON only, so that no page of another origin can send a
//! mutation without the browser asking first; queries only by GET; and `Accept` decides between
//! `application/graphql-response+json`, in which a request that cannot be executed is a 400, and
//! `application/json`, in which it is a 200.

use async_graphql::parser::types::{ExecutableDocument, OperationType};
use async_graphql::{Request, Response, ServerError, Value, Variables};
use axum::body::Bytes;
use axum::extract::{FromRequestParts, RawQuery, State};
use axum::http::header::{ACCEPT, ALLOW, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response as HttpResponse};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use super::error::{is_forbidden, refused, with_codes};
use super::executor::Executor;
use super::socket::Socket;
use crate::auth::{Access, Refusal};

/// The two media types of an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
enum MediaType {
    GraphqlResponse,
    Json,
}

/// Whoever asks. Who may not is refused before anything is read.
pub(super) struct Caller(Access);

impl FromRequestParts<Executor> for Caller {
    type Rejection = HttpResponse;

    async fn from_request_parts(parts: &mut Parts, executor: &Executor) -> Result<Self, HttpResponse> {
        Access::of(parts, executor.app()).await.map(Self).map_err(|refusal| {
            let media_type = MediaType::accepted(&parts.headers).unwrap_or(MediaType::Json);
            media_type.refuse(&refusal)
        })
    }
}

/// What a client sends, in a JSON body or in a query string.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    query: String,
    operation_name: Option<String>,
    variables: Option<Variables>,
    #[serde(rename = "extensions")]
    _extensions: Option<serde_json::Map<String, serde_json::Value>>,
}

/// `POST /graphql` with a JSON body.
pub(super) async fn post(
    State(executor): State<Executor>,
    caller: Caller,
    headers: HeaderMap,
    body: Bytes,
) -> HttpResponse {
    let Some(media_type) = MediaType::accepted(&headers) else { return not_acceptable() };
    if !is_json(&headers) {
        let message = "a POST carries JSON: send it with the header content-type: application/json";
        return refusal(StatusCode::UNSUPPORTED_MEDIA_TYPE, media_type, message);
    }
    match serde_json::from_slice::<Parameters>(&body) {
        Ok(parameters) => {
            let response = executor.answer(parameters.into_request(), caller.0).await;
            media_type.answer(&response)
        }
        Err(error) => {
            let message = format!(
                "the body is not a GraphQL request, {{\"query\": \"…\", \"variables\": {{…}}, \"operationName\": \"…\"}}: {error}"
            );
            refusal(StatusCode::BAD_REQUEST, media_type, &message)
        }
    }
}

/// `GET /graphql?query=…`, for queries; as the start of a WebSocket, for subscriptions.
pub(super) async fn get(
    State(executor): State<Executor>,
    headers: HeaderMap,
    RawQuery(query): RawQuery,
    caller: Result<Caller, HttpResponse>,
    socket: Option<Socket>,
) -> HttpResponse {
    if let Some(socket) = socket {
        return socket.serve(executor);
    }
    let caller = match caller {
        Ok(caller) => caller,
        Err(refused) => return refused,
    };
    let Some(media_type) = MediaType::accepted(&headers) else { return not_acceptable() };
    let parameters = match Parameters::from_query_string(query.as_deref().unwrap_or_default()) {
        Ok(parameters) => parameters,
        Err(message) => return refusal(StatusCode::BAD_REQUEST, media_type, &message),
    };
    let mut request = parameters.into_request();
    let name = request.operation_name.clone();
    let only_queries = request.parsed_query().is_ok_and(|document| !is_query(document, name.as_deref()));
    if only_queries {
        let message = "GET runs queries only: send this operation by POST";
        let mut response = refusal(StatusCode::METHOD_NOT_ALLOWED, media_type, message);
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("POST"));
        return response;
    }
    media_type.answer(&executor.answer(request, caller.0).await)
}

/// Whether the operation that would run is a query. One that cannot be found is: executing says so.
fn is_query(document: &ExecutableDocument, name: Option<&str>) -> bool {
    let mut operations = document.operations.iter();
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
        let query = document.ok_or("the parameter query is missing: it holds the GraphQL document")?;
        Ok(Self { query, operation_name, variables, _extensions: extensions })
    }

    fn into_request(self) -> Request {
        let request = Request::new(self.query).variables(self.variables.unwrap_or_default());
        match self.operation_name {
            Some(name) => request.operation_name(name),
            None => request,
        }
    }
}

/// The JSON object that a parameter of a query string holds.
fn object<T: DeserializeOwned>(name: &str, value: &str) -> Result<T, String> {
    serde_json::from_str(value).map_err(|error| format!("{name}: {error}, where a JSON object is accepted"))
}

impl MediaType {
    /// The media type to answer in; `None` where the client accepts neither.
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
        // Of equals the one that was named first.
        wanted
            .reduce(|best, next| if next.1 > best.1 { next } else { best })
            .map(|(media_type, _)| media_type)
    }

    fn answer(self, response: &Response) -> HttpResponse {
        // Errors without a path concern the request: nothing was executed, and there is no data to speak of.
        let refused = response.data == Value::Null
            && !response.errors.is_empty()
            && response.errors.iter().all(|error| error.path.is_empty());
        if refused {
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

    /// The answer to whoever may not, or not now.
    fn refuse(self, refusal: &Refusal) -> HttpResponse {
        let mut response =
            self.body(refusal.status(), &serde_json::json!({ "errors": refused(refusal).errors }));
        let headers = response.headers_mut();
        if refusal.status() == StatusCode::UNAUTHORIZED {
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
    let mut errors = [ServerError::new(message, None)];
    with_codes(&mut errors);
    media_type.body(status, &serde_json::json!({ "errors": errors }))
}

fn not_acceptable() -> HttpResponse {
    let message =
        "the answer comes as application/graphql-response+json or application/json; Accept names neither";
    refusal(StatusCode::NOT_ACCEPTABLE, MediaType::Json, message)
}
