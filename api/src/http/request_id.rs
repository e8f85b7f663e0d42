//! Request ids, which connect a request's answer, line in the log, trace and errors.

use std::fmt;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

use ahash::RandomState;
use axum::http::{HeaderMap, HeaderName, HeaderValue};
use data_encoding::HEXLOWER;

pub(super) const HEADER: HeaderName = HeaderName::from_static("x-request-id");
/// Maximum length of an id given by a client, in bytes.
const BYTES_MAX: usize = 64;

#[derive(Clone)]
pub(super) enum RequestId {
    /// Given by the client: letters, digits, `-`, `_` and `.`.
    Given(HeaderValue),
    /// Generated: sixteen hexadecimal digits.
    Made([u8; 16]),
}

impl RequestId {
    /// Returns the id in the request's headers if it is well-formed, else a new one.
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let given = headers.get(HEADER).filter(|value| is_well_formed(value.as_bytes()));
        given.cloned().map_or_else(Self::make, Self::Given)
    }

    fn make() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // Hashed with a random key per process, so that two processes hardly ever generate the same id.
        static NAMES: LazyLock<RandomState> = LazyLock::new(RandomState::new);
        let number = NAMES.hash_one(NEXT.fetch_add(1, Ordering::Relaxed));
        let mut digits = [0; 16];
        HEXLOWER.encode_mut(&number.to_be_bytes(), &mut digits);
        Self::Made(digits)
    }

    /// Returns the id as a header's value; never `None`.
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
    fn only_well_formed_ids_of_clients_are_used() {
        assert_eq!(of("a-B_3.c").as_str(), "a-B_3.c");
        assert_eq!(of(&"x".repeat(64)).as_str().len(), 64);
        for given in ["", " ", "a b", "a\"b", "a/b", "é", &"x".repeat(65)] {
            let made = of(given);
            assert_eq!(made.as_str().len(), 16, "{given}");
            assert_eq!(made.header().unwrap(), made.as_str());
        }
    }

    #[test]
    fn generated_ids_are_unique() {
        let ids: HashSet<_> = (0..10_000).map(|_| RequestId::make().to_string()).collect();
        assert_eq!(ids.len(), 10_000);
    }
}
