//! `headcount health`: asks a server on this machine whether it is ready, for containers and scripts.

use std::io::{Write, stdout};
use std::time::Duration;

use anyhow::{Context, bail};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;

/// Maximum time for the answer.
const TIME_MAX: Duration = Duration::from_secs(5);

#[derive(Debug, clap::Args)]
pub(super) struct HealthArgs {
    /// Ask the server at this URL
    #[arg(default_value = "http://127.0.0.1:8000")]
    url: String,
}

impl HealthArgs {
    /// Returns whether the server is ready. Prints what it says.
    pub(super) async fn run(self) -> anyhow::Result<bool> {
        let url = format!("{}/readyz", self.url.trim_end_matches('/'));
        let parsed: axum::http::Uri = url.parse().with_context(|| format!("{url} is not a URL"))?;
        if parsed.scheme_str() != Some("http") {
            bail!("{url}: use http://HOST:PORT");
        }
        let client: Client<_, axum::body::Body> = Client::builder(TokioExecutor::new()).build_http();
        let asking = async {
            let answer = client.get(parsed).await?;
            let is_ready = answer.status().is_success();
            let body = axum::body::to_bytes(axum::body::Body::new(answer.into_body()), 64 << 10).await?;
            anyhow::Ok((is_ready, body))
        };
        let late = || format!("{url} did not answer within {} s", TIME_MAX.as_secs());
        let (is_ready, body) =
            tokio::time::timeout(TIME_MAX, asking).await.with_context(late)?.with_context(|| url.clone())?;
        writeln!(stdout(), "{}", String::from_utf8_lossy(&body))?;
        Ok(is_ready)
    }
}
