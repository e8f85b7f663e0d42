//! The streams and the consumer: created if missing, and never changed.
//!
//! What an operator has created or changed stays as it is. [`prepare`] returns warnings of differences that matter, and
//! an error if events could not be recorded at all.

use async_nats::jetstream::consumer::{self, AckPolicy, PullConsumer, ReplayPolicy, pull};
use async_nats::jetstream::context::{ConsumerInfoErrorKind, CreateStreamErrorKind, GetStreamErrorKind};
use async_nats::jetstream::stream::{
    self, ConsumerCreateStrictErrorKind, DiscardPolicy, RetentionPolicy, StorageType, Stream,
};
use async_nats::jetstream::{Context, Error, ErrorCode};

use super::subject::covers;
use super::{BrokerConfig, BrokerError};

/// Maximum number of unacknowledged messages of all processes together. With 100,000, nats-server 2.9 delivers a
/// backlog at less than half the speed; later versions are as fast with both.
const ACK_PENDING_MAX: i64 = 20_000;

#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) consumer: PullConsumer,
    pub(super) warnings: Vec<String>,
}

/// Creates the streams and the consumer if missing, and checks that they can be used.
pub(super) async fn prepare(jetstream: &Context, config: &BrokerConfig) -> Result<Prepared, BrokerError> {
    if config.nats_stream == config.nats_dead_letters {
        return unusable(format!(
            "the stream of events and the stream of dead letters have the same name, {}: use two streams",
            config.nats_stream
        ));
    }
    let mut warnings = Vec::new();
    let events = ensure(jetstream, events(config)).await?;
    check_events(config, &events.cached_info().config, &mut warnings)?;
    let dead = ensure(jetstream, dead_letters(config)).await?;
    check_dead_letters(config, &dead.cached_info().config, &mut warnings)?;
    let consumer = ensure_consumer(&events, config).await?;
    check_consumer(config, &consumer.config, &mut warnings)?;
    let consumer = events.get_consumer(&config.nats_consumer);
    let consumer = consumer.await.map_err(BrokerError::failed("find the consumer"))?;
    Ok(Prepared { consumer, warnings })
}

/// Returns the stream of events: it keeps a message until it is acknowledged, however long that takes, and refuses
/// messages when it is full.
fn events(config: &BrokerConfig) -> stream::Config {
    stream::Config {
        name: config.nats_stream.clone(),
        description: Some(
            "Headcount: events that DPUs have published and that are not recorded yet".to_owned(),
        ),
        subjects: vec![config.nats_prefix.events()],
        retention: RetentionPolicy::WorkQueue,
        storage: StorageType::File,
        discard: DiscardPolicy::New,
        num_replicas: config.nats_replicas.into(),
        ..stream::Config::default()
    }
}

/// Returns the stream of dead letters: it keeps them until an operator replays or removes them.
pub(super) fn dead_letters(config: &BrokerConfig) -> stream::Config {
    stream::Config {
        name: config.nats_dead_letters.clone(),
        description: Some("Headcount: messages that could not be recorded, and why".to_owned()),
        subjects: vec![config.nats_prefix.dead_letters()],
        retention: RetentionPolicy::Limits,
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
    match jetstream.get_stream(&name).await {
        Ok(stream) => return Ok(stream),
        Err(error) => match error.kind() {
            GetStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NOT_FOUND => {}
            GetStreamErrorKind::JetStream(cause) => {
                return Err(refused(&format!("look for the stream {name}"), &cause));
            }
            _ => return Err(BrokerError::failed("look for a stream (is JetStream enabled?)")(error)),
        },
    }
    match jetstream.create_stream(wanted).await {
        Ok(stream) => {
            tracing::info!("created the stream {name}");
            Ok(stream)
        }
        Err(error) => match error.kind() {
            CreateStreamErrorKind::JetStream(cause) if cause.error_code() == ErrorCode::STREAM_NAME_EXIST => {
                // Another process has created it meanwhile.
                jetstream.get_stream(&name).await.map_err(BrokerError::failed("look for a stream"))
            }
            CreateStreamErrorKind::JetStream(cause) => {
                Err(refused(&format!("create the stream {name}"), &cause))
            }
            _ => Err(BrokerError::failed("create a stream")(error)),
        },
    }
}

async fn ensure_consumer(events: &Stream, config: &BrokerConfig) -> Result<consumer::Info, BrokerError> {
    let name = &config.nats_consumer;
    match events.consumer_info(name).await {
        Ok(info) => return Ok(info),
        Err(error) if error.kind() == ConsumerInfoErrorKind::NotFound => {}
        Err(error) => return Err(BrokerError::failed("look for the consumer")(error)),
    }
    match events.create_consumer_strict(durable(config)).await {
        Ok(_) => tracing::info!("created the consumer {name} of the stream {}", config.nats_stream),
        Err(error) => match error.kind() {
            ConsumerCreateStrictErrorKind::AlreadyExists => {}
            ConsumerCreateStrictErrorKind::JetStream(cause) => {
                return Err(refused(
                    &format!("create the consumer {name} of the stream {}", config.nats_stream),
                    &cause,
                ));
            }
            _ => return Err(BrokerError::failed("create the consumer")(error)),
        },
    }
    events.consumer_info(name).await.map_err(BrokerError::failed("look for the consumer"))
}

fn check_events(
    config: &BrokerConfig,
    found: &stream::Config,
    warnings: &mut Vec<String>,
) -> Result<(), BrokerError> {
    let (name, wanted) = (&found.name, config.nats_prefix.events());
    let own = found.mirror.is_none() && found.sources.is_none();
    if own && !found.subjects.iter().any(|subject| covers(subject, &wanted)) {
        return unusable(format!(
            "the stream {name} does not take what DPUs publish to {wanted}, but {}: add that subject to it, or use \
             another stream or prefix",
            listed(&found.subjects)
        ));
    }
    check_stream(config, found, warnings);
    if found.no_ack {
        warnings
            .push(format!("the stream {name} acknowledges nothing: senders cannot know what it has stored"));
    }
    let limits = limits(found);
    if found.retention == RetentionPolicy::Limits && limits.is_empty() {
        warnings.push(format!(
            "the stream {name} also keeps recorded messages, and has no limit: it grows until the disk is full"
        ));
    }
    if !limits.is_empty() {
        warnings.push(format!(
            "the stream {name} drops old messages ({}): events that are not recorded by then are lost",
            limits.join(", ")
        ));
    }
    Ok(())
}

fn check_dead_letters(
    config: &BrokerConfig,
    found: &stream::Config,
    warnings: &mut Vec<String>,
) -> Result<(), BrokerError> {
    let (name, wanted) = (&found.name, config.nats_prefix.dead_letters());
    if !found.subjects.iter().any(|subject| covers(subject, &wanted)) {
        return unusable(format!(
            "the stream {name} does not take dead letters, published to {wanted}, but {}: add that subject to it, or \
             use another stream",
            listed(&found.subjects)
        ));
    }
    check_stream(config, found, warnings);
    if found.no_ack {
        return unusable(format!(
            "the stream {name} acknowledges nothing: Headcount cannot know whether a dead letter was stored"
        ));
    }
    let limits = limits(found);
    if !limits.is_empty() {
        warnings.push(format!("the stream {name} drops old dead letters ({})", limits.join(", ")));
    }
    if found.deny_delete {
        warnings.push(format!(
            "the stream {name} forbids deleting messages: dead letters stay in it after they are replayed"
        ));
    }
    Ok(())
}

fn check_stream(config: &BrokerConfig, found: &stream::Config, warnings: &mut Vec<String>) {
    let name = &found.name;
    if found.storage == StorageType::Memory {
        warnings.push(format!(
            "the stream {name} is stored in memory only: a restart of NATS loses its messages"
        ));
    }
    if found.num_replicas < config.nats_replicas.into() {
        warnings.push(format!(
            "the stream {name} is stored on {} of the cluster's servers, not on {}",
            found.num_replicas, config.nats_replicas
        ));
    }
}

/// Returns the limits by which the stream drops old messages.
fn limits(found: &stream::Config) -> Vec<String> {
    let mut limits = Vec::new();
    if !found.max_age.is_zero() {
        limits.push(format!("after {:?}", found.max_age));
    }
    if found.discard == DiscardPolicy::Old {
        let bounds = [
            (found.max_messages, "messages"),
            (found.max_bytes, "bytes"),
            (found.max_messages_per_subject, "messages of a DPU"),
        ];
        limits.extend(
            bounds.iter().filter(|(most, _)| *most > 0).map(|(most, what)| format!("beyond {most} {what}")),
        );
    }
    limits
}

fn check_consumer(
    config: &BrokerConfig,
    found: &consumer::Config,
    warnings: &mut Vec<String>,
) -> Result<(), BrokerError> {
    let (name, wanted) = (&config.nats_consumer, config.nats_prefix.events());
    let instead = "use another name, so that a new one is created, or remove this one";
    if found.deliver_subject.is_some() {
        return unusable(format!(
            "the consumer {name} is a push consumer, but a pull consumer is needed: {instead}"
        ));
    }
    if found.ack_policy != AckPolicy::Explicit {
        return unusable(format!(
            "the consumer {name} does not require an acknowledgement of each message (its policy is {:?}), so events \
             could be lost: {instead}",
            found.ack_policy
        ));
    }
    if found.headers_only {
        return unusable(format!("the consumer {name} delivers headers without events: {instead}"));
    }
    let filters =
        || std::iter::once(&found.filter_subject).chain(&found.filter_subjects).filter(|f| !f.is_empty());
    if filters().next().is_some() && !filters().any(|filter| covers(filter, &wanted)) {
        let filters: Vec<_> = filters().cloned().collect();
        return unusable(format!(
            "the consumer {name} does not take what DPUs publish to {wanted}, but {}: {instead}",
            listed(&filters)
        ));
    }
    if found.max_deliver > 0 {
        warnings.push(format!(
            "the consumer {name} gives up a message after {} deliveries: events are lost if the database is down for \
             longer",
            found.max_deliver
        ));
    }
    if found.ack_wait != config.ack_wait() {
        warnings.push(format!(
            "the consumer {name} redelivers an unacknowledged message after {:?}, not after {:?}",
            found.ack_wait,
            config.ack_wait()
        ));
    }
    if (1..ACK_PENDING_MAX / 10).contains(&found.max_ack_pending) {
        warnings.push(format!(
            "the consumer {name} allows only {} unacknowledged messages of all processes together: that is slow",
            found.max_ack_pending
        ));
    }
    if found.replay_policy == ReplayPolicy::Original {
        warnings.push(format!("the consumer {name} delivers a backlog no faster than it was published"));
    }
    if found.memory_storage {
        warnings.push(format!(
            "the consumer {name} is stored in memory only: a restart of NATS redelivers all messages"
        ));
    }
    if !found.inactive_threshold.is_zero() {
        warnings.push(format!(
            "the consumer {name} is removed when it was not used for {:?}",
            found.inactive_threshold
        ));
    }
    Ok(())
}

/// Returns the error of a request that JetStream has refused; it is permanent if the request itself is wrong.
fn refused(doing: &str, cause: &Error) -> BrokerError {
    let never = [ErrorCode::JETSTREAM_NOT_ENABLED, ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT];
    if (400..500).contains(&cause.code()) || never.contains(&cause.error_code()) {
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

fn listed(subjects: &[String]) -> String {
    if subjects.is_empty() { "nothing".to_owned() } else { subjects.join(", ") }
}
