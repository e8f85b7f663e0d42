//! Stands before every route: finds out from a request's headers what its client may do, and lets it pass or refuses it.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{ConnectInfo, FromRef, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, header};
use axum::response::Response;
use axum::routing::future::RouteFuture;
use futures::future::{BoxFuture, Either, FutureExt, Ready, ready};
use sea_orm::DbErr;
use tower::Service;

use super::error;
use super::origin::{is_foreign, is_this_machine, proxy_header};
use super::routes::Route;
use crate::app::App;
use crate::auth::{Access, Authenticator, Denied, Need, Snapshot};

const BEARER: &[u8] = b"Bearer ";
const BASIC: &[u8] = b"Basic ";

/// An answer of the router, or a refusal, at once or once the tokens are read.
pub(crate) type Guarded = Either<
    RouteFuture<Infallible>,
    Either<Ready<Result<Response, Infallible>>, BoxFuture<'static, Result<Response, Infallible>>>,
>;

/// What the client may do; handed on in the request's extensions. A request without it came to an open server.
#[derive(Clone, Debug)]
struct Found(Result<Access, Denied>);

/// Lets the request pass to the router if its client may. A request by an unknown route is answered here.
pub(crate) fn guard(app: &Arc<App>, route: Route, router: &mut Router, mut request: Request) -> Guarded {
    if route == Route::Unmatched {
        return answered(error::not_found());
    }
    let need = route.need();
    if need == Need::Nothing {
        return Either::Left(router.call(request));
    }
    match app.auth.with_tokens(|tokens| decide(&app.auth, tokens, need, &mut request)) {
        Some(Ok(())) => Either::Left(router.call(request)),
        Some(Err(denied)) => answered(error::refuse(denied)),
        None => {
            let (app, mut router) = (Arc::clone(app), router.clone());
            let work = async move {
                let decided = match app.auth.tokens().await {
                    Ok(tokens) => decide(&app.auth, &tokens, need, &mut request),
                    Err(error) => found(need, Err(unavailable(&error)), &mut request),
                };
                match decided {
                    Ok(()) => router.call(request).await,
                    Err(denied) => Ok(error::refuse(denied)),
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
fn decide(auth: &Authenticator, tokens: &Snapshot, need: Need, request: &mut Request) -> Result<(), Denied> {
    let access = admit(auth, tokens, request.headers(), request.extensions());
    found(need, access, request)
}

/// The same once it is known what the client may do.
fn found(need: Need, access: Result<Access, Denied>, request: &mut Request) -> Result<(), Denied> {
    // GraphQL has its own form of a refusal, and over a WebSocket a token may come later.
    if need != Need::Operation {
        access.as_ref().map_err(Clone::clone)?.permit(need)?;
    }
    if !access.as_ref().is_ok_and(Access::is_boundless) {
        request.extensions_mut().insert(Found(access));
    }
    Ok(())
}

/// Returns what the client of a request may do, by its headers.
fn admit(
    auth: &Authenticator,
    tokens: &Snapshot,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Access, Denied> {
    let settings = auth.settings();
    if !auth.is_open(tokens) {
        let shown = headers.get(header::AUTHORIZATION).ok_or(Denied::Missing)?.as_bytes();
        // Browsers that know a password send it along for pages of any origin.
        if is_basic(shown) && is_foreign(headers, &settings.origins) {
            return Err(Denied::Origin);
        }
        return by_credentials(auth, tokens, shown);
    }
    if settings.this_machine_only {
        if !is_this_machine(headers) {
            return Err(Denied::Elsewhere);
        }
        if let Some(header) = proxy_header(headers) {
            return Err(Denied::Proxied(header.to_string()));
        }
    }
    if is_foreign(headers, &settings.origins) {
        return Err(Denied::Foreign);
    }
    auth.open(|| extensions.get::<ConnectInfo<SocketAddr>>().map(|peer| peer.0.ip()))
}

/// Returns what the client may do that shows these credentials, as the header `Authorization` has them.
fn by_credentials(auth: &Authenticator, tokens: &Snapshot, shown: &[u8]) -> Result<Access, Denied> {
    auth.by_token(tokens, &secret(shown).ok_or(Denied::Invalid)?)
}

/// Returns what the client of a WebSocket may do: as its headers say, or, where they have no token, as the payload of its
/// first message says, `{"authorization": "Bearer …"}`.
pub(crate) async fn of_session(
    auth: &Authenticator,
    by_headers: Result<Access, Denied>,
    payload: &serde_json::Value,
) -> Result<Access, Denied> {
    let shown = payload.get("authorization").or_else(|| payload.get("Authorization"));
    match (shown.and_then(serde_json::Value::as_str), by_headers) {
        (Some(shown), Err(Denied::Missing)) => {
            let tokens = auth.tokens().await.map_err(|error| unavailable(&error))?;
            by_credentials(auth, &tokens, shown.as_bytes())
        }
        (_, by_headers) => by_headers,
    }
}

/// Returns what the client of a request may do, as [`guard`] has found. A request that did not pass [`guard`] is looked at
/// here.
pub(crate) async fn access(parts: &Parts, auth: &Authenticator) -> Result<Access, Denied> {
    if let Some(found) = parts.extensions.get::<Found>() {
        return found.0.clone();
    }
    if auth.with_tokens(|tokens| auth.is_open(tokens)) == Some(true) {
        return auth.open(|| None);
    }
    let tokens = auth.tokens().await.map_err(|error| unavailable(&error))?;
    admit(auth, &tokens, &parts.headers, &parts.extensions)
}

impl<S: Send + Sync> FromRequestParts<S> for Access
where
    Arc<App>: FromRef<S>,
{
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        let app = Arc::<App>::from_ref(state);
        access(parts, &app.auth).await.map_err(error::refuse)
    }
}

/// The tokens cannot be read.
fn unavailable(error: &DbErr) -> Denied {
    tracing::error!(%error, "the tokens could not be read");
    Denied::Unavailable
}

/// The token in `Bearer TOKEN`, or in `Basic CREDENTIALS`, whose password it is; devices can often send no other.
fn secret(shown: &[u8]) -> Option<Cow<'_, [u8]>> {
    if is_basic(shown) {
        let credentials = data_encoding::BASE64.decode(shown[BASIC.len()..].trim_ascii()).ok()?;
        let colon = credentials.iter().position(|byte| *byte == b':')?;
        return Some(credentials[colon + 1..].to_vec().into());
    }
    let token = shown.get(BEARER.len()..).filter(|_| has_scheme(shown, BEARER))?;
    Some(token.trim_ascii().into())
}

/// Whether the credentials are those of HTTP Basic.
fn is_basic(shown: &[u8]) -> bool {
    has_scheme(shown, BASIC)
}

fn has_scheme(shown: &[u8], scheme: &[u8]) -> bool {
    shown.get(..scheme.len()).is_some_and(|found| found.eq_ignore_ascii_case(scheme))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_shown_by_itself_or_as_a_password() {
        let text = |shown: &str| {
            let secret = secret(shown.as_bytes())?;
            Some(String::from_utf8(secret.into_owned()).unwrap())
        };
        let basic = |pair: &str| format!("basic  {}", data_encoding::BASE64.encode(pair.as_bytes()));
        let token = Some("hc_1".to_owned());
        assert_eq!([text("Bearer hc_1"), text("bearer   hc_1 ")], [token.clone(), token.clone()]);
        assert_eq!([text(&basic("sensor:hc_1")), text(&basic(":hc_1"))], [token.clone(), token]);
        assert_eq!(text(&basic("a:b:c")).as_deref(), Some("b:c"));
        for shown in ["", "hc_1", "Bearer", "Basic", "Digest hc_1", "Basic hc_1", &basic("hc_1")] {
            assert_eq!(text(shown), None, "{shown}");
        }
    }
}
