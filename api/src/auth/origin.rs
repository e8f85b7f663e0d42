//! Which pages' scripts are let in by a browser, and which names this server is asked for by.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// How a browser says from where the page is that sends a request: `same-origin`, `same-site`, `cross-site`, or `none`.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Where a page comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Anywhere.
    Any,
    /// This scheme, host and port, as browsers write them.
    One(HeaderValue),
}

/// Why a text names no origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0:?} is no origin: give a scheme, a host and perhaps a port, such as https://example.org, or * for all"
)]
pub struct OriginError(String);

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let refused = || OriginError(text.to_owned());
        let uri: Uri = text.parse().map_err(|_| refused())?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(refused)?;
        let bare = format!("{scheme}://{authority}").to_ascii_lowercase();
        if text.trim_end_matches('/').to_ascii_lowercase() != bare || authority.as_str().contains('@') {
            return Err(refused());
        }
        HeaderValue::try_from(bare).map(Self::One).map_err(|_| refused())
    }
}

/// Lets pages of these origins ask, as browsers want to hear it; `None`: of no others than our own.
pub(crate) fn cors(origins: &[Origin]) -> Option<CorsLayer> {
    let allowed = if origins.contains(&Origin::Any) {
        AllowOrigin::any()
    } else if origins.is_empty() {
        return None;
    } else {
        AllowOrigin::list(origins.iter().filter_map(|origin| match origin {
            Origin::One(origin) => Some(origin.clone()),
            Origin::Any => None,
        }))
    };
    // A token goes in a header that a script sets; a browser adds nothing by itself.
    let cors = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers([header::AUTHORIZATION, header::CONTENT_TYPE])
        .expose_headers([header::RETRY_AFTER, header::WWW_AUTHENTICATE]);
    Some(cors)
}

/// Whether a WebSocket may be opened: browsers let any page try, and say which does.
pub(crate) fn may_open_socket(headers: &HeaderMap, origins: &[Origin]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    // A proxy may speak TLS for us: the scheme is not compared.
    let own = origin.to_str().ok().and_then(|origin| Some(origin.split_once("://")?.1));
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    own.zip(host).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host)) || is_allowed(origin, origins)
}

/// Whether a browser says that a page of another site sends the request, and the page's origin is not allowed. Images and
/// links do not tell their origin.
pub(super) fn is_cross_site(headers: &HeaderMap, origins: &[Origin]) -> bool {
    if headers.get(SEC_FETCH_SITE).is_none_or(|site| site != "cross-site") {
        return false;
    }
    match headers.get(header::ORIGIN) {
        Some(origin) => !is_allowed(origin, origins),
        None => !origins.contains(&Origin::Any),
    }
}

fn is_allowed(origin: &HeaderValue, origins: &[Origin]) -> bool {
    origins.iter().any(|allowed| match allowed {
        Origin::Any => true,
        Origin::One(allowed) => origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()),
    })
}

/// Whether the request was made for this machine by a name that none but this machine has. A page whose own name
/// is made to lead here asks for that name.
pub(super) fn is_this_machine(headers: &HeaderMap) -> bool {
    // Every browser says it.
    let Some(host) = headers.get(header::HOST) else { return true };
    let Ok(host) = host.to_str() else { return false };
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    let name = name.unwrap_or_default();
    // First those that nearly everybody writes.
    matches!(name, "localhost" | "127.0.0.1" | "::1")
        || name.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
        || name.eq_ignore_ascii_case("localhost")
        || name.to_ascii_lowercase().ends_with(".localhost")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(headers: &[(header::HeaderName, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect()
    }

    #[test]
    fn origins_are_read() {
        let one = |text: &str| Ok(Origin::One(text.parse().unwrap()));
        assert_eq!("https://Example.org".parse(), one("https://example.org"));
        assert_eq!("http://localhost:5173/".parse(), one("http://localhost:5173"));
        assert_eq!("*".parse(), Ok(Origin::Any));
        for text in [
            "",
            "example.org",
            "https://",
            "https://a/b",
            "https://a?b",
            "https://me@a",
            "https://*.a b",
            "null",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn names_of_this_machine() {
        for host in [
            "localhost",
            "LOCALHOST:8000",
            "127.0.0.1:8000",
            "127.9.9.9",
            "[::1]:8000",
            "[::1]",
            "a.localhost:1",
        ] {
            assert!(is_this_machine(&headers(&[(header::HOST, host)])), "{host}");
        }
        assert!(is_this_machine(&HeaderMap::new()));
        for host in [
            "example.org",
            "localhost.example.org:8000",
            "127.0.0.1.example.org",
            "10.0.0.1",
            "",
            "[::2]:8000",
        ] {
            assert!(!is_this_machine(&headers(&[(header::HOST, host)])), "{host}");
        }
    }

    #[test]
    fn sockets_are_for_our_own_pages_and_those_that_are_named() {
        let opens = |origin: &str, origins: &[Origin]| {
            may_open_socket(
                &headers(&[(header::HOST, "counts.example:8000"), (header::ORIGIN, origin)]),
                origins,
            )
        };
        assert!(may_open_socket(&headers(&[(header::HOST, "counts.example")]), &[]));
        assert!(opens("http://counts.example:8000", &[]) && opens("https://Counts.example:8000", &[]));
        for origin in ["http://counts.example", "http://evil.example", "null", ""] {
            assert!(!opens(origin, &["https://app.example".parse().unwrap()]), "{origin}");
        }
        assert!(opens("https://app.example", &["https://app.example".parse().unwrap()]));
        assert!(opens("null", &[Origin::Any]));
    }
}
