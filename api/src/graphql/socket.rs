//! Subscriptions, over a WebSocket that speaks `graphql-transport-ws`.

use std::convert::Infallible;

use async_graphql_axum::{GraphQLProtocol, GraphQLWebSocket};
use axum::extract::{FromRequestParts, OptionalFromRequestParts, WebSocketUpgrade};
use axum::http::request::Parts;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;

use super::executor::Executor;
use crate::telemetry::this_request;

/// The only protocol that is spoken. The older one, `graphql-ws`, has had no maintainer since 2020.
const PROTOCOL: &str = "graphql-transport-ws";

/// A request to open a WebSocket.
pub(super) struct Socket(Result<(WebSocketUpgrade, GraphQLProtocol), Response>);

impl<S: Send + Sync> OptionalFromRequestParts<S> for Socket {
    type Rejection = Infallible;

    /// `None`: the request is an ordinary one.
    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Option<Self>, Infallible> {
        let upgrade =
            parts.headers.get(header::UPGRADE).and_then(|value| value.to_str().ok()).unwrap_or_default();
        if !upgrade.eq_ignore_ascii_case("websocket") {
            return Ok(None);
        }
        let offered = parts.headers.get(header::SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok());
        if !offered.unwrap_or_default().split(',').any(|protocol| protocol.trim() == PROTOCOL) {
            let message = format!("only the WebSocket protocol {PROTOCOL} is spoken here");
            return Ok(Some(Self(Err((StatusCode::BAD_REQUEST, message).into_response()))));
        }
        // Whatever else is offered is not spoken, and must not be chosen.
        parts.headers.insert(header::SEC_WEBSOCKET_PROTOCOL, header::HeaderValue::from_static(PROTOCOL));
        let upgrade = WebSocketUpgrade::from_request_parts(parts, state).await;
        let protocol = GraphQLProtocol::from_request_parts(parts, state).await;
        Ok(Some(Self(match (upgrade, protocol) {
            (Ok(upgrade), Ok(protocol)) => Ok((upgrade, protocol)),
            (Err(refused), _) => Err(refused.into_response()),
            (_, Err(refused)) => Err(refused.into_response()),
        })))
    }
}

impl Socket {
    /// Serves subscriptions until the client goes or the server stops.
    pub(super) fn serve(self, executor: Executor) -> Response {
        let (upgrade, protocol) = match self.0 {
            Ok(opened) => opened,
            Err(refused) => return refused,
        };
        let request = this_request();
        upgrade.protocols([PROTOCOL]).on_upgrade(move |socket| {
            request.goes_on(async move {
                let app = executor.app().clone();
                let (sink, messages) = socket.split();
                let until_stopped = messages.take_until(Box::pin(async move { app.feed().stopped().await }));
                GraphQLWebSocket::new_with_pair(sink, until_stopped, executor, protocol).serve().await;
            })
        })
    }
}
