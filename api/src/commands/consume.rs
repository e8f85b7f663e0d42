//! `headcount consume`: records what devices publish to NATS JetStream, or to any MQTT broker.

use anyhow::Context;
use futures::FutureExt;
use futures::future::BoxFuture;
use tokio_util::sync::CancellationToken;

use super::process::{LOG, has_stopped, open, stop, urls};
use crate::app::{App, Options};
use crate::auth::AuthSettings;
use crate::broker::BrokerConfig;
use crate::clock::Clock;
use crate::config::{Listen, Place, size};
use crate::database::{Database, DatabaseConfig, PoolConfig};
use crate::http::server;
use crate::ingest::EventsConfig;
use crate::limits::Limits;
use crate::mqtt::MqttConfig;
use crate::tasks::Tasks;
use crate::telemetry::{self, TelemetryConfig};
use crate::timelines::CACHE_BYTES;

/// Options of `headcount consume`.
#[derive(Clone, Debug, clap::Args)]
#[command(mut_arg("mqtt_url", |arg| arg.conflicts_with("nats_url")))]
pub struct ConsumeConfig {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// NATS.
    #[command(flatten)]
    pub broker: BrokerConfig,
    /// MQTT, instead of NATS.
    #[command(flatten)]
    pub mqtt: MqttConfig,
    /// Accepted events.
    #[command(flatten)]
    pub events: EventsConfig,
    /// Answer `/healthz`, `/readyz` and `/metrics` on this address or host and port, or on the sockets of `systemd`;
    /// without it, nothing is listened on
    #[arg(long, env = "STATUS_LISTEN", value_name = "ADDRESS:PORT")]
    pub status_listen: Option<Listen>,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// Keep at most this many bytes of timelines in memory
    #[arg(long, env = "CACHE_BYTES", value_name = "BYTES", default_value_t = CACHE_BYTES, hide = true,
        value_parser = size(0..=u64::MAX))]
    pub cache_bytes: u64,
}

pub(super) async fn run(config: ConsumeConfig) -> anyhow::Result<()> {
    let telemetry = telemetry::start(&config.telemetry)?;
    let tasks = Tasks::default();
    telemetry::keep_tidy(&tasks);
    let database = open(&config.database, Some(PoolConfig::default())).await?;
    let ended = database.closed_after(async |database| consume_into(database, config, &tasks).await).await;
    tasks.check()?;
    ended?;
    telemetry.finish().await;
    Ok(())
}

async fn consume_into(database: Database, config: ConsumeConfig, tasks: &Tasks) -> anyhow::Result<()> {
    let place = match &config.status_listen {
        Some(listen) => Some(listen.find().await?),
        None => None,
    };
    tracing::info!(target: LOG, "recording into {database}");
    // Clients on other machines need a token for the metrics, as everywhere.
    let open_without_tokens = place.as_ref().is_some_and(Place::is_loopback);
    let listeners = match place {
        Some(place) => Some(place.listen().await?),
        None => None,
    };
    let auth = AuthSettings { open_without_tokens, ..AuthSettings::default() };
    let earliest_event = config.events.earliest_event;
    let options = Options { auth, earliest_event, tasks: tasks.clone(), ..Options::new(config.cache_bytes) };
    let (app, recording) = App::start_with(database, Clock::system(), options);
    let stopped = stop(tasks);
    let done = consumer(&app, config.broker, config.mqtt, stopped.clone());
    if let Some(listeners) = listeners {
        tracing::info!(target: LOG, "/healthz, /readyz and /metrics on {}", urls(&listeners)?);
        let site = server::status_site(&app);
        let limits = Limits::default();
        let served = server::serve(listeners, app, site, recording, &limits, stopped.cancelled()).await;
        done.await?;
        has_stopped(served)?;
    } else {
        let ended = done.await;
        drop(app);
        recording.await.context("the recorder failed")?;
        ended?;
    }
    Ok(())
}

/// Starts the consumer, and returns what ends with it.
fn consumer(
    app: &App,
    broker: BrokerConfig,
    mqtt: MqttConfig,
    stop: CancellationToken,
) -> BoxFuture<'static, anyhow::Result<()>> {
    if mqtt.mqtt_url.is_some() {
        let done = app.consume_mqtt(mqtt, stop).done;
        return async move { Ok(done.await.context("the consumer failed")??) }.boxed();
    }
    let done = app.consume(broker, stop).done;
    async move { Ok(done.await.context("the consumer failed")??) }.boxed()
}
