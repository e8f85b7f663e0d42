//! Headcount: how many people are in a space, now or at any instant of the past.
//!
//! - [`counting`]: what a count is; pure
//! - [`floor_plan`]: spaces, DPUs, assignments, resets: rules, snapshot, changes
//! - [`timelines`]: the cache of odometers, and how they are read from the database
//! - [`state`]: the state that this process answers from, and how it moves on
//! - [`counts`]: counts, breakdowns, histories, last events: the one place that puts floor plan and timelines together
//! - `standby`: a standby of the database, read from while it has all that is known
//! - [`coherence`]: how memory stays current while other processes write
//! - [`broker`]: events that come through NATS JetStream
//! - [`ingest`]: the recorder, the only writer of events and tallies
//! - [`feed`]: what the counts are now, told to whoever watches
//! - [`graphql`]: the schema, one file a noun, and its HTTP handler
//! - [`rest`]: the contract route and the routes beside it
//! - [`retention`]: how long events are kept one by one, and what is left of them
//! - [`auth`]: who may do what
//! - [`pages`]: the dashboard and GraphiQL, carried in the binary
//! - [`ids`]: what rows are called outside
//! - [`readiness`]: whether the service can do its work
//! - [`tasks`]: background tasks, and what happens when one of them panics
//! - [`budget`]: how many bytes all requests may hold together
//! - [`unpack`]: compressed bodies of requests
//! - [`limits`]: how much a client may ask for, and how long it may take
//! - [`app`]: what every handler shares
//! - [`routes`]: the routes that there are
//! - [`server`]: what answers them, what stands in front, and the connections they are served over
//! - [`verify`]: whether the database is what it must be
//! - [`database`], [`clock`], [`config`], [`telemetry`]: what the app stands on

pub mod app;
pub mod auth;
pub mod broker;
pub mod budget;
pub mod clock;
pub mod coherence;
pub mod config;
pub mod counting;
pub mod counts;
pub mod database;
mod encoding;
pub mod feed;
pub mod floor_plan;
pub mod graphql;
pub mod ids;
pub mod ingest;
pub mod limits;
pub mod pages;
pub mod readiness;
pub mod rest;
pub mod retention;
pub mod routes;
pub mod server;
mod standby;
pub mod state;
pub mod tasks;
pub mod telemetry;
pub mod timelines;
pub mod unpack;
pub mod verify;
