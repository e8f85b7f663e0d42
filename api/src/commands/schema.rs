//! `headcount schema`: prints the GraphQL schema.

use std::io::{Write, stdout};

use anyhow::Context;

use crate::http::graphql;

pub(super) fn run() -> anyhow::Result<()> {
    stdout().write_all(graphql::sdl().as_bytes()).context("cannot write the schema")
}
