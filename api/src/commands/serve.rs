//! `headcount serve`: GraphQL and REST.

use std::time::Duration;

use anyhow::Context;
use clap::builder::BoolishValueParser;

use super::process::{LOG, has_stopped, open, stop, urls};
use crate::app::{App, Options};
use crate::auth::AuthConfig;
use crate::broker::BrokerConfig;
use crate::clock::Clock;
use crate::config::{Listen, size};
use crate::database::{Database, DatabaseConfig, PoolConfig};
use crate::http::server;
use crate::ids::{IdsConfig, PublicIds};
use crate::ingest::EventsConfig;
use crate::limits::Limits;
use crate::mqtt::MqttConfig;
use crate::retention::Age;
use crate::tasks::Tasks;
use crate::telemetry::{self, TelemetryConfig};
use crate::timelines::CACHE_BYTES;

/// Options of `headcount serve`.
#[derive(Clone, Debug, clap::Args)]
pub struct ServeConfig {
    /// The database.
    #[command(flatten)]
    pub database: DatabaseConfig,
    /// Read timelines and events from this standby of the PostgreSQL database, while it has all that this process knows
    /// of them; everything else is read from the database itself
    #[arg(long, env = "DATABASE_READ_URL", value_name = "URL", hide_env_values = true)]
    pub database_read_url: Option<String>,
    /// Listen on this address or host and port: `127.0.0.1:8000`, `[::1]:8000`, `localhost:8000`; or `systemd` for the
    /// sockets of a socket unit
    #[arg(long, env = "LISTEN", value_name = "ADDRESS:PORT", default_value = "127.0.0.1:8000")]
    pub listen: Listen,
    /// Keep at most this many bytes of timelines in memory, such as 268435456, 256MB or 1GiB; a DPU's day takes 2 to 3
    /// bytes per crossing, and about 400 more
    #[arg(long, env = "CACHE_BYTES", value_name = "BYTES", default_value_t = CACHE_BYTES, value_parser = size(0..=u64::MAX))]
    pub cache_bytes: u64,
    /// Prune events that are older than this, each hour; an age in whole days or weeks, such as 400d or 8w
    #[arg(long, env = "PRUNE_OLDER_THAN", value_name = "AGE")]
    pub prune_older_than: Option<Age>,
    /// Accepted events.
    #[command(flatten)]
    pub events: EventsConfig,
    /// Connections to the database, and time limits.
    #[command(flatten)]
    pub pool: PoolConfig,
    /// Public ids.
    #[command(flatten)]
    pub ids: IdsConfig,
    /// Logs and traces.
    #[command(flatten)]
    pub telemetry: TelemetryConfig,
    /// Also record events from NATS JetStream, as `headcount consume` does
    #[arg(long, env = "CONSUME", value_parser = BoolishValueParser::new())]
    pub consume: bool,
    /// The broker.
    #[command(flatten)]
    pub broker: BrokerConfig,
    /// MQTT.
    #[command(flatten)]
    pub mqtt: MqttConfig,
    /// Limits on clients.
    #[command(flatten)]
    pub limits: Limits,
    /// Authentication.
    #[command(flatten)]
    pub auth: AuthConfig,
}

pub(super) async fn run(config: ServeConfig) -> anyhow::Result<()> {
    let telemetry = telemetry::start(&config.telemetry)?;
    let ids = PublicIds::new(&config.ids)?;
    let tasks = Tasks::default();
    telemetry::keep_tidy(&tasks);
    let database = open(&config.database, Some(config.pool)).await?;
    let ended = database.closed_after(async |database| serve_from(database, config, ids, &tasks).await).await;
    // What a panic has brought about says less than the panic.
    tasks.check()?;
    ended?;
    telemetry.finish().await;
    Ok(())
}

async fn serve_from(
    mut database: Database,
    config: ServeConfig,
    ids: PublicIds,
    tasks: &Tasks,
) -> anyhow::Result<()> {
    if let Some(url) = &config.database_read_url {
        database = database.with_standby(url, config.pool, tasks).await?;
    }
    let place = config.listen.find().await?;
    let (clock, settings) = (Clock::system(), config.auth.settings(place.is_loopback()));
    settings.check(&database, &clock, &place.to_string()).await?;
    let listeners = place.listen().await?;
    tracing::info!(target: LOG,
        "serving from {database} on {}: /graphiql to explore, /graphql, /space/ID/count",
        urls(&listeners)?
    );

    let work_max = Duration::from_millis(config.limits.request_work_ms.into());
    let options = Options {
        memory_bytes: config.cache_bytes,
        work_max,
        earliest_event: config.events.earliest_event,
        ids,
        auth: settings,
        tasks: tasks.clone(),
    };
    let (app, recording) = App::start_with(database, clock, options);
    let schedule = app.schedule(config.prune_older_than);
    let stopped = stop(tasks);
    let consuming = config.consume.then(|| app.consume(config.broker, stopped.clone()));
    let consuming_mqtt =
        config.mqtt.mqtt_url.is_some().then(|| app.consume_mqtt(config.mqtt, stopped.clone()));
    let site = server::site(&app, &config.limits);
    let stopping = async {
        stopped.cancelled().await;
        // A running prune would delay events that were received. The next one continues where this one was stopped.
        drop(schedule);
    };
    let served = server::serve(listeners, app, site, recording, &config.limits, stopping).await;
    if let Some(consuming) = consuming {
        consuming.done.await.context("the consumer failed")??;
    }
    if let Some(consuming) = consuming_mqtt {
        consuming.done.await.context("the consumer failed")??;
    }
    has_stopped(served)
}
