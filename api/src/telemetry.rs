//! Logs.

use std::io::stderr;

use tracing_subscriber::EnvFilter;

/// Writes logs to standard error, at the level of `RUST_LOG` (`info` unless set).
pub fn start() {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(stderr).init();
}
