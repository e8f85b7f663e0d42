//! Headcount: how many people are in a space, now or at any instant of the past.
//!
//! - [`counting`]: what a count is; pure
//! - [`floor_plan`]: spaces, DPUs, assignments, resets: rules, snapshot, changes
//! - [`timelines`]: what odometers show at any instant, from memory or the database
//! - [`coherence`]: how memory stays true while other processes write
//! - [`ingest`]: the recorder, the only writer of events and tallies
//! - [`feed`]: what the counts are now, told to whoever watches
//! - [`graphql`]: the schema, one file a noun, and its HTTP handler
//! - [`rest`]: the contract route and the routes beside it
//! - [`auth`]: who may do what
//! - [`pages`]: the dashboard and GraphiQL, carried in the binary
//! - [`app`]: what every handler shares
//! - [`server`]: every route in one router
//! - [`verify`]: whether the database is what it must be
//! - [`database`], [`clock`], [`config`], [`telemetry`]: what the app stands on

pub mod app;
pub mod auth;
pub mod clock;
pub mod coherence;
pub mod config;
pub mod counting;
pub mod database;
pub mod feed;
pub mod floor_plan;
pub mod graphql;
pub mod ingest;
pub mod pages;
pub mod rest;
pub mod server;
pub mod telemetry;
pub mod timelines;
pub mod verify;
