//! HTTP: reports as NDJSON to `POST /events` or as uplinks to `POST /devices/ttn`, and questions to the public API.

use std::time::Duration;

use anyhow::{Context, bail};
use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::CONTENT_TYPE;
use axum::http::{Request, StatusCode};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::report::{Report, Verdict};

/// Maximum length of an answer, in bytes.
const ANSWER_BYTES_MAX: usize = 64 << 20;

/// A server, with keep-alive connections.
#[derive(Clone)]
pub(crate) struct Http {
    client: Client<HttpConnector, Body>,
    server: String,
    timeout: Duration,
}

/// The outcome of a request's events.
#[derive(Deserialize)]
struct Receipt {
    accepted: usize,
    duplicates: usize,
    rejected: usize,
}

impl Http {
    /// `server` is `http://HOST:PORT`. Each request may take `timeout`.
    pub(crate) fn new(server: &str, timeout: Duration) -> Self {
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { client, server: server.trim_end_matches('/').to_owned(), timeout }
    }

    /// Sends reports. They are acknowledged all together, or not at all.
    pub(crate) async fn deliver(&self, reports: &[&Report]) -> anyhow::Result<()> {
        let body: String =
            reports.iter().flat_map(|report| report.json()).map(|event| event + "\n").collect();
        let (status, answer) = self.ask("/events", Some(("application/x-ndjson", body))).await?;
        if status != StatusCode::OK {
            bail!("{status}: {}", String::from_utf8_lossy(&answer));
        }
        let Receipt { accepted, duplicates, rejected } = serde_json::from_slice(&answer)?;
        let number = |verdict| -> usize {
            reports.iter().filter(|report| report.verdict() == verdict).map(|report| report.events()).sum()
        };
        let (good, bad, either) =
            (number(Verdict::Stored), number(Verdict::Refused), number(Verdict::Either));
        if accepted + duplicates + rejected != good + bad + either
            || !(bad..=bad + either).contains(&rejected)
        {
            bail!(
                "the server is wrong about what it was sent: of {good} true, {bad} impossible and {either} outdated \
                 events it says that {accepted} were accepted, {duplicates} duplicates and {rejected} rejected"
            );
        }
        Ok(())
    }

    /// Sends an uplink of a LoRaWAN device.
    pub(crate) async fn deliver_uplink(&self, uplink: String) -> anyhow::Result<()> {
        let (status, answer) = self.ask("/devices/ttn", Some(("application/json", uplink))).await?;
        if status != StatusCode::OK {
            bail!("{status}: {}", String::from_utf8_lossy(&answer));
        }
        let Receipt { accepted, duplicates, .. } = serde_json::from_slice(&answer)?;
        if accepted + duplicates != 1 {
            bail!("an uplink was not stored: {}", String::from_utf8_lossy(&answer));
        }
        Ok(())
    }

    /// Returns the count of a space, at an instant or now.
    pub(crate) async fn count(&self, space: &str, ts: Option<&str>) -> anyhow::Result<i64> {
        let query = ts.map_or(String::new(), |ts| format!("?ts={ts}"));
        let (status, answer) = self.ask(&format!("/space/{space}/count{query}"), None).await?;
        if status != StatusCode::OK {
            bail!("{status}: {}", String::from_utf8_lossy(&answer));
        }
        let answer: Value = serde_json::from_slice(&answer)?;
        answer["count"].as_i64().with_context(|| format!("{answer} has no count"))
    }

    /// Returns the lowest and the highest count of a space that the reports allow, at an instant.
    pub(crate) async fn count_range(&self, space: &str, ts: &str) -> anyhow::Result<(i64, i64)> {
        let query =
            "query ($space: ID!, $ts: DateTime!) { space(id: $space) { countRange(ts: $ts) { low high } } }";
        let body = json!({ "query": query, "variables": { "space": space, "ts": ts } }).to_string();
        let (_, answer) = self.ask("/graphql", Some(("application/json", body))).await?;
        let answer: Value = serde_json::from_slice(&answer)?;
        let range = &answer["data"]["space"]["countRange"];
        let bounds = range["low"].as_i64().zip(range["high"].as_i64());
        bounds.with_context(|| format!("{answer} has no range"))
    }

    /// Returns the names and ids of all spaces.
    pub(crate) async fn spaces(&self) -> anyhow::Result<Vec<(String, String)>> {
        let query = "query ($after: String) { spaces(first: 100, after: $after) \
                     { nodes { id name } pageInfo { hasNextPage endCursor } } }";
        let (mut spaces, mut after) = (Vec::new(), Value::Null);
        loop {
            let body = json!({ "query": query, "variables": { "after": after } }).to_string();
            let (_, answer) = self.ask("/graphql", Some(("application/json", body))).await?;
            let answer: Value = serde_json::from_slice(&answer)?;
            let page = &answer["data"]["spaces"];
            let nodes = page["nodes"].as_array().with_context(|| format!("{answer} lists no spaces"))?;
            let text = |node: &Value, key: &str| node[key].as_str().unwrap_or_default().to_owned();
            spaces.extend(nodes.iter().map(|node| (text(node, "name"), text(node, "id"))));
            if page["pageInfo"]["hasNextPage"] != true {
                return Ok(spaces);
            }
            after = page["pageInfo"]["endCursor"].clone();
        }
    }

    async fn ask(&self, path: &str, body: Option<(&str, String)>) -> anyhow::Result<(StatusCode, Bytes)> {
        let uri = format!("{}{path}", self.server);
        let request = match body {
            Some((media_type, body)) => {
                Request::post(uri).header(CONTENT_TYPE, media_type).body(Body::from(body))?
            }
            None => Request::get(uri).body(Body::empty())?,
        };
        let answer = async {
            let answer = self.client.request(request).await?;
            let status = answer.status();
            anyhow::Ok((status, to_bytes(Body::new(answer.into_body()), ANSWER_BYTES_MAX).await?))
        };
        let late = || format!("{} did not answer within {:?}", self.server, self.timeout);
        tokio::time::timeout(self.timeout, answer).await.with_context(late)?
    }
}
