//! The name of one request, by which its answer, its line in the log, its trace and its errors find each other.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use data_encoding::HEXLOWER;

/// The header that carries it, both ways.
pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// How long one that a client gives may be, in bytes.
const BYTES_MAX: usize = 64;

/// A request's id: the client's, or one of ours.
#[derive(Clone)]
pub(super) enum RequestId {
    /// Well-formed: letters, digits, `-`, `_` and `.`.
    Given(HeaderValue),
    /// Sixteen hexadecimal digits.
    Made([u8; 16]),
}

impl RequestId {
    /// The id that the request brings, if that is well-formed; else a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).filter(|value| is_well_formed(value.as_bytes()));
        given.cloned().map_or_else(Self::make, Self::Given)
    }

    fn make() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Hashed with a key that each process draws: two processes hardly ever name a request alike.
        static NAMES: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let number = NAMES.hash_one(NEXT.fetch_add(1, Ordering::Relaxed));
        let mut digits = [0; 16];
        HEXLOWER.encode_mut(&number.to_be_bytes(), &mut digits);
        Self::Made(digits)
    }

    /// As a header's value; `None` cannot be.
    pub(super) fn header(&self) -> Option<HeaderValue> {
        match self {
            Self::Given(value) => Some(value.clone()),
            Self::Made(digits) => HeaderValue::from_bytes(digits).ok(),
        }
    }

    pub(super) fn as_str(&self) -> &str {
        match self {
            Self::Given(value) => value.to_str().unwrap_or_default(),
            Self::Made(digits) => str::from_utf8(digits).unwrap_or_default(),
        }
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.as_str())
    }
}

fn is_well_formed(id: &[u8]) -> bool {
    let accepted = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    (1..=BYTES_MAX).contains(&id.len()) && id.iter().all(accepted)
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    fn of(given: &str) -> RequestId {
        RequestId::of(&HeaderMap::from_iter([(HEADER, given.parse().unwrap())]))
    }

    #[test]
    fn only_what_is_well_formed_is_taken_over() {
        assert_eq!(of("a-B_3.c").as_str(), "a-B_3.c");
        assert_eq!(of(&"x".repeat(64)).as_str().len(), 64);
        for given in ["", " ", "a b", "a\"b", "a/b", "é", &"x".repeat(65)] {
            let made = of(given);
            assert_eq!(made.as_str().len(), 16, "{given}");
            assert_eq!(made.header().unwrap(), made.as_str());
        }
    }

    #[test]
    fn no_two_are_alike() {
        let ids: HashSet<_> = (0..10_000).map(|_| RequestId::make().to_string()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
