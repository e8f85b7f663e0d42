//! Origins: the sites whose pages may send requests.

use std::str::FromStr;

use axum::http::{HeaderValue, Uri};

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
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
    pub(crate) fn contains(&self, origin: &HeaderValue) -> bool {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
