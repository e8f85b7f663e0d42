//! Tokens in the paths of devices that can be given nothing but an address: `/devices/{format}/t/{token}`.
//!
//! The token is taken out of the path before anything else sees the request, so that no log, metric, trace or error has
//! it.

use axum::extract::Request;
use axum::http::Uri;
use axum::http::uri::PathAndQuery;
use secrecy::SecretString;

/// The token that was in the path of a request.
#[derive(Clone, Debug)]
pub(super) struct PathToken(pub(super) SecretString);

const ROUTE: &str = "/devices/";
const TOKEN: &str = "/t/";

/// Moves the token from the path to the extensions of the request.
pub(super) fn take(request: &mut Request) {
    let Some((path, token)) = split(request.uri()) else { return };
    let token = PathToken(token.to_owned().into());
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = Some(path);
    // The scheme and the authority are as before.
    *request.uri_mut() = Uri::from_parts(parts).unwrap_or_default();
    request.extensions_mut().insert(token);
}

/// Returns the path and query without the token, and the token. What follows the token becomes part of it, so that it
/// is not valid.
fn split(uri: &Uri) -> Option<(PathAndQuery, &str)> {
    let rest = uri.path().strip_prefix(ROUTE)?;
    let (format, token) = rest.split_once(TOKEN)?;
    let query = uri.query().map(|query| format!("?{query}")).unwrap_or_default();
    let path = format!("{ROUTE}{format}{query}").parse().ok()?;
    Some((path, token.strip_suffix('/').unwrap_or(token)))
}

#[cfg(test)]
mod tests {
    use axum::body::Body;
    use secrecy::ExposeSecret;

    use super::*;

    fn taken(uri: &str) -> (String, Option<String>) {
        let mut request = Request::post(uri).body(Body::empty()).unwrap();
        take(&mut request);
        let token = request.extensions().get().map(|PathToken(token)| token.expose_secret().to_owned());
        (request.uri().to_string(), token)
    }

    #[test]
    fn the_token_leaves_the_path() {
        let some = |token: &str| Some(token.to_owned());
        for (uri, path, token) in [
            ("/devices/ttn/t/hc_1", "/devices/ttn", some("hc_1")),
            ("/devices/ttn/t/hc_1/?device=A%2F1", "/devices/ttn?device=A%2F1", some("hc_1")),
            ("http://a:1/devices/ttn/t/hc_1", "http://a:1/devices/ttn", some("hc_1")),
            ("/devices/ttn/t/hc_1/more", "/devices/ttn", some("hc_1/more")),
            ("/devices/a/b/t/hc_1", "/devices/a/b", some("hc_1")),
            ("/devices/ttn/t/", "/devices/ttn", some("")),
            ("/devices/ttn/t", "/devices/ttn/t", None),
            ("/devices/ttn?x=/t/hc_1", "/devices/ttn?x=/t/hc_1", None),
            ("/events/t/hc_1", "/events/t/hc_1", None),
        ] {
            assert_eq!(taken(uri), (path.to_owned(), token), "{uri}");
        }
    }
}
