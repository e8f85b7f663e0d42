//! The command line; nothing else.

use std::io::{Write, stderr, stdout};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use api::app::App;
use api::auth::TokenCommand;
use api::clock::Clock;
use api::coherence::Teller;
use api::config::{DatabaseConfig, ServeConfig};
use api::database::Database;
use api::{graphql, server, telemetry, verify};
use clap::{Args, Parser, Subcommand};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many people are in a space, now or at any instant of the past.
#[derive(Debug, Parser)]
#[command(version, about, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: Serve,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Serve GraphQL and REST (the default); migrates the database first
    Serve(Serve),
    /// Bring the database's schema up to date and leave
    Migrate(Migrate),
    /// Print the GraphQL schema
    Schema,
    /// Compute every tally again from the events and check every rule that the data must keep
    ///
    /// Prints what is wrong, a line each. The exit code is 1 if something is wrong and was not mended.
    Verify(Verify),
    /// Create, list and revoke the tokens by which people and programs are let in
    Token(Token),
}

#[derive(Debug, Args)]
struct Serve {
    #[command(flatten)]
    config: ServeConfig,
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
    /// Mend the tallies that are wrong, in one transaction that keeps writers out
    #[arg(long)]
    repair: bool,
}

#[derive(Debug, Args)]
struct Token {
    #[command(flatten)]
    config: DatabaseConfig,
    #[command(subcommand)]
    command: TokenCommand,
}

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let cli = Cli::parse();
    match cli.command.unwrap_or(Command::Serve(cli.serve)) {
        Command::Serve(serve) => self::serve(serve.config).await?,
        Command::Migrate(migrate) => {
            telemetry::start();
            open(&migrate.config).await?;
            tracing::info!("the database's schema is up to date");
        }
        Command::Schema => {
            stdout().write_all(graphql::sdl().as_bytes()).context("cannot write the schema")?;
        }
        Command::Verify(arguments) => {
            let database = Database::connect(&arguments.config.database_url).await?;
            let tell = |finding: &verify::Finding| writeln!(stdout(), "{finding}");
            let verdict = verify::verify(&database, arguments.repair, tell).await?;
            if arguments.repair {
                Teller::mended(&database).await.context("cannot tell running servers of the repair")?;
            }
            writeln!(stdout(), "{verdict}").context("cannot write the verdict")?;
            return Ok(if verdict.is_right() { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Token(token) => {
            let database = open(&token.config).await?;
            token.command.run(&database, &Clock::system(), &mut stdout(), &mut stderr()).await?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

async fn serve(config: ServeConfig) -> anyhow::Result<()> {
    telemetry::start();
    let database = open(&config.database).await?;
    let (clock, settings) = (Clock::system(), config.auth.settings(config.listen));
    settings.check(&database, &clock, config.listen).await?;
    let listener = tokio::net::TcpListener::bind(config.listen)
        .await
        .with_context(|| format!("cannot listen on {}", config.listen))?;
    let address = listener.local_addr()?;
    tracing::info!(
        "serving from {database} on http://{address}: /graphiql to explore, /graphql, /space/ID/count"
    );

    let (app, recording) = App::start_with(database, clock, config.cache_bytes, settings);
    let feed = Arc::clone(app.feed());
    let stopping = async move {
        stop().await;
        feed.stop();
    };
    let service = server::router(app).into_make_service_with_connect_info::<SocketAddr>();
    axum::serve(listener, service).with_graceful_shutdown(stopping).await?;
    // The router is gone, open sockets are closing, and with them goes the last clone of the app: what was
    // handed over is recorded now.
    recording.await.context("the recorder failed")
}

async fn open(config: &DatabaseConfig) -> anyhow::Result<Database> {
    let database = Database::connect(&config.database_url).await?;
    database.migrate().await.context("cannot bring the database's schema up to date")?;
    Ok(database)
}

/// Resolves when somebody asks the process to stop.
async fn stop() {
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
    tokio::select! {
        _ = interrupted => {}
        _ = terminated => {}
    }
    tracing::info!("stopping");
}
