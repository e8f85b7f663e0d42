//! Options of earlier versions that no longer exist.

/// Their names in a file. The flags have `-` for `_`, and the variables are in capitals.
const REMOVED: [&str; 21] = [
    "graphql_bytes",
    "graphql_tokens",
    "graphql_depth",
    "graphql_aliases",
    "graphql_directives",
    "graphql_selections",
    "answer_bytes",
    "json_values",
    "bodies_bytes",
    "answers_bytes",
    "body_timeout",
    "header_timeout",
    "idle_timeout",
    "write_timeout",
    "sockets_per_token",
    "sockets_initializing",
    "subscriptions_per_token",
    "socket_subscriptions",
    "socket_bytes",
    "socket_init_timeout",
    "socket_timeout",
];

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{name} was removed: this limit is the same everywhere now, see docs/operations.md, *Limits that cannot be set*"
)]
pub struct RemovedError {
    /// The flag, the variable or the key.
    name: String,
}

pub(super) fn check_key(key: &str) -> Result<(), RemovedError> {
    if REMOVED.contains(&key) { Err(RemovedError { name: key.to_owned() }) } else { Ok(()) }
}

pub fn check_removed(arguments: impl Iterator<Item = String>) -> Result<(), RemovedError> {
    for argument in arguments {
        let flag = argument.split('=').next().unwrap_or_default();
        if let Some(name) = flag.strip_prefix("--") {
            check_key(&name.replace('-', "_")).map_err(|_| RemovedError { name: flag.to_owned() })?;
        }
    }
    for key in REMOVED {
        let name = key.to_ascii_uppercase();
        if std::env::var_os(&name).is_some_and(|value| !value.is_empty()) {
            return Err(RemovedError { name });
        }
    }
    Ok(())
}
