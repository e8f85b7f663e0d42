//! Which encoding of a file a client gets.

use axum::http::{HeaderMap, header};

/// An encoding that the build has made files in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    /// Brotli.
    Brotli,
    /// Gzip.
    Gzip,
}

impl Encoding {
    /// All encodings, the smallest first.
    pub(super) const ALL: [Self; 2] = [Self::Brotli, Self::Gzip];

    /// Its name in `Accept-Encoding` and `Content-Encoding`.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Gzip => "gzip",
        }
    }

    /// What the names of files in it end with.
    pub(super) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Gzip => ".gz",
        }
    }

    /// Returns the encodings that the client accepts, the one it likes most first, and of equals the smallest. What it
    /// likes less than no encoding is left out.
    pub(super) fn accepted(headers: &HeaderMap) -> Vec<Self> {
        let identity = quality(headers, "identity");
        let qualities = Self::ALL.map(|encoding| (encoding, quality(headers, encoding.name())));
        let mut accepted: Vec<_> = qualities
            .into_iter()
            .filter_map(|(encoding, quality)| {
                Some((encoding, quality.or_else(|| self::quality(headers, "*"))?))
            })
            .filter(|(_, quality)| *quality > 0.0 && identity.is_none_or(|identity| *quality >= identity))
            .collect();
        accepted.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        accepted.into_iter().map(|(encoding, _)| encoding).collect()
    }
}

/// Returns how much the client likes an encoding, from 0 to 1, if it says so.
fn quality(headers: &HeaderMap, name: &str) -> Option<f32> {
    let values = headers.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    let mut codings = values.flat_map(|value| value.split(','));
    codings.find_map(|coding| {
        let mut parts = coding.split(';').map(str::trim);
        let is_named = parts.next().is_some_and(|found| found.eq_ignore_ascii_case(name));
        let weight = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        is_named.then(|| weight.map_or(1.0, |weight| weight.parse().unwrap_or(0.0)))
    })
}

#[cfg(test)]
mod tests {
    use super::Encoding::{Brotli, Gzip};
    use super::*;

    #[test]
    fn the_encoding_that_a_client_likes_most_comes_first() {
        let accepted = |values: &[&str]| {
            let headers = values.iter().map(|value| (header::ACCEPT_ENCODING, value.parse().unwrap()));
            Encoding::accepted(&headers.collect())
        };
        assert_eq!(accepted(&["gzip, deflate, br, zstd"]), [Brotli, Gzip]);
        assert_eq!(accepted(&["gzip", "BR;q=0.5"]), [Gzip, Brotli]);
        assert_eq!(accepted(&["br;q=0, *"]), [Gzip]);
        assert_eq!(accepted(&["gzip;q=0.5, identity"]), []);
        assert_eq!(accepted(&["gzip; q=0.5, br;q=much, identity;q=0"]), [Gzip]);
        for nothing in [&[][..], &[""], &["identity"], &["zstd"], &["*;q=0"]] {
            assert_eq!(accepted(nothing), [], "{nothing:?}");
        }
    }
}
