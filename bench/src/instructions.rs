//! One hot path, repeated: `bench/instructions` counts its instructions.
//!
//! `instructions PATH TIMES` sets up a small world on SQLite, through the public interfaces, and then repeats the
//! path on one thread. The set-up is the same for a short and a long run, so it cancels out in the difference.

use std::fmt::Write;
use std::str::FromStr;

use anyhow::{Context, bail, ensure};
use api::app::{App, Options};
use api::clock::Clock;
use api::database::Database;
use api::http::server::{self, Site};
use api::ids::{IdsConfig, Kind, PublicIds};
use api::limits::Limits;
use api::timelines::CACHE_BYTES;

use axum::body::{Body, Bytes, to_bytes};
use axum::http::header::HOST;
use axum::http::{HeaderValue, Request, StatusCode};
use entity::Instant;
use serde_json::{Value, json};
use tempfile::TempDir;
use tower::ServiceExt;

const SPACES: usize = 50;
const DPUS: usize = 100;
const DAYS: usize = 10;
const EVENTS: usize = 20_000;
/// Number of events in a batch.
const BATCH: usize = 1_000;
const DAY_MS: usize = 86_400_000;
const START: Instant = Instant::from_ms(1_741_000_000_000);
const SPACE: &str =
    "query ($id: ID!, $ts: DateTime) { space(id: $id) { name count(ts: $ts) dpus { name } } }";
const SPACES_NOW: &str = "{ spaces(first: 50) { nodes { id name count dpus { name } } } }";

#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let (path, times) = arguments.next().zip(arguments.next()).context("name a PATH and how many TIMES")?;
    let times = usize::from_str(&times)?;
    if path == "timestamp-parse" {
        return parse(times);
    }
    let world = World::new(ids(&path)?).await?;
    for number in 0..times {
        let at = instant(number * 7_919_017 % (DAYS * DAY_MS));
        let space = number % SPACES + 1;
        match path.as_str() {
            "rest-now" | "rest-now-keyed" => {
                world.get(&format!("/space/{}/count", world.public(Kind::Space, space))).await?;
            }
            "rest-past" => world.get(&format!("/space/{space}/count?ts={at}")).await?,
            "graphql-space" => {
                world.graphql(SPACE, json!({ "id": space, "ts": at.to_string() })).await.map(drop)?;
            }
            "graphql-spaces" => world.graphql(SPACES_NOW, Value::Null).await.map(drop)?,
            "ingest-one" => world.ingest(EVENTS + number, 1).await?,
            "ingest-batch" => world.ingest(EVENTS + number * BATCH, BATCH).await?,
            _ => bail!("unknown path {path:?}"),
        }
    }
    Ok(())
}

fn parse(times: usize) -> anyhow::Result<()> {
    for _ in 0..times {
        std::hint::black_box("2025-03-06T15:34:00.123Z").parse::<Instant>()?;
    }
    Ok(())
}

/// Returns the scheme of public ids: plain row ids, except on the path about an id key.
fn ids(path: &str) -> anyhow::Result<PublicIds> {
    let id_key = path.ends_with("-keyed").then(|| "0123456789abcdef".repeat(4).into());
    Ok(PublicIds::new(&IdsConfig { id_key })?)
}

/// Returns the instant this many milliseconds after the start.
fn instant(ms: usize) -> Instant {
    START.plus_ms(i64::try_from(ms).unwrap_or_default())
}

/// The service on a database with two doorways a space and events at all of them.
struct World {
    site: Site,
    ids: PublicIds,
    _folder: TempDir,
}

impl World {
    async fn new(ids: PublicIds) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let url = format!("sqlite://{}?mode=rwc", folder.path().join("bench.db").display());
        let database = Database::connect(&url).await?;
        database.migrate().await?;
        let now = instant(2 * DAYS * DAY_MS);
        let clock = Clock::from_fn(move || now);
        let (app, _recording) =
            App::start_with(database, clock, Options { ids: ids.clone(), ..Options::new(CACHE_BYTES) });
        app.coherence.begins().await;
        let site = server::site(&app, &Limits::default());
        let world = Self { site, ids, _folder: folder };
        for space in 1..=SPACES {
            let create = "mutation ($name: String!) { spaceCreate(input: { name: $name }) { space { id } } }";
            world.change(create, json!({ "name": format!("Room {space}") })).await?;
        }
        for dpu in 1..=DPUS {
            let create = "mutation ($serial: String!, $name: String!) {
                dpuCreate(input: { serial: $serial, name: $name }) { dpu { id } } }";
            world
                .graphql(create, json!({ "serial": dpu.to_string(), "name": format!("Door {dpu}") }))
                .await?;
            let assign = "mutation ($dpu: ID!, $space: ID!) {
                assignmentCreate(input: { dpu: $dpu, space: $space, placement: INSIDE }) { assignment { id } } }";
            let (dpu, space) = (world.public(Kind::Dpu, dpu), world.public(Kind::Space, dpu % SPACES + 1));
            world.change(assign, json!({ "dpu": dpu, "space": space })).await?;
        }
        for first in (0..EVENTS).step_by(BATCH) {
            world.ingest(first, BATCH).await?;
        }
        // Everything that is cached between requests is cached before counting begins.
        for space in 1..=SPACES {
            let space = world.public(Kind::Space, space);
            world.get(&format!("/space/{space}/count?ts={START}")).await?;
        }
        world.graphql(SPACES_NOW, Value::Null).await?;
        Ok(world)
    }

    /// Returns the public id of the row with this number.
    fn public(&self, kind: Kind, id: usize) -> i64 {
        self.ids.public(kind, i64::try_from(id).unwrap_or_default())
    }

    async fn get(&self, uri: &str) -> anyhow::Result<()> {
        self.send(Request::get(uri).body(Body::empty())?).await.map(drop)
    }

    async fn graphql(&self, query: &str, variables: Value) -> anyhow::Result<Bytes> {
        let body = json!({ "query": query, "variables": variables }).to_string();
        let request = Request::post("/graphql").header("content-type", "application/json");
        let answer = self.send(request.body(Body::from(body))?).await?;
        ensure!(!answer.starts_with(b"{\"errors\""), "{}", String::from_utf8_lossy(&answer));
        Ok(answer)
    }

    /// Changes the floor plan. A refused change returns null.
    async fn change(&self, mutation: &str, variables: Value) -> anyhow::Result<()> {
        let answer = self.graphql(mutation, variables).await?;
        ensure!(!answer.ends_with(b"null}}}"), "refused: {mutation}");
        Ok(())
    }

    /// Sends the events with these numbers, as CSV. They are within the days, and all different.
    async fn ingest(&self, first: usize, count: usize) -> anyhow::Result<()> {
        let mut body = String::from("timestamp,direction,dpu_id\n");
        for number in first..first + count {
            let ts = instant(number * (DAYS * DAY_MS / EVENTS) % (DAYS * DAY_MS) + number / EVENTS);
            let direction = if number % 3 == 0 { -1 } else { 1 };
            writeln!(body, "{ts},{direction},{}", number % DPUS + 1)?;
        }
        let request = Request::post("/events").header("content-type", "text/csv");
        let answer = self.send(request.body(Body::from(body))?).await?;
        let expected = format!("{{\"accepted\":{count},");
        ensure!(answer.starts_with(expected.as_bytes()), "{}", String::from_utf8_lossy(&answer));
        Ok(())
    }

    async fn send(&self, mut request: Request<Body>) -> anyhow::Result<Bytes> {
        request.headers_mut().insert(HOST, HeaderValue::from_static("localhost"));
        let response = self.site.clone().oneshot(request).await?;
        let status = response.status();
        let body = to_bytes(response.into_body(), usize::MAX).await?;
        ensure!(status == StatusCode::OK, "{status}: {}", String::from_utf8_lossy(&body));
        Ok(body)
    }
}
