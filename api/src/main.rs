//! The command line; nothing else.

use std::io::{Write, stderr, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use api::app::{App, Options};
use api::auth::{Settings, TokenCommand};
use api::broker::{self, ConsumeConfig, DeadLetterArgs};
use api::clock::Clock;
use api::config::{self, DatabaseConfig, Place, ServeConfig};
use api::database::{Database, PoolConfig, explained};
use api::ids::{IdsConfig, PublicIds};
use api::limits::Limits;
use api::retention::{self, Age, Pruned, Schedule};
use api::server::Stopped;
use api::tasks::Tasks;
use api::telemetry::{self, TelemetryConfig};
use api::{graphql, server, verify};
use clap::{Args, Parser, Subcommand};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many people are in a space, now or at any instant of the past.
#[derive(Debug, Parser)]
#[command(name = "headcount", version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve GraphQL and REST (the default); migrates the database first
    Serve(Box<Serve>),
    /// Record the events that devices publish to NATS JetStream; migrates the database first
    ///
    /// Any number of processes may do so at once. To serve and consume in one process, use `serve --consume`.
    Consume(Box<Consume>),
    /// List messages that could not be recorded, and replay them
    #[command(name = "deadletter")]
    DeadLetter(DeadLetterArgs),
    /// Bring the database's schema up to date, and exit
    Migrate(Migrate),
    /// Print the GraphQL schema
    Schema,
    /// Compute every tally again from the events, and check every rule that the data must keep
    ///
    /// Prints one line per problem. The exit code is 1 if there is a problem that was not repaired.
    Verify(Verify),
    /// Delete events that are older than an age, and keep how many people crossed until the end of each hour
    ///
    /// Later counts stay exact. Earlier counts are exact to the hour, and earlier events are no longer accepted.
    Prune(Prune),
    /// Create, list and revoke the tokens by which people and programs authenticate
    Token(Token),
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    config: ServeConfig,
}

#[derive(Debug, Args)]
struct Consume {
    #[command(flatten)]
    config: ConsumeConfig,
}

#[derive(Debug, Args)]
struct Migrate {
    #[command(flatten)]
    config: DatabaseConfig,
}

#[derive(Debug, Args)]
struct Verify {
    #[command(flatten)]
    config: DatabaseConfig,
    /// Repair the tallies that are wrong, in one transaction that blocks writers
    #[arg(long)]
    repair: bool,
}

#[derive(Debug, Args)]
struct Prune {
    #[command(flatten)]
    config: DatabaseConfig,
    /// Prune events that are older than this, in whole days or weeks, such as 400d or 8w; the UTC day in which the age
    /// ends is kept
    #[arg(long, value_name = "AGE")]
    older_than: Age,
}

#[derive(Debug, Args)]
struct Token {
    #[command(flatten)]
    config: DatabaseConfig,
    #[command(flatten)]
    ids: IdsConfig,
    #[command(subcommand)]
    command: TokenCommand,
}

#[tokio::main]
async fn main() -> ExitCode {
    run().await.unwrap_or_else(|error| {
        writeln!(stderr(), "Error: {}", told(&error)).ok();
        ExitCode::FAILURE
    })
}

/// Returns the error and its causes, each once: some errors include their causes.
fn told(error: &anyhow::Error) -> String {
    let mut told = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if !told.contains(&cause) {
            told.push_str(if told.is_empty() { "" } else { ": " });
            told.push_str(&cause);
        }
    }
    told
}

async fn run() -> anyhow::Result<ExitCode> {
    let cli: Cli = config::parse()?;
    match cli.command.unwrap_or(Command::Serve(Box::new(cli.serve))) {
        Command::Serve(serve) => self::serve(serve.config).await?,
        Command::Consume(consume) => self::consume(consume.config).await?,
        Command::DeadLetter(arguments) => {
            return Ok(if arguments.run(&mut stdout()).await? {
                ExitCode::SUCCESS
            } else {
                ExitCode::FAILURE
            });
        }
        Command::Migrate(migrate) => {
            let telemetry = telemetry::start(&TelemetryConfig::default())?;
            let database = open(&migrate.config, None).await?;
            database.closed_after(async |_| anyhow::Ok(())).await?;
            tracing::info!("the database's schema is up to date");
            telemetry.finish().await;
        }
        Command::Schema => {
            stdout().write_all(graphql::sdl().as_bytes()).context("cannot write the schema")?;
        }
        Command::Verify(arguments) => {
            let database = Database::connect(&arguments.config.database_url).await?;
            let tell = |finding: &verify::Finding| writeln!(stdout(), "{finding}");
            let verify = async |database| verify::verify(&database, arguments.repair, tell).await;
            let verdict = database.closed_after(verify).await?;
            writeln!(stdout(), "{verdict}").context("cannot write the verdict")?;
            return Ok(if verdict.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Prune(arguments) => {
            let telemetry = telemetry::start(&TelemetryConfig::default())?;
            let database = open(&arguments.config, None).await?;
            let until = arguments.older_than.before(Clock::system().now());
            let prune = async |database| retention::prune(&database, until).await;
            let pruned = database.closed_after(prune).await?;
            let Pruned { horizon, events } = pruned.context("another process is pruning this database")?;
            writeln!(stdout(), "events before {horizon} have been pruned: {events} of them just now")
                .context("cannot write what was pruned")?;
            telemetry.finish().await;
        }
        Command::Token(token) => {
            let ids = PublicIds::new(&token.ids)?;
            let database = open(&token.config, Some(PoolConfig::default())).await?;
            let run = async |database| {
                token.command.run(&database, &ids, &Clock::system(), &mut stdout(), &mut stderr()).await
            };
            database.closed_after(run).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: ServeConfig) -> anyhow::Result<()> {
    let telemetry = telemetry::start(&config.telemetry)?;
    let ids = PublicIds::new(&config.ids)?;
    let tasks = Tasks::default();
    telemetry::keep_tidy(&tasks);
    let database = open(&config.database, Some(config.pool)).await?;
    let ended = database.closed_after(async |database| serve_from(database, config, ids, &tasks).await).await;
    // A panic explains more than the errors that follow from it.
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
    tracing::info!(
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
    let schedule = Schedule::start(&app, config.prune_older_than);
    let stopped = stop(tasks);
    let consuming =
        config.broker.consume.then(|| broker::consume(config.broker.broker, &app, stopped.clone()));
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
    has_stopped(served)
}

async fn consume(config: ConsumeConfig) -> anyhow::Result<()> {
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
    // Clients on other machines need a token for the metrics, as everywhere.
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
    let consuming = broker::consume(config.broker, &app, stopped.clone());
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

/// Returns the URLs of these listeners.
fn urls(listeners: &[TcpListener]) -> anyhow::Result<String> {
    let urls = listeners.iter().map(|listener| Ok(format!("http://{}", listener.local_addr()?)));
    Ok(urls.collect::<anyhow::Result<Vec<_>>>()?.join(" and "))
}

fn has_stopped(how: Stopped) -> anyhow::Result<()> {
    match how {
        Stopped::Finished => tracing::info!("stopped; all requests are finished"),
        Stopped::Dropped => {
            tracing::info!("stopped; some requests were dropped, but all received events are recorded");
        }
        Stopped::Unrecorded => anyhow::bail!(
            "stopped before all received events were written: they were not acknowledged, so clients will resend them"
        ),
    }
    Ok(())
}

/// Opens the database and brings its schema up to date. Without `pool`, statements may take any time.
async fn open(config: &DatabaseConfig, pool: Option<PoolConfig>) -> anyhow::Result<Database> {
    let database = match pool {
        Some(pool) => Database::connect_with(&config.database_url, pool).await?,
        None => Database::connect(&config.database_url).await?,
    };
    if let Err(error) = database.migrate().await {
        anyhow::bail!("cannot bring the database's schema up to date: {}", explained(&error));
    }
    Ok(database)
}

/// Returns a token that is cancelled when the process is told to stop, or a background task has panicked.
fn stop(tasks: &Tasks) -> CancellationToken {
    let interrupted = tokio::signal::ctrl_c();
    #[cfg(unix)]
    let terminated = async {
        match tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()) {
            Ok(mut signal) => signal.recv().await,
            Err(_) => std::future::pending().await,
        }
    };
    #[cfg(not(unix))]
    let terminated = std::future::pending::<Option<()>>();
    let stopped = CancellationToken::new();
    let (token, tasks) = (stopped.clone(), tasks.clone());
    tokio::spawn(async move {
        tokio::select! {
            _ = interrupted => {}
            _ = terminated => {}
            () = tasks.panicked() => {}
        }
        tracing::info!("stopping");
        token.cancel();
    });
    stopped
}
