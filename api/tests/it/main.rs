//! Tests of the service through its public interfaces. Each has a database of its own, and runs on SQLite and on
//! PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::too_many_lines, reason = "a test tells a story from its beginning to its end")]

mod auth;
mod backup;
mod broker;
mod changes;
mod coherence;
mod config;
mod contract;
mod counts;
mod database;
mod devices;
mod events;
mod graphql;
mod harness;
mod held;
mod histories;
mod http;
mod ids;
mod ingest;
mod limits;
mod live;
mod migrations;
mod mosquitto;
mod mqtt;
mod mqtt_faults;
mod nats;
mod openapi;
mod pages;
mod past;
mod pooler;
mod pruned;
mod readiness;
mod relay;
mod reports;
mod retention;
mod schema;
mod sequences;
mod standby;
mod states;
mod structure;
mod telemetry;
mod tokens;
mod unreachable;
mod verify;
mod worlds;
mod zones;
