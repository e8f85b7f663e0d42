//! Reads options from the command line, the environment and a file, whatever the options are.

mod command_line;
mod file;
mod listen;
mod removed;
mod size;

#[cfg(test)]
pub(crate) use self::command_line::file_option;
pub use self::command_line::{parse, without_empty_variables};
pub use self::file::FileError;
pub use self::listen::{Listen, ListenError, Place};
pub use self::removed::{RemovedError, check_removed};
pub(crate) use self::size::size;
