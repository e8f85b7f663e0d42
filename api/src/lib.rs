//! Headcount: how many people are in a space, now or at any instant of the past.
//!
//! The modules stand on each other in this order; `tests/it/structure.rs` keeps it.
//!
//! - [`clock`], [`ids`], [`config`], [`limits`], [`readiness`], [`tasks`], [`telemetry`], `listed`: what everything
//!   stands on
//! - [`floor_plan`]: spaces, DPUs, assignments, resets: rules, snapshot, changes
//! - [`database`]: connections, partitions, the change log, a standby, notifications between processes
//! - [`timelines`]: the cache of odometers, and how they are read from the database
//! - [`state`]: the state that this process answers from, and how it moves on
//! - [`coherence`]: how memory stays current while other processes write
//! - [`health`]: when each DPU was last heard of
//! - [`ingest`]: the recorder, the only writer of events and tallies
//! - [`counts`]: counts, breakdowns, histories, last events: the one place that puts floor plan and timelines together
//! - [`feed`]: counts as they change
//! - [`retention`], [`verify`]: pruning old events, and comparing tallies with events
//! - [`auth`]: tokens and permissions
//! - [`broker`]: events that come through NATS JetStream
//! - `app`: wiring
//! - [`http`]: the server, and its routes: REST, GraphQL, pages
//! - [`commands`]: the command line

pub mod app;
pub mod auth;
pub mod broker;
pub mod clock;
pub mod coherence;
pub mod commands;
pub mod config;
pub mod counts;
pub mod database;
pub mod feed;
pub mod floor_plan;
pub mod gateway;
pub mod health;
pub mod http;
pub mod ids;
pub mod ingest;
pub mod limits;
pub(crate) mod listed;
pub mod mqtt;
pub mod readiness;
pub mod retention;
pub mod state;
pub mod tasks;
pub mod telemetry;
pub mod timelines;
pub mod verify;
