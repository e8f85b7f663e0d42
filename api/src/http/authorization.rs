//! The authorization middleware in front of every route. It passes the client's [`Access`] on to the handlers.

use std::borrow::Cow;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;

use axum::extract::{ConnectInfo, FromRef, FromRequestParts, Request};
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap, HeaderName, header};
use axum::response::Response;
use futures::future::{BoxFuture, Either, FutureExt, Ready, ready};
use sea_orm::DbErr;
use secrecy::{ExposeSecret, SecretString};
use tower::Service;

use super::error;
use super::origin::{is_foreign, is_this_machine, proxy_header};
use super::path_token::PathToken;
use crate::app::App;
use crate::auth::{Access, Authenticator, Denied, Need, TokenSet};

/// The header that devices have for a key, in place of `Authorization`.
const API_KEY: HeaderName = HeaderName::from_static("x-api-key");
const BEARER: &[u8] = b"Bearer ";
const BASIC: &[u8] = b"Basic ";

/// An answer of a route's handlers, or of the middleware: immediately, or after the tokens are read.
pub(super) type Authorized<F> =
    Either<F, Either<Ready<Result<Response, Infallible>>, BoxFuture<'static, Result<Response, Infallible>>>>;

/// The result of authentication, passed on in the request's extensions. Absent if the server was open.
#[derive(Clone, Debug)]
struct Found(Result<Access, Denied>);

/// Passes the request to the handlers if its client has the permission.
pub(super) fn authorize<S>(
    app: &Arc<App>,
    need: Need,
    handlers: &mut S,
    mut request: Request,
) -> Authorized<S::Future>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    if need == Need::Nothing {
        return Either::Left(handlers.call(request));
    }
    match app.auth.with_tokens(|tokens| decide(&app.auth, tokens, need, &mut request)) {
        Some(Ok(())) => Either::Left(handlers.call(request)),
        Some(Err(denied)) => refused(error::refuse(denied)),
        None => {
            let (app, mut handlers) = (Arc::clone(app), handlers.clone());
            let work = async move {
                let decided = match app.auth.tokens().await {
                    Ok(tokens) => decide(&app.auth, &tokens, need, &mut request),
                    Err(error) => found(need, Err(unavailable(&error)), &mut request),
                };
                match decided {
                    Ok(()) => handlers.call(request).await,
                    Err(denied) => Ok(error::refuse(denied)),
                }
            };
            Either::Right(Either::Right(work.boxed()))
        }
    }
}

/// Returns an answer without running the handlers.
pub(super) fn refused<F>(response: Response) -> Authorized<F> {
    Either::Right(Either::Left(ready(Ok(response))))
}

/// Authenticates the client, and checks whether the request may pass.
fn decide(auth: &Authenticator, tokens: &TokenSet, need: Need, request: &mut Request) -> Result<(), Denied> {
    let access = admit(auth, tokens, request.headers(), request.extensions());
    found(need, access, request)
}

/// Checks whether the request may pass, and stores the client's access in its extensions.
fn found(need: Need, access: Result<Access, Denied>, request: &mut Request) -> Result<(), Denied> {
    // GraphQL has its own form of refusals, and over a WebSocket the token may be sent later.
    if need != Need::Operation {
        access.as_ref().map_err(Clone::clone)?.permit(need)?;
    }
    if !access.as_ref().is_ok_and(Access::is_boundless) {
        request.extensions_mut().insert(Found(access));
    }
    Ok(())
}

fn admit(
    auth: &Authenticator,
    tokens: &TokenSet,
    headers: &HeaderMap,
    extensions: &Extensions,
) -> Result<Access, Denied> {
    let settings = auth.settings();
    if !auth.is_open(tokens) {
        if let Some(PathToken(token)) = extensions.get() {
            return by_path(auth, tokens, token);
        }
        if let Some(key) = headers.get(API_KEY).filter(|_| !headers.contains_key(header::AUTHORIZATION)) {
            return auth.by_token(tokens, key.as_bytes().trim_ascii());
        }
        let shown = headers.get(header::AUTHORIZATION).ok_or(Denied::Missing)?.as_bytes();
        // Browsers send stored passwords with requests of pages of any origin.
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

/// Returns the access that these credentials, the value of a header `Authorization`, give.
fn by_credentials(auth: &Authenticator, tokens: &TokenSet, shown: &[u8]) -> Result<Access, Denied> {
    auth.by_token(tokens, &secret(shown).ok_or(Denied::Invalid)?)
}

/// Returns the access of a device by the token in its path. Addresses end up in the logs of proxies, so that only a token that
/// can do nothing but record is taken.
fn by_path(auth: &Authenticator, tokens: &TokenSet, token: &SecretString) -> Result<Access, Denied> {
    let access = auth.by_token(tokens, token.expose_secret().as_bytes())?;
    if access.only_ingests() { Ok(access) } else { Err(Denied::InPath) }
}

/// Returns the access of a client that opens a WebSocket: by its headers or, if they have no token, by the payload of the
/// first message, `{"authorization": "Bearer …"}`.
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

/// Returns the access of the client that sent this request, as [`guard`] has found it, or else by authenticating the
/// request.
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

fn unavailable(error: &DbErr) -> Denied {
    tracing::error!(%error, "cannot read the tokens");
    Denied::Unavailable
}

/// Returns the token in `Bearer TOKEN`, or the password in `Basic CREDENTIALS`, which is all that many devices can
/// send.
fn secret(shown: &[u8]) -> Option<Cow<'_, [u8]>> {
    if is_basic(shown) {
        let credentials = data_encoding::BASE64.decode(shown[BASIC.len()..].trim_ascii()).ok()?;
        let colon = credentials.iter().position(|byte| *byte == b':')?;
        return Some(credentials[colon + 1..].to_vec().into());
    }
    let token = shown.get(BEARER.len()..).filter(|_| has_scheme(shown, BEARER))?;
    Some(token.trim_ascii().into())
}

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
    fn a_token_is_sent_by_itself_or_as_a_password() {
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
