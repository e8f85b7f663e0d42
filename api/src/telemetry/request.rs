//! What surrounds every request: its id, its span, its place in the metrics, its line in the log, and an answer even if
//! it panics. One layer for all of it, which boxes nothing and reads no body.

use std::any::Any;
use std::cell::RefCell;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll, ready};
use std::time::{Duration, Instant};

use axum::extract::{MatchedPath, Request};
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
use tower::{Layer, Service};
use tracing::{Level, Span};

use super::metrics::{self, OperationKind, Route};
use super::request_id::{HEADER, RequestId};
use super::{REQUESTS, traces};

/// What is said of a route that there is not.
const UNMATCHED: &str = "unmatched";
/// How many characters of an operation's name are told.
const NAME_CHARACTERS_MAX: usize = 64;

tokio::task_local! {
    static CURRENT: Current;
}

/// What is known of a request while it is answered.
struct Current {
    id: RequestId,
    operation: RefCell<Option<Operation>>,
}

/// A GraphQL operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// What kind it is.
    pub kind: OperationKind,
    /// Its name in the document, cut short where it is long.
    pub name: Option<String>,
}

impl Operation {
    /// An operation of this kind, with its name if it has one.
    pub fn new(kind: OperationKind, name: Option<&str>) -> Self {
        Self { kind, name: name.map(|name| name.chars().take(NAME_CHARACTERS_MAX).collect()) }
    }

    /// It was executed, and had errors or not.
    pub fn executed(self, has_errors: bool, took: Duration) {
        metrics::executed(self.kind, has_errors, took);
        CURRENT.try_with(|current| current.operation.replace(Some(self))).ok();
    }
}

/// The id of the request that is being answered, if one is.
pub fn request_id() -> Option<String> {
    CURRENT.try_with(|current| current.id.to_string()).ok()
}

/// The request that is being answered, for what goes on after it, such as an open WebSocket.
pub fn this_request() -> ThisRequest {
    ThisRequest(CURRENT.try_with(|current| current.id.clone()).ok())
}

/// A request, by its id.
pub struct ThisRequest(Option<RequestId>);

impl ThisRequest {
    /// Runs what goes on of it under its id.
    pub async fn goes_on<T>(self, work: impl Future<Output = T>) -> T {
        match self.0 {
            Some(id) => CURRENT.scope(Current { id, operation: RefCell::default() }, work).await,
            None => work.await,
        }
    }
}

/// Surrounds the routes of a router.
#[derive(Clone, Copy, Debug)]
pub struct Observe;

impl<S> Layer<S> for Observe {
    type Service = Observed<S>;

    fn layer(&self, inner: S) -> Observed<S> {
        Observed { inner, route: Arc::default() }
    }
}

/// A route that is observed.
#[derive(Clone)]
pub struct Observed<S> {
    inner: S,
    /// The route, once a request has come by it: looked up once for all requests that come the same way.
    route: Arc<OnceLock<(Option<MatchedPath>, &'static Route)>>,
}

impl<S> Observed<S> {
    fn route(&self, matched: Option<&MatchedPath>) -> &'static Route {
        let pattern = |path: Option<&MatchedPath>| path.map_or(UNMATCHED, |path| path.as_str()).to_owned();
        let (known, route) = self.route.get_or_init(|| (matched.cloned(), Route::of(&pattern(matched))));
        if known.as_ref().map(MatchedPath::as_str) == matched.map(MatchedPath::as_str) {
            return route;
        }
        Route::of(&pattern(matched))
    }
}

impl<S> Service<Request> for Observed<S>
where
    S: Service<Request, Response = Response, Error = Infallible>,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<S::Future>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let begun = Instant::now();
        let id = RequestId::of(request.headers());
        let route = self.route(request.extensions().get());
        let method = name(request.method());
        let span = traces::request(request.headers(), method, &route.pattern, id.as_str());
        let current = Current { id, operation: RefCell::default() };
        let answering = CURRENT.scope(current, self.inner.call(request));
        Answering { answering, span, line: Some(Line { method, route, begun }) }
    }
}

pin_project! {
    /// A request that is being answered.
    pub struct Answering<F> {
        #[pin]
        answering: TaskLocalFuture<Current, F>,
        span: Span,
        line: Option<Line>,
    }

    impl<F> PinnedDrop for Answering<F> {
        fn drop(this: Pin<&mut Self>) {
            let this = this.project();
            // Nobody waits for the answer any more.
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
        traces::answered(this.span, response.status());
        if let Some(line) = this.line.take() {
            line.end(Some(response.status()), current);
        }
        Poll::Ready(Ok(response))
    }
}

/// What the log and the metrics say of a request.
struct Line {
    method: &'static str,
    route: &'static Route,
    begun: Instant,
}

impl Line {
    /// The request was answered, or the client went away before.
    fn end(self, status: Option<StatusCode>, current: Option<Current>) {
        let took = self.begun.elapsed();
        self.route.answered(status, took);
        if tracing::event_enabled!(target: REQUESTS, Level::INFO) {
            self.write(status, took, current);
        }
    }

    // Apart, so that whoever logs no requests does not carry it along.
    #[cold]
    fn write(self, status: Option<StatusCode>, took: Duration, current: Option<Current>) {
        let (id, operation) = current.map(|current| (current.id, current.operation.into_inner())).unzip();
        let operation = operation.flatten();
        let duration_ms = took.as_secs_f64() * 1_000.0;
        tracing::info!(
            target: REQUESTS,
            method = self.method,
            route = self.route.pattern,
            status = status.map(|status| status.as_u16()),
            aborted = status.is_none().then_some(true),
            duration_ms = (duration_ms * 1_000.0).round() / 1_000.0,
            request_id = id.as_ref().map(RequestId::as_str),
            operation = operation.as_ref().map(|operation| operation.kind.name()),
            operation_name = operation.as_ref().and_then(|operation| operation.name.as_deref()),
        );
    }
}

/// A method's name. One that a client has made up is not repeated.
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

/// The answer of a request that panicked.
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
    use axum::Router;
    use axum::body::{Body, to_bytes};
    use axum::routing::get;
    use futures::FutureExt;
    use tower::ServiceExt;

    use super::*;

    fn request(path: &str) -> Request {
        Request::get(path).header(HEADER, "mine").body(Body::empty()).unwrap()
    }

    #[tokio::test]
    async fn a_request_that_panics_is_answered() {
        let router = Router::new().route("/panics", get(async || -> Response { panic!("on purpose") }));
        let answer = router.layer(Observe).oneshot(request("/panics")).await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()[HEADER]),
            (StatusCode::INTERNAL_SERVER_ERROR, &"mine".parse().unwrap())
        );
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert!(
            body.starts_with(b"{\"detail\":") && !body.windows(10).any(|part| part == b"on purpose"),
            "{body:?}"
        );
        assert_eq!(Route::of("/panics").count("5xx"), 1);
    }

    #[tokio::test]
    async fn who_answers_knows_the_id_and_so_does_what_goes_on_after() {
        let handler = get(async || {
            let later = tokio::spawn(this_request().goes_on(async { request_id() }));
            format!("{:?} {:?}", request_id(), later.await.unwrap())
        });
        let answer = Router::new().route("/", handler).layer(Observe).oneshot(request("/")).await.unwrap();
        let body = to_bytes(answer.into_body(), usize::MAX).await.unwrap();
        assert_eq!(body, "Some(\"mine\") Some(\"mine\")");
        assert_eq!(request_id(), None);
    }

    #[test]
    fn a_client_that_goes_away_is_counted() {
        let router = Router::new().route("/waits/{id}", get(std::future::pending::<()>)).layer(Observe);
        assert!(router.oneshot(request("/waits/7")).now_or_never().is_none());
        assert_eq!(Route::of("/waits/{id}").count("aborted"), 1);
    }
}
