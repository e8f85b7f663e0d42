//! The command line, and what holds where it says nothing: the environment, then a file, then defaults.
//!
//! clap reads the first two. What the file says takes the place of the defaults that clap knows, so that there is one
//! order of precedence, for every option of every command.

use std::ffi::OsStr;
use std::path::PathBuf;

use clap::error::{ContextKind, ContextValue};
use clap::{Arg, ArgMatches, Command, Parser, value_parser};

use super::file::{self, FILE, FileError, Settings};

/// What the process was asked for. Where the command line or the environment is wrong, or help is wanted, it says so and
/// leaves the process; where the file is, the error says so.
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

/// The command without the variables that are set to nothing, as files of services write those that are not used.
pub fn without_empty_variables(command: Command) -> Command {
    let is_empty = |name: &OsStr| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let keep = |option: Arg| match option.get_env() {
        Some(name) if is_empty(name) => option.env(None::<&str>),
        _ => option,
    };
    command.mut_args(keep).mut_subcommands(without_empty_variables)
}

/// The option that names the file.
pub(crate) fn file_option() -> Arg {
    Arg::new(FILE)
        .long(FILE)
        .env("HEADCOUNT_CONFIG")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .global(true)
        .help("A TOML file of options: `listen = \"0.0.0.0:8000\"`; flags and the environment go before it")
}

/// Of the command that was asked for, under which the option may stand.
fn innermost(matches: &ArgMatches) -> &ArgMatches {
    matches.subcommand().map_or(matches, |(_, matches)| innermost(matches))
}

/// The error, which names a flag, with the variable that its value comes from, if it does, and without the value if it is secret.
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
        // A URL may hold a password, and this may be a part of one.
        error.insert(ContextKind::InvalidValue, ContextValue::String("…".to_owned()));
    }
    let Some(variable) = option.get_env() else { return error };
    // A flag that is given is read in the place of its variable, which is then not looked at.
    if std::env::var(variable).is_ok_and(|text| text.contains(&value)) {
        let origin = format!("this is the value of the environment variable {}", variable.display());
        error.insert(ContextKind::Suggested, ContextValue::StyledStrs(vec![origin.into()]));
    }
    error
}
