//! Finishes every answer of the interfaces: adds headers for browsers, counts it for the memory budget until the client
//! has read it, and compresses it if it is long and the client accepts an encoding.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use async_compression::tokio::bufread::{GzipEncoder, ZstdEncoder};
use axum::body::{Body, Bytes, HttpBody};
use axum::http::header::{CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, VARY, X_CONTENT_TYPE_OPTIONS};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::Response;
use futures::TryStreamExt;
use hyper::body::{Frame, SizeHint};
use pin_project_lite::pin_project;
use tokio::io::AsyncRead;
use tokio_util::io::{ReaderStream, StreamReader};

use super::budget::{ByteBudget, Exhausted, HeldBytes, UNCOUNTED_BYTES};
use super::encoding::Encoding;
use super::error;
use super::route::{Answers, Route};

const COMPRESSED_BYTES_MIN: u64 = 1_000;
/// Size of a piece of a compressed answer, in bytes.
const PIECE_BYTES: usize = 16 << 10;

pin_project! {
    /// A request whose answer is finished here. `budget` is `None` for pages, which have headers of their own.
    pub struct Finishing<F> {
        #[pin]
        answering: F,
        budget: Option<ByteBudget>,
        compression: Compression,
    }
}

#[derive(Clone, Copy, Debug)]
pub(super) enum Compression {
    Never,
    /// With the encoding that the client prefers, if it accepts one.
    If(Option<Encoding>),
}

impl<F> Finishing<F> {
    pub(super) fn new(answering: F, budget: Option<ByteBudget>, compression: Compression) -> Self {
        Self { answering, budget, compression }
    }
}

impl Compression {
    /// Returns how the answer to a request for this route is compressed.
    pub(super) fn of(route: &Route, headers: &HeaderMap) -> Self {
        if route.answers != Answers::Long {
            return Self::Never;
        }
        Self::If(Encoding::accepted(headers, &Encoding::OF_ANSWERS).first().copied())
    }

    fn apply(self, mut response: Response) -> Response {
        let Self::If(encoding) = self else { return response };
        response.headers_mut().append(VARY, HeaderValue::from_static("accept-encoding"));
        match encoding {
            Some(encoding) if is_long(&response) => compress(encoding, response),
            _ => response,
        }
    }
}

/// Returns whether a response is known to be long enough to compress. An answer to HEAD has the length in its header
/// only.
fn is_long(response: &Response) -> bool {
    let said = response.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    said.or_else(|| response.body().size_hint().exact()).is_some_and(|length| length >= COMPRESSED_BYTES_MIN)
}

/// Returns the response with its body compressed while it is sent, one piece at a time.
fn compress(encoding: Encoding, response: Response) -> Response {
    let (mut head, body) = response.into_parts();
    head.headers.remove(CONTENT_LENGTH);
    head.headers.insert(CONTENT_ENCODING, HeaderValue::from_static(encoding.name()));
    if body.is_end_stream() {
        return Response::from_parts(head, body);
    }
    let plain = StreamReader::new(body.into_data_stream().map_err(io::Error::other));
    let body = match encoding {
        Encoding::Zstd => pieces(ZstdEncoder::new(plain)),
        Encoding::Brotli | Encoding::Gzip => pieces(GzipEncoder::new(plain)),
    };
    Response::from_parts(head, body)
}

fn pieces(encoder: impl AsyncRead + Send + 'static) -> Body {
    Body::from_stream(ReaderStream::with_capacity(encoder, PIECE_BYTES))
}

impl<F: Future<Output = Result<Response, Infallible>>> Future for Finishing<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let response = ready!(this.answering.poll(context))?;
        let Some(budget) = this.budget else { return Poll::Ready(Ok(response)) };
        let response = count(budget, response).unwrap_or_else(|Exhausted| error::exhausted());
        let mut response = this.compression.apply(response);
        // Answers must not be cached: they depend on the time and on the client's token.
        let headers = response.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        Poll::Ready(Ok(response))
    }
}

fn count(budget: &ByteBudget, response: Response) -> Result<Response, Exhausted> {
    let bytes = response.body().size_hint().lower();
    if bytes <= UNCOUNTED_BYTES as u64 {
        return Ok(response);
    }
    let held = Arc::new(budget.hold(usize::try_from(bytes).map_err(|_| Exhausted)?)?);
    Ok(response.map(|body| Body::new(UnreadAnswer { body, held })))
}

/// A body that counts for a budget.
struct UnreadAnswer {
    body: Body,
    held: Arc<HeldBytes>,
}

/// A piece of a body. The connection holds it until it is sent.
struct AnswerPiece {
    bytes: Bytes,
    _held: Arc<HeldBytes>,
}

impl AsRef<[u8]> for AnswerPiece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl HttpBody for UnreadAnswer {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        let frame = ready!(Pin::new(&mut self.body).poll_frame(context));
        let piece = |bytes| Bytes::from_owner(AnswerPiece { bytes, _held: Arc::clone(&self.held) });
        Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(piece))))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
