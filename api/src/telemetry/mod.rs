//! Logs, metrics and, if a collector is configured, traces. None of them contains a token, a query string or other data
//! of clients, except well-formed request ids.
//!
//! The hot path pays only for what is used: the line of a request is built if its target is logged, a span is made if
//! traces are exported, and counting takes a few additions.

mod logs;
pub mod metrics;
mod tally;
mod traces;

use std::convert::Infallible;
use std::time::Duration;

pub use logs::LogFormat;
use opentelemetry_sdk::trace::SdkTracerProvider;
use tracing::Dispatch;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::{SubscriberInitExt, TryInitError};

use crate::tasks::{self, Tasks};

/// Target of the one line per request.
pub const REQUESTS: &str = "request";
/// Target of spans, which are for traces only: the log has none.
pub const SPANS: &str = "headcount::span";
/// Interval at which the facade's samples are aggregated.
const TIDY: Duration = Duration::from_secs(5);

/// Options of logs and traces.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TelemetryConfig {
    /// Write the log in this format
    #[arg(long, env = "LOG_FORMAT", value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
    /// Send traces by OTLP over HTTP to the collector at this base URL, such as `http://127.0.0.1:4318`; without it, no
    /// traces are made
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    #[error("invalid RUST_LOG: {0}. Use a level, or levels by target, such as info,request=warn")]
    Level(String),
    #[error("traces cannot be exported: {0}")]
    Traces(String),
    #[error("another logger is already installed: {0}")]
    Begun(#[from] TryInitError),
}

/// Logs and traces that must be flushed before the process ends. Flushes the log when dropped.
#[must_use = "what is not flushed is lost"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    _log: tracing_appender::non_blocking::WorkerGuard,
}

/// Aggregates the samples of the facade every few seconds, for processes that run for long.
pub fn keep_tidy(tasks: &Tasks) {
    tasks.spawn("metrics", tidy());
}

async fn tidy() -> Infallible {
    loop {
        tokio::time::sleep(TIDY).await;
        metrics::tidy();
        tasks::ran();
    }
}

/// Must be called once, on a runtime.
pub fn start(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let (log, guard) = logs::layer(config.log_format)?;
    let traces = traces::provider(config).map_err(TelemetryError::Traces)?;
    subscriber(log, traces.as_ref()).try_init()?;
    metrics::start();
    Ok(Telemetry { traces, _log: guard })
}

/// Returns the subscriber for log lines, and for spans if they are exported. Even an empty layer for spans would have
/// each one made.
fn subscriber(log: logs::Boxed, traces: Option<&SdkTracerProvider>) -> Dispatch {
    let registry = tracing_subscriber::registry().with(log);
    match traces.map(traces::layer) {
        Some(spans) => registry.with(spans).into(),
        None => registry.into(),
    }
}

impl Telemetry {
    /// Flushes logs and traces, within a bounded time.
    pub async fn finish(self) {
        if let Some(traces) = self.traces {
            // It blocks until its own thread has sent the rest on this runtime.
            let sent = tokio::task::spawn_blocking(move || traces.shutdown()).await;
            if let Ok(Err(error)) = sent {
                tracing::warn!(%error, "the last traces could not be exported");
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use tracing::{Level, dispatcher};

    use super::*;

    #[test]
    fn spans_are_not_made_unless_they_are_exported() {
        let told = |traces: Option<&SdkTracerProvider>| {
            let (log, _guard) = logs::layer_at("warn", LogFormat::Json).unwrap();
            dispatcher::with_default(&subscriber(log, traces), || {
                let span = tracing::info_span!(target: SPANS, "a span");
                let lines = tracing::event_enabled!(target: REQUESTS, Level::INFO);
                (!span.is_disabled(), lines, tracing::event_enabled!(target: REQUESTS, Level::WARN))
            })
        };
        assert_eq!(told(None), (false, false, true));
        let traces = SdkTracerProvider::builder().build();
        assert_eq!(told(Some(&traces)), (true, false, true));
    }
}
