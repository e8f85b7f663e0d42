//! What every request gets: an id, a span, its metrics, a line in the log, and an answer even if it panics. One wrapper
//! does all of it, without boxing anything or reading a body.

use std::any::Any;
use std::cell::RefCell;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::Request;
use axum::http::{HeaderMap, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use opentelemetry::propagation::TextMapPropagator;
use opentelemetry::trace::TraceContextExt;
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
use tracing::{Level, Span};
use tracing_opentelemetry::OpenTelemetrySpanExt;

use super::request_id::{HEADER, RequestId};
use super::route::Route;
use crate::telemetry::metrics::{self, OperationKind, Requests};
use crate::telemetry::{REQUESTS, SPANS};

/// Maximum number of characters of an operation's name in logs and traces.
const NAME_CHARACTERS_MAX: usize = 64;

/// Returns the requests by each route, by its path.
pub(crate) fn by_route() -> impl Iterator<Item = (&'static str, &'static Requests)> {
    Route::served().into_iter().map(|route| (route.path, &route.requests))
}

tokio::task_local! {
    static CURRENT: Current;
}

struct Current {
    id: RequestId,
    operation: RefCell<Option<Operation>>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    pub kind: OperationKind,
    /// Its name in the document, cut short if it is long.
    pub name: Option<String>,
}

impl Operation {
    pub(crate) fn new(kind: OperationKind, name: Option<&str>) -> Self {
        Self { kind, name: name.map(|name| name.chars().take(NAME_CHARACTERS_MAX).collect()) }
    }

    pub(crate) fn executed(self, has_errors: bool, took: Duration) {
        metrics::executed(self.kind, has_errors, took);
        CURRENT.try_with(|current| current.operation.replace(Some(self))).ok();
    }

    pub(crate) fn span(&self) -> Span {
        tracing::info_span!(
            target: SPANS,
            "operation",
            otel.name = self.kind.name(),
            graphql.operation.type = self.kind.name(),
            graphql.operation.name = self.name,
        )
    }
}

pub(crate) fn request_id() -> Option<String> {
    CURRENT.try_with(|current| current.id.to_string()).ok()
}

/// Returns the request that is being answered, for work that continues after it, such as an open WebSocket.
pub(crate) fn this_request() -> ThisRequest {
    ThisRequest(CURRENT.try_with(|current| current.id.clone()).ok())
}

pub(crate) struct ThisRequest(Option<RequestId>);

impl ThisRequest {
    /// Runs work that continues after the request under its id.
    pub(crate) async fn goes_on<T>(self, work: impl Future<Output = T>) -> T {
        match self.0 {
            Some(id) => CURRENT.scope(Current { id, operation: RefCell::default() }, work).await,
            None => work.await,
        }
    }
}

/// Passes a request of this route to `answer`, and observes it until it is answered.
pub(crate) fn observe<F: Future>(
    route: &'static Route,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Answering<F> {
    let begun = Instant::now();
    let id = RequestId::of(request.headers());
    let method = name(request.method());
    let span = span_of(request.headers(), method, route.path, id.as_str());
    let current = Current { id, operation: RefCell::default() };
    let answering = CURRENT.scope(current, answer(request));
    Answering { answering, span, line: Some(Line { method, route, begun }) }
}

/// Returns the span of a request, a child of the one in the client's `traceparent`.
fn span_of(headers: &HeaderMap, method: &str, route: &str, id: &str) -> Span {
    let span = tracing::info_span!(
        target: SPANS,
        "request",
        otel.name = format!("{method} {route}"),
        otel.kind = "server",
        otel.status_code = tracing::field::Empty,
        http.request.method = method,
        http.route = route,
        http.response.status_code = tracing::field::Empty,
        request_id = id,
    );
    if !span.is_disabled() {
        let parent = TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        if parent.has_active_span() {
            // It fails only if the span has begun or is disabled, and neither is the case.
            span.set_parent(parent).ok();
        }
    }
    span
}

fn note_status(span: &Span, status: StatusCode) {
    if !span.is_disabled() {
        span.record("http.response.status_code", status.as_u16());
        if status.is_server_error() {
            span.record("otel.status_code", "ERROR");
        }
    }
}

pin_project! {
    pub struct Answering<F> {
        #[pin]
        answering: TaskLocalFuture<Current, F>,
        span: Span,
        line: Option<Line>,
    }

    impl<F> PinnedDrop for Answering<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // The client no longer waits for the answer.
            if let Some(line) = this.line.take() {
                line.end(None, this.answering.take_value());
            }
        }
    }
}

impl<F> Future for Answering<F>
where
    F: Future<Output = Result<Response, Infallible>>,
{
    type Output = Result<Response, Infallible>;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let mut this = self.project();
        let entered = this.span.enter();
        let polled = catch_unwind(AssertUnwindSafe(|| this.answering.as_mut().poll(context)));
        drop(entered);
        let answered = match polled {
            Ok(polled) => Ok(ready!(polled)),
            Err(panic) => Err(panic),
        };
        let current = this.answering.take_value();
        let mut response = match answered {
            Ok(Ok(response)) => response,
            Err(panic) => panicked(&*panic, current.as_ref().map(|current| &current.id)),
        };
        if let Some(id) = current.as_ref().and_then(|current| current.id.header()) {
            response.headers_mut().insert(HEADER, id);
        }
        note_status(this.span, response.status());
        if let Some(line) = this.line.take() {
            line.end(Some(response.status()), current);
        }
        Poll::Ready(Ok(response))
    }
}

/// Contents of a request's line in the log and of its metrics.
struct Line {
    method: &'static str,
    route: &'static Route,
    begun: Instant,
}

impl Line {
    /// `status` is `None` if the client disconnected before the answer.
    fn end(self, status: Option<StatusCode>, current: Option<Current>) {
        let took = self.begun.elapsed();
        self.route.requests.ended(status.map(|status| status.as_u16()), took);
        if tracing::event_enabled!(target: REQUESTS, Level::INFO) {
            self.write(status, took, current);
        }
    }

    // A separate function, so that the hot path stays small if requests are not logged.
    #[cold]
    fn write(self, status: Option<StatusCode>, took: Duration, current: Option<Current>) {
        let (id, operation) = current.map(|current| (current.id, current.operation.into_inner())).unzip();
        let operation = operation.flatten();
        let duration_ms = took.as_secs_f64() * 1_000.0;
        tracing::info!(
            target: REQUESTS,
            method = self.method,
            route = self.route.path,
            status = status.map(|status| status.as_u16()),
            aborted = status.is_none().then_some(true),
            duration_ms = (duration_ms * 1_000.0).round() / 1_000.0,
            request_id = id.as_ref().map(RequestId::as_str),
            operation = operation.as_ref().map(|operation| operation.kind.name()),
            operation_name = operation.as_ref().and_then(|operation| operation.name.as_deref()),
        );
    }
}

/// Returns the name of a standard method, or `OTHER`: names that clients have made up are not repeated.
fn name(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::HEAD => "HEAD",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::DELETE => "DELETE",
        Method::OPTIONS => "OPTIONS",
        Method::PATCH => "PATCH",
        Method::CONNECT => "CONNECT",
        Method::TRACE => "TRACE",
        _ => "OTHER",
    }
}

/// Logs a panic, and returns the answer to its request.
fn panicked(panic: &(dyn Any + Send), id: Option<&RequestId>) -> Response {
    let said = panic.downcast_ref::<&str>().copied();
    let said = said.or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    tracing::error!(panic = said, request_id = id.map(RequestId::as_str), "a request panicked");
    let detail =
        serde_json::json!({ "detail": "Something went wrong inside the server; its log says what." });
    (StatusCode::INTERNAL_SERVER_ERROR, axum::Json(detail)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::body::{Body, to_bytes};
    use futures::FutureExt;
    use futures::future::pending;

    use super::*;
    use crate::auth::Need;
    use crate::http::route::Answers;

    fn request() -> Request {
        Request::get("/").header(HEADER, "mine").body(Body::empty()).unwrap()
    }

    static ROUTE: Route = Route::new("/", Need::Nothing, Answers::Short);

    async fn text(answer: Response) -> String {
        String::from_utf8(to_bytes(answer.into_body(), usize::MAX).await.unwrap().into()).unwrap()
    }

    #[tokio::test]
    async fn a_request_that_panics_is_answered() {
        let answer = observe(&ROUTE, request(), |_| async { panic!("on purpose") }).await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()[HEADER]),
            (StatusCode::INTERNAL_SERVER_ERROR, &"mine".parse().unwrap())
        );
        let body = text(answer).await;
        assert!(body.starts_with("{\"detail\":") && !body.contains("on purpose"), "{body}");
        assert_eq!(ROUTE.requests.ended_as("5xx"), 1);
    }

    #[tokio::test]
    async fn the_handler_and_work_after_it_know_the_request_id() {
        let answer = |_| async {
            let later = tokio::spawn(this_request().goes_on(async { request_id() }));
            Ok(format!("{:?} {:?}", request_id(), later.await.unwrap()).into_response())
        };
        let answer = observe(&ROUTE, request(), answer).await.unwrap();
        assert_eq!(text(answer).await, "Some(\"mine\") Some(\"mine\")");
        assert_eq!(request_id(), None);
    }

    #[test]
    fn a_client_that_goes_away_is_counted() {
        let answering = observe(&ROUTE, request(), |_| pending::<Result<Response, Infallible>>());
        assert!(answering.now_or_never().is_none());
        assert_eq!(ROUTE.requests.ended_as("aborted"), 1);
    }
}
