//! Origin of a request: the page that sent it, the host name that it was sent to, and proxies in between.

use std::net::IpAddr;
use std::str::FromStr;

use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, header};
use tower_http::cors::{AllowOrigin, CorsLayer};

/// The header in which browsers name the relation of a page to this server: `same-origin`, `same-site`, `cross-site`,
/// `none`.
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The headers that a page of another origin may send: those that this server reads, and those that GraphQL clients
/// add.
const REQUEST_HEADERS: [HeaderName; 8] = [
    header::AUTHORIZATION,
    header::CONTENT_TYPE,
    HeaderName::from_static("x-request-id"),
    HeaderName::from_static("traceparent"),
    HeaderName::from_static("tracestate"),
    HeaderName::from_static("apollographql-client-name"),
    HeaderName::from_static("apollographql-client-version"),
    HeaderName::from_static("apollo-require-preflight"),
];

/// The headers of an answer that a page of another origin may read.
const ANSWER_HEADERS: [HeaderName; 3] =
    [header::RETRY_AFTER, header::WWW_AUTHENTICATE, HeaderName::from_static("x-request-id")];

/// An allowed origin of pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Any origin.
    Any,
    /// This scheme, host and port, as browsers write them.
    One(HeaderValue),
    /// Any host below a domain.
    Below {
        /// The scheme with its slashes, such as `https://`.
        scheme: String,
        /// The domain after a dot, with the port if there is one, such as `.example.org`.
        domain: String,
    },
}

/// Error: a text is not a valid origin.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "invalid origin {0:?}: use a scheme, a host and perhaps a port, such as https://example.org; \
     https://*.example.org for every host below a domain; or * for all"
)]
pub struct OriginError(String);

impl FromStr for Origin {
    type Err = OriginError;

    fn from_str(text: &str) -> Result<Self, OriginError> {
        if text == "*" {
            return Ok(Self::Any);
        }
        let refused = || OriginError(text.to_owned());
        let (named, is_pattern) = match text.split_once("://*.") {
            Some((scheme, domain)) => (format!("{scheme}://{domain}"), true),
            None => (text.to_owned(), false),
        };
        let uri: Uri = named.parse().map_err(|_| refused())?;
        let (scheme, authority) = uri.scheme_str().zip(uri.authority()).ok_or_else(refused)?;
        let bare = format!("{scheme}://{authority}").to_ascii_lowercase();
        if named.trim_end_matches('/').to_ascii_lowercase() != bare || authority.as_str().contains(['@', '*'])
        {
            return Err(refused());
        }
        if is_pattern {
            let domain = format!(".{authority}").to_ascii_lowercase();
            return Ok(Self::Below { scheme: format!("{scheme}://"), domain });
        }
        HeaderValue::try_from(bare).map(Self::One).map_err(|_| refused())
    }
}

impl Origin {
    /// Returns whether it includes the origin of a page.
    fn contains(&self, origin: &HeaderValue) -> bool {
        match self {
            Self::Any => true,
            Self::One(allowed) => origin.as_bytes().eq_ignore_ascii_case(allowed.as_bytes()),
            Self::Below { scheme, domain } => origin.to_str().is_ok_and(|origin| {
                let origin = origin.to_ascii_lowercase();
                let host = origin.strip_prefix(scheme).and_then(|rest| rest.strip_suffix(domain));
                host.is_some_and(|host| {
                    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
                    !host.is_empty() && host.bytes().all(is_name)
                })
            }),
        }
    }
}

/// Returns the CORS layer that allows pages of these origins; `None` if only the server's own pages are allowed.
pub(crate) fn cors(origins: &[Origin]) -> Option<CorsLayer> {
    let allowed = if origins.contains(&Origin::Any) {
        AllowOrigin::any()
    } else if origins.is_empty() {
        return None;
    } else {
        let origins = origins.to_vec();
        AllowOrigin::predicate(move |origin, _| is_allowed(origin, &origins))
    };
    // Scripts send the token in a header, so no credentials of the browser are allowed.
    let cors = CorsLayer::new()
        .allow_origin(allowed)
        .allow_methods([Method::GET, Method::POST])
        .allow_headers(REQUEST_HEADERS)
        .expose_headers(ANSWER_HEADERS);
    Some(cors)
}

/// Returns whether a WebSocket may be opened. Browsers let any page try, and send its origin.
pub(crate) fn may_open_socket(headers: &HeaderMap, origins: &[Origin]) -> bool {
    let Some(origin) = headers.get(header::ORIGIN) else { return true };
    is_own(origin, headers) || is_allowed(origin, origins)
}

/// Returns whether the request was sent by a page of another origin, according to its browser, that is not allowed by
/// name. `*` does not count here: it is for pages that send a token.
pub(super) fn is_foreign(headers: &HeaderMap, origins: &[Origin]) -> bool {
    let origin = headers.get(header::ORIGIN);
    if origin.is_some_and(|origin| is_named(origin, origins)) {
        return false;
    }
    // Requests for images and links have no `Origin`, and older browsers send no other header.
    match headers.get(SEC_FETCH_SITE).map(HeaderValue::as_bytes) {
        Some(b"cross-site" | b"same-site") => true,
        Some(b"same-origin" | b"none") => false,
        _ => origin.is_some_and(|origin| !is_own(origin, headers)),
    }
}

/// Returns whether the origin is that of the server, by the request's host.
fn is_own(origin: &HeaderValue, headers: &HeaderMap) -> bool {
    let host = headers.get(header::HOST).and_then(|host| host.to_str().ok());
    // The scheme is not compared, since a proxy may terminate TLS.
    host_of(origin).zip(host).is_some_and(|(own, host)| own.eq_ignore_ascii_case(host))
}

fn is_allowed(origin: &HeaderValue, origins: &[Origin]) -> bool {
    origins.iter().any(|allowed| allowed.contains(origin))
}

fn is_named(origin: &HeaderValue, origins: &[Origin]) -> bool {
    origins.iter().any(|allowed| *allowed != Origin::Any && allowed.contains(origin))
}

/// Returns the host and the port of an origin.
fn host_of(origin: &HeaderValue) -> Option<&str> {
    Some(origin.to_str().ok()?.split_once("://")?.1)
}

/// Returns whether the request was made for a loopback name or address. A page whose domain resolves to this server
/// (DNS rebinding) sends its own domain.
pub(super) fn is_this_machine(headers: &HeaderMap) -> bool {
    // Every browser sends the host.
    let asked = headers.get(header::HOST).map(|host| host.to_str().unwrap_or_default());
    // A proxy may change the host; the origin of the server's own page is the host that the browser used.
    let is_own_page = headers.get(SEC_FETCH_SITE).is_some_and(|site| site == "same-origin");
    let page = headers.get(header::ORIGIN).filter(|_| is_own_page);
    let page = page.map(|origin| host_of(origin).unwrap_or_default());
    asked.into_iter().chain(page).all(names_this_machine)
}

/// Returns the header that shows that the request came through a proxy, if there is one.
pub(super) fn proxy_header(headers: &HeaderMap) -> Option<&HeaderName> {
    headers.keys().find(|name| {
        matches!(name.as_str(), "forwarded" | "via" | "x-real-ip")
            || name.as_str().starts_with("x-forwarded-")
    })
}

fn names_this_machine(host: &str) -> bool {
    let name = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next(),
        None => host.split(':').next(),
    };
    let name = name.unwrap_or_default();
    // The most common names first.
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
        let below = |scheme: &str, domain: &str| {
            Ok(Origin::Below { scheme: scheme.to_owned(), domain: domain.to_owned() })
        };
        assert_eq!("https://*.Example.org".parse(), below("https://", ".example.org"));
        assert_eq!("http://*.example.org:8080/".parse(), below("http://", ".example.org:8080"));
        for text in [
            "",
            "example.org",
            "https://",
            "https://a/b",
            "https://a?b",
            "https://me@a",
            "https://*.a b",
            "https://a*.example.org",
            "https://*",
            "https://*.",
            "https://*.*.org",
            "*.example.org",
            "null",
        ] {
            assert!(text.parse::<Origin>().is_err(), "{text}");
        }
    }

    #[test]
    fn a_pattern_is_for_every_host_below_its_domain() {
        let allows = |origin: &str| {
            "https://*.example.org".parse::<Origin>().unwrap().contains(&origin.parse().unwrap())
        };
        for origin in ["https://wall.example.org", "https://WALL.example.org", "https://a.b-1.example.org"] {
            assert!(allows(origin), "{origin}");
        }
        for origin in [
            "https://example.org",
            "https://.example.org",
            "http://wall.example.org",
            "https://wall.example.org:8443",
            "https://wallexample.org",
            "https://evil.net/.example.org",
            "https://evil.net:1.example.org",
            "https://me@evil.example.org",
            "null",
        ] {
            assert!(!allows(origin), "{origin}");
        }
    }

    #[test]
    fn requests_of_pages_of_other_origins_are_recognized() {
        let origins = ["https://app.example".parse().unwrap(), Origin::Any];
        let is_foreign = |site: Option<&str>, origin: Option<&str>| {
            let mut given = vec![(header::HOST, "counts.example:8000")];
            given.extend(site.map(|site| (SEC_FETCH_SITE, site)));
            given.extend(origin.map(|origin| (header::ORIGIN, origin)));
            is_foreign(&headers(&given), &origins)
        };
        let (own, other, app) =
            ("http://counts.example:8000", "http://counts.example:3000", "https://app.example");
        for (site, origin) in [
            (None, None),
            (None, Some(own)),
            (Some("none"), None),
            (Some("same-origin"), None),
            // A proxy has changed the host.
            (Some("same-origin"), Some("https://public.example")),
            (Some("cross-site"), Some(app)),
            (None, Some(app)),
        ] {
            assert!(!is_foreign(site, origin), "{site:?} {origin:?}");
        }
        for (site, origin) in [
            (Some("cross-site"), None),
            (Some("same-site"), None),
            (Some("same-site"), Some(other)),
            (None, Some(other)),
            (None, Some("null")),
            (Some("new"), Some(other)),
        ] {
            assert!(is_foreign(site, origin), "{site:?} {origin:?}");
        }
    }

    #[test]
    fn proxies_are_recognized_by_their_headers() {
        for name in
            ["forwarded", "via", "x-real-ip", "x-forwarded-for", "x-forwarded-proto", "x-forwarded-host"]
        {
            let name = HeaderName::from_static(name);
            assert_eq!(proxy_header(&headers(&[(header::HOST, "a"), (name.clone(), "b")])), Some(&name));
        }
        let plain =
            [(header::HOST, "a"), (header::ORIGIN, "b"), (HeaderName::from_static("x-request-id"), "c")];
        assert_eq!(proxy_header(&headers(&plain)), None);
        // The proxy has changed the host.
        let page = |origin: &str| {
            let page = (SEC_FETCH_SITE, "same-origin");
            is_this_machine(&headers(&[(header::HOST, "localhost:8000"), page, (header::ORIGIN, origin)]))
        };
        assert!(page("http://localhost:5173") && !page("https://counts.example") && !page("null"));
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
    fn sockets_may_be_opened_by_own_pages_and_allowed_origins() {
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
