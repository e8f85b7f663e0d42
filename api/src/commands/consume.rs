//! `headcount consume`: records what devices publish to NATS JetStream.

use anyhow::Context;

use super::process::{has_stopped, open, stop, urls};
use crate::app::{App, Options};
use crate::auth::Settings;
use crate::broker::BrokerConfig;
use crate::clock::Clock;
use crate::config::{Listen, Place, size};
use crate::database::{Database, DatabaseConfig, PoolConfig};
use crate::http::server;
use crate::ingest::EventsConfig;
use crate::limits::Limits;
use crate::tasks::Tasks;
use crate::telemetry::{self, TelemetryConfig};
use crate::timelines::CACHE_BYTES;

/// How to consume without serving.
#[derive(Clone, Debug, clap::Args)]
pub struct ConsumeConfig {
    /// Where the data is.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// Where events come from.
    #[command(flatten)]
    pub broker: BrokerConfig,
    /// Which events are taken in.
    #[command(flatten)]
    pub events: EventsConfig,
    /// An address or a host, and a port, or `systemd`, to answer `/healthz`, `/readyz` and `/metrics` on; nothing is listened on without
    #[arg(long, env = "STATUS_LISTEN", value_name = "ADDRESS:PORT")]
    pub status_listen: Option<Listen>,
    /// How operators are told.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// How many bytes of timelines to keep in memory
    #[arg(long, env = "CACHE_BYTES", value_name = "BYTES", default_value_t = CACHE_BYTES, hide = true,
        value_parser = size(0..=u64::MAX))]
    pub cache_bytes: u64,
}

/// Consumes until the process is asked to stop.
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
    tracing::info!("recording into {database}");
    // Who reaches the metrics from another machine shows a token, as everywhere.
    let open_without_tokens = place.as_ref().is_some_and(Place::is_loopback);
    let listeners = match place {
        Some(place) => Some(place.listen().await?),
        None => None,
    };
    let auth = Settings { open_without_tokens, ..Settings::default() };
    let earliest_event = config.events.earliest_event;
    let options = Options { auth, earliest_event, tasks: tasks.clone(), ..Options::new(config.cache_bytes) };
    let (app, recording) = App::start_with(database, Clock::system(), options);
    let stopped = stop(tasks);
    let consuming = app.consume(config.broker, stopped.clone());
    if let Some(listeners) = listeners {
        tracing::info!("/healthz, /readyz and /metrics on {}", urls(&listeners)?);
        let site = server::status_site(&app);
        let limits = Limits::default();
        let served = server::serve(listeners, app, site, recording, &limits, stopped.cancelled()).await;
        consuming.done.await.context("the consumer failed")??;
        has_stopped(served)?;
    } else {
        let ended = consuming.done.await.context("the consumer failed")?;
        drop(app);
        recording.await.context("the recorder failed")?;
        ended?;
    }
    Ok(())
}
