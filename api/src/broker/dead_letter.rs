//! A dead letter: a message that cannot be recorded, with the reason, as a message of a stream of its own.
//!
//! Its payload is the message's, byte for byte. Its headers say where the message came from and what was wrong; the
//! message's own headers are in one of them, as JSON, since some of them would tell the server what to do with the dead
//! letter. Where both would be longer than the server accepts, the dead letter has the beginning of the payload, and the
//! length and the digest of all of it.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use async_nats::jetstream::Message;
use async_nats::jetstream::message::{PublishMessage, StreamMessage};
use async_nats::{HeaderMap, HeaderName, HeaderValue};
use data_encoding::HEXLOWER;
use entity::Instant;
use serde_json::{Value, json};
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
/// How many bytes the payload had, where only the beginning of it is kept.
const LENGTH: &str = "Headcount-Length";
/// The SHA-256 of that payload, in hexadecimal digits.
const DIGEST: &str = "Headcount-Digest";
/// The most bytes of the message's own headers that are kept.
const HEADERS_BYTES_MAX: usize = 64 * 1024;
/// What a header begins with that tells a server what to do.
const INSTRUCTION: &str = "Nats-";
/// By what a server knows a message that it has already.
const MESSAGE_ID: &str = "Nats-Msg-Id";
/// Of how many events the reason says what was wrong with them.
const REASONS_MAX: usize = 10;

/// What was wrong with a message.
#[derive(Debug)]
pub(super) struct Faults {
    /// How many events could be told apart in it.
    pub(super) events: usize,
    /// Those that were rejected, and their places, the first event's being 0.
    pub(super) rejected: Vec<(usize, Rejection)>,
    /// Why nothing after those events could be read.
    pub(super) broken: Option<String>,
}

/// A message that could not be recorded, and why.
#[derive(Clone, Debug)]
pub struct DeadLetter {
    /// Its number in the stream of dead letters.
    pub sequence: u64,
    /// Since when it has been there, by the server's clock.
    pub since: Instant,
    /// Where the message was published.
    pub subject: String,
    /// When the message came into its stream, by the server's clock.
    pub published: Option<Instant>,
    /// What was wrong.
    pub reason: String,
    /// Which of its events were rejected, such as `0,2-4`, the first being 0; the others are recorded. Empty where it
    /// could not be read at all.
    pub rejected: String,
    /// The message's own headers.
    pub headers: HeaderMap,
    /// The message itself, or its beginning.
    pub payload: Bytes,
    /// How many bytes the message had, where only its beginning is kept.
    pub length: Option<u64>,
    /// The SHA-256 of all of it then, in hexadecimal digits.
    pub digest: Option<String>,
}

impl Faults {
    /// What was wrong with a message, if something was, in which there were as many events as there are outcomes.
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

    /// The places of the events that were rejected, neighbours together.
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

/// The dead letter of a message, ready to be published. With its headers it has at most `bytes_max` bytes.
pub(super) fn of_message(message: &Message, faults: &Faults, bytes_max: usize) -> PublishMessage {
    let mut headers = HeaderMap::new();
    headers.insert(SUBJECT, line(&message.subject));
    headers.insert(REASON, line(&faults.to_string()));
    headers.insert(REJECTED, line(&faults.places()));
    if let Some(own) = &message.headers {
        let own = headers_as_json(own).to_string();
        if own.len() <= HEADERS_BYTES_MAX {
            headers.insert(HEADERS, line(&own));
        }
    }
    if let Ok(info) = message.info() {
        let published: Instant = info.published.into();
        headers.insert(STREAM, line(info.stream));
        headers.insert(SEQUENCE, line(&info.stream_sequence.to_string()));
        headers.insert(PUBLISHED, line(&published.to_string()));
        // Where its acknowledgement was lost the message comes again, and is no second dead letter. The time tells it
        // from a message of the same number in a stream that was made anew.
        let id = format!("{} {} {}", info.stream, info.stream_sequence, info.published.timestamp_micros());
        headers.insert(MESSAGE_ID, line(&id));
    }
    let payload = fitting(&message.payload, &mut headers, bytes_max);
    PublishMessage::build().payload(payload).headers(headers)
}

/// The payload, or as much of it as a server takes beside the headers, which then say so.
fn fitting(payload: &Bytes, headers: &mut HeaderMap, bytes_max: usize) -> Bytes {
    if bytes_on_the_wire(headers) + payload.len() <= bytes_max {
        return payload.clone();
    }
    headers.insert(LENGTH, line(&payload.len().to_string()));
    headers.insert(DIGEST, line(&HEXLOWER.encode(&Sha256::digest(payload))));
    payload.slice(..payload.len().min(bytes_max.saturating_sub(bytes_on_the_wire(headers))))
}

/// How many bytes headers take in the protocol of NATS.
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
    /// The message as it was, ready to be published again. Headers that told the server what to do with the first
    /// (that it is none if it came twice, say) are left out.
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

/// Headers as a JSON object, in which each has the array of its values.
pub(crate) fn headers_as_json(headers: &HeaderMap) -> Value {
    let text = |value: &HeaderValue| Value::from(value.as_str());
    let header = |(name, values): (&HeaderName, &Vec<HeaderValue>)| {
        (name.to_string(), Value::Array(values.iter().map(text).collect()))
    };
    Value::Object(headers.iter().map(header).collect())
}

fn headers_of_json(json: &str) -> HeaderMap {
    let own: BTreeMap<String, Vec<String>> = serde_json::from_str(json).unwrap_or_default();
    let mut headers = HeaderMap::new();
    for (name, values) in own {
        let Ok(name) = HeaderName::from_str(&name) else { continue };
        for value in values {
            headers.append(name.clone(), line(&value));
        }
    }
    headers
}

/// The text as a header can hold it: in one line.
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
    fn nothing_is_wrong_with_what_is_recorded() {
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
        assert_eq!(headers_of_json(line(&headers_as_json(&headers).to_string()).as_str()), headers);
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
