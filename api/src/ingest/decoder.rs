//! Decodes the reports of a body while it arrives: JSON (one object or an array), NDJSON or CSV.
//!
//! Memory does not grow with the body: the decoder buffers one event and what was read with it. An event that cannot be
//! read becomes a rejection in its place. Only if nothing after it can be read either does the body end with a
//! [`DecodeError`].

use std::io;

use chrono_tz::Tz;
use serde::de::IgnoredAny;
use tokio_util::bytes::{Buf, BytesMut};
use tokio_util::codec;

use super::Rejection;
use super::csv::{Csv, HeaderError, Row};
use super::json::{self, EVENT_BYTES_MAX};
use super::report::Report;

const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// A JSON object, or an array of them.
    Json,
    /// One JSON object per line.
    Ndjson,
    /// A header, then one event per line.
    Csv,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    /// Line number, from 1; `None` in JSON, where lines mean nothing.
    pub line: Option<u64>,
    pub report: Result<Report, Rejection>,
}

#[derive(Debug, thiserror::Error)]
pub enum DecodeError {
    #[error("the body is empty: send one event or more")]
    Empty,
    #[error("the body is not a JSON object (one event) or an array of them")]
    NotEvents,
    #[error("the JSON breaks off before its end")]
    BreaksOff,
    #[error("the body is not JSON: {0}")]
    NotJson(String),
    #[error("an event is longer than {EVENT_BYTES_MAX} bytes")]
    TooLong,
    #[error(transparent)]
    Header(HeaderError),
    /// The sender disconnected, or sent invalid HTTP.
    #[error("the body cannot be read: {0}")]
    Io(#[from] io::Error),
}

#[derive(Debug)]
pub struct Decoder {
    body: Body,
    /// Serial of the DPU of events that name none.
    serial: Option<String>,
    /// Time zone of timestamps that name none; `None`: that of their DPU.
    zone: Option<Tz>,
}

#[derive(Debug)]
enum Body {
    Json(Json),
    Ndjson(Lines),
    Csv(Csv),
}

impl Decoder {
    pub fn new(format: Format) -> Self {
        let body = match format {
            Format::Json => Body::Json(Json::default()),
            Format::Ndjson => Body::Ndjson(Lines::default()),
            Format::Csv => Body::Csv(Csv::new()),
        };
        Self::of_body(body)
    }

    /// Returns a decoder for lines of CSV without a header.
    pub fn bare_csv() -> Self {
        Self::of_body(Body::Csv(Csv::bare()))
    }

    fn of_body(body: Body) -> Self {
        Self { body, serial: None, zone: None }
    }

    #[must_use]
    pub fn of_dpu(self, serial: &str) -> Self {
        Self { serial: Some(serial.to_owned()), ..self }
    }

    #[must_use]
    pub fn in_zone(self, zone: Option<Tz>) -> Self {
        Self { zone, ..self }
    }

    pub fn ignored_columns(&self) -> &[String] {
        match &self.body {
            Body::Csv(csv) => csv.ignored_columns(),
            Body::Json(_) | Body::Ndjson(_) => &[],
        }
    }

    fn next(&mut self, source: &mut BytesMut, at_end: bool) -> Result<Option<Entry>, DecodeError> {
        let serial = self.serial.as_deref();
        match &mut self.body {
            Body::Json(json) => json.next(source, at_end, serial),
            Body::Ndjson(lines) => match lines.next(source, at_end) {
                Some(line) => {
                    let line = if lines.number == 1 { without_mark(&line) } else { &line };
                    Ok(Some(Entry { line: Some(lines.number), report: json::report(line, serial) }))
                }
                None if at_end && lines.only_blank => Err(DecodeError::Empty),
                None => Ok(None),
            },
            Body::Csv(csv) => {
                let row = csv.next(source, at_end).map_err(DecodeError::Header)?;
                Ok(row.map(|Row { line, report }| Entry { line: Some(line), report }))
            }
        }
    }

    fn next_in_zone(&mut self, source: &mut BytesMut, at_end: bool) -> Result<Option<Entry>, DecodeError> {
        let entry = self.next(source, at_end)?;
        Ok(entry.map(|Entry { line, report }| Entry {
            line,
            report: report.and_then(|report| report.within(self.zone)),
        }))
    }
}

impl codec::Decoder for Decoder {
    type Item = Entry;
    type Error = DecodeError;

    fn decode(&mut self, source: &mut BytesMut) -> Result<Option<Entry>, DecodeError> {
        self.next_in_zone(source, false)
    }

    fn decode_eof(&mut self, source: &mut BytesMut) -> Result<Option<Entry>, DecodeError> {
        self.next_in_zone(source, true)
    }
}

fn without_mark(text: &[u8]) -> &[u8] {
    text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text)
}

/// Splits a body into lines, skipping blank ones.
#[derive(Debug)]
struct Lines {
    /// Number of the last line read.
    number: u64,
    only_blank: bool,
    /// Number of bytes of the source that do not contain the end of the line.
    searched: usize,
    /// The start of a line that is too long; the rest of it is not buffered.
    cut: Option<BytesMut>,
}

impl Default for Lines {
    fn default() -> Self {
        Self { number: 0, only_blank: true, searched: 0, cut: None }
    }
}

impl Lines {
    /// Returns the next line without its end. A line that is too long is cut off, somewhere beyond the maximum length.
    fn next(&mut self, source: &mut BytesMut, at_end: bool) -> Option<BytesMut> {
        loop {
            let unseen = source.iter().skip(self.searched);
            let end = unseen.copied().position(|byte| byte == b'\n').map(|place| self.searched + place);
            let mut line = match end {
                Some(end) => source.split_to(end + 1),
                None if at_end && (self.cut.is_some() || !source.is_empty()) => source.split(),
                None if source.len() > EVENT_BYTES_MAX => {
                    let start = source.split();
                    self.cut.get_or_insert(start);
                    self.searched = 0;
                    return None;
                }
                None => {
                    self.searched = source.len();
                    return None;
                }
            };
            self.searched = 0;
            self.number += 1;
            if let Some(cut) = self.cut.take() {
                self.only_blank = false;
                return Some(cut);
            }
            line.truncate(line.trim_ascii_end().len());
            if !without_mark(&line).trim_ascii().is_empty() {
                self.only_blank = false;
                return Some(line);
            }
        }
    }
}

/// Splits a JSON text into events: the elements of an array, or a single object.
#[derive(Debug, Default)]
struct Json {
    place: Place,
    /// Number of bytes at which an incomplete event is parsed again. It grows with the event, so that a body in tiny
    /// pieces costs little more than one in large pieces.
    look_again_at: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Place {
    #[default]
    Start,
    /// At the only object of the body.
    Only,
    /// After the array's `[`.
    Opened,
    Element,
    After,
    Done,
}

impl Json {
    fn next(
        &mut self,
        source: &mut BytesMut,
        at_end: bool,
        serial: Option<&str>,
    ) -> Result<Option<Entry>, DecodeError> {
        loop {
            let blanks = source.len() - source.trim_ascii_start().len();
            source.advance(blanks);
            let Some(first) = source.first().copied() else {
                return match self.place {
                    Place::Start if at_end => Err(DecodeError::Empty),
                    Place::Done => Ok(None),
                    _ if at_end => Err(DecodeError::BreaksOff),
                    _ => Ok(None),
                };
            };
            let (place, used) = match (self.place, first) {
                (Place::Start, b'{') => (Place::Only, 0),
                (Place::Start, b'[') => (Place::Opened, 1),
                (Place::Start, _) if source.starts_with(BYTE_ORDER_MARK) => (Place::Start, 3),
                (Place::Start, _) if BYTE_ORDER_MARK.starts_with(source) && !at_end => return Ok(None),
                (Place::Start, _) => return Err(DecodeError::NotEvents),
                (Place::Opened | Place::After, b']') => (Place::Done, 1),
                (Place::Opened, _) => (Place::Element, 0),
                (Place::After, b',') => (Place::Element, 1),
                (Place::After, _) => {
                    return Err(DecodeError::NotJson("an event must be followed by , or by ]".to_owned()));
                }
                (Place::Done, _) => {
                    let message =
                        "text follows its end; to send one event per line, use application/x-ndjson";
                    return Err(DecodeError::NotJson(message.to_owned()));
                }
                (Place::Only | Place::Element, _) => {
                    let Some(value) = self.value(source, at_end)? else { return Ok(None) };
                    self.place = if self.place == Place::Only { Place::Done } else { Place::After };
                    return Ok(Some(Entry { line: None, report: json::report(&value, serial) }));
                }
            };
            self.place = place;
            source.advance(used);
        }
    }

    /// Returns the value that the source begins with, once it is complete.
    fn value(&mut self, source: &mut BytesMut, at_end: bool) -> Result<Option<BytesMut>, DecodeError> {
        if source.len() < self.look_again_at && !at_end {
            return Ok(None);
        }
        // The parser takes half a number for an invalid one, so it gets a number only with what follows it.
        let part_of_number = |byte: &&u8| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let half = source.iter().rev().take_while(part_of_number).count();
        let whole = if at_end { &source[..] } else { &source[..source.len() - half] };
        let mut values = serde_json::Deserializer::from_slice(whole).into_iter::<IgnoredAny>();
        let value = values.next();
        let length = values.byte_offset();
        let closed = || matches!(whole[..length].last(), Some(b'}' | b']' | b'"'));
        match value {
            // A bare word at the end of the buffer may be incomplete.
            Some(Ok(_)) if at_end || length < whole.len() || closed() => {
                self.look_again_at = 0;
                if length > EVENT_BYTES_MAX {
                    return Err(DecodeError::TooLong);
                }
                Ok(Some(source.split_to(length)))
            }
            Some(Err(error)) if !error.is_eof() => Err(DecodeError::NotJson(json::reason(&error))),
            _ if source.len() > EVENT_BYTES_MAX => Err(DecodeError::TooLong),
            _ if at_end => Err(DecodeError::BreaksOff),
            _ => {
                self.look_again_at = (source.len() + source.len() / 8).min(EVENT_BYTES_MAX + 1);
                Ok(None)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tokio_util::codec::Decoder as _;

    use super::*;
    use crate::ingest::fuzz::damaged;

    /// Decodes a body that arrives in pieces of this many bytes.
    fn decode(format: Format, body: &[u8], piece: usize) -> (Vec<Entry>, Option<String>) {
        let (mut decoder, mut source, mut entries) = (Decoder::new(format), BytesMut::new(), Vec::new());
        let mut pieces = body.chunks(piece);
        loop {
            let (found, ended) = match pieces.next() {
                Some(piece) => {
                    source.extend_from_slice(piece);
                    (
                        std::iter::from_fn(|| decoder.decode(&mut source).transpose())
                            .try_collect(&mut entries),
                        false,
                    )
                }
                None => (
                    std::iter::from_fn(|| decoder.decode_eof(&mut source).transpose())
                        .try_collect(&mut entries),
                    true,
                ),
            };
            assert!(source.len() <= EVENT_BYTES_MAX + piece, "{} bytes are buffered", source.len());
            if let Err(error) = found {
                return (entries, Some(error.to_string()));
            }
            if ended {
                return (entries, None);
            }
        }
    }

    trait TryCollect<T> {
        fn try_collect(self, entries: &mut Vec<T>) -> Result<(), DecodeError>;
    }

    impl<T, I: Iterator<Item = Result<T, DecodeError>>> TryCollect<T> for I {
        fn try_collect(self, entries: &mut Vec<T>) -> Result<(), DecodeError> {
            for entry in self {
                entries.push(entry?);
            }
            Ok(())
        }
    }

    const EVENT: &str = r#"{"timestamp":"2018-05-01","direction":1,"dpu_id":"283","seq":0}"#;

    #[test]
    fn every_format_gives_the_same_events_in_pieces_of_any_size() {
        let array = format!("\u{feff} [{EVENT} ,\n{EVENT},12, [{EVENT}]] ");
        let lines = format!("\u{feff}{EVENT}\r\n\r\n  \n{EVENT}\n12\n[{EVENT}]");
        let csv = "\u{feff}timestamp,direction,dpu_id\n2018-05-01,1,283\n\n2018-05-01,1,\"283\"\nx\n2018-05-01,0,283";
        for piece in [1, 2, 3, 7, 64, 4096] {
            let (entries, error) = decode(Format::Json, array.as_bytes(), piece);
            assert_eq!((entries.len(), error), (4, None), "{piece}");
            assert!(entries[..2].iter().all(|entry| entry.report.is_ok()), "{entries:?}");
            assert!(entries[2..].iter().all(|entry| entry.report.is_err()), "{entries:?}");

            let (entries, error) = decode(Format::Ndjson, lines.as_bytes(), piece);
            let good: Vec<_> =
                entries.iter().map(|entry| (entry.line.unwrap(), entry.report.is_ok())).collect();
            assert_eq!((good, error), (vec![(1, true), (4, true), (5, false), (6, false)], None), "{piece}");

            let (entries, error) = decode(Format::Csv, csv.as_bytes(), piece);
            let good: Vec<_> =
                entries.iter().map(|entry| (entry.line.unwrap(), entry.report.is_ok())).collect();
            assert_eq!((good, error), (vec![(2, true), (4, true), (5, false), (6, false)], None), "{piece}");
        }
        assert_eq!(
            decode(Format::Json, EVENT.as_bytes(), 5).0,
            decode(Format::Json, array.as_bytes(), 9).0[..1]
        );
    }

    #[test]
    fn an_unreadable_body_gives_the_events_before_the_error_and_the_reason() {
        let deep = "[".repeat(10_000);
        let long = format!("[{{\"a\":\"{}\"}}]", "x".repeat(EVENT_BYTES_MAX));
        for (format, body, entries, reason) in [
            (Format::Json, "", 0, "the body is empty"),
            (Format::Json, " \n\u{feff} ", 0, "the body is empty"),
            (Format::Ndjson, "\u{feff}\n\r\n  \n", 0, "the body is empty"),
            (Format::Csv, "\n\n", 0, "the file is empty"),
            (Format::Json, "12", 0, "not a JSON object"),
            (Format::Json, "\u{feff}x", 0, "not a JSON object"),
            (Format::Json, "[", 0, "breaks off"),
            (Format::Json, &deep, 0, "breaks off"),
            (Format::Json, &format!("[{EVENT}"), 1, "breaks off"),
            (Format::Json, &format!("[{EVENT},"), 1, "breaks off"),
            (Format::Json, &format!("[{EVENT},{{\"ti"), 1, "breaks off"),
            (Format::Json, &format!("[{EVENT},]"), 1, "not JSON: expected value"),
            (Format::Json, &format!("[{EVENT}{EVENT}]"), 1, "must be followed by , or by ]"),
            (Format::Json, &format!("{EVENT}\n{EVENT}"), 1, "application/x-ndjson"),
            (Format::Json, "[\"\0\"]", 0, "not JSON"),
            (Format::Json, &long, 0, "an event is longer than 65536 bytes"),
        ] {
            for piece in [1, 100, 1 << 20] {
                let (found, error) = decode(format, body.as_bytes(), piece);
                let error = error.unwrap_or_default();
                assert!(error.contains(reason), "{error} for {body:.40}");
                assert_eq!(found.len(), entries, "{body:.40}");
            }
        }
    }

    #[test]
    fn a_line_that_is_too_long_is_rejected_alone() {
        let long = " ".repeat(3 * EVENT_BYTES_MAX);
        let lines = format!("{EVENT}\n{long}{EVENT}\n{EVENT}\n{long}x");
        for piece in [1000, 1 << 20] {
            let (entries, error) = decode(Format::Ndjson, lines.as_bytes(), piece);
            let good: Vec<_> =
                entries.iter().map(|entry| (entry.line.unwrap(), entry.report.is_ok())).collect();
            assert_eq!((good, error), (vec![(1, true), (2, false), (3, true), (4, false)], None));
        }
    }

    /// Bytes that resemble events, and arbitrary bytes.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let looks = "(\\{\"(timestamp|direction|dpu_id|seq|ts)\": ?(\"[0-9TZ:.+-]{0,30}\"|-?[0-9]{1,20}|null|\\[\\])[,}\n]){0,6}";
        prop_oneof![
            prop::collection::vec(any::<u8>(), 0..300),
            looks.prop_map(String::into_bytes),
            // Events with one wrong byte.
            (0..EVENT.len(), any::<u8>()).prop_map(|(place, byte)| {
                let mut bytes = EVENT.as_bytes().to_vec();
                bytes[place] = byte;
                bytes
            }),
        ]
    }

    const ENTRIES: &[&str] = &[
        EVENT,
        r#"{"ts":1525164360000,"direction":"AWAY","dpu":283,"seq":null}"#,
        r#"{"ts":"2018-05-01 10:46:00,5 +02:00","direction":-1.0,"dpu":"Tür \\ \"3\"","count":[{}]}"#,
        "[",
        "]",
        ",",
        "{}",
        "12",
        "\r\n",
        "\n",
    ];
    const ROWS: &[&str] = &[
        "timestamp,direction,dpu_id\n",
        "timestamp;direction;dpu_id;seq\r\n",
        "sep=;\n",
        "2018-05-01,1,283\n",
        "\"2018-05-01T08:46:00.5Z\",\"-1\",\"283\"\r",
        "1525164360;TOWARD;Tür;7\r\n",
        "2018-05-01\t1\t283\t\n",
        "\r",
        "\"a\rb\",",
    ];

    /// Counts the rows that are found without a header.
    fn bare_rows(body: &[u8]) -> usize {
        let (mut decoder, mut source) = (Decoder::bare_csv(), BytesMut::from(body));
        std::iter::from_fn(|| decoder.decode_eof(&mut source).unwrap()).count()
    }

    proptest! {
        #[test]
        fn fuzz_json(body in damaged(ENTRIES), piece in 1_usize..99, end in any::<prop::sample::Index>()) {
            let (whole, error) = decode(Format::Json, &body, piece);
            // Each element of a complete array has an entry.
            if let Ok(serde_json::Value::Array(elements)) = serde_json::from_slice(&body) {
                prop_assert_eq!((whole.len(), &error), (elements.len(), &None));
            }
            // Later bytes do not change earlier entries, except the last one.
            let (start, _) = decode(Format::Json, &body[..end.index(body.len() + 1)], piece);
            let sure = start.len().saturating_sub(1);
            prop_assert!(sure <= whole.len());
            prop_assert_eq!(&start[..sure], &whole[..sure]);
        }

        #[test]
        fn fuzz_ndjson(body in damaged(ENTRIES), piece in 1_usize..99) {
            let (entries, error) = decode(Format::Ndjson, &body, piece);
            let blank = |line: &&[u8]| without_mark(line).trim_ascii().is_empty();
            let lines = body.split(|byte| *byte == b'\n').filter(|line| !blank(line)).count();
            prop_assert_eq!((entries.len(), error.is_some()), (lines, lines == 0));
        }

        #[test]
        fn fuzz_csv(body in damaged(ROWS), piece in 1_usize..99) {
            prop_assert_eq!(decode(Format::Csv, &body, piece), decode(Format::Csv, &body, 1000));
            let rows = body.split(|byte| matches!(byte, b'\n' | b'\r'));
            let rows = rows.filter(|row| !without_mark(row).trim_ascii().is_empty()).count();
            // Without quotes every line end ends a row; with quotes some may be part of one.
            prop_assert!(bare_rows(&body) <= rows);
            if !body.contains(&b'"') {
                prop_assert_eq!(bare_rows(&body), rows);
            }
        }
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(body in bytes(), piece in 1_usize..99) {
            for format in [Format::Json, Format::Ndjson, Format::Csv] {
                prop_assert_eq!(decode(format, &body, piece), decode(format, &body, 1000));
            }
        }

        #[test]
        fn each_line_gives_an_event_or_a_rejection(lines in prop::collection::vec(bytes(), 1..5), piece in 1_usize..99) {
            let body = lines.join(&b'\n');
            let blank = |line: &&[u8]| line.iter().all(u8::is_ascii_whitespace);
            let expected = body.split(|byte| *byte == b'\n').filter(|line| !blank(line)).count();
            let (entries, error) = decode(Format::Ndjson, &body, piece);
            prop_assert_eq!(entries.len(), expected);
            prop_assert_eq!(error.is_some(), expected == 0, "{:?}", error);
        }

        #[test]
        fn pieces_make_no_difference(body in "[\\[\\]{},:\"\n a1.e\\\\-]{0,60}", piece in 1_usize..9) {
            for format in [Format::Json, Format::Ndjson, Format::Csv] {
                prop_assert_eq!(decode(format, body.as_bytes(), piece), decode(format, body.as_bytes(), 100));
            }
        }
    }
}
