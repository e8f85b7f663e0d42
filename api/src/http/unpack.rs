//! Decompresses the bodies of requests while they arrive, in bounded memory.

use std::fmt;
use std::io;

use async_compression::tokio::bufread::{GzipDecoder, ZstdDecoder};
use async_compression::zstd::DParameter;
use axum::body::{Body, Bytes};
use axum::http::header::CONTENT_ENCODING;
use axum::http::{HeaderMap, HeaderValue};
use entity::shown;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};
use tokio::io::AsyncRead;
use tokio_util::bytes::BytesMut;
use tokio_util::io::{StreamReader, read_buf};

use crate::http::budget::{ByteBudget, Exhausted, HeldBytes};

pub const ACCEPTED: HeaderValue = HeaderValue::from_static("gzip, zstd");
/// The longest window of a zstd frame, as a power of two: 8 MiB, which is the most that HTTP allows (RFC 9659).
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
const CHUNK_BYTES: usize = 32 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Coding {
    Identity,
    Gzip,
    Zstd,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "unsupported Content-Encoding {}: compress the body once, with gzip or zstd, or send it without Content-Encoding",
    shown(.0)
)]
pub struct UnknownCoding(String);

#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    #[error("{0}")]
    Connection(axum::Error),
    #[error("the compressed body is incomplete")]
    BreaksOff,
    #[error(
        "the body does not match its Content-Encoding {coding} ({cause}): accepted are gzip, zstd with a window of at \
         most 8 MiB, and a body without Content-Encoding"
    )]
    Malformed { coding: Coding, cause: io::Error },
    #[error(transparent)]
    Exhausted(#[from] Exhausted),
}

pub type Unpacked = BoxStream<'static, Result<Bytes, UnpackError>>;

impl Coding {
    pub fn of(headers: &HeaderMap) -> Result<Self, UnknownCoding> {
        let values = headers.get_all(CONTENT_ENCODING).iter();
        let names = values.flat_map(|value| value.to_str().unwrap_or("?").split(','));
        let names: Vec<_> = names.map(|name| name.trim().to_ascii_lowercase()).collect();
        let mut codings = names.iter().map(String::as_str).filter(|name| !["", "identity"].contains(name));
        match (codings.next(), codings.next()) {
            (None, _) => Ok(Self::Identity),
            (Some("gzip" | "x-gzip"), None) => Ok(Self::Gzip),
            (Some("zstd"), None) => Ok(Self::Zstd),
            _ => Err(UnknownCoding(names.join(", "))),
        }
    }

    const fn window_bytes(self) -> usize {
        match self {
            Self::Identity => 0,
            Self::Gzip => 32 << 10,
            Self::Zstd => 1 << ZSTD_WINDOW_LOG_MAX,
        }
    }
}

impl fmt::Display for Coding {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::Identity => "identity",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        })
    }
}

/// The decoder's window takes memory of the budget.
pub fn unpack(body: Body, coding: Coding, budget: &ByteBudget) -> Unpacked {
    let plain = body.into_data_stream().map_err(UnpackError::Connection);
    if coding == Coding::Identity {
        return plain.boxed();
    }
    let packed = StreamReader::new(plain.map_err(io::Error::other));
    match coding {
        Coding::Zstd => {
            let window = [DParameter::window_log_max(ZSTD_WINDOW_LOG_MAX)];
            let mut decoder = ZstdDecoder::with_params(packed, &window);
            decoder.multiple_members(true);
            chunks(decoder, coding, budget.none())
        }
        Coding::Gzip | Coding::Identity => {
            let mut decoder = GzipDecoder::new(packed);
            decoder.multiple_members(true);
            chunks(decoder, coding, budget.none())
        }
    }
}

fn chunks(decoder: impl AsyncRead + Send + Unpin + 'static, coding: Coding, held: HeldBytes) -> Unpacked {
    let chunks = stream::try_unfold((decoder, held, 0), move |(mut decoder, mut held, kept)| async move {
        // A short body may decompress to a long one, which must not block other tasks.
        tokio::task::coop::consume_budget().await;
        let mut chunk = BytesMut::with_capacity(CHUNK_BYTES);
        let read = read_buf(&mut decoder, &mut chunk).await.map_err(|error| told(error, coding))?;
        let more = read.min(coding.window_bytes() - kept);
        held.grow(more)?;
        Ok((read > 0).then(|| (chunk.freeze(), (decoder, held, kept + more))))
    });
    chunks.boxed()
}

/// Converts an error of the decoder, which may be caused by the underlying body.
fn told(error: io::Error, coding: Coding) -> UnpackError {
    match error.downcast() {
        Ok(beneath) => beneath,
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => UnpackError::BreaksOff,
        Err(cause) => UnpackError::Malformed { coding, cause },
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(text: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    fn zstd(text: &[u8], window_log: u32) -> Vec<u8> {
        let mut encoder = zstd::Encoder::new(Vec::new(), 1).unwrap();
        encoder.window_log(window_log).unwrap();
        encoder.write_all(text).unwrap();
        encoder.finish().unwrap()
    }

    /// Decompresses a body that arrives in pieces of `piece` bytes.
    async fn unpacked(
        packed: &[u8],
        coding: Coding,
        piece: usize,
        budget: &ByteBudget,
    ) -> Result<Vec<u8>, UnpackError> {
        let pieces: Vec<_> =
            packed.chunks(piece).map(|piece| Ok::<_, io::Error>(Bytes::copy_from_slice(piece))).collect();
        let chunks = unpack(Body::from_stream(stream::iter(pieces)), coding, budget);
        Ok(chunks.try_collect::<Vec<_>>().await?.concat())
    }

    #[test]
    fn the_header_names_one_coding() {
        let of = |values: &[&str]| {
            let headers = values.iter().map(|value| (CONTENT_ENCODING, value.parse().unwrap()));
            Coding::of(&headers.collect())
        };
        for (values, expected) in [
            (&[][..], Coding::Identity),
            (&["identity"], Coding::Identity),
            (&[" GZIP "], Coding::Gzip),
            (&["x-gzip, identity"], Coding::Gzip),
            (&["zstd"], Coding::Zstd),
        ] {
            assert_eq!(of(values), Ok(expected), "{values:?}");
        }
        for values in [&["br"][..], &["deflate"], &["gzip, gzip"], &["gzip", "zstd"], &["*"]] {
            assert!(of(values).unwrap_err().to_string().contains("with gzip or zstd"), "{values:?}");
        }
    }

    #[tokio::test]
    async fn compressed_bodies_in_pieces_of_any_size_are_decompressed() {
        let (text, budget) = (b"2026-01-01,1,283\n".repeat(10_000), ByteBudget::new(100 << 20));
        let twice = |packed: Vec<u8>| [packed.clone(), packed].concat();
        for piece in [1, 7, 1 << 20] {
            for (packed, coding) in [(gzip(&text), Coding::Gzip), (zstd(&text, 23), Coding::Zstd)] {
                assert!(unpacked(&packed, coding, piece, &budget).await.unwrap() == text, "{coding} {piece}");
                let both = unpacked(&twice(packed), coding, piece, &budget).await.unwrap();
                assert_eq!(both.len(), 2 * text.len(), "{coding} {piece}");
            }
            assert!(unpacked(&text, Coding::Identity, piece, &budget).await.unwrap() == text);
        }
    }

    #[tokio::test]
    async fn malformed_and_incomplete_bodies_are_refused() {
        let (text, budget) = (b"2026-01-01,1,283\n".repeat(10_000), ByteBudget::new(100 << 20));
        for (packed, coding) in [(gzip(&text), Coding::Gzip), (zstd(&text, 20), Coding::Zstd)] {
            let half = unpacked(&packed[..packed.len() / 2], coding, 100, &budget).await;
            assert!(matches!(half, Err(UnpackError::BreaksOff)), "{half:?}");
            for wrong in [&text, b"{\"query\":\"{a}\"}".as_slice(), b"\0\0\0\0\0\0\0\0\0\0\0\0"] {
                let wrong = unpacked(wrong, coding, 100, &budget).await;
                assert!(matches!(wrong, Err(UnpackError::Malformed { .. })), "{coding}: {wrong:?}");
            }
        }
        let wide = unpacked(&zstd(&text, 24), Coding::Zstd, 100, &budget).await.unwrap_err();
        assert!(wide.to_string().contains("8 MiB"), "{wide}");
    }

    #[tokio::test]
    async fn the_windows_of_all_decoders_count_for_the_budget() {
        let (text, budget) = (vec![b' '; 20 << 20], ByteBudget::new(9 << 20));
        let mut first = unpack(Body::from(zstd(&text, 23)), Coding::Zstd, &budget);
        let mut bytes = 0;
        while bytes < 8 << 20 {
            bytes += first.next().await.unwrap().unwrap().len();
        }
        let second = unpacked(&zstd(&text, 23), Coding::Zstd, 1 << 20, &budget).await;
        assert!(matches!(second, Err(UnpackError::Exhausted(_))));
        drop(first);
        assert_eq!(
            unpacked(&zstd(&text, 23), Coding::Zstd, 1 << 20, &budget).await.unwrap().len(),
            text.len()
        );
    }
}
