//! The service through its public interfaces, each test on a database of its own, on SQLite and on
//! PostgreSQL by the same test body.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "a test fails by panicking")]

mod auth;
mod changes;
mod coherence;
mod contract;
mod counts;
mod database;
mod events;
mod graphql;
mod harness;
mod ingest;
mod live;
mod migrations;
mod openapi;
mod pages;
mod past;
mod schema;
mod sequences;
mod tokens;
mod verify;
mod worlds;

#[path = "../../src/counting/oracle.rs"]
mod oracle;
