//! The log: one line per event, on standard error.
//!
//! A separate thread writes, so logging never blocks. If lines come faster than they can be written, some are lost and
//! counted.

use std::io::{BufWriter, IsTerminal, stderr};
use std::sync::OnceLock;

use tracing::{Level, Metadata};
use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::{FilterExt, filter_fn};
use tracing_subscriber::{EnvFilter, Layer, Registry};

use super::TelemetryError;

const WAITING_LINES_MAX: usize = 16_384;

pub(super) type Boxed = Box<dyn Layer<Registry> + Send + Sync>;

static LOST: OnceLock<ErrorCounter> = OnceLock::new();

/// Format of the log.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// Text for people
    #[default]
    Pretty,
    /// One JSON object per line
    Json,
}

/// Returns the layer that writes the log at the level of `RUST_LOG` (default `info`), until the guard is dropped.
pub(super) fn layer(format: LogFormat) -> Result<(Boxed, WorkerGuard), TelemetryError> {
    let wanted = std::env::var(EnvFilter::DEFAULT_ENV).unwrap_or_default();
    layer_at(if wanted.trim().is_empty() { "info" } else { &wanted }, format)
}

pub(super) fn layer_at(wanted: &str, format: LogFormat) -> Result<(Boxed, WorkerGuard), TelemetryError> {
    let filter = EnvFilter::try_new(wanted).map_err(|error| TelemetryError::Level(error.to_string()))?;
    // Spans are not logged. If this layer were interested in them, each would cost time even without traces.
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

/// Returns whether a client library's line may contain a password: sqlx warns of unknown parameters of a URL with their
/// values, and async-nats traces what it sends first.
fn may_tell_secrets(metadata: &Metadata<'_>) -> bool {
    let target = metadata.target();
    target == "sqlx_postgres::options::parse"
        || target == "async_nats::connection" && *metadata.level() == Level::TRACE
}

pub(super) fn lost() -> u64 {
    LOST.get().map_or(0, |lost| u64::try_from(lost.dropped_lines()).unwrap_or(u64::MAX))
}
