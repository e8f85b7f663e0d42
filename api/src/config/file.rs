//! The configuration file: flat TOML, whose keys are the long flags with `_` instead of `-`. It can set every option
//! that has an environment variable. Options of a single run, such as `--repair`, have neither.
//!
//! Each value is checked like that of its flag when the file is read, so that an error names the file and the key.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, Command};
use toml::{Table, Value};

use super::removed::{RemovedError, check_key};

/// The option that names the file; it cannot be set in a file.
pub(super) const FILE: &str = "config";

/// The checked contents of a file: by key, the values as they would be written on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<String, Vec<String>>);

#[derive(Debug, thiserror::Error)]
pub enum FileError {
    #[error("cannot read the configuration file {}: {source}", file.display())]
    Read { file: PathBuf, source: io::Error },
    #[error("the configuration file {}, line {line}, is not TOML: {reason}", file.display())]
    Syntax {
        file: PathBuf,
        /// The line number, from 1.
        line: usize,
        reason: String,
    },
    #[error(
        "the configuration file {} has the unknown key {key:?}{}: use, outside of tables, the flags of \
         `headcount serve --help` that have an environment variable, without -- and with _ instead of -",
        file.display(), meant.as_ref().map(|meant| format!(" (did you mean {meant:?}?)")).unwrap_or_default()
    )]
    Key { file: PathBuf, key: String, meant: Option<String> },
    #[error("the configuration file {}: {source}", file.display())]
    Removed { file: PathBuf, source: RemovedError },
    #[error(
        "the configuration file {} has {key} = {given}, which is not accepted{}: {key} takes {accepted}",
        file.display(), reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default()
    )]
    Value {
        file: PathBuf,
        key: String,
        /// Its value, or `…` instead of a secret.
        given: String,
        /// What is wrong with it, unless it is its type.
        reason: Option<String>,
        accepted: String,
    },
}

impl Settings {
    /// Reads a file, all of whose keys must be options of this command or its subcommands.
    pub(super) fn read(file: &Path, command: &Command) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(file)
            .map_err(|source| FileError::Read { file: file.to_owned(), source })?;
        Self::parse(file, &text, command)
    }

    fn parse(file: &Path, text: &str, command: &Command) -> Result<Self, FileError> {
        let table: Table = text.parse().map_err(|error| syntax(file, text, &error))?;
        let options = options(command);
        let checked = table.into_iter().map(|(key, value)| {
            check_key(&key).map_err(|source| FileError::Removed { file: file.to_owned(), source })?;
            let Some(option) = options.get(&key) else {
                let meant = nearest(&key, &options);
                return Err(FileError::Key { file: file.to_owned(), key, meant });
            };
            match arguments(option, &value) {
                Ok(arguments) => Ok((key, arguments)),
                Err(reason) => {
                    let (given, accepted) = (shown(option, &value), accepted(option));
                    Err(FileError::Value { file: file.to_owned(), key, given, reason, accepted })
                }
            }
        });
        checked.collect::<Result<_, _>>().map(Self)
    }

    /// Returns the command and its subcommands with the values of the file as their defaults.
    pub(super) fn under(&self, command: Command) -> Command {
        let set = |option: Arg| match key(&option).and_then(|key| self.0.get(&key)) {
            Some(values) => option.default_values(values),
            None => option,
        };
        command.mut_args(set).mut_subcommands(|command| self.under(command))
    }
}

/// Returns, by key, the options of the command and its subcommands that the environment and a file can set.
pub(super) fn options(command: &Command) -> BTreeMap<String, &Arg> {
    let mut options: BTreeMap<_, _> = command.get_subcommands().flat_map(options).collect();
    options.extend(command.get_arguments().filter_map(|option| Some((key(option)?, option))));
    options
}

fn key(option: &Arg) -> Option<String> {
    option.get_env().filter(|_| option.get_id() != FILE)?;
    Some(option.get_long()?.replace('-', "_"))
}

/// Returns the value as it would be written on the command line. If the option does not accept it, returns what is
/// wrong with it, or `None` if its type is wrong.
fn arguments(option: &Arg, value: &Value) -> Result<Vec<String>, Option<String>> {
    if !option.get_action().takes_values() {
        return value.as_bool().map(|on| vec![on.to_string()]).ok_or(None);
    }
    let values = match value {
        Value::Array(values) if option.get_value_delimiter().is_some() && !values.is_empty() => &values[..],
        value => std::slice::from_ref(value),
    };
    let texts = values.iter().map(|value| match value {
        Value::String(text) => Ok(text.clone()),
        Value::Integer(number) => Ok(number.to_string()),
        Value::Float(number) => Ok(number.to_string()),
        _ => Err(None),
    });
    let texts = texts.collect::<Result<Vec<_>, _>>()?;
    let mut alone = Arg::new("value")
        .long("value")
        .action(option.get_action().clone())
        .value_parser(option.get_value_parser().clone());
    if let Some(delimiter) = option.get_value_delimiter() {
        alone = alone.value_delimiter(delimiter);
    }
    let given = texts.iter().map(|text| format!("--value={text}"));
    match Command::new("file").no_binary_name(true).arg(alone).try_get_matches_from(given) {
        Ok(_) => Ok(texts),
        Err(error) => Err(error.source().map(ToString::to_string)),
    }
}

fn accepted(option: &Arg) -> String {
    if !option.get_action().takes_values() {
        return "true or false".to_owned();
    }
    let possible = option.get_possible_values();
    if !possible.is_empty() {
        let names: Vec<_> = possible.iter().map(|value| format!("{:?}", value.get_name())).collect();
        return names.join(" or ");
    }
    let many = if option.get_value_delimiter().is_some() { ", or an array of them" } else { "" };
    let name = option.get_value_names().and_then(|names| names.first()).map_or("VALUE", |name| name.as_str());
    format!("what the flag --{} takes, {name}{many}", option.get_long().unwrap_or_default())
}

fn shown(option: &Arg, value: &Value) -> String {
    match value {
        _ if option.is_hide_env_values_set() => "…".to_owned(),
        Value::Table(_) => "a table".to_owned(),
        value => value.to_string(),
    }
}

/// Returns the message without the text of the line, which may contain a secret.
fn syntax(file: &Path, text: &str, error: &toml::de::Error) -> FileError {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    let line = before.matches('\n').count() + 1;
    FileError::Syntax { file: file.to_owned(), line, reason: error.message().to_owned() }
}

fn nearest(key: &str, options: &BTreeMap<String, &Arg>) -> Option<String> {
    let flags = options.keys().map(|key| Arg::new(key).long(key));
    let command = Command::new("file").no_binary_name(true).disable_help_flag(true).args(flags);
    let error = command.try_get_matches_from([format!("--{key}")]).err()?;
    match error.get(ContextKind::SuggestedArg)? {
        ContextValue::String(flag) => Some(flag.trim_start_matches('-').to_owned()),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::{Args, FromArgMatches};

    use super::*;
    use crate::commands::ServeConfig;

    fn command() -> Command {
        ServeConfig::augment_args(Command::new("headcount").no_binary_name(true))
    }

    fn settings(text: &str) -> Result<Settings, String> {
        Settings::parse(Path::new("it.toml"), text, &command()).map_err(|error| error.to_string())
    }

    fn serve(text: &str, arguments: &[&str]) -> ServeConfig {
        let command = settings(text).unwrap().under(command());
        ServeConfig::from_arg_matches(&command.try_get_matches_from(arguments).unwrap()).unwrap()
    }

    #[test]
    fn values_of_every_type_override_defaults_and_flags_override_them() {
        let text = r#"
            listen = "0.0.0.0:80"
            cache_bytes = 1_000
            body_bytes = "1MiB"
            open = true
            consume = false
            graphiql = "off"
            prune_older_than = "8w"
            nats_url = "nats://a:1,nats://b:2"
            cors_origins = ["https://a.example", "https://b.example"]
            stop_timeout = "7"
        "#;
        let config = serve(text, &["--cache-bytes", "5", "--nats-prefix", "door"]);
        assert_eq!(config.listen.to_string(), "0.0.0.0:80");
        assert_eq!(
            (config.cache_bytes, config.limits.body_bytes, config.limits.stop_timeout_s),
            (5, 1 << 20, 7)
        );
        assert!(config.auth.open && !config.consume && !config.auth.graphiql.is_on());
        assert!(config.prune_older_than.is_some() && config.auth.introspection.is_on());
        assert_eq!((config.broker.nats_url.len(), config.auth.cors_origins.len()), (2, 2));
        assert_eq!(serve("", &[]).listen.to_string(), "127.0.0.1:8000");
    }

    #[test]
    fn an_invalid_file_is_refused_with_its_name_and_the_key_or_line() {
        for (text, said) in [
            (
                "listen = 8000",
                "it.toml has listen = 8000, which is not accepted (use ADDRESS:PORT, such as 127.0.0.1:8000 or [::1]:8000; HOST:PORT, such as localhost:8000; or systemd for the sockets of a socket unit): listen takes what",
            ),
            (
                "graphql_cost = 0",
                "it.toml has graphql_cost = 0, which is not accepted (0 is not in 1..=4294967295): graphql_cost takes what",
            ),
            (
                "graphql_depth = 5",
                "it.toml: graphql_depth was removed: this limit is the same everywhere now",
            ),
            ("cache_bytes = -1", "cache_bytes = -1, which is not accepted"),
            (
                "cache_bytes = 1.5",
                "cache_bytes = 1.5, which is not accepted (use a whole number of bytes, such as 65536",
            ),
            (
                "cache_bytes = [1]",
                "cache_bytes = [1], which is not accepted: cache_bytes takes what the flag --cache-bytes takes, BYTES",
            ),
            (
                "cors_origins = []",
                "cors_origins = [], which is not accepted: cors_origins takes what the flag --cors-origins takes, ORIGINS, or an array of them",
            ),
            ("cors_origins = [1979-05-27]", "cors_origins = [1979-05-27], which is not accepted: "),
            ("open = \"yes\"", "it.toml has open = \"yes\", which is not accepted: open takes true or false"),
            (
                "graphiql = false",
                "it.toml has graphiql = false, which is not accepted: graphiql takes \"on\" or \"off\"",
            ),
            (
                "graphiql = \"maybe\"",
                "graphiql = \"maybe\", which is not accepted: graphiql takes \"on\" or \"off\"",
            ),
            ("prune_older_than = \"soon\"", "prune_older_than = \"soon\", which is not accepted ("),
            ("[listen]\nport = 1", "listen = a table, which is not accepted: "),
            ("nats_url = \"nats://me:s3cret@\"", "nats_url = …, which is not accepted ("),
            (
                "lisen = 1",
                "it.toml has the unknown key \"lisen\" (did you mean \"listen\"?): use, outside of tables, the flags",
            ),
            ("database-url = 1", "has the unknown key \"database-url\" (did you mean \"database_url\"?)"),
            ("[limits]\ngraphql_cost = 5", "has the unknown key \"limits\""),
            ("\"\" = 1", "has the unknown key \"\": use"),
            ("\"help\" = 1", "has the unknown key \"help\""),
            ("listen = \"a\"\nid_key = s3cret", "it.toml, line 2, is not TOML: "),
            ("listen = \"a\"\nlisten = \"b\"", "it.toml, line 2, is not TOML: duplicate key"),
        ] {
            let refused = settings(text).unwrap_err();
            assert!(
                refused.starts_with("the configuration file it.toml") && refused.contains(said),
                "{text}: {refused}"
            );
            assert!(!refused.contains("s3cret") && !refused.contains('\n'), "{refused}");
        }
    }
}
