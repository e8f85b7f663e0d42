//! What operators see: logs, metrics, and traces where a collector is configured. None of them holds a token, a query
//! string or what a client sent; the one thing of a client's own making is a well-formed request id.
//!
//! The hot path pays for what somebody looks at: the line of a request is put together if its target is logged, a
//! span is made if traces are exported, and counting takes a few additions.

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

use crate::tasks::Tasks;

/// The target of the one line a request.
pub const REQUESTS: &str = "request";
/// The target of spans. They are for traces alone: the log has none.
pub const SPANS: &str = "headcount::span";
/// How often the facade's samples are put together.
const TIDY: Duration = Duration::from_secs(5);

/// How operators are told.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct TelemetryConfig {
    /// How lines of the log are written
    #[arg(long, env = "LOG_FORMAT", value_enum, value_name = "FORMAT", default_value_t)]
    pub log_format: LogFormat,
    /// Where to send traces, by OTLP over HTTP: the collector's base URL, such as `http://127.0.0.1:4318`; unset, none
    /// are made
    #[arg(long, env = "OTEL_EXPORTER_OTLP_ENDPOINT", value_name = "URL")]
    pub otlp_endpoint: Option<String>,
}

/// Why telemetry cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum TelemetryError {
    /// `RUST_LOG` cannot be read.
    #[error(
        "RUST_LOG is not usable: {0}. Accepted is a level, or levels by target, such as info,request=warn"
    )]
    Level(String),
    /// Traces cannot be sent to where they shall go.
    #[error("traces cannot be exported: {0}")]
    Traces(String),
    /// Something else logs already.
    #[error("the log has begun already: {0}")]
    Begun(#[from] TryInitError),
}

/// What has to be written out before the process ends. Dropped, it writes out the log.
#[must_use = "what is not written out is lost"]
pub struct Telemetry {
    traces: Option<SdkTracerProvider>,
    _log: tracing_appender::non_blocking::WorkerGuard,
}

/// Puts the samples of the facade together every few seconds, for processes that run for long.
pub fn keep_tidy(tasks: &Tasks) {
    tasks.spawn("metrics", tidy());
}

async fn tidy() -> Infallible {
    loop {
        tokio::time::sleep(TIDY).await;
        metrics::tidy();
    }
}

/// Begins to log, to count and, where that is configured, to trace. Called once, on a runtime.
pub fn start(config: &TelemetryConfig) -> Result<Telemetry, TelemetryError> {
    let (log, guard) = logs::layer(config.log_format)?;
    let traces = traces::provider(config).map_err(TelemetryError::Traces)?;
    subscriber(log, traces.as_ref()).try_init()?;
    metrics::start();
    Ok(Telemetry { traces, _log: guard })
}

/// Who is told of lines, and of spans if they go anywhere. A layer of none would have each span made all the same.
fn subscriber(log: logs::Boxed, traces: Option<&SdkTracerProvider>) -> Dispatch {
    let registry = tracing_subscriber::registry().with(log);
    match traces.map(traces::layer) {
        Some(spans) => registry.with(spans).into(),
        None => registry.into(),
    }
}

impl Telemetry {
    /// Writes out what is left, within a bounded time.
    pub async fn finish(self) {
        if let Some(traces) = self.traces {
            // It blocks until its own thread has sent the rest, by this runtime.
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
    fn what_goes_nowhere_is_not_made() {
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
