//! The options of a process: flags override environment variables, which override a file, which overrides the defaults.
//!
//! clap reads the first two. The values of the file replace clap's defaults, so that every option of every command has
//! this order of precedence.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, Command, Parser, value_parser};

use super::file::{self, FILE, FileError, Settings};

/// Parses the options of the process. Prints a message and exits if the command line or the environment is invalid, or
/// for `--help`. Returns an error if the file is invalid.
pub fn parse<C: Parser>() -> Result<C, FileError> {
    let command = C::command().arg(file_option());
    let parsed = |command: Command| {
        let command = without_empty_variables(command);
        command.clone().try_get_matches().unwrap_or_else(|error| with_variable(error, &command).exit())
    };
    let mut matches = parsed(command.clone());
    if let Some(file) = innermost(&matches).get_one::<PathBuf>(FILE) {
        matches = parsed(Settings::read(file, &command)?.under(command));
    }
    Ok(C::from_arg_matches(&matches).unwrap_or_else(|error| error.exit()))
}

/// Returns the command without variables that are set to an empty text, as service files do with unused ones.
pub fn without_empty_variables(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let keep = |option: Arg| match option.get_env() {
        Some(name) if is_empty(name) => option.env(None::<&str>),
        _ => option,
    };
    command.mut_args(keep).mut_subcommands(without_empty_variables)
}

pub(crate) fn file_option() -> Arg {
    Arg::new(FILE)
        .long(FILE)
        .env("HEADCOUNT_CONFIG")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .global(true)
        .help("Read options from this TOML file, such as `listen = \"0.0.0.0:8000\"`; flags and variables override it")
}

/// Returns the matches of the innermost subcommand, which may have the option.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| innermost(matches))
}

/// Adds the environment variable from which an invalid value comes to the error, and removes the value if it is secret.
fn with_variable(mut error: clap::Error, command: &Command) -> clap::Error {
    let (Some(ContextValue::String(flag)), Some(ContextValue::String(value))) =
        (error.get(ContextKind::InvalidArg), error.get(ContextKind::InvalidValue))
    else {
        return error;
    };
    let (flag, value) = (flag.split(' ').next().unwrap_or_default().trim_start_matches("--"), value.clone());
    let options = file::options(command);
    let Some(option) = options.values().find(|option| option.get_long() == Some(flag)) else { return error };
    if option.is_hide_env_values_set() {
        // A URL may contain a password, and this may be a part of it.
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    let Some(variable) = option.get_env() else { return error };
    // A flag overrides its variable, so its value usually differs from it.
    if std::env::var(variable).is_ok_and(|text| text.contains(&value)) {
        let origin = format!("the value comes from the environment variable {}", variable.display());
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![origin.into()]));
    }
    error
}
