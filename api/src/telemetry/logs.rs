//! The log: a line an event, on standard error.
//!
//! A thread of its own writes. Whoever has something to say hands a line over and never waits: where lines come faster
//! than they can be written, some are lost, and counted.

use std::io::{BufWriter, IsTerminal, stderr};
use std::sync::OnceLock;

use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::TelemetryError;

/// How many lines may wait to be written.
const WAITING_LINES_MAX: usize = 16_384;

pub(super) type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// How a line is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Pretty,
    /// For programs: a JSON object
    Json,
}

/// What writes the log at the level of `RUST_LOG` (`info` unless set), until the guard goes.
pub(super) fn layer(format: LogFormat) -> Result<(Boxed, WorkerGuard), TelemetryError> {
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    layer_at(if wanted.trim().is_empty() { "info" } else { &wanted }, format)
}

/// The same at these levels.
pub(super) fn layer_at(wanted: &str, format: LogFormat) -> Result<(Boxed, WorkerGuard), TelemetryError> {
    let filter = EnvFilter::try_new(wanted).map_err(|error| TelemetryError::Level(error.to_string()))?;
    // Spans are not for the log: were they of interest here, each would cost something without any traces.
    let filter = FilterExt::<Registry>::and(
        filter,
        filter_fn(|metadata| !metadata.is_span() && !may_tell_secrets(metadata)),
    );
    let builder = NonBlockingBuilder::default().buffered_lines_limit(WAITING_LINES_MAX).lossy(true);
    let (writer, guard) = builder.thread_name("log").finish(BufWriter::new(stderr()));
    LOST.get_or_init(|| writer.error_counter());
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(stderr().is_terminal());
    let layer = match format {
        LogFormat::Pretty => lines.with_filter(filter).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_filter(filter).boxed(),
    };
    Ok((layer, guard))
}

/// Whether a line is one of a client library's that may hold a password: sqlx warns of parameters of a URL that it does not know,
/// with their values, and async-nats traces what it sends first.
fn may_tell_secrets(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target == "sqlx_postgres::options::parse"
        || target == "async_nats::connection" && *metadata.level() == Level::TRACE
}

/// How many lines found no room.
pub(super) fn lost() -> u64 {
    LOST.get().map_or(0, |lost| u64::try_from(lost.dropped_lines()).unwrap_or(u64::MAX))
}
