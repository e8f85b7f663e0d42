//! The authorization middleware in front of every route. It passes the client's [`Access`] on to the handlers.

use std::convert::Infallible;
use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRef, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use futures::future::{BoxFuture, Either, FutureExt, Ready, ready};
use tower::Service;

use super::access::{Access, Refusal};
use super::door;
use super::rules::{self, Need};
use super::tokens::Snapshot;
use crate::app::App;
use crate::rest;
use crate::routes::Route;

/// An answer of the router, or of the middleware: immediately, or after the tokens are read.
pub(crate) type Guarded = Either<
    RouteFuture<Infallible>,
    Either<Ready<Result<Response, Infallible>>, BoxFuture<'static, Result<Response, Infallible>>>,
>;

/// The result of authentication, passed on in the request's extensions. Absent if the server was open.
#[derive(Clone, Debug)]
struct Found(Result<Access, Refusal>);

/// Passes the request to the router if the client is permitted. Unknown paths are answered here.
pub(crate) fn guard(app: &Arc<App>, route: Route, router: &mut Router, mut request: Request) -> Guarded {
    if route == Route::Unmatched {
        return answered(rest::not_found());
    }
    let need = rules::route(route);
    if need == Need::Nothing {
        return Either::Left(router.call(request));
    }
    match app.with_tokens(|tokens| decide(app, tokens, need, &mut request)) {
        Some(Ok(())) => Either::Left(router.call(request)),
        Some(Err(refusal)) => answered(rest::refuse(refusal)),
        None => {
            let (app, mut router) = (Arc::clone(app), router.clone());
            let work = async move {
                let decided = match app.tokens().await {
                    Ok(tokens) => decide(&app, &tokens, need, &mut request),
                    Err(error) => found(need, Err(door::unavailable(&error)), &mut request),
                };
                match decided {
                    Ok(()) => router.call(request).await,
                    Err(refusal) => Ok(rest::refuse(refusal)),
                }
            };
            Either::Right(Either::Right(work.boxed()))
        }
    }
}

/// Returns an answer without running the router.
pub(crate) fn answered(response: Response) -> Guarded {
    Either::Right(Either::Left(ready(Ok(response))))
}

/// Authenticates the client, and checks whether the request may pass.
fn decide(app: &App, tokens: &Snapshot, need: Need, request: &mut Request) -> Result<(), Refusal> {
    let admitted = app.door.admit(app, tokens, (request.headers(), request.extensions()));
    found(need, admitted, request)
}

/// Checks whether the request may pass, and stores the client's access in its extensions.
fn found(need: Need, admitted: Result<Access, Refusal>, request: &mut Request) -> Result<(), Refusal> {
    // GraphQL has its own form of refusals, and over a WebSocket the token may be sent later.
    if need != Need::Operation {
        admitted.as_ref().map_err(Clone::clone)?.permit(need)?;
    }
    if !admitted.as_ref().is_ok_and(Access::is_boundless) {
        request.extensions_mut().insert(Found(admitted));
    }
    Ok(())
}

impl Access {
    /// Returns the access of the client that sent this request, as found by the middleware, or else by authenticating
    /// the request.
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
