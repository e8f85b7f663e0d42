//! Content encodings of files and answers, by the client's `Accept-Encoding`.

use axum::http::{HeaderMap, header};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Encoding {
    Brotli,
    Zstd,
    Gzip,
}

impl Encoding {
    /// The encodings of the files that the build has compressed, smallest first.
    pub(crate) const OF_FILES: [Self; 2] = [Self::Brotli, Self::Gzip];
    /// The encodings of answers, fastest first.
    pub(crate) const OF_ANSWERS: [Self; 2] = [Self::Zstd, Self::Gzip];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Brotli => "br",
            Self::Zstd => "zstd",
            Self::Gzip => "gzip",
        }
    }

    pub(crate) fn suffix(self) -> &'static str {
        match self {
            Self::Brotli => ".br",
            Self::Zstd => ".zst",
            Self::Gzip => ".gz",
        }
    }

    /// Returns the encodings of `among` that the client accepts, in order of its preference, then in the order of
    /// `among`. Leaves out encodings that the client ranks below no encoding.
    pub(crate) fn accepted(headers: &HeaderMap, among: &[Self]) -> Vec<Self> {
        if !headers.contains_key(header::ACCEPT_ENCODING) {
            return Vec::new();
        }
        let identity = quality(headers, "identity");
        let qualities = among.iter().map(|encoding| (*encoding, quality(headers, encoding.name())));
        let mut accepted: Vec<_> = qualities
            .filter_map(|(encoding, quality)| {
                Some((encoding, quality.or_else(|| self::quality(headers, "*"))?))
            })
            .filter(|(_, quality)| *quality > 0.0 && identity.is_none_or(|identity| *quality >= identity))
            .collect();
        accepted.sort_by(|(_, one), (_, other)| other.total_cmp(one));
        accepted.into_iter().map(|(encoding, _)| encoding).collect()
    }
}

/// Returns the quality that the client gives an encoding, from 0 to 1, if it names it.
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
    use super::Encoding::{Brotli, Gzip, Zstd};
    use super::*;

    #[test]
    fn the_encoding_that_a_client_prefers_comes_first() {
        let among = |values: &[&str], encodings: &[Encoding]| {
            let headers = values.iter().map(|value| (header::ACCEPT_ENCODING, value.parse().unwrap()));
            Encoding::accepted(&headers.collect(), encodings)
        };
        let accepted = |values: &[&str]| among(values, &Encoding::OF_FILES);
        assert_eq!(among(&["gzip, deflate, br, zstd"], &Encoding::OF_ANSWERS), [Zstd, Gzip]);
        assert_eq!(among(&["br, gzip"], &Encoding::OF_ANSWERS), [Gzip]);
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
