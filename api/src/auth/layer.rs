//! What stands in front of every route, and hands on what whoever asks may do.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::{FromRef, FromRequestParts, MatchedPath, Request};
use axum::http::request::Parts;
use axum::response::Response;
use futures::future::{BoxFuture, Either, FutureExt, Ready, ready};
use tower::{Layer, Service};

use super::access::{Access, Refusal};
use super::door;
use super::rules::{self, Need};
use super::tokens::Snapshot;
use crate::app::App;
use crate::rest;

/// Lets pass to a route who may.
#[derive(Clone, Debug)]
pub(crate) struct Doorkeeper(Arc<App>);

/// A route with the doorkeeper in front.
#[derive(Clone, Debug)]
pub(crate) struct Guarded<S> {
    app: Arc<App>,
    route: S,
}

/// What was found out about whoever asks; handed on by the request's extensions. Where nothing is, the server was open.
#[derive(Clone, Debug)]
struct Found(Result<Access, Refusal>);

impl Doorkeeper {
    pub(crate) fn new(app: &Arc<App>) -> Self {
        Self(Arc::clone(app))
    }
}

impl<S> Layer<S> for Doorkeeper {
    type Service = Guarded<S>;

    fn layer(&self, route: S) -> Guarded<S> {
        Guarded { app: Arc::clone(&self.0), route }
    }
}

impl<S> Service<Request> for Guarded<S>
where
    S: Service<Request, Response = Response, Error = Infallible, Future: Send> + Clone + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Either<
        S::Future,
        Either<Ready<Result<Response, Infallible>>, BoxFuture<'static, Result<Response, Infallible>>>,
    >;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.route.poll_ready(context)
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let need = match request.extensions().get::<MatchedPath>() {
            // No route: it is answered so, whoever asks.
            None => Some(Need::Nothing),
            Some(path) => rules::route(path.as_str()),
        };
        if need == Some(Need::Nothing) {
            return Either::Left(self.route.call(request));
        }
        let decided = self.app.with_tokens(|tokens| decide(&self.app, tokens, need, &mut request));
        match decided {
            Some(Ok(())) => Either::Left(self.route.call(request)),
            Some(Err(refusal)) => Either::Right(Either::Left(ready(Ok(rest::refuse(refusal))))),
            None => {
                // The one that is ready is the one that is to be called.
                let next = self.route.clone();
                let mut route = std::mem::replace(&mut self.route, next);
                let app = Arc::clone(&self.app);
                let work = async move {
                    let decided = match app.tokens().await {
                        Ok(tokens) => decide(&app, &tokens, need, &mut request),
                        Err(error) => found(need, Err(door::unavailable(&error)), &mut request),
                    };
                    match decided {
                        Ok(()) => route.call(request).await,
                        Err(refusal) => Ok(rest::refuse(refusal)),
                    }
                };
                Either::Right(Either::Right(work.boxed()))
            }
        }
    }
}

/// Whether the request may pass, and with what.
fn decide(app: &App, tokens: &Snapshot, need: Option<Need>, request: &mut Request) -> Result<(), Refusal> {
    let admitted = app.door.admit(app, tokens, (request.headers(), request.extensions()));
    found(need, admitted, request)
}

/// The same once it is found out what whoever asks may do.
fn found(
    need: Option<Need>,
    admitted: Result<Access, Refusal>,
    request: &mut Request,
) -> Result<(), Refusal> {
    let need = need.ok_or(Refusal::Forbidden)?;
    // GraphQL has a form of its own for saying no, and over a WebSocket a token may come later.
    if need != Need::Operation {
        admitted.as_ref().map_err(Clone::clone)?.permit(need)?;
    }
    if !admitted.as_ref().is_ok_and(Access::is_boundless) {
        request.extensions_mut().insert(Found(admitted));
    }
    Ok(())
}

impl Access {
    /// What the doorkeeper has found out about whoever sent this request. Where it did not stand, nobody is let in
    /// but by an open server.
    pub(crate) async fn of(parts: &Parts, app: &App) -> Result<Self, Refusal> {
        if let Some(found) = parts.extensions.get::<Found>() {
            return found.0.clone();
        }
        let is_open = app.with_tokens(|tokens| app.door.is_open(tokens));
        if is_open == Some(true) { Ok(Self::open(None)) } else { door::admit(app, parts).await }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Access
where
    Arc<App>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let app = Arc::<App>::from_ref(state);
        Self::of(parts, &app).await.map_err(rest::refuse)
    }
}
