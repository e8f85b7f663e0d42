//! The configuration file: flat TOML, whose keys are the long flags with `_` instead of `-`. It can set every option
//! that has an environment variable. Options of a single run, such as `--repair`, have neither.
//!
//! clap checks all values when the file is read, whatever command runs, so that an error names the file and the key.

use std::collections::BTreeMap;
use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};

use clap::error::ContextKind;
use clap::{Arg, ArgAction, Command};
use toml::{Table, Value};

use super::removed::{RemovedError, check_key};

/// The option that names the file; it cannot be set in a file.
pub(super) const FILE: &str = "config";

/// The checked contents of a file: by key, the values as they would be written on the command line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Settings(BTreeMap<String, String>);

/// The file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the configuration file {}: {problem}", file.display())]
pub struct FileError {
    file: PathBuf,
    problem: FileProblem,
}

/// Reasons why a file cannot be used.
#[derive(Debug, thiserror::Error)]
enum FileProblem {
    #[error("it cannot be read: {0}")]
    Read(io::Error),
    #[error("line {line} is not TOML: {reason}")]
    Syntax { line: usize, reason: String },
    #[error(
        "unknown key {key:?}{}: use, outside of tables, the flags of `headcount serve --help` that have an environment \
         variable, without -- and with _ instead of -",
        meant.as_ref().map(|meant| format!(" (did you mean {meant:?}?)")).unwrap_or_default()
    )]
    Key { key: String, meant: Option<String> },
    #[error("{0}")]
    Removed(#[from] RemovedError),
    #[error("{key} = {given} is not accepted: {reason}")]
    Value { key: String, given: String, reason: String },
}

impl Settings {
    /// Reads a file, all of whose keys must be options of this command or its subcommands.
    pub(super) fn read(file: &Path, command: &Command) -> Result<Self, FileError> {
        let text = std::fs::read_to_string(file).map_err(FileProblem::Read);
        text.and_then(|text| Self::parse(&text, command))
            .map_err(|problem| FileError { file: file.to_owned(), problem })
    }

    fn parse(text: &str, command: &Command) -> Result<Self, FileProblem> {
        let table: Table = text.parse().map_err(|error| syntax(text, &error))?;
        let options = options(command);
        // All options as flags that take a value, none of which comes from elsewhere.
        let flags = options.iter().map(|(key, option)| {
            let option = Arg::clone(option).id(key).long(key).env(None::<&str>);
            option.action(ArgAction::Set).required(false)
        });
        let flags = Command::new("file").no_binary_name(true).disable_help_flag(true).args(flags);
        let checked = |flag: String| flags.clone().try_get_matches_from([flag]).err();
        let mut settings = BTreeMap::new();
        for (key, value) in table {
            check_key(&key)?;
            let Some(option) = options.get(&key) else {
                let meant = checked(format!("--{key}"))
                    .and_then(|error| Some(error.get(ContextKind::SuggestedArg)?.to_string()));
                let meant = meant.map(|flag| flag.trim_start_matches('-').to_owned());
                return Err(FileProblem::Key { key, meant });
            };
            let argument = argument(option, &value).and_then(|argument| {
                let error = checked(format!("--{key}={argument}"));
                error.map_or(Ok(argument), |error| Err(reason(&error)))
            });
            let refused = |reason| {
                let is_secret = option.is_hide_env_values_set();
                let given = if is_secret { "…".to_owned() } else { value.to_string() };
                FileProblem::Value { key: key.clone(), given, reason }
            };
            let argument = argument.map_err(refused)?;
            settings.insert(key, argument);
        }
        Ok(Self(settings))
    }

    /// Returns the command and its subcommands with the values of the file as their defaults.
    pub(super) fn under(&self, command: Command) -> Command {
        let set = |option: Arg| match key(&option).and_then(|key| self.0.get(&key)) {
            Some(value) => option.default_value(value),
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

/// Returns the value as it would be written on the command line, or what is accepted if its type is wrong.
fn argument(option: &Arg, value: &Value) -> Result<String, String> {
    let text = |value: &Value| match value {
        Value::String(text) => Some(text.clone()),
        Value::Integer(number) => Some(number.to_string()),
        Value::Float(number) => Some(number.to_string()),
        // It is refused with the names that are accepted.
        Value::Boolean(on) if !option.get_possible_values().is_empty() => Some(on.to_string()),
        _ => None,
    };
    let (argument, accepted) = match (value, option.get_value_delimiter()) {
        (Value::Boolean(on), _) if !option.get_action().takes_values() => (Some(on.to_string()), ""),
        _ if !option.get_action().takes_values() => (None, "use true or false"),
        (Value::Array(values), Some(delimiter)) if !values.is_empty() => {
            let texts: Option<Vec<_>> = values.iter().map(text).collect();
            (texts.map(|texts| texts.join(&delimiter.to_string())), "use an array of texts")
        }
        (value, Some(_)) => (text(value), "use text, or an array of texts"),
        (value, None) => (text(value), "use text or a number"),
    };
    argument.ok_or_else(|| accepted.to_owned())
}

/// Returns what clap says about a value, without the value itself, which may be a secret.
fn reason(error: &clap::Error) -> String {
    match (error.source(), error.get(ContextKind::ValidValue)) {
        (Some(reason), _) => reason.to_string(),
        (None, Some(accepted)) => format!("use one of: {accepted}"),
        (None, None) => error.kind().to_string(),
    }
}

/// Returns the message without the text of the line, which may contain a secret.
fn syntax(text: &str, error: &toml::de::Error) -> FileProblem {
    let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
    FileProblem::Syntax { line: before.matches('\n').count() + 1, reason: error.message().to_owned() }
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
        Settings::parse(text, &command()).map_err(|error| error.to_string())
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
    fn an_invalid_file_is_refused_with_the_key_or_line() {
        for (text, said) in [
            ("listen = 8000", "listen = 8000 is not accepted: use ADDRESS:PORT, such as 127.0.0.1:8000 or "),
            ("graphql_cost = 0", "graphql_cost = 0 is not accepted: 0 is not in 1..=4294967295"),
            ("graphql_depth = 5", "graphql_depth was removed: this limit is the same everywhere now"),
            ("cache_bytes = -1", "cache_bytes = -1 is not accepted: use a whole number of bytes"),
            (
                "cache_bytes = 1.5",
                "cache_bytes = 1.5 is not accepted: use a whole number of bytes, such as 65536",
            ),
            ("cache_bytes = [1]", "cache_bytes = [1] is not accepted: use text or a number"),
            ("cors_origins = []", "cors_origins = [] is not accepted: use text, or an array of texts"),
            (
                "cors_origins = [1979-05-27]",
                "cors_origins = [1979-05-27] is not accepted: use an array of texts",
            ),
            ("open = \"yes\"", "open = \"yes\" is not accepted: use true or false"),
            ("graphiql = false", "graphiql = false is not accepted: use one of: on, off"),
            ("graphiql = \"maybe\"", "graphiql = \"maybe\" is not accepted: use one of: on, off"),
            ("prune_older_than = true", "prune_older_than = true is not accepted: use text or a number"),
            ("prune_older_than = \"soon\"", "prune_older_than = \"soon\" is not accepted: "),
            ("[listen]\nport = 1", "listen = { port = 1 } is not accepted: use text or a number"),
            ("nats_url = \"nats://me:s3cret@\"", "nats_url = … is not accepted: use nats://HOST:PORT or "),
            ("nats_url = [[\"s3cret\"]]", "nats_url = … is not accepted: use an array of texts"),
            (
                "lisen = 1",
                "unknown key \"lisen\" (did you mean \"listen\"?): use, outside of tables, the flags",
            ),
            ("database-url = 1", "unknown key \"database-url\" (did you mean \"database_url\"?)"),
            ("[limits]\ngraphql_cost = 5", "unknown key \"limits\""),
            ("\"\" = 1", "unknown key \"\": use"),
            ("\"help\" = 1", "unknown key \"help\""),
            ("listen = \"a\"\nid_key = s3cret", "line 2 is not TOML: "),
            ("listen = \"a\"\nlisten = \"b\"", "line 2 is not TOML: duplicate key"),
        ] {
            let refused = settings(text).unwrap_err();
            assert!(refused.starts_with(said), "{text}: {refused}");
            assert!(!refused.contains("s3cret") && !refused.contains('\n'), "{refused}");
        }
    }
}
