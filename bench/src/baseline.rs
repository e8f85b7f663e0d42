//! A server with constant answers to the same requests: the baseline of `bench/compare`.
//!
//! `GET /space/{id}/count` is a bare axum route with a fixed body. `/graphql` is an ordinary async-graphql schema whose
//! fields have the types of this project's and constant values. Its names and doorways are those of a generated floor
//! plan of 50 spaces and 100 DPUs, so that answers are as long as the real ones.

use std::net::SocketAddr;

use anyhow::Context;
use async_graphql::{EmptyMutation, EmptySubscription, ID, Object, Schema, SimpleObject};
use async_graphql_axum::GraphQL;
use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::routing::{get, post_service};
use chrono::{DateTime, Utc};

const SPACES: u32 = 50;
const DPUS: u32 = 100;
const BODY: &str = r#"{"space_id":24,"ts":"2025-03-06T15:34:00.123Z","count":42}"#;

struct Query;

struct Space(u32);

struct Dpu(u32);

#[derive(SimpleObject)]
struct SpaceConnection {
    nodes: Vec<Space>,
}

#[Object]
impl Query {
    async fn space(&self, id: ID) -> Option<Space> {
        id.parse().ok().filter(|id| (1..=SPACES).contains(id)).map(Space)
    }

    async fn spaces(&self, first: Option<u32>) -> SpaceConnection {
        SpaceConnection { nodes: (1..=first.unwrap_or(SPACES).min(SPACES)).map(Space).collect() }
    }
}

#[Object]
impl Space {
    async fn id(&self) -> ID {
        self.0.into()
    }

    async fn name(&self) -> String {
        format!("Room {}", self.0)
    }

    async fn count(&self, ts: Option<DateTime<Utc>>) -> i32 {
        let _ = ts;
        42
    }

    /// Returns the DPUs inside, and those of every third doorway, which leads to another room.
    async fn dpus(&self) -> Vec<Dpu> {
        let leads_here =
            |dpu: &u32| dpu % SPACES + 1 == self.0 || (dpu % 3 == 1 && (dpu + 1) % SPACES + 1 == self.0);
        (0..DPUS).filter(leads_here).map(Dpu).collect()
    }
}

#[Object]
impl Dpu {
    async fn name(&self) -> Option<String> {
        Some(format!("Door {}", self.0 + 1))
    }
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let address: SocketAddr =
        std::env::args().nth(1).context("name the ADDRESS:PORT to listen on")?.parse()?;
    let schema = Schema::new(Query, EmptyMutation, EmptySubscription);
    let router = Router::new()
        .route("/space/{id}/count", get(|| async { ([(CONTENT_TYPE, "application/json")], BODY) }))
        .route("/graphql", post_service(GraphQL::new(schema)));
    axum::serve(tokio::net::TcpListener::bind(address).await?, router).await?;
    Ok(())
}
