//! Subscriptions: which topics are recorded, and how their messages are read.

use std::str::FromStr;

use devices::{Format, UnknownFormat};
use rumqttc::{matches, valid_filter};

use crate::gateway::{Source, SourceError};

/// The name of Headcount's own format, beside those of devices.
const OWN: &str = "headcount";
/// What a filter begins with if several clients share its messages, before the name of their group.
const SHARED: &str = "$share/";

/// Topics, and how their messages are read.
#[derive(Clone, Debug, PartialEq)]
pub struct Subscription {
    /// The filter as the broker gets it.
    pub filter: String,
    pub reading: Reading,
}

/// How messages are read.
#[derive(Clone, Debug, PartialEq)]
pub enum Reading {
    /// As a device sends them.
    Device(Box<Source>),
    /// As Headcount's own events. The last level of the topic is the serial of an event that names none.
    Own,
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    #[error("{0:?} has no format: use FILTER=FORMAT, such as v3/+/devices/+/up=ttn")]
    NoFormat(String),
    #[error("{0:?} is not a filter of topics: + stands for a whole level, and # for all levels at the end")]
    Filter(String),
    #[error("{0}, {OWN}")]
    Format(#[from] UnknownFormat),
    #[error(transparent)]
    Source(#[from] SourceError),
    #[error("the format {OWN} has no settings")]
    OwnSettings,
}

impl Subscription {
    /// Returns whether it has this topic.
    pub(super) fn has(&self, topic: &str) -> bool {
        let filter = self.filter.strip_prefix(SHARED).and_then(|rest| rest.split_once('/'));
        matches(topic, filter.map_or(self.filter.as_str(), |(_, filter)| filter))
    }
}

impl FromStr for Subscription {
    type Err = SubscriptionError;

    fn from_str(text: &str) -> Result<Self, SubscriptionError> {
        let (filter, format) =
            text.split_once('=').ok_or_else(|| SubscriptionError::NoFormat(text.to_owned()))?;
        if !valid_filter(filter) {
            return Err(SubscriptionError::Filter(filter.to_owned()));
        }
        let (name, settings) = format.split_once('?').unwrap_or((format, ""));
        let reading = match name {
            OWN if settings.is_empty() => Reading::Own,
            OWN => return Err(SubscriptionError::OwnSettings),
            name => Reading::Device(Box::new(Source::parse(name.parse::<Format>()?, settings)?)),
        };
        Ok(Self { filter: filter.to_owned(), reading })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_subscription_names_topics_and_a_format() {
        let subscription: Subscription = "$share/all/gates/+/up=hourly?device=A&minutes=15".parse().unwrap();
        assert_eq!(subscription.filter, "$share/all/gates/+/up");
        let Reading::Device(source) = &subscription.reading else { panic!("{subscription:?}") };
        assert_eq!((source.format, source.settings.minutes), (Format::Hourly, Some(15)));
        assert!(subscription.has("gates/7/up") && !subscription.has("gates/7/down"));
        let own: Subscription = "dpu/#=headcount".parse().unwrap();
        assert!(own.reading == Reading::Own && own.has("dpu/1/events"));
        for (text, expected) in [
            ("v3/#", "\"v3/#\" has no format: use FILTER=FORMAT"),
            ("v3/#/up=ttn", "\"v3/#/up\" is not a filter of topics"),
            ("=ttn", "\"\" is not a filter of topics"),
            ("a=ttm", "unknown format \"ttm\": accepted are xovis, "),
            ("a=ttn?devise=1", "unknown setting \"devise\" of the format ttn"),
            ("a=headcount?device=1", "the format headcount has no settings"),
        ] {
            let error = text.parse::<Subscription>().unwrap_err().to_string();
            assert!(error.starts_with(expected), "{error}");
        }
        assert!("a=ttm".parse::<Subscription>().unwrap_err().to_string().ends_with(", hourly, headcount"));
    }
}
