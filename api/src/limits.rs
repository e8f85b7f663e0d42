//! Limits on the size of clients' requests, and on the time that they may take.
//!
//! Modules that enforce some limits get all of them. An operator can set those that depend on the machine and on the
//! clients; the others are the same everywhere. Properties of the interface, such as the size of the largest page, are not
//! here.

use std::time::Duration;

use clap::value_parser;

use crate::config::size;

/// Limits on what clients send. Each is at least 1: a limit cannot be turned off, only set high. Tests set those that are
/// not options.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::Args)]
#[command(next_help_heading = "Limits")]
pub struct Limits {
    /// Maximum cost of a GraphQL operation: about the number of fields that its answer can have
    #[arg(long, env = "GRAPHQL_COST", value_name = "NUMBER", default_value_t = DEFAULT.graphql_cost,
        value_parser = value_parser!(u32).range(1..))]
    pub graphql_cost: u32,
    /// Maximum work for the answer to a request, estimated in milliseconds of one core: crossings and pages to read
    #[arg(long, env = "REQUEST_WORK_MS", value_name = "MS", default_value_t = DEFAULT.request_work_ms,
        value_parser = value_parser!(u32).range(1..))]
    pub request_work_ms: u32,
    /// Maximum number of events in one mutation `ingest`, and of entries in any list of a long request; `POST /events`
    /// takes any number
    #[arg(long, env = "INGEST_EVENTS", value_name = "NUMBER", default_value_t = DEFAULT.ingest_events,
        value_parser = value_parser!(u32).range(1..))]
    pub ingest_events: u32,
    /// Maximum length of a request body, in bytes; `POST /events` streams bodies of any length
    #[arg(long, env = "BODY_BYTES", value_name = "BYTES", default_value_t = DEFAULT.body_bytes,
        value_parser = size(1..=BYTES_MAX))]
    pub body_bytes: u32,
    /// Maximum number of connections at a time; further ones wait
    #[arg(long, env = "CONNECTIONS", value_name = "NUMBER", default_value_t = DEFAULT.connections,
        value_parser = value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub connections: u32,
    /// Maximum number of connections at a time from one client address, an IPv6 network of 64 bits counting as one
    /// [default: a quarter of --connections]
    ///
    /// Further ones are closed at once. Behind a proxy all connections come from one address: raise it there.
    #[arg(long, env = "CONNECTIONS_PER_ADDRESS", value_name = "NUMBER",
        value_parser = value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub connections_per_address: Option<u32>,
    /// Maximum number of WebSockets at a time; further ones are refused
    #[arg(long, env = "SOCKETS", value_name = "NUMBER", default_value_t = DEFAULT.sockets,
        value_parser = value_parser!(u32).range(1..=CONNECTIONS_MAX))]
    pub sockets: u32,
    /// Drop the requests that are still running this many seconds after the server was told to stop
    #[arg(long = "stop-timeout", env = "STOP_TIMEOUT", value_name = "SECONDS", default_value_t = DEFAULT.stop_timeout_s,
        value_parser = value_parser!(u32).range(1..=SECONDS_MAX))]
    pub stop_timeout_s: u32,
    /// Maximum length of a GraphQL document, in bytes
    #[arg(skip = DEFAULT.graphql_bytes)]
    pub graphql_bytes: u32,
    /// Maximum number of tokens in a GraphQL document: names, values, brackets and signs
    #[arg(skip = DEFAULT.graphql_tokens)]
    pub graphql_tokens: u32,
    /// Maximum depth of fields and fragments in a GraphQL document; the introspection of clients is 18 deep
    #[arg(skip = DEFAULT.graphql_depth)]
    pub graphql_depth: u32,
    /// Maximum number of aliases in a GraphQL document
    #[arg(skip = DEFAULT.graphql_aliases)]
    pub graphql_aliases: u32,
    /// Maximum number of directives in a GraphQL document
    #[arg(skip = DEFAULT.graphql_directives)]
    pub graphql_directives: u32,
    /// Maximum number of selections in a GraphQL document, with each spread of a fragment counted in full
    #[arg(skip = DEFAULT.graphql_selections)]
    pub graphql_selections: u32,
    /// Maximum length of an answer to a GraphQL request, in bytes
    #[arg(skip = DEFAULT.answer_bytes)]
    pub answer_bytes: u32,
    /// Maximum number of values (numbers, texts, lists, objects) in the JSON of a GraphQL request
    #[arg(skip = DEFAULT.json_values)]
    pub json_values: u32,
    /// Maximum number of bytes that the bodies of all requests may take in memory together
    #[arg(skip = DEFAULT.bodies_bytes)]
    pub bodies_bytes: u32,
    /// Maximum number of bytes that all unread answers may take in memory together
    #[arg(skip = DEFAULT.answers_bytes)]
    pub answers_bytes: u32,
    /// Maximum time for a client to send a request's body, in seconds; not for `POST /events`
    #[arg(skip = DEFAULT.body_timeout_s)]
    pub body_timeout_s: u32,
    /// Maximum time for a client to send a request's head, in seconds; for a new connection this includes the time
    /// before its first request
    #[arg(skip = DEFAULT.header_timeout_s)]
    pub header_timeout_s: u32,
    /// Close a connection after this many seconds without a request
    #[arg(skip = DEFAULT.idle_timeout_s)]
    pub idle_timeout_s: u32,
    /// Close a connection after this many seconds in which the client has read nothing of its answer
    #[arg(skip = DEFAULT.write_timeout_s)]
    pub write_timeout_s: u32,
    /// Maximum number of WebSockets at a time of one token, or of all clients together while the server is open
    #[arg(skip = DEFAULT.sockets_per_token)]
    pub sockets_per_token: u32,
    /// Maximum number of WebSockets at a time that have not sent `connection_init`; they do not count for --sockets
    #[arg(skip = DEFAULT.sockets_initializing)]
    pub sockets_initializing: u32,
    /// Maximum number of operations at a time over all WebSockets of one token, or of all clients together while the
    /// server is open
    #[arg(skip = DEFAULT.subscriptions_per_token)]
    pub subscriptions_per_token: u32,
    /// Maximum number of operations at a time over one WebSocket, usually subscriptions
    #[arg(skip = DEFAULT.socket_subscriptions)]
    pub socket_subscriptions: u32,
    /// Maximum length of a message over a WebSocket, in bytes
    #[arg(skip = DEFAULT.socket_bytes)]
    pub socket_bytes: u32,
    /// Close a WebSocket after this many seconds without `connection_init`
    #[arg(skip = DEFAULT.socket_init_timeout_s)]
    pub socket_init_timeout_s: u32,
    /// Close a WebSocket after this many seconds without a message or pong
    #[arg(skip = DEFAULT.socket_timeout_s)]
    pub socket_timeout_s: u32,
}

/// Largest accepted limit on bodies and documents, which are in memory as a whole: 64 MiB.
const BYTES_MAX: u32 = 64 << 20;
/// More than a machine has file descriptors.
const CONNECTIONS_MAX: i64 = 1_000_000;
/// A day.
const SECONDS_MAX: i64 = 86_400;

const DEFAULT: Limits = Limits {
    graphql_bytes: 64 << 10,
    graphql_tokens: 5_000,
    graphql_depth: 24,
    graphql_aliases: 200,
    graphql_directives: 50,
    graphql_selections: 2_000,
    graphql_cost: 100_000,
    answer_bytes: 12 << 20,
    request_work_ms: 1_000,
    ingest_events: 5_000,
    json_values: 50_000,
    body_bytes: 2 << 20,
    bodies_bytes: 256 << 20,
    answers_bytes: 256 << 20,
    body_timeout_s: 30,
    header_timeout_s: 10,
    idle_timeout_s: 75,
    write_timeout_s: 30,
    connections: 10_000,
    connections_per_address: None,
    sockets: 5_000,
    sockets_per_token: 2_500,
    sockets_initializing: 500,
    subscriptions_per_token: 5_000,
    socket_subscriptions: 100,
    socket_bytes: 128 << 10,
    socket_init_timeout_s: 10,
    socket_timeout_s: 60,
    stop_timeout_s: 10,
};

impl Limits {
    pub fn connections_per_address(&self) -> u32 {
        self.connections_per_address.unwrap_or(self.connections.div_ceil(4))
    }
}

impl Default for Limits {
    fn default() -> Self {
        DEFAULT
    }
}

pub fn seconds(number: u32) -> Duration {
    Duration::from_secs(number.into())
}

#[cfg(test)]
mod tests {
    use clap::{Args, Command, FromArgMatches};

    use super::*;

    fn parsed(arguments: &[&str]) -> Result<Limits, String> {
        let command = Limits::augment_args(Command::new("headcount").no_binary_name(true));
        let matches = command.try_get_matches_from(arguments).map_err(|error| error.to_string())?;
        Limits::from_arg_matches(&matches).map_err(|error| error.to_string())
    }

    #[test]
    fn options_that_are_not_given_have_their_defaults() {
        let said = parsed(&["--graphql-cost", "9", "--stop-timeout=3"]);
        assert_eq!(said, Ok(Limits { graphql_cost: 9, stop_timeout_s: 3, ..Limits::default() }));
    }

    #[test]
    fn a_value_that_is_not_accepted_is_refused_with_the_name_of_its_flag() {
        for argument in Limits::augment_args(Command::new("")).get_arguments() {
            let flag = format!("--{}", argument.get_long().unwrap());
            for value in ["0", "-1", "1.5", "many", "", "99999999999"] {
                let refused = parsed(&[&format!("{flag}={value}")]).unwrap_err();
                assert!(refused.contains(&flag) && refused.contains(value), "{refused}");
            }
        }
    }
}
