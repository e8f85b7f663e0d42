//! The streams and the consumer: created if missing, and never changed.
//!
//! What an operator has created or changed stays as it is. [`prepare`] returns a warning of what can lose events, and
//! an error if events could not be recorded at all.

use async_nats::jetstream::consumer::{self, AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::{ConsumerInfoErrorKind, CreateStreamErrorKind};
use async_nats::jetstream::stream::{
    self, ConsumerCreateStrictErrorKind, DiscardPolicy, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{Context, Error, ErrorCode};

use super::subject::covers;
use super::{BrokerConfig, BrokerError};

/// Maximum number of unacknowledged messages of all processes together. With 100,000, nats-server 2.9 delivers a
/// backlog at less than half the speed; later versions are as fast with both.
const ACK_PENDING_MAX: i64 = 20_000;

/// Creates the streams and the consumer if missing, and checks that they can be used. Returns the consumer, and
/// warnings for the operator.
pub(super) async fn prepare(
    jetstream: &Context,
    config: &BrokerConfig,
) -> Result<(PullConsumer, Vec<String>), BrokerError> {
    if config.nats_stream == config.nats_dead_letters {
        return unusable(format!(
            "the stream of events and the stream of dead letters have the same name, {}: use two streams",
            config.nats_stream
        ));
    }
    let replicas = config.nats_replicas.into();
    let events = ensure(jetstream, events(config)).await?;
    let found = &events.cached_info().config;
    // A mirror, and a stream with sources, may be filled without subjects of its own.
    if found.mirror.is_none() && found.sources.is_none() {
        check_subjects(found, "what DPUs publish to", &config.nats_prefix.events())?;
    }
    let mut warnings = Vec::from_iter(stream_warning(found, replicas));
    let dead = ensure(jetstream, dead_letters(config)).await?;
    let found = &dead.cached_info().config;
    check_subjects(found, "dead letters, published to", &config.nats_prefix.dead_letters())?;
    if found.no_ack {
        return unusable(format!(
            "the stream {} acknowledges nothing: Headcount cannot know whether a dead letter was stored",
            found.name
        ));
    }
    warnings.extend(stream_warning(found, replicas));
    warnings.extend(check_consumer(config, &ensure_consumer(&events, config).await?.config)?);
    let consumer = events.get_consumer(&config.nats_consumer).await;
    Ok((consumer.map_err(BrokerError::failed("find the consumer"))?, warnings))
}

/// Returns the stream of events: it keeps a message until it is acknowledged, however long that takes.
fn events(config: &BrokerConfig) -> stream::Config {
    stream::Config {
        name: config.nats_stream.clone(),
        description: Some(
            "Headcount: events that DPUs have published and that are not recorded yet".to_owned(),
        ),
        subjects: vec![config.nats_prefix.events()],
        retention: RetentionPolicy::WorkQueue,
        ..stored(config)
    }
}

/// Returns the stream of dead letters: it keeps them until an operator replays or removes them.
fn dead_letters(config: &BrokerConfig) -> stream::Config {
    stream::Config {
        name: config.nats_dead_letters.clone(),
        description: Some("Headcount: messages that could not be recorded, and why".to_owned()),
        subjects: vec![config.nats_prefix.dead_letters()],
        ..stored(config)
    }
}

/// Returns what both streams have in common: they are stored in files, and refuse messages when they are full.
fn stored(config: &BrokerConfig) -> stream::Config {
    stream::Config {
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        num_replicas: config.nats_replicas.into(),
        ..stream::Config::default()
    }
}

fn durable(config: &BrokerConfig) -> pull::Config {
    pull::Config {
        durable_name: Some(config.nats_consumer.clone()),
        description: Some("Headcount: records events and acknowledges them after the commit".to_owned()),
        ack_policy: AckPolicy::Explicit,
        ack_wait: config.ack_wait(),
        // The database may be down for longer than any number of deliveries lasts.
        max_deliver: -1,
        filter_subject: config.nats_prefix.events(),
        max_ack_pending: ACK_PENDING_MAX,
        ..pull::Config::default()
    }
}

async fn ensure(jetstream: &Context, wanted: stream::Config) -> Result<Stream, BrokerError> {
    let name = wanted.name.clone();
    if let Ok(stream) = jetstream.get_stream(&name).await {
        return Ok(stream);
    }
    let stream = jetstream.get_or_create_stream(wanted).await.map_err(|error| match error.kind() {
        CreateStreamErrorKind::JetStream(cause) => refused(&format!("create the stream {name}"), &cause),
        _ => BrokerError::failed("create a stream (is JetStream enabled?)")(error),
    })?;
    tracing::info!("created the stream {name}");
    Ok(stream)
}

async fn ensure_consumer(events: &Stream, config: &BrokerConfig) -> Result<consumer::Info, BrokerError> {
    let BrokerConfig { nats_consumer: name, nats_stream, .. } = config;
    match events.consumer_info(name).await {
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {}
        found => return found.map_err(BrokerError::failed("look for the consumer")),
    }
    match events.create_consumer_strict(durable(config)).await {
        Ok(_) => tracing::info!("created the consumer {name} of the stream {nats_stream}"),
        Err(error) => match error.kind() {
            // Another process has created it meanwhile.
            ConsumerCreateStrictErrorKind::AlreadyExists => {}
            ConsumerCreateStrictErrorKind::JetStream(cause) => {
                let doing = format!("create the consumer {name} of the stream {nats_stream}");
                return Err(refused(&doing, &cause));
            }
            _ => return Err(BrokerError::failed("create the consumer")(error)),
        },
    }
    events.consumer_info(name).await.map_err(BrokerError::failed("look for the consumer"))
}

/// Checks that the stream takes what is published to this subject.
fn check_subjects(found: &stream::Config, published: &str, subject: &str) -> Result<(), BrokerError> {
    if found.subjects.iter().any(|taken| covers(taken, subject)) {
        return Ok(());
    }
    let taken = if found.subjects.is_empty() { "nothing".to_owned() } else { found.subjects.join(", ") };
    unusable(format!(
        "the stream {} does not take {published} {subject}, but {taken}: add that subject to it, or use another stream",
        found.name
    ))
}

/// Returns a warning if the stream can lose messages that it has stored.
fn stream_warning(found: &stream::Config, replicas: usize) -> Option<String> {
    let mut causes = Vec::new();
    if found.storage == StorageType::Memory {
        causes.push("is stored in memory only".to_owned());
    }
    if found.num_replicas < replicas {
        causes
            .push(format!("is stored on {} of the cluster's servers, not on {replicas}", found.num_replicas));
    }
    if !found.max_age.is_zero() {
        causes.push(format!("drops messages after {:?}", found.max_age));
    }
    let drops_any = found.discard == DiscardPolicy::Old && found.max_messages.max(found.max_bytes) > 0;
    if drops_any || (found.max_messages_per_subject > 0 && !found.discard_new_per_subject) {
        causes.push("drops old messages when it is full".to_owned());
    }
    warning("stream", &found.name, &causes)
}

/// Returns a warning if the consumer can lose events, or an error if it cannot be used.
fn check_consumer(config: &BrokerConfig, found: &consumer::Config) -> Result<Option<String>, BrokerError> {
    let (name, wanted) = (&config.nats_consumer, config.nats_prefix.events());
    let filters = std::iter::once(&found.filter_subject).chain(&found.filter_subjects);
    let filters: Vec<_> = filters.filter(|filter| !filter.is_empty()).map(String::as_str).collect();
    let problem = if found.deliver_subject.is_some() {
        "is a push consumer, but a pull consumer is needed".to_owned()
    } else if found.ack_policy != AckPolicy::Explicit {
        format!(
            "does not require an acknowledgement of each message (its policy is {:?}), so events could be lost",
            found.ack_policy
        )
    } else if found.headers_only {
        "delivers headers without events".to_owned()
    } else if !filters.is_empty() && !filters.iter().any(|filter| covers(filter, &wanted)) {
        format!("does not take what DPUs publish to {wanted}, but {}", filters.join(", "))
    } else {
        let mut causes = Vec::new();
        if found.max_deliver > 0 {
            causes.push(format!("gives up a message after {} deliveries", found.max_deliver));
        }
        if !found.inactive_threshold.is_zero() {
            causes.push(format!("is removed when it was not used for {:?}", found.inactive_threshold));
        }
        return Ok(warning("consumer", name, &causes));
    };
    unusable(format!(
        "the consumer {name} {problem}: use another name, so that a new one is created, or remove this one"
    ))
}

fn warning(kind: &str, name: &str, causes: &[String]) -> Option<String> {
    (!causes.is_empty()).then(|| format!("the {kind} {name} can lose events: it {}", causes.join(", and ")))
}

/// Returns the error of a request that JetStream has refused; it is permanent if the request itself is wrong.
fn refused(doing: &str, cause: &Error) -> BrokerError {
    let never = [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT];
    // Another process may have created it meanwhile, with other settings: the next attempt finds it.
    let is_permanent =
        (400..500).contains(&cause.code()) && cause.error_code() != ErrorCode::STREAM_NAME_EXIST;
    if is_permanent || never.contains(&cause.error_code()) {
        BrokerError::Unusable(format!("NATS refused to {doing}: {cause}"))
    } else {
        BrokerError::Failed {
            doing: "create a stream or a consumer",
            cause: format!("{doing}: {cause}").into(),
        }
    }
}

fn unusable<T>(sentence: String) -> Result<T, BrokerError> {
    Err(BrokerError::Unusable(sentence))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use clap::Parser;

    use super::*;

    /// The options of a process that consumes.
    #[derive(Parser)]
    struct Options {
        #[command(flatten)]
        broker: BrokerConfig,
    }

    #[test]
    fn settings_that_can_lose_events_give_a_warning() {
        let base = |discard| stream::Config {
            name: "EVENTS".to_owned(),
            num_replicas: 3,
            discard,
            ..Default::default()
        };
        let (new, old) = (base(DiscardPolicy::New), base(DiscardPolicy::Old));
        let full = "drops old messages when it is full";
        for (config, causes) in [
            (stream::Config { max_messages: 9, max_bytes: 9, ..new.clone() }, ""),
            (
                stream::Config { max_messages_per_subject: 9, discard_new_per_subject: true, ..new.clone() },
                "",
            ),
            (stream::Config { max_messages_per_subject: 9, ..new.clone() }, full),
            (stream::Config { max_messages: 9, ..old.clone() }, full),
            (stream::Config { max_bytes: 9, ..old.clone() }, full),
            (old, ""),
            (
                stream::Config {
                    storage: StorageType::Memory,
                    num_replicas: 1,
                    max_age: Duration::from_mins(1),
                    ..new
                },
                "is stored in memory only, and is stored on 1 of the cluster's servers, not on 3, and drops messages \
                 after 60s",
            ),
        ] {
            let expected =
                (!causes.is_empty()).then(|| format!("the stream EVENTS can lose events: it {causes}"));
            assert_eq!(stream_warning(&config, 3), expected, "{config:?}");
        }
    }

    #[test]
    fn a_consumer_that_can_lose_events_gives_a_warning() {
        let config = Options::parse_from(["headcount"]).broker;
        let good = consumer::Config { ack_policy: AckPolicy::Explicit, ..Default::default() };
        assert_eq!(check_consumer(&config, &good).unwrap(), None);
        let bad =
            consumer::Config { max_deliver: 5, inactive_threshold: Duration::from_mins(1), ..good.clone() };
        assert_eq!(
            check_consumer(&config, &bad).unwrap().as_deref(),
            Some(
                "the consumer headcount can lose events: it gives up a message after 5 deliveries, and is removed when \
                 it was not used for 60s"
            )
        );
        let headers = consumer::Config { headers_only: true, ..good };
        assert!(
            check_consumer(&config, &headers)
                .unwrap_err()
                .to_string()
                .contains("delivers headers without events: ")
        );
    }
}
