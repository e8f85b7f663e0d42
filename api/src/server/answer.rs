//! What every answer of an interface has: headers for browsers, and a share of the budget until its client has read it.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::HeaderValue;
use axum::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use axum::response::Response;
use hyper::body::{Frame, SizeHint};
use pin_project_lite::pin_project;

use crate::budget::{Budget, Exhausted, Held, UNCOUNTED_BYTES};
use crate::rest;

pin_project! {
    /// A request whose answer is finished here. Without a budget, it is one for a page, which has headers of its own.
    pub struct Finishing<F> {
        #[pin]
        answering: F,
        budget: Option<Budget>,
    }
}

impl<F> Finishing<F> {
    pub(super) fn new(answering: F, budget: Option<Budget>) -> Self {
        Self { answering, budget }
    }
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Finishing<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answering.poll(context))?;
        let Some(budget) = this.budget else { return Poll::Ready(Ok(response)) };
        let mut response = count(budget, response).unwrap_or_else(|Exhausted| rest::exhausted());
        // A count is of its instant, and somebody's; and it is what it says it is, whatever a browser makes of it.
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Poll::Ready(Ok(response))
    }
}

/// The response, whose body counts for the budget from now on.
fn count(budget: &Budget, response: Response) -> Result<Response, Exhausted> {
    let bytes = response.body().size_hint().lower();
    if bytes <= UNCOUNTED_BYTES as u64 {
        return Ok(response);
    }
    let held = Arc::new(budget.hold(usize::try_from(bytes).map_err(|_| Exhausted)?)?);
    Ok(response.map(|body| Body::new(Unread { body, held })))
}

/// A body that counts for a budget.
struct Unread {
    body: Body,
    held: Arc<Held>,
}

/// A piece of it. The connection has it until it is sent.
struct Piece {
    bytes: Bytes,
    _held: Arc<Held>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for Unread {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let piece = |bytes| Bytes::from_owner(Piece { bytes, _held: Arc::clone(&self.held) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
