//! Instants in UTC, to the millisecond, and the timestamps that people and devices write.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Datelike, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, Utc};

use crate::shown;

const DAY_MS: i64 = 86_400_000;

/// An instant in milliseconds since the Unix epoch, which is how every table stores it.
///
/// As text it is ISO-8601. [`Display`](fmt::Display) writes UTC with `Z`, without a fraction when
/// that is zero and with three digits otherwise. [`FromStr`] reads what [`Timestamp`] reads, in UTC where the text
/// names no zone.
///
/// ```
/// use values::Instant;
///
/// let instant: Instant = "2018-05-01 10:46:00.1239+02:00".parse()?;
/// assert_eq!(instant.to_string(), "2018-05-01T08:46:00.123Z");
/// # Ok::<(), values::ParseInstantError>(())
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "columns", derive(sea_orm::DeriveValueType))]
pub struct Instant(i64);

impl Instant {
    /// The first instant that can be written, 0001-01-01T00:00:00Z.
    pub const MIN: Self = Self(-62_135_596_800_000);
    /// The last instant that can be written, 9999-12-31T23:59:59.999Z.
    pub const MAX: Self = Self(253_402_300_799_999);

    /// Returns the instant `ms` milliseconds after 1970-01-01T00:00:00Z, or before it if negative.
    pub const fn from_ms(ms: i64) -> Self {
        Self(ms)
    }

    /// Returns the milliseconds since 1970-01-01T00:00:00Z.
    pub const fn ms(self) -> i64 {
        self.0
    }

    /// Returns this instant as text, on the stack. An instant outside [`MIN`](Self::MIN) to [`MAX`](Self::MAX) is
    /// written as the nearer of them.
    pub fn text(self) -> InstantText {
        let ms = self.0.clamp(Self::MIN.0, Self::MAX.0);
        let (day, ms) = (ms.div_euclid(DAY_MS), ms.rem_euclid(DAY_MS));
        let date = i32::try_from(day).ok().and_then(NaiveDate::from_epoch_days).unwrap_or_default();
        let mut text = InstantText { bytes: *b"0000-00-00T00:00:00.000Z", length: InstantText::LENGTH_MAX };
        text.put(0, 4, i64::from(date.year()));
        text.put(5, 2, i64::from(date.month()));
        text.put(8, 2, i64::from(date.day()));
        text.put(11, 2, ms / 3_600_000);
        text.put(14, 2, ms / 60_000 % 60);
        text.put(17, 2, ms / 1_000 % 60);
        if ms % 1_000 == 0 {
            text.bytes[19] = b'Z';
            text.length = 20;
        } else {
            text.put(20, 3, ms % 1_000);
        }
        text
    }

    /// Returns this instant moved by `ms` milliseconds, stopping at the ends of the representable range.
    #[must_use]
    pub const fn plus_ms(self, ms: i64) -> Self {
        Self(self.0.saturating_add(ms))
    }

    /// Returns the last millisecond before this one.
    #[must_use]
    pub const fn just_before(self) -> Self {
        self.plus_ms(-1)
    }

    /// Returns the start of the period of `ms` milliseconds, counted from the epoch, that contains this instant.
    #[must_use]
    pub const fn floor_to(self, ms: i64) -> Self {
        Self(self.0 - self.0.rem_euclid(ms))
    }
}

impl From<DateTime<Utc>> for Instant {
    fn from(time: DateTime<Utc>) -> Self {
        Self(time.timestamp_millis())
    }
}

impl fmt::Display for Instant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        if (Self::MIN..=Self::MAX).contains(self) {
            formatter.write_str(self.text().as_ref())
        } else {
            write!(formatter, "{} ms since the Unix epoch", self.0)
        }
    }
}

/// A timestamp as it was written: an instant, or a local time or day.
///
/// [`FromStr`] reads a date, or a date and a time separated by `T` or a space, followed by `Z`, `UTC`, an offset or
/// nothing; a fraction of a second may have any number of digits, of which the first three count. It also reads the
/// seconds (ten digits) or the milliseconds (thirteen digits) since 1970-01-01T00:00:00Z. [`Display`](fmt::Display) writes
/// what [`FromStr`] reads as the same timestamp.
///
/// ```
/// use values::{Instant, Timestamp};
///
/// let instant = Instant::from_ms(1_525_164_360_000);
/// assert_eq!("2018-05-01T10:46+02:00".parse(), Ok(Timestamp::Instant(instant)));
/// assert_eq!("1525164360".parse(), Ok(Timestamp::Instant(instant)));
/// assert!(matches!("2018-05-01T10:46".parse(), Ok(Timestamp::Local(_))));
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Timestamp {
    /// An instant: the text named its zone, or was a number.
    Instant(Instant),
    /// A local time; the text did not name its time zone.
    Local(NaiveDateTime),
    /// A day; the text was a date alone. As an instant, it is the day's midnight.
    Day(NaiveDate),
}

impl Timestamp {
    /// Returns the instant, in UTC if the text named no time zone.
    pub fn in_utc(self) -> Instant {
        match self {
            Self::Instant(instant) => instant,
            Self::Local(local) => local.and_utc().into(),
            Self::Day(day) => day.and_time(NaiveTime::MIN).and_utc().into(),
        }
    }

    /// Returns the local time, if the text named no time zone.
    pub fn local(self) -> Option<NaiveDateTime> {
        match self {
            Self::Instant(_) => None,
            Self::Local(local) => Some(local),
            Self::Day(day) => Some(day.and_time(NaiveTime::MIN)),
        }
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Instant(instant) => instant.fmt(formatter),
            Self::Local(local) => local.format("%Y-%m-%dT%H:%M:%S%.f").fmt(formatter),
            Self::Day(day) => day.fmt(formatter),
        }
    }
}

impl From<Instant> for Timestamp {
    fn from(instant: Instant) -> Self {
        Self::Instant(instant)
    }
}

impl FromStr for Timestamp {
    type Err = ParseInstantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let reader = Reader(text.as_bytes());
        let read = reader.epoch().map_or_else(|| reader.timestamp(), Ok);
        read.map_err(|reason| ParseInstantError { given: shown(text), reason })
    }
}

/// An instant as text, on the stack.
#[derive(Clone, Copy, Debug)]
pub struct InstantText {
    /// ASCII.
    bytes: [u8; InstantText::LENGTH_MAX],
    length: usize,
}

impl InstantText {
    const LENGTH_MAX: usize = 24;

    /// Writes a number with this many digits.
    fn put(&mut self, place: usize, digits: usize, mut number: i64) {
        for byte in self.bytes[place..place + digits].iter_mut().rev() {
            *byte = b'0' + u8::try_from(number % 10).unwrap_or_default();
            number /= 10;
        }
    }
}

impl AsRef<str> for InstantText {
    fn as_ref(&self) -> &str {
        str::from_utf8(&self.bytes[..self.length]).unwrap_or_default()
    }
}

/// Error for a text that is not a timestamp: what is wrong with it, and what is accepted.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{given} is not a timestamp: {reason}. Accepted is ISO-8601, such as 2018-05-01T08:46:00Z, \
     2018-05-01T10:46:00.250+02:00 or 2018-05-01."
)]
pub struct ParseInstantError {
    given: String,
    reason: &'static str,
}

impl FromStr for Instant {
    type Err = ParseInstantError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse().map(Timestamp::in_utc)
    }
}

/// The rest of a timestamp that is still to be read.
#[derive(Clone, Copy)]
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    /// Returns the instant of a number of seconds or milliseconds, if the text is one. Numbers of other lengths are not
    /// read: they would be instants before 2001 or after 2286, or a date without its dashes.
    fn epoch(mut self) -> Option<Timestamp> {
        let (unit_ms, digits) = match self.number_length() {
            digits @ 10 => (1_000, digits),
            digits @ 13 => (1, digits),
            _ => return None,
        };
        let (whole, rest) = self.0.split_at(digits);
        let whole: i64 = str::from_utf8(whole).ok()?.parse().ok()?;
        self.0 = rest;
        let fraction_ms = if self.eat(b'.') { self.fraction_ms()? } else { 0 };
        let fraction_ms = if unit_ms == 1 { 0 } else { fraction_ms };
        self.0.is_empty().then_some(Timestamp::Instant(Instant(whole * unit_ms + fraction_ms)))
    }

    fn timestamp(mut self) -> Result<Timestamp, &'static str> {
        const DATE: &str = "a date is written YYYY-MM-DD, with a year from 0001 to 9999";
        const TIME: &str = "a time is written hh:mm, hh:mm:ss or hh:mm:ss.fff";
        if self.0.is_empty() {
            return Err("it is empty");
        }
        let year = self.digits(4).ok_or(DATE)?;
        let month = self.after(b'-', 2).ok_or(DATE)?;
        let day = self.after(b'-', 2).ok_or(DATE)?;
        if self.0.first().is_some_and(u8::is_ascii_digit) {
            return Err(DATE);
        }
        let year = i32::try_from(year).ok().filter(|year| *year > 0).ok_or(DATE)?;
        let date = NaiveDate::from_ymd_opt(year, month, day).ok_or("the calendar has no such day")?;

        if self.0.is_empty() {
            return Ok(Timestamp::Day(date));
        }
        if !(self.eat(b'T') || self.eat(b't') || self.eat(b' ')) {
            return Err("the date is followed by T or a space and a time, or by nothing");
        }
        let hour = self.digits(2).ok_or(TIME)?;
        let minute = self.after(b':', 2).ok_or(TIME)?;
        let second = if self.eat(b':') { self.digits(2).ok_or(TIME)? } else { 0 };
        if hour > 23 || minute > 59 || second > 59 {
            return Err("the day has no such time: hours go to 23, minutes and seconds to 59");
        }
        let seconds = i64::from(hour * 3600 + minute * 60 + second);
        let is_split = self.eat(b'.') || self.eat(b',');
        let fraction_ms = if is_split { self.fraction_ms().ok_or(TIME)? } else { 0 };
        let offset_s = self.offset_s()?;
        let time = TimeDelta::milliseconds(seconds * 1000 + fraction_ms);
        let local = date.and_time(NaiveTime::MIN) + time;
        let Some(offset_s) = offset_s else { return Ok(Timestamp::Local(local)) };
        let instant = Instant(local.and_utc().timestamp_millis() - offset_s * 1000);
        if instant < Instant::MIN || instant > Instant::MAX {
            return Err("in UTC its year is not from 0001 to 9999");
        }
        Ok(Timestamp::Instant(instant))
    }

    /// Returns the number of digits that come next.
    fn number_length(&self) -> usize {
        self.0.iter().take_while(|byte| byte.is_ascii_digit()).count()
    }

    fn eat(&mut self, byte: u8) -> bool {
        match self.0.split_first() {
            Some((first, rest)) if *first == byte => {
                self.0 = rest;
                true
            }
            _ => false,
        }
    }

    fn digits(&mut self, count: usize) -> Option<u32> {
        let (digits, rest) = self.0.split_at_checked(count)?;
        let number = digits.iter().try_fold(0, |number, digit| {
            digit.is_ascii_digit().then(|| number * 10 + u32::from(digit - b'0'))
        })?;
        self.0 = rest;
        Some(number)
    }

    fn after(&mut self, separator: u8, count: usize) -> Option<u32> {
        if self.eat(separator) { self.digits(count) } else { None }
    }

    /// Reads the milliseconds of a fraction of a second: digits beyond the third are cut off, not rounded.
    fn fraction_ms(&mut self) -> Option<i64> {
        let length = self.number_length();
        let (digits, rest) = self.0.split_at(length);
        self.0 = rest;
        let digit = |index: usize| digits.get(index).map_or(0, |digit| i64::from(digit - b'0'));
        (length > 0).then(|| digit(0) * 100 + digit(1) * 10 + digit(2))
    }

    /// Reads the seconds by which local time is ahead of UTC; `None` if the text has none. A space stands for the `+`
    /// that a client forgot to escape in a query string, or comes before an offset or `UTC`.
    fn offset_s(&mut self) -> Result<Option<i64>, &'static str> {
        const OFFSET: &str = "the time is followed by Z, by an offset such as +02:00, or by nothing";
        if self.0.is_empty() {
            return Ok(None);
        }
        let is_spaced = self.eat(b' ');
        if ["Z", "UTC"].iter().any(|name| self.0.eq_ignore_ascii_case(name.as_bytes())) {
            return Ok(Some(0));
        }
        let sign = if self.eat(b'-') {
            -1
        } else if self.eat(b'+') || is_spaced {
            1
        } else {
            return Err(OFFSET);
        };
        let hours = self.digits(2).ok_or(OFFSET)?;
        let minutes = if self.eat(b':') || !self.0.is_empty() { self.digits(2).ok_or(OFFSET)? } else { 0 };
        if !self.0.is_empty() || hours > 23 || minutes > 59 {
            return Err(OFFSET);
        }
        Ok(Some(sign * i64::from(hours * 3600 + minutes * 60)))
    }
}

#[cfg(test)]
mod tests {
    use chrono::SecondsFormat;
    use proptest::prelude::*;

    use super::*;

    fn ms(text: &str) -> i64 {
        text.parse::<Instant>().unwrap_or_else(|error| panic!("{error}")).ms()
    }

    #[test]
    fn every_accepted_form_is_the_same_instant() {
        let expected = 1_525_164_360_000; // 2018-05-01T08:46:00Z
        for text in [
            "2018-05-01T08:46:00Z",
            "2018-05-01t08:46:00z",
            "2018-05-01 08:46:00",
            "2018-05-01T08:46",
            "2018-05-01T08:46:00.000Z",
            "2018-05-01T08:46:00,0004",
            "2018-05-01T10:46:00+02:00",
            "2018-05-01T10:46:00 02:00",
            "2018-05-01T10:46:00+0200",
            "2018-05-01T10:46:00+02",
            "2018-04-30T22:46:00.0-10:00",
            "2018-05-01 08:46:00 UTC",
            "2018-05-01T08:46:00utc",
            "2018-05-01 08:46:00 Z",
            "2018-05-01 10:46:00 +02:00",
            "2018-04-30 22:46:00 -1000",
            "1525164360",
            "1525164360.0009",
            "1525164360000",
            "1525164360000.7",
        ] {
            assert_eq!(ms(text), expected, "{text}");
        }
        assert_eq!(ms("2018-05-01"), expected - (8 * 60 + 46) * 60_000);
    }

    #[test]
    fn only_texts_without_a_zone_are_local() {
        for (text, is_local) in [
            ("2018-05-01", true),
            ("2018-05-01T08:46:00", true),
            ("2018-05-01T08:46:00Z", false),
            ("2018-05-01T08:46:00 UTC", false),
            ("2018-05-01T08:46:00+00", false),
            ("1525164360", false),
        ] {
            let timestamp: Timestamp = text.parse().unwrap();
            assert_eq!(timestamp.local().is_some(), is_local, "{text}");
            assert_eq!(matches!(timestamp, Timestamp::Day(_)), text.len() == 10 && is_local, "{text}");
            assert_eq!(timestamp.in_utc().ms(), ms(text), "{text}");
        }
    }

    #[test]
    fn fractions_are_cut_off_at_the_millisecond() {
        assert_eq!(ms("1970-01-01T00:00:00.5"), 500);
        assert_eq!(ms("1970-01-01T00:00:00.0019999999999999999"), 1);
        assert_eq!(ms("1969-12-31T23:59:59.9999"), -1);
        assert_eq!(ms(&format!("1970-01-01T00:00:00.{}Z", "9".repeat(10_000))), 999);
    }

    #[test]
    fn an_invalid_timestamp_is_refused_with_the_reason() {
        for (text, reason) in [
            ("", "it is empty"),
            ("yesterday", "a date is written"),
            ("152516436", "a date is written"),
            ("20180501", "a date is written"),
            ("1525164360000000", "a date is written"),
            ("1525164360.", "a date is written"),
            ("1525164360.5 ", "a date is written"),
            ("-1525164360", "a date is written"),
            ("0000-01-01", "a year from 0001"),
            ("99999-01-01T00:00:00Z", "a date is written"),
            ("2018-13-01", "no such day"),
            ("2018-02-30T00:00:00Z", "no such day"),
            ("2018-02-280", "a date is written"),
            ("2018-02-28Z", "followed by T"),
            ("2018-02-28T", "a time is written"),
            ("2018-02-28T24:00:00Z", "no such time"),
            ("2018-02-28T23:59:60Z", "no such time"),
            ("2018-02-28T23:59:59.Z", "a time is written"),
            ("2018-02-28T23:59:59ZZ", "followed by Z"),
            ("2018-02-28T23:59:59+24:00", "followed by Z"),
            ("2018-02-28T23:59:59+2", "followed by Z"),
            ("2018-02-28T23:59:59 CET", "followed by Z"),
            ("2018-02-28T23:59:59  UTC", "followed by Z"),
            ("2018-02-28T23:59:59UTC+1", "followed by Z"),
            ("2018-02-28T23:59:59 ", "followed by Z"),
            ("0001-01-01T00:00:00+01:00", "not from 0001 to 9999"),
            ("2018-02-28\0", "followed by T"),
            ("２０１８-02-28", "a date is written"),
        ] {
            let error = text.parse::<Instant>().unwrap_err().to_string();
            assert!(error.contains(reason), "{text:?} gave: {error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_an_instant_or_refused_briefly(
            text in "\\PC*|[0-9]{3,5}-[0-9]{1,3}-[0-9]{1,3}([Tt ][0-9:.,]{0,14}([Zz+-][0-9:]{0,6})?)?|[0-9TtZz:.,+ -]{0,40}"
        ) {
            match text.parse::<Instant>() {
                // An accepted instant is in the range, and its text is read as the same instant.
                Ok(instant) => {
                    prop_assert!((Instant::MIN..=Instant::MAX).contains(&instant));
                    prop_assert_eq!(instant.to_string().parse::<Instant>().ok(), Some(instant));
                }
                Err(error) => prop_assert!(error.to_string().len() < 500, "{}", error),
            }
        }
    }

    proptest! {
        #[test]
        fn its_text_is_as_in_the_standard(
            ms in Instant::MIN.ms()..=Instant::MAX.ms(),
            whole in any::<bool>(),
        ) {
            let ms = if whole { ms - ms.rem_euclid(1_000) } else { ms };
            let precision = if ms % 1_000 == 0 { SecondsFormat::Secs } else { SecondsFormat::Millis };
            let expected = DateTime::from_timestamp_millis(ms).unwrap().to_rfc3339_opts(precision, true);
            prop_assert_eq!(Instant::from_ms(ms).to_string(), expected);
        }
    }

    #[test]
    fn the_error_for_a_long_text_is_short() {
        let error = "2".repeat(10_000).parse::<Instant>().unwrap_err().to_string();
        assert!(error.len() < 300, "{error}");
    }

    #[test]
    fn the_ends_of_the_range_are_written_as_they_are_read() {
        for text in ["0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999Z", "1969-12-31T23:59:59.001Z"] {
            assert_eq!(text.parse::<Instant>().unwrap().to_string(), text);
        }
        assert_eq!(ms("0001-01-01"), Instant::MIN.ms());
        assert_eq!(ms("9999-12-31T23:59:59.999"), Instant::MAX.ms());
    }
}
