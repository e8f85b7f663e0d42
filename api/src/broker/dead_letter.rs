//! A dead letter: a message that cannot be recorded, stored with the reason in a separate stream.
//!
//! Its payload is the message's, byte for byte. Its headers say where the message came from and what was wrong. One of
//! them holds the message's own headers as JSON, since the server would obey some of those. If headers and payload are
//! longer than the server accepts, the dead letter has the beginning of the payload, and the length and the digest of
//! all of it.

use std::fmt;

use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::Message;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use data_encoding::HEXLOWER;
use entity::Instant;
use serde_json::json;
use sha2::{Digest, Sha256};
use tokio_util::bytes::Bytes;

use crate::ingest::{Outcome, Rejection};

const SUBJECT: &str = "Headcount-Subject";
const STREAM: &str = "Headcount-Stream";
const SEQUENCE: &str = "Headcount-Sequence";
const PUBLISHED: &str = "Headcount-Published";
const REASON: &str = "Headcount-Reason";
const REJECTED: &str = "Headcount-Rejected";
/// The message's own headers, as a JSON object of arrays.
const HEADERS: &str = "Headcount-Headers";
/// Length of the payload in bytes, if only its beginning is kept.
const LENGTH: &str = "Headcount-Length";
/// SHA-256 of that payload, in hexadecimal digits.
const DIGEST: &str = "Headcount-Digest";
const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// Prefix of headers that are instructions to the server.
const INSTRUCTION: &str = "Nats-";
/// Maximum number of rejected events that the reason describes.
const REASONS_MAX: usize = 10;

#[derive(Debug)]
pub(super) struct Faults {
    /// Number of events that were found in it.
    pub(super) events: usize,
    /// The rejected events, with their positions from 0.
    pub(super) rejected: Vec<(usize, Rejection)>,
    /// Why nothing after those events can be read.
    pub(super) broken: Option<String>,
}

/// A message that could not be recorded, and why.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Sequence number in the stream of dead letters.
    pub sequence: u64,
    /// When it was stored, by the server's clock.
    pub since: Instant,
    pub subject: String,
    /// When the message was stored in its stream, by the server's clock.
    pub published: Option<Instant>,
    pub reason: String,
    /// Positions of the rejected events from 0, such as `0,2-4`; the others are recorded. Empty if the message could
    /// not be read at all.
    pub rejected: String,
    pub headers: HeaderMap,
    /// The message's payload, or its beginning.
    pub payload: Bytes,
    /// Length of the payload in bytes, if only its beginning is kept.
    pub length: Option<u64>,
    /// SHA-256 of the whole payload in that case, in hexadecimal digits.
    pub digest: Option<String>,
}

impl Faults {
    /// Returns what was wrong with a message, if anything, by the outcomes of its events.
    pub(super) fn of(outcomes: &[Outcome], broken: Option<String>) -> Option<Self> {
        let rejection = |(index, outcome): (usize, &Outcome)| match outcome {
            Outcome::Rejected(rejection) => Some((index, rejection.clone())),
            Outcome::Accepted | Outcome::Duplicate => None,
        };
        let rejected: Vec<_> = outcomes.iter().enumerate().filter_map(rejection).collect();
        (broken.is_some() || !rejected.is_empty()).then_some(Self {
            events: outcomes.len(),
            rejected,
            broken,
        })
    }

    /// Returns the positions of the rejected events, with neighbours as ranges.
    fn places(&self) -> String {
        let places: Vec<usize> = self.rejected.iter().map(|(place, _)| *place).collect();
        let range = |run: &[usize]| match run {
            [only] => only.to_string(),
            [first, .., last] => format!("{first}-{last}"),
            [] => String::new(),
        };
        let runs = places.chunk_by(|one, next| one + 1 == *next);
        runs.map(range).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Display for Faults {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let told = |rejection: &Rejection| {
            format!("{}: {rejection}", json!(rejection.code).as_str().unwrap_or_default())
        };
        match (self.rejected.as_slice(), self.events) {
            ([], _) => {}
            ([(_, rejection)], 1) => formatter.write_str(&told(rejection))?,
            (rejected, events) => {
                write!(formatter, "{} of {events} events were rejected", rejected.len())?;
                for (index, rejection) in rejected.iter().take(REASONS_MAX) {
                    write!(formatter, "; event {index}: {}", told(rejection))?;
                }
                if rejected.len() > REASONS_MAX {
                    formatter.write_str("; and so on")?;
                }
            }
        }
        match &self.broken {
            Some(broken) if self.events == 0 => formatter.write_str(broken),
            Some(broken) => {
                let comma = if self.rejected.is_empty() { "" } else { "; " };
                write!(formatter, "{comma}after {} events: {broken}", self.events)
            }
            None => Ok(()),
        }
    }
}

/// Returns the dead letter of a message, ready to be published. With its headers it has at most `bytes_max` bytes.
pub(super) fn of_message(message: &Message, faults: &Faults, bytes_max: usize) -> PublishMessage {
    let mut headers = HeaderMap::new();
    headers.insert(SUBJECT, line(&message.subject));
    headers.insert(REASON, line(&faults.to_string()));
    headers.insert(REJECTED, line(&faults.places()));
    if let Some(own) = &message.headers {
        let own = json!(own).to_string();
        if own.len() <= HEADERS_BYTES_MAX {
            headers.insert(HEADERS, line(&own));
        }
    }
    if let Ok(info) = message.info() {
        let published: Instant = info.published.into();
        headers.insert(STREAM, line(info.stream));
        headers.insert(SEQUENCE, line(&info.stream_sequence.to_string()));
        headers.insert(PUBLISHED, line(&published.to_string()));
        // If its acknowledgement is lost the message is redelivered, but must not become a second dead letter. The time
        // distinguishes it from a message with the same number in a stream that was created anew.
        let id = format!("{} {} {}", info.stream, info.stream_sequence, info.published.timestamp_micros());
        headers.insert(NATS_MESSAGE_ID, line(&id));
    }
    let payload = fitting(&message.payload, &mut headers, bytes_max);
    PublishMessage::build().payload(payload).headers(headers)
}

/// Returns the payload, or as much of it as the server accepts beside the headers, which then say so.
fn fitting(payload: &Bytes, headers: &mut HeaderMap, bytes_max: usize) -> Bytes {
    if bytes_on_the_wire(headers) + payload.len() <= bytes_max {
        return payload.clone();
    }
    headers.insert(LENGTH, line(&payload.len().to_string()));
    headers.insert(DIGEST, line(&HEXLOWER.encode(&Sha256::digest(payload))));
    payload.slice(..payload.len().min(bytes_max.saturating_sub(bytes_on_the_wire(headers))))
}

/// Returns the number of bytes that headers take in the protocol of NATS.
fn bytes_on_the_wire(headers: &HeaderMap) -> usize {
    let of_one = |(name, values): (&HeaderName, &Vec<HeaderValue>)| {
        let name: &str = name.as_ref();
        values.iter().map(|value| name.len() + ": \r\n".len() + value.as_str().len()).sum::<usize>()
    };
    "NATS/1.0\r\n\r\n".len() + headers.iter().map(of_one).sum::<usize>()
}

impl From<StreamMessage> for DeadLetter {
    fn from(message: StreamMessage) -> Self {
        let header = |name: &str| message.headers.get(name).map_or("", |value| value.as_str()).to_owned();
        Self {
            sequence: message.sequence,
            since: message.time.into(),
            subject: header(SUBJECT),
            published: header(PUBLISHED).parse().ok(),
            reason: header(REASON),
            rejected: header(REJECTED),
            headers: headers_of_json(&header(HEADERS)),
            payload: message.payload,
            length: header(LENGTH).parse().ok(),
            digest: Some(header(DIGEST)).filter(|digest| !digest.is_empty()),
        }
    }
}

impl DeadLetter {
    /// Returns the message as it was, ready to be published again. Headers with instructions to the server, such as the
    /// id by which it recognizes duplicates, are left out.
    pub(super) fn replay(&self) -> PublishMessage {
        let mut headers = HeaderMap::new();
        for (name, values) in self.headers.iter() {
            let text: &str = name.as_ref();
            if !text.get(..INSTRUCTION.len()).is_some_and(|start| start.eq_ignore_ascii_case(INSTRUCTION)) {
                for value in values {
                    headers.append(name.clone(), value.clone());
                }
            }
        }
        PublishMessage::build().payload(self.payload.clone()).headers(headers)
    }
}

/// Returns the headers in a JSON object of arrays.
fn headers_of_json(json: &str) -> HeaderMap {
    let own: HeaderMap = serde_json::from_str(json).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, values) in own.iter() {
        for value in values {
            // A forged dead letter could have any text in its JSON.
            headers.append(name.clone(), line(value.as_str()));
        }
    }
    headers
}

/// Returns the text as a header's value: in one line.
fn line(text: &str) -> HeaderValue {
    let line: String = text.chars().map(|char| if char.is_control() { ' ' } else { char }).collect();
    HeaderValue::from(line)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ingest::RejectionCode;

    fn rejected(message: &str) -> Outcome {
        Outcome::Rejected(Rejection::new(RejectionCode::UnknownDpu, message))
    }

    #[test]
    fn a_recorded_message_has_no_faults() {
        assert!(Faults::of(&[Outcome::Accepted, Outcome::Duplicate], None).is_none());
        assert!(Faults::of(&[], None).is_none());
    }

    #[test]
    fn a_reason_says_which_events_and_why() {
        for (outcomes, broken, reason, places) in [
            (vec![rejected("x")], None, "UNKNOWN_DPU: x", "0"),
            (vec![], Some("not JSON"), "not JSON", ""),
            (vec![Outcome::Accepted], Some("cut off"), "after 1 events: cut off", ""),
            (
                vec![rejected("x"), Outcome::Accepted, rejected("y"), rejected("z")],
                Some("cut off"),
                "3 of 4 events were rejected; event 0: UNKNOWN_DPU: x; event 2: UNKNOWN_DPU: y; \
                 event 3: UNKNOWN_DPU: z; after 4 events: cut off",
                "0,2-3",
            ),
        ] {
            let faults = Faults::of(&outcomes, broken.map(str::to_owned)).unwrap();
            assert_eq!((faults.to_string().as_str(), faults.places().as_str()), (reason, places));
        }
        let many = Faults::of(&vec![rejected("x"); 5_000], None).unwrap();
        assert_eq!(many.places(), "0-4999");
        assert!(many.to_string().ends_with("event 9: UNKNOWN_DPU: x; and so on"));
    }

    #[test]
    fn headers_come_back() {
        let mut headers = HeaderMap::new();
        headers.insert("Firmware", "1.2.3 \"ü\"");
        headers.append("Firmware", "rc 1");
        headers.insert("Empty", "");
        assert_eq!(headers_of_json(line(&json!(headers).to_string()).as_str()), headers);
        assert_eq!(headers_of_json(""), HeaderMap::new());
    }

    #[test]
    fn a_payload_that_does_not_fit_is_cut_and_its_digest_kept() {
        let mut headers = HeaderMap::new();
        headers.insert(REASON, "why");
        let beside = "NATS/1.0\r\nHeadcount-Reason: why\r\n\r\n".len();
        let payload = Bytes::from(vec![b'x'; 1000]);
        assert_eq!(fitting(&payload, &mut headers, beside + 1000), payload);
        assert_eq!(headers.len(), 1);
        let kept = fitting(&payload, &mut headers, beside + 999);
        assert_eq!(kept.len() + bytes_on_the_wire(&headers), beside + 999);
        assert_eq!(headers.get(LENGTH).map(HeaderValue::as_str), Some("1000"));
        // printf 'x%.0s' {1..1000} | sha256sum
        let digest = "44f8354494a5ba03ba1792a8d3e9c534c47a9181980fde7a3f44b06ef2ae7c7f";
        assert_eq!(headers.get(DIGEST).map(HeaderValue::as_str), Some(digest));
        assert!(fitting(&payload, &mut headers, 3).is_empty());
    }

    #[test]
    fn a_header_is_one_line() {
        assert_eq!(line("a\r\nNats-Rollup: all").as_str(), "a  Nats-Rollup: all");
    }
}
