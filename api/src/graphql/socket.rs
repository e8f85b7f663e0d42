//! Subscriptions, over a WebSocket that speaks `graphql-transport-ws`, for those who may.

use std::convert::Infallible;
use std::future::{pending, ready};
use std::pin::pin;
use std::sync::{Arc, OnceLock};

use async_graphql::Data;
use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::extract::ws::{CloseFrame, Message};
use axum::extract::{FromRequestParts, OptionalFromRequestParts, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::future::select;
use futures::{SinkExt, StreamExt};
use tokio::sync::oneshot;

use super::executor::Executor;
use crate::app::App;
use crate::auth::{Access, Door, Refusal, may_open_socket};
use crate::rest;

/// The only protocol that is spoken. The older one, `graphql-ws`, has had no maintainer since 2020.
const PROTOCOL: &str = "graphql-transport-ws";

/// With what the library closes a connection on which something is asked before the handshake.
const HANDSHAKE_MISSING: u16 = 1011;

/// A request to open a WebSocket.
pub(super) struct Socket(Result<(WebSocketUpgrade, GraphQLProtocol, ByHeaders), Response>);

/// Who asks, as far as the request's headers tell. A browser's script cannot set any, and tells by the first message.
type ByHeaders = Result<Access, Refusal>;

impl OptionalFromRequestParts<Executor> for Socket {
    type Rejection = Infallible;

    /// `None`: the request is an ordinary one.
    async fn from_request_parts(parts: &mut Parts, executor: &Executor) -> Result<Option<Self>, Infallible> {
        let upgrade =
            parts.headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !upgrade.eq_ignore_ascii_case("websocket") {
            return Ok(None);
        }
        let by_headers = match opens(parts, executor).await {
            Ok(by_headers) => by_headers,
            Err(refusal) => return Ok(Some(Self(Err(rest::refuse(refusal))))),
        };
        let offered = parts.headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
        if !offered.unwrap_or_default().split(',').any(|protocol| protocol.trim() == PROTOCOL) {
            let message = format!("only the WebSocket protocol {PROTOCOL} is spoken here");
            return Ok(Some(Self(Err((StatusCode::BAD_REQUEST, message).into_response()))));
        }
        // Whatever else is offered is not spoken, and must not be chosen.
        parts.headers.insert(header::SEC_WEBSOCKET_PROTOCOL, header::HeaderValue::from_static(PROTOCOL));
        let upgrade = WebSocketUpgrade::from_request_parts(parts, executor).await;
        let protocol = GraphQLProtocol::from_request_parts(parts, executor).await;
        Ok(Some(Self(match (upgrade, protocol) {
            (Ok(upgrade), Ok(protocol)) => Ok((upgrade, protocol, by_headers)),
            (Err(refused), _) => Err(refused.into_response()),
            (_, Err(refused)) => Err(refused.into_response()),
        })))
    }
}

/// Why a connection is closed, once there is a reason.
type Closing = Arc<OnceLock<Refusal>>;

/// Whether a WebSocket is opened, and for whom. Who shows no token may still do so by the first message.
async fn opens(parts: &Parts, executor: &Executor) -> Result<ByHeaders, Refusal> {
    let app = executor.app();
    if !may_open_socket(&parts.headers, &app.door.settings().origins) {
        return Err(Refusal::Origin);
    }
    match Access::of(parts, app).await {
        Err(Refusal::Missing) => Ok(Err(Refusal::Missing)),
        found => found.map(Ok),
    }
}

impl Socket {
    /// Serves subscriptions until the client goes, the server stops, or whoever asks may not any more.
    pub(super) fn serve(self, executor: Executor) -> Response {
        let (upgrade, protocol, by_headers) = match self.0 {
            Ok(opened) => opened,
            Err(refused) => return refused,
        };
        upgrade.protocols([PROTOCOL]).on_upgrade(move |socket| async move {
            let app = Arc::clone(executor.app());
            let (sink, messages) = socket.split();
            let closing = Closing::default();
            let (admitted, admission) = oneshot::channel();
            let until = Box::pin(until(Arc::clone(&app), admission, Arc::clone(&closing)));
            let begin = {
                let closing = Arc::clone(&closing);
                async move |payload| begin(&app, by_headers, payload, admitted, &closing).await
            };
            let coded = |message| ready(Ok::<_, axum::Error>(with_code(message, closing.get())));
            let mut sink = pin!(sink.with(coded));
            GraphQLWebSocket::new_with_pair(&mut sink, messages.take_until(until), executor, protocol)
                .on_connection_init(begin)
                .serve()
                .await;
            if closing.get().is_some() {
                // Where the connection is closed already, nobody hears it.
                sink.send(Message::Close(None)).await.ok();
            }
        })
    }
}

/// What the operations of a connection share, by the payload of its first message: what whoever asks may do.
async fn begin(
    app: &App,
    by_headers: ByHeaders,
    payload: serde_json::Value,
    admitted: oneshot::Sender<Access>,
    closing: &OnceLock<Refusal>,
) -> async_graphql::Result<Data> {
    match Door::session(app, by_headers, &payload).await {
        Ok(access) => {
            // Who waits for it has gone where the server is stopping.
            admitted.send(access.clone()).ok();
            let mut session = Data::default();
            session.insert(access);
            Ok(session)
        }
        Err(refusal) => {
            let message = refusal.to_string();
            closing.set(refusal).ok();
            Err(message.into())
        }
    }
}

/// Resolves when the connection is to end: the server stops, or whoever was let in may not any more.
async fn until(app: Arc<App>, admission: oneshot::Receiver<Access>, closing: Closing) {
    let ended = async {
        match admission.await {
            Ok(access) => access.ended(&app).await,
            // Nobody was let in, and the connection ends by itself.
            Err(_) => pending().await,
        }
        closing.set(Refusal::Invalid).ok();
    };
    select(pin!(app.feed().stopped()), pin!(ended)).await;
}

/// The message as it is sent: the library closes for whatever reason with a code that tells nothing.
fn with_code(message: Message, refusal: Option<&Refusal>) -> Message {
    let (code, reason) = match (&message, refusal) {
        (Message::Close(_), Some(refusal)) => (refusal.close_code(), refusal.to_string()),
        (Message::Close(Some(frame)), None) if frame.code == HANDSHAKE_MISSING => {
            (4401, "Unauthorized".to_owned())
        }
        _ => return message,
    };
    Message::Close(Some(CloseFrame { code, reason: reason.into() }))
}
