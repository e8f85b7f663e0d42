//! Subjects: where a DPU's events are published, and which DPU a subject belongs to.
//!
//! A DPU publishes to `dpu.SERIAL.events`, over MQTT to the topic `dpu/SERIAL/events`. A serial may contain what a
//! subject or topic cannot (a dot, a blank, a slash, a wildcard). So its UTF-8 bytes are percent-encoded as in URLs,
//! except for ASCII letters, digits, `-`, `_` and `:`. The serial `12.5 A` becomes `12%2E5%20A`. Everything encoded is
//! decoded, so a sender may encode more.

use std::fmt;
use std::str::FromStr;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b':');

/// The subjects under one prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subjects {
    prefix: String,
}

impl Subjects {
    pub fn events_of(&self, serial: &str) -> String {
        format!("{}.{}.events", self.prefix, utf8_percent_encode(serial, ENCODED))
    }

    pub fn events(&self) -> String {
        format!("{}.*.events", self.prefix)
    }

    /// Returns the subject of dead letters. It is not under the prefix, so that devices cannot publish to it and
    /// streams of events do not take it.
    pub fn dead_letters(&self) -> String {
        format!("deadletter.{}", self.prefix)
    }

    /// Returns whether the subject is under the prefix.
    pub(super) fn are_above(&self, subject: &str) -> bool {
        subject.strip_prefix(&self.prefix).is_some_and(|rest| rest.starts_with('.'))
    }

    pub(super) fn serial(&self, subject: &str) -> Result<String, String> {
        let token = subject
            .strip_prefix(&self.prefix)
            .and_then(|rest| rest.strip_prefix('.')?.strip_suffix(".events"))
            .filter(|token| !token.is_empty() && !token.contains('.'))
            .ok_or_else(|| format!("the subject is not {}.SERIAL.events", self.prefix))?;
        let serial = percent_decode_str(token).decode_utf8();
        serial.map(Into::into).map_err(|_| "the serial in the subject is not UTF-8 text".to_owned())
    }
}

impl fmt::Display for Subjects {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.prefix)
    }
}

impl FromStr for Subjects {
    type Err = String;

    fn from_str(prefix: &str) -> Result<Self, String> {
        let fits =
            |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'*' | b'>' | b'/' | b'+' | b'#' | b'$');
        if prefix.bytes().all(fits) && prefix.split('.').all(|token| !token.is_empty()) {
            Ok(Self { prefix: prefix.to_owned() })
        } else {
            Err("use one or more words joined by dots, without blanks, wildcards, /, # and $".to_owned())
        }
    }
}

/// Returns whether every subject that matches `inner` also matches `outer`.
pub(super) fn covers(outer: &str, inner: &str) -> bool {
    let (mut outer, mut inner) = (outer.split('.'), inner.split('.'));
    loop {
        match (outer.next(), inner.next()) {
            (None, None) | (Some(">"), Some(_)) => return true,
            (Some("*"), Some(token)) if token != ">" => {}
            (Some(one), Some(other)) if one == other => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subjects() -> Subjects {
        "dpu".parse().unwrap()
    }

    #[test]
    fn a_serial_is_one_token_whatever_it_holds() {
        for (serial, subject) in [
            ("1001", "dpu.1001.events"),
            ("00:1b-c_2", "dpu.00:1b-c_2.events"),
            ("12.5 A", "dpu.12%2E5%20A.events"),
            ("*>/+#$%", "dpu.%2A%3E%2F%2B%23%24%25.events"),
            ("Tür", "dpu.T%C3%BCr.events"),
        ] {
            assert_eq!(subjects().events_of(serial), subject);
            assert_eq!(subjects().serial(subject).as_deref(), Ok(serial));
        }
    }

    #[test]
    fn what_needs_no_encoding_may_be_encoded() {
        assert_eq!(subjects().serial("dpu.%31001.events").as_deref(), Ok("1001"));
        assert_eq!(subjects().serial("dpu.Tür.events").as_deref(), Ok("Tür"));
    }

    #[test]
    fn an_invalid_subject_is_refused_with_the_reason() {
        for subject in
            ["dpu.events", "dpu..events", "dpu.1.2.events", "dpu.1.event", "dpux.1.events", "1.events"]
        {
            assert_eq!(
                subjects().serial(subject).unwrap_err(),
                "the subject is not dpu.SERIAL.events",
                "{subject}"
            );
        }
        assert!(subjects().serial("dpu.%FF.events").unwrap_err().contains("not UTF-8"));
    }

    #[test]
    fn a_prefix_is_words() {
        assert_eq!("site.a".parse::<Subjects>().unwrap().events(), "site.a.*.events");
        for prefix in ["", ".", "a.", "a..b", "a b", "a.*", ">", "a/b", "$JS"] {
            assert!(prefix.parse::<Subjects>().is_err(), "{prefix}");
        }
    }

    #[test]
    fn patterns_cover_what_they_match() {
        for outer in ["dpu.*.events", "dpu.>", "*.*.*", "*.*.events", ">"] {
            assert!(covers(outer, "dpu.*.events"), "{outer}");
        }
        for outer in ["dpu.1.events", "dpu.*", "dpu.*.events.>", "dpu", "other.*.events", ""] {
            assert!(!covers(outer, "dpu.*.events"), "{outer}");
        }
        assert!(!covers("dpu.*", "dpu.>"));
    }

    proptest! {
        #[test]
        fn every_serial_comes_back(serial in "\\PC{1,20}") {
            let subject = subjects().events_of(&serial);
            prop_assert!(subject.bytes().all(|byte| byte.is_ascii_graphic() && !b"*>/+#$".contains(&byte)));
            prop_assert_eq!(subject.split('.').count(), 3);
            prop_assert_eq!(subjects().serial(&subject), Ok(serial));
        }
    }
}
