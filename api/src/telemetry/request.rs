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
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Response};
use pin_project_lite::pin_project;
use tokio::task::futures::TaskLocalFuture;
use tracing::{Level, Span};

use super::metrics::{self, OperationKind};
use super::request_id::{HEADER, RequestId};
use super::{REQUESTS, traces};
use crate::routes::Route;

/// Maximum number of characters of an operation's name in logs and traces.
const NAME_CHARACTERS_MAX: usize = 64;

tokio::task_local! {
    static CURRENT: Current;
}

/// The request that is being answered.
struct Current {
    id: RequestId,
    operation: RefCell<Option<Operation>>,
}

/// A GraphQL operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Its kind.
    pub kind: OperationKind,
    /// Its name in the document, cut short if it is long.
    pub name: Option<String>,
}

impl Operation {
    /// Returns an operation of this kind, with its name if it has one.
    pub fn new(kind: OperationKind, name: Option<&str>) -> Self {
        Self { kind, name: name.map(|name| name.chars().take(NAME_CHARACTERS_MAX).collect()) }
    }

    /// Records that it was executed, with or without errors.
    pub fn executed(self, has_errors: bool, took: Duration) {
        metrics::executed(self.kind, has_errors, took);
        CURRENT.try_with(|current| current.operation.replace(Some(self))).ok();
    }
}

/// Returns the id of the request that is being answered, if any.
pub fn request_id() -> Option<String> {
    CURRENT.try_with(|current| current.id.to_string()).ok()
}

/// Returns the request that is being answered, for work that continues after it, such as an open WebSocket.
pub fn this_request() -> ThisRequest {
    ThisRequest(CURRENT.try_with(|current| current.id.clone()).ok())
}

/// A request, by its id.
pub struct ThisRequest(Option<RequestId>);

impl ThisRequest {
    /// Runs work that continues after the request under its id.
    pub async fn goes_on<T>(self, work: impl Future<Output = T>) -> T {
        match self.0 {
            Some(id) => CURRENT.scope(Current { id, operation: RefCell::default() }, work).await,
            None => work.await,
        }
    }
}

/// Passes a request of this route to `answer`, and observes it until it is answered.
pub(crate) fn observe<F: Future>(
    route: Route,
    request: Request,
    answer: impl FnOnce(Request) -> F,
) -> Answering<F> {
    let begun = Instant::now();
    let id = RequestId::of(request.headers());
    let method = name(request.method());
    let span = traces::request(request.headers(), method, route.pattern(), id.as_str());
    let current = Current { id, operation: RefCell::default() };
    let answering = CURRENT.scope(current, answer(request));
    Answering { answering, span, line: Some(Line { method, route, begun }) }
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
        traces::answered(this.span, response.status());
        if let Some(line) = this.line.take() {
            line.end(Some(response.status()), current);
        }
        Poll::Ready(Ok(response))
    }
}

/// Contents of a request's line in the log and of its metrics.
struct Line {
    method: &'static str,
    route: Route,
    begun: Instant,
}

impl Line {
    /// Records the end of the request. `status` is `None` if the client disconnected before the answer.
    fn end(self, status: Option<StatusCode>, current: Option<Current>) {
        let took = self.begun.elapsed();
        metrics::answered(self.route, status, took);
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
            route = self.route.pattern(),
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

    fn request() -> Request {
        Request::get("/").header(HEADER, "mine").body(Body::empty()).unwrap()
    }

    async fn text(answer: Response) -> String {
        String::from_utf8(to_bytes(answer.into_body(), usize::MAX).await.unwrap().into()).unwrap()
    }

    #[tokio::test]
    async fn a_request_that_panics_is_answered() {
        let answer = observe(Route::FloorPlan, request(), |_| async { panic!("on purpose") }).await.unwrap();
        assert_eq!(
            (answer.status(), &answer.headers()[HEADER]),
            (StatusCode::INTERNAL_SERVER_ERROR, &"mine".parse().unwrap())
        );
        let body = text(answer).await;
        assert!(body.starts_with("{\"detail\":") && !body.contains("on purpose"), "{body}");
        assert_eq!(metrics::answers(Route::FloorPlan, "5xx"), 1);
    }

    #[tokio::test]
    async fn the_handler_and_work_after_it_know_the_request_id() {
        let answer = |_| async {
            let later = tokio::spawn(this_request().goes_on(async { request_id() }));
            Ok(format!("{:?} {:?}", request_id(), later.await.unwrap()).into_response())
        };
        let answer = observe(Route::Dashboard, request(), answer).await.unwrap();
        assert_eq!(text(answer).await, "Some(\"mine\") Some(\"mine\")");
        assert_eq!(request_id(), None);
    }

    #[test]
    fn a_client_that_goes_away_is_counted() {
        let answering = observe(Route::Space, request(), |_| pending::<Result<Response, Infallible>>());
        assert!(answering.now_or_never().is_none());
        assert_eq!(metrics::answers(Route::Space, "aborted"), 1);
    }
}
