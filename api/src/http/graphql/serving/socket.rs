//! Operations over a WebSocket with the protocol `graphql-transport-ws`, usually subscriptions.
//!
//! A connection holds one message at a time: the next answer is computed after the last one was sent, and a message is
//! read only when there is nothing to send, pongs included. A connection whose client does not read, or has gone
//! without closing it, is closed after a time limit. async-graphql's own implementation has none of these limits, and
//! tolerates violations of the protocol: it has no time limit for `connection_init`, and accepts an id twice.

use std::borrow::Cow;
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Response as Answer, ServerError};
use axum::extract::ws::{CloseFrame, Message, WebSocket, close_code};
use axum::extract::{FromRequestParts, OptionalFromRequestParts, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::SinkExt;
use futures::future::{BoxFuture, pending};
use futures::stream::{AbortHandle, Abortable, BoxStream, SelectAll, StreamExt, once, select_all};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::{Instant, Interval, MissedTickBehavior, interval, timeout};

use super::endpoint::Endpoint;
use super::executor::{Executor, PreparedOperation};
use super::parameters::{NoDocument, Parameters};
use super::sockets::{Full, Place};
use crate::app::App;
use crate::auth::{Access, Denied};
use crate::http::authorization::{access, of_session};
use crate::http::budget::Exhausted;
use crate::http::error;
use crate::http::graphql::limits::Measure;
use crate::http::graphql::request::error::{is_refusal, no_persisted_queries, refused, shorten, too_many};
use crate::http::origin::may_open_socket;
use crate::http::request::this_request;
use crate::limits::seconds;

/// The only supported protocol. The older one, `graphql-ws`, has had no maintainer since 2020.
const PROTOCOL: &str = "graphql-transport-ws";
/// Size of the read buffer of each connection. Most messages are shorter.
const READ_BYTES: usize = 4 << 10;
/// Maximum length of the reason in a close frame.
const REASON_BYTES_MAX: usize = 123;
/// Maximum time for the closing handshake.
const GOODBYE: Duration = Duration::from_secs(1);

/// A request to open a WebSocket.
pub(in crate::http::graphql) struct Socket(Result<(WebSocketUpgrade, ByHeaders), Response>);

/// The client's access by the request's headers. A browser's script cannot set any, and sends its token in the first
/// message.
type ByHeaders = Result<Access, Denied>;

impl OptionalFromRequestParts<Arc<Endpoint>> for Socket {
    type Rejection = Infallible;

    /// Returns `None` for an ordinary request.
    async fn from_request_parts(
        parts: &mut Parts,
        endpoint: &Arc<Endpoint>,
    ) -> Result<Option<Self>, Infallible> {
        let upgrade =
            parts.headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !upgrade.eq_ignore_ascii_case("websocket") {
            return Ok(lacks_upgrade(&parts.headers).then(|| Self(Err(upgrade_required()))));
        }
        let by_headers = match opens(parts, endpoint.executor.app()).await {
            Ok(by_headers) => by_headers,
            Err(denied) => return Ok(Some(Self(Err(error::refuse(denied))))),
        };
        let offered = parts.headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
        if !offered.unwrap_or_default().split(',').any(|protocol| protocol.trim() == PROTOCOL) {
            let message = format!("unsupported WebSocket protocol: use {PROTOCOL}");
            return Ok(Some(Self(Err((StatusCode::BAD_REQUEST, message).into_response()))));
        }
        let upgrade = WebSocketUpgrade::from_request_parts(parts, endpoint).await;
        Ok(Some(Self(match upgrade {
            Ok(upgrade) => Ok((upgrade, by_headers)),
            Err(refused) => Err(refused.into_response()),
        })))
    }
}

/// Checks whether the client may open a WebSocket. A client without a token in its headers may send it in the first
/// message.
async fn opens(parts: &Parts, app: &App) -> Result<ByHeaders, Denied> {
    let by_headers = match access(parts, &app.auth).await {
        Err(Denied::Missing) => Err(Denied::Missing),
        found => Ok(found?),
    };
    if !may_open_socket(&parts.headers, &app.auth.settings().origins) {
        return Err(Denied::Origin);
    }
    Ok(by_headers)
}

/// Returns whether the request is for a WebSocket but lacks the header `Upgrade`, as after a proxy that drops it.
fn lacks_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::SEC_WEBSOCKET_KEY) || headers.contains_key(header::SEC_WEBSOCKET_VERSION)
}

fn upgrade_required() -> Response {
    let message = "the header `Upgrade` is missing: a WebSocket needs the headers `Connection: Upgrade` and \
        `Upgrade: websocket`, and a proxy in between must pass both on";
    (StatusCode::UPGRADE_REQUIRED, [(header::UPGRADE, "websocket")], message).into_response()
}

impl Socket {
    /// Serves operations until the client disconnects, the server stops, or the client's access ends.
    pub(in crate::http::graphql) fn serve(self, endpoint: Arc<Endpoint>) -> Response {
        let (upgrade, by_headers) = match self.0 {
            Ok(opened) => opened,
            Err(refused) => return refused,
        };
        let opened = match endpoint.sockets.open() {
            Ok(opened) => opened,
            Err(full) => {
                let (status, headers) = (StatusCode::SERVICE_UNAVAILABLE, [(header::RETRY_AFTER, "10")]);
                return (status, headers, full.to_string()).into_response();
            }
        };
        let bytes_max = endpoint.executor.limits().socket_bytes as usize;
        let request = this_request();
        upgrade
            .protocols([PROTOCOL])
            .read_buffer_size(READ_BYTES)
            .write_buffer_size(0)
            .max_message_size(bytes_max)
            .max_frame_size(bytes_max)
            .on_upgrade(move |socket| {
                request.goes_on(SocketSession::new(endpoint, by_headers, opened).run(socket))
            })
    }
}

#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum FromClient {
    ConnectionInit {
        #[serde(default)]
        payload: Option<Map<String, Value>>,
    },
    Ping {},
    Pong {},
    Subscribe {
        id: String,
        payload: Parameters,
    },
    Complete {
        id: String,
    },
}

#[derive(Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
enum ToClient<'a> {
    ConnectionAck,
    Pong,
    Next { id: &'a str, payload: &'a Answer },
    Error { id: &'a str, payload: &'a [ServerError] },
    Complete { id: &'a str },
}

enum End {
    /// The server closes it, with a code and a reason.
    Close(u16, Cow<'static, str>),
    /// It is lost, or its client has closed it.
    Gone,
}

impl End {
    fn close(code: u16, reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Close(code, reason.into())
    }
}

impl From<Denied> for End {
    fn from(refusal: Denied) -> Self {
        // As `graphql-transport-ws` has them.
        let code = if matches!(refusal, Denied::Missing) { 4401 } else { 4403 };
        Self::close(code, refusal.to_string())
    }
}

impl From<Exhausted> for End {
    fn from(exhausted: Exhausted) -> Self {
        Self::close(close_code::AGAIN, exhausted.to_string())
    }
}

impl From<Full> for End {
    fn from(full: Full) -> Self {
        Self::close(close_code::AGAIN, full.to_string())
    }
}

struct SocketSession {
    endpoint: Arc<Endpoint>,
    by_headers: ByHeaders,
    /// The permit of a client that has not sent `connection_init`.
    opened: Option<OwnedSemaphorePermit>,
    /// The client's access and its permits, once its `connection_init` has been accepted.
    admitted: Option<(Access, Place)>,
    /// Resolves when the client's access ends.
    ended: BoxFuture<'static, ()>,
    /// The answers to all running operations, each with its id, and `None` after the last.
    answers: SelectAll<BoxStream<'static, (Arc<str>, Option<Answer>)>>,
    /// The abort handle and the permit of each running operation.
    running: HashMap<Arc<str>, (AbortHandle, OwnedSemaphorePermit)>,
    stopping: BoxFuture<'static, ()>,
    since: Instant,
    /// When the last message was received.
    heard: Instant,
}

enum SocketEvent {
    Came(Option<Result<Message, axum::Error>>),
    Answered(Arc<str>, Option<Answer>),
    Tick,
    Stopping,
    Ended,
}

impl SocketSession {
    fn new(endpoint: Arc<Endpoint>, by_headers: ByHeaders, opened: OwnedSemaphorePermit) -> Self {
        let (now, app) = (Instant::now(), Arc::clone(endpoint.executor.app()));
        Self {
            endpoint,
            by_headers,
            opened: Some(opened),
            admitted: None,
            ended: Box::pin(pending()),
            answers: select_all([]),
            running: HashMap::new(),
            stopping: Box::pin(async move { app.feed.stopped().await }),
            since: now,
            heard: now,
        }
    }

    async fn run(mut self, mut socket: WebSocket) {
        if let End::Close(code, mut reason) = self.serve(&mut socket).await {
            // Operations end before the closing handshake. The app is kept: the server stops only after it.
            self.answers.clear();
            let length = reason.floor_char_boundary(REASON_BYTES_MAX);
            reason.to_mut().truncate(length);
            let goodbye = async {
                socket
                    .send(Message::Close(Some(CloseFrame { code, reason: reason.as_ref().into() })))
                    .await?;
                while socket.recv().await.transpose()?.is_some() {}
                Ok::<_, axum::Error>(())
            };
            timeout(GOODBYE, goodbye).await.ok();
        }
    }

    async fn serve(&mut self, socket: &mut WebSocket) -> End {
        let mut ticks = self.ticks();
        loop {
            let event = tokio::select! {
                () = &mut self.stopping => SocketEvent::Stopping,
                () = &mut self.ended => SocketEvent::Ended,
                message = socket.recv() => SocketEvent::Came(message),
                Some((id, answer)) = self.answers.next() => SocketEvent::Answered(id, answer),
                _ = ticks.tick() => SocketEvent::Tick,
            };
            let handled = match event {
                SocketEvent::Came(message) => {
                    self.heard = Instant::now();
                    match message {
                        Some(Ok(message)) => self.hear(socket, message).await,
                        Some(Err(error)) => Err(unreadable(&error)),
                        None => Err(End::Gone),
                    }
                }
                SocketEvent::Answered(id, answer) => self.answer(socket, &id, answer).await,
                SocketEvent::Tick => self.tick(socket).await,
                SocketEvent::Stopping => Err(End::close(close_code::AWAY, "the server is stopping")),
                SocketEvent::Ended => Err(Denied::Invalid.into()),
            };
            if let Err(end) = handled {
                return end;
            }
        }
    }

    fn executor(&self) -> &Executor {
        &self.endpoint.executor
    }

    /// Returns an interval that is short enough to detect timeouts.
    fn ticks(&self) -> Interval {
        let limits = self.executor().limits();
        let often = limits.socket_init_timeout_s.min(limits.socket_timeout_s.div_ceil(2));
        let mut ticks = interval(seconds(often));
        ticks.reset();
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        ticks
    }

    /// Checks the timeouts, and pings a client that has been silent.
    async fn tick(&mut self, socket: &mut WebSocket) -> Result<(), End> {
        let limits = self.executor().limits();
        if self.admitted.is_none() && self.since.elapsed() >= seconds(limits.socket_init_timeout_s) {
            return Err(End::close(4408, "Connection initialisation timeout"));
        }
        let silent = self.heard.elapsed();
        if silent >= seconds(limits.socket_timeout_s) {
            return Err(End::close(close_code::POLICY, "no message or pong was received for too long"));
        }
        if silent >= seconds(limits.socket_timeout_s) / 3 {
            self.send(socket, Message::Ping("".into())).await?;
        }
        Ok(())
    }

    async fn hear(&mut self, socket: &mut WebSocket, message: Message) -> Result<(), End> {
        let text = match message {
            Message::Text(text) => text,
            Message::Binary(_) => {
                return Err(End::close(4400, "binary messages are not supported: send text"));
            }
            // The library has queued the pong. Nothing more is read before it is sent, since pongs that a client does
            // not read would fill the memory.
            Message::Ping(_) => return self.write(socket.flush()).await,
            Message::Pong(_) => return Ok(()),
            // The library answers the close frame.
            Message::Close(_) => return Err(End::Gone),
        };
        let message = serde_json::from_str(&text).map_err(|error| {
            let mut reason = format!("invalid {PROTOCOL} message: {error}");
            shorten(&mut reason);
            End::close(4400, reason)
        })?;
        drop(text);
        match message {
            FromClient::ConnectionInit { payload } => {
                if self.admitted.is_some() {
                    return Err(End::close(4429, "Too many initialisation requests"));
                }
                self.admit(Value::Object(payload.unwrap_or_default())).await?;
                self.tell(socket, &ToClient::ConnectionAck).await
            }
            FromClient::Ping {} => self.tell(socket, &ToClient::Pong).await,
            FromClient::Pong {} => Ok(()),
            FromClient::Subscribe { id, payload } => self.subscribe(socket, id.into(), payload).await,
            FromClient::Complete { id } => {
                self.end(&id);
                Ok(())
            }
        }
    }

    /// Authenticates the client by its headers or the payload of its `connection_init`.
    async fn admit(&mut self, payload: Value) -> Result<(), End> {
        let app = Arc::clone(self.executor().app());
        let access = of_session(&app.auth, self.by_headers.clone(), &payload).await?;
        let place = self.endpoint.sockets.admit(&access)?;
        let held = access.clone();
        self.ended = Box::pin(async move { app.auth.ended(&held).await });
        self.admitted = Some((access, place));
        self.opened = None;
        Ok(())
    }

    async fn subscribe(
        &mut self,
        socket: &mut WebSocket,
        id: Arc<str>,
        payload: Parameters,
    ) -> Result<(), End> {
        let Some((access, place)) = &self.admitted else { return Err(End::close(4401, "Unauthorized")) };
        if self.running.contains_key(&id) {
            return Err(End::close(4409, format!("Subscriber for {id} already exists")));
        }
        let (operation, place) = match self.begin(payload, access, place)? {
            Ok(begun) => begun,
            Err(errors) => return self.tell(socket, &ToClient::Error { id: &id, payload: &errors }).await,
        };
        let answers = self.executor().execute_stream(operation, access).map(Some).chain(once(async { None }));
        let (handle, registration) = AbortHandle::new_pair();
        self.running.insert(Arc::clone(&id), (handle, place));
        let answers = answers.map(move |answer| (Arc::clone(&id), answer));
        self.answers.push(Abortable::new(answers, registration).boxed());
        Ok(())
    }

    /// Returns the requested operation and its permit, or why it is not run. Refused operations count for the client's
    /// rate, as requests over HTTP do.
    fn begin(
        &self,
        payload: Parameters,
        access: &Access,
        place: &Place,
    ) -> Result<Result<(PreparedOperation, OwnedSemaphorePermit), Vec<ServerError>>, End> {
        if let Err(refusal) = access.step() {
            return Ok(Err(refused(&refusal).errors));
        }
        let place = match self.place(place) {
            Ok(place) => place,
            Err(refused) => return Ok(Err(vec![refused])),
        };
        let request = match payload.into_request() {
            Ok(request) => request,
            Err(NoDocument::Persisted) => return Ok(Err(vec![no_persisted_queries()])),
            Err(NoDocument::Missing) => {
                return Err(End::close(4400, "the member query of the payload is missing"));
            }
        };
        Ok(self.executor().prepare(request, access).map(|operation| (operation, place)))
    }

    fn place(&self, place: &Place) -> Result<OwnedSemaphorePermit, ServerError> {
        let operations = self.running.len() as u64 + 1;
        let accepted = self.executor().limits().socket_subscriptions;
        Measure::Operations.check(operations, accepted).map_err(ServerError::from)?;
        self.endpoint.sockets.begin(place).map_err(|full| too_many(&full.to_string()))
    }

    async fn answer(&mut self, socket: &mut WebSocket, id: &str, answer: Option<Answer>) -> Result<(), End> {
        match answer {
            Some(refused) if is_refusal(&refused) => {
                self.end(id);
                self.tell(socket, &ToClient::Error { id, payload: &refused.errors }).await
            }
            Some(answer) => {
                let text = text(&ToClient::Next { id, payload: &answer })?;
                // A client may take long to read the text.
                drop(answer);
                self.send_text(socket, text).await
            }
            None => {
                self.end(id);
                self.tell(socket, &ToClient::Complete { id }).await
            }
        }
    }

    fn end(&mut self, id: &str) {
        if let Some((running, _)) = self.running.remove(id) {
            running.abort();
        }
    }

    async fn tell(&mut self, socket: &mut WebSocket, message: &ToClient<'_>) -> Result<(), End> {
        self.send_text(socket, text(message)?).await
    }

    /// Sends a text, whose bytes are held until the client has read it.
    async fn send_text(&mut self, socket: &mut WebSocket, text: String) -> Result<(), End> {
        let _held = self.endpoint.budgets.answers.hold(text.len())?;
        self.send(socket, Message::text(text)).await
    }

    async fn send(&mut self, socket: &mut WebSocket, message: Message) -> Result<(), End> {
        self.write(socket.send(message)).await
    }

    /// Waits until the data is written. A client that does not read it in time loses the connection.
    async fn write(&mut self, writing: impl Future<Output = Result<(), axum::Error>>) -> Result<(), End> {
        let write_timeout = self.write_timeout();
        tokio::select! {
            biased;
            written = timeout(write_timeout, writing) => match written {
                Ok(Ok(())) => Ok(()),
                Ok(Err(_)) | Err(_) => Err(End::Gone),
            },
            // Half of a message may have been sent: no close frame can follow it.
            () = &mut self.stopping => Err(End::Gone),
        }
    }

    /// Returns the maximum time for a write. It does not extend the time limit for `connection_init`.
    fn write_timeout(&self) -> Duration {
        let limits = self.executor().limits();
        let write_timeout = seconds(limits.write_timeout_s);
        if self.admitted.is_some() {
            return write_timeout;
        }
        write_timeout.min(seconds(limits.socket_init_timeout_s).saturating_sub(self.since.elapsed()))
    }
}

fn text(message: &ToClient<'_>) -> Result<String, End> {
    serde_json::to_string(message).map_err(|error| {
        tracing::error!(%error, "an answer could not be written as JSON");
        End::close(close_code::ERROR, "an answer could not be written")
    })
}

/// Returns how the connection ends after a message that could not be read.
fn unreadable(error: &axum::Error) -> End {
    // The library's own error type is not accessible.
    if error.to_string().starts_with("Space limit exceeded") {
        return End::close(close_code::SIZE, "the message is too long");
    }
    End::Gone
}
