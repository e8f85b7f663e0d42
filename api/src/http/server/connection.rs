//! One connection, with its state and its timeouts.
//!
//! hyper has a timeout for the head of a request, but sets a timer for each request, and it has no timeout for a client
//! that does not read its answer. Here a connection records its state, which costs a store or two, and a periodic sweep
//! over all connections checks the timeouts.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::sync::atomic::Ordering::{Acquire, Relaxed, Release};
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU32};
use std::task::{Context, Poll};
use std::time::Instant;

use axum::body::Body;
use axum::extract::ConnectInfo;
use axum::http::Request;
use futures::task::AtomicWaker;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tower::Service as _;

use super::Site;
use crate::limits::{Limits, seconds};

/// States of a connection. A new one waits for the head of its first request, with the same timeout as for a started
/// one.
const HEAD: u8 = 0;
const IDLE: u8 = 1;
const ANSWERING: u8 = 2;

/// Commands to a connection: end after the current request, or immediately.
const FINISH: u8 = 1;
const CUT: u8 = 2;

/// State of a connection, and the command to it.
///
/// Only the connection's own task writes the state, so relaxed loads and stores suffice.
#[derive(Debug, Default)]
pub(super) struct Pulse {
    at: AtomicU8,
    /// Whether an answer is waiting for the client to read.
    blocked: AtomicBool,
    /// Incremented whenever one of these changes.
    moves: AtomicU32,
    told: AtomicU8,
    waker: AtomicWaker,
}

/// Snapshot of a connection's state: its number of changes, and since when it has been the same.
#[derive(Debug)]
pub(super) struct Look {
    moves: u32,
    since: Instant,
}

impl Look {
    pub(super) fn new(now: Instant) -> Self {
        Self { moves: 0, since: now }
    }
}

impl Pulse {
    fn is_at(&self, at: u8) -> bool {
        self.at.load(Relaxed) == at
    }

    fn enter(&self, at: u8) {
        if !self.is_at(at) {
            self.at.store(at, Relaxed);
            self.moved();
        }
    }

    fn block(&self, blocked: bool) {
        if self.blocked.load(Relaxed) != blocked {
            self.blocked.store(blocked, Relaxed);
            self.moved();
        }
    }

    fn moved(&self) {
        self.moves.store(self.moves.load(Relaxed).wrapping_add(1), Relaxed);
    }

    pub(super) fn is_late(&self, look: &mut Look, now: Instant, limits: &Limits) -> bool {
        let moves = self.moves.load(Relaxed);
        if moves != look.moves {
            *look = Look { moves, since: now };
        }
        let longest_s = match self.at.load(Relaxed) {
            _ if self.blocked.load(Relaxed) => limits.write_timeout_s,
            IDLE => limits.idle_timeout_s,
            HEAD => limits.header_timeout_s,
            // Handlers have limits of their own.
            _ => return false,
        };
        now.saturating_duration_since(look.since) >= seconds(longest_s)
    }

    /// Tells the connection to end after the current request.
    pub(super) fn finish(&self) {
        self.tell(FINISH);
    }

    /// Tells the connection to end immediately.
    pub(super) fn cut(&self) {
        self.tell(CUT);
    }

    fn tell(&self, what: u8) {
        self.told.store(what, Release);
        self.waker.wake();
    }
}

/// Serves a connection until it ends. Passes the peer's address to requests, if it is given.
pub(super) async fn serve(
    http: &http1::Builder,
    stream: TcpStream,
    peer: Option<SocketAddr>,
    site: Site,
    pulse: Arc<Pulse>,
) {
    let answering = Arc::clone(&pulse);
    let service = service_fn(move |mut request: Request<Incoming>| {
        if let Some(peer) = peer {
            request.extensions_mut().insert(ConnectInfo(peer));
        }
        answering.enter(ANSWERING);
        let (answer, pulse) = (site.clone().call(request.map(Body::new)), Arc::clone(&answering));
        async move {
            let answer = answer.await;
            pulse.enter(IDLE);
            answer
        }
    });
    let stream = WatchedStream { stream, pulse: Arc::clone(&pulse) };
    let mut connection = pin!(http.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let mut heard = None;
    poll_fn(|context| {
        let mut told = pulse.told.load(Acquire);
        if heard != Some(told) {
            // Waking consumes the waker. A command that was sent meanwhile is seen after registering it again.
            pulse.waker.register(context.waker());
            told = pulse.told.load(Acquire);
            heard = Some(told);
            match told {
                // A request with an incomplete head has not been accepted.
                FINISH if pulse.is_at(HEAD) => return Poll::Ready(()),
                FINISH => connection.as_mut().graceful_shutdown(),
                CUT => return Poll::Ready(()),
                _ => {}
            }
        }
        connection.as_mut().poll(context).map(|ended| {
            if let Err(error) = ended {
                tracing::debug!(%error, "a connection failed");
            }
        })
    })
    .await;
}

/// A stream that records when a request begins to arrive, and when an answer is blocked.
struct WatchedStream {
    stream: TcpStream,
    pulse: Arc<Pulse>,
}

impl WatchedStream {
    fn written<T>(&self, written: Poll<T>) -> Poll<T> {
        self.pulse.block(written.is_pending());
        written
    }
}

impl AsyncRead for WatchedStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before && self.pulse.is_at(IDLE) {
            self.pulse.enter(HEAD);
        }
        read
    }
}

impl AsyncWrite for WatchedStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, bytes);
        self.written(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_connection_is_late_once_its_state_has_not_changed_for_too_long() {
        let limits =
            Limits { header_timeout_s: 10, idle_timeout_s: 60, write_timeout_s: 30, ..Limits::default() };
        let (pulse, start) = (Pulse::default(), Instant::now());
        let mut look = Look::new(start);
        let mut is_late = |after_s| pulse.is_late(&mut look, start + Duration::from_secs(after_s), &limits);
        assert_eq!([is_late(9), is_late(10)], [false, true]);
        pulse.enter(IDLE);
        assert!(!is_late(0));
        assert_eq!([is_late(59), is_late(60)], [false, true]);
        pulse.enter(HEAD);
        assert_eq!([is_late(61), is_late(70), is_late(71)], [false, false, true]);
        pulse.enter(ANSWERING);
        assert_eq!([is_late(71), is_late(10_000)], [false, false]);
        pulse.block(true);
        assert_eq!([is_late(10_000), is_late(10_029), is_late(10_030)], [false, false, true]);
        // Progress, however slow, restarts the timeout.
        pulse.block(false);
        pulse.block(true);
        assert_eq!([is_late(10_030), is_late(10_059)], [false, false]);
        pulse.block(false);
        pulse.enter(IDLE);
        assert_eq!([is_late(10_060), is_late(10_119), is_late(10_120)], [false, false, true]);
    }
}
