//! What stands in front of every route, and hands on what whoever asks may do.

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

/// An answer of the router, or of the doorkeeper, at once or once the tokens are read.
pub(crate) type Guarded = Either<
    RouteFuture<Infallible>,
    Either<Ready<Result<Response, Infallible>>, BoxFuture<'static, Result<Response, Infallible>>>,
>;

/// What was found out about whoever asks; handed on by the request's extensions. Where nothing is, the server was open.
#[derive(Clone, Debug)]
struct Found(Result<Access, Refusal>);

/// Lets the request pass to the router if whoever asks may. One by no route does not get so far, whatever the router has.
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

/// An answer without asking the router.
pub(crate) fn answered(response: Response) -> Guarded {
    Either::Right(Either::Left(ready(Ok(response))))
}

/// Whether the request may pass, and with what.
fn decide(app: &App, tokens: &Snapshot, need: Need, request: &mut Request) -> Result<(), Refusal> {
    let admitted = app.door.admit(app, tokens, (request.headers(), request.extensions()));
    found(need, admitted, request)
}

/// The same once it is found out what whoever asks may do.
fn found(need: Need, admitted: Result<Access, Refusal>, request: &mut Request) -> Result<(), Refusal> {
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
