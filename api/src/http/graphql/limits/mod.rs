//! What a GraphQL document may ask for. Everything here is decided before the document is validated, and so before
//! any resolver runs.
//!
//! async-graphql looks at depth and complexity only after it has walked a document with its fragments written out,
//! which a few hundred bytes can make take for ever, and it parses whatever it is given. So three looks come first,
//! each bounded by the one before it: one pass over the text ([`scan`](self::scan())), before it is parsed; one over
//! the parsed document, each fragment once ([`check_size`]); and what each operation costs ([`Bills`]), of which only
//! what depends on variables is left for when a request brings them. A document's verdict is kept with it.

mod cost;
mod prices;
mod scan;
mod size;

use std::fmt;

use async_graphql::parser::types::OperationType;
use async_graphql::{ErrorExtensionValues, Name, ServerError};
use entity::shown;

pub(in crate::http::graphql) use self::cost::Bills;
pub(in crate::http::graphql) use self::prices::Prices;
pub(in crate::http::graphql) use self::scan::scan;
pub(in crate::http::graphql) use self::size::check_size;

/// How many entries a page has unless `first` says otherwise.
pub(in crate::http::graphql) const PAGE_DEFAULT: u32 = 100;
/// How many entries a page can have.
pub(in crate::http::graphql) const PAGE_MAX: u32 = 500;

/// The type at the root of such an operation.
pub(in crate::http::graphql) const fn root(operation: OperationType) -> &'static str {
    match operation {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    }
}

/// The code of an error that says a limit was passed.
pub(in crate::http::graphql) const TOO_COMPLEX: &str = "TOO_COMPLEX";

/// Why a document is not executed.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::http::graphql) enum Refusal {
    /// It has more of something than is accepted.
    Excess {
        /// Of what.
        measure: Measure,
        /// How much it has.
        found: u64,
        /// How much is accepted.
        accepted: u32,
    },
    /// It nests deeper than is accepted.
    Depth {
        /// How deep it may nest.
        accepted: u32,
    },
    /// A fragment contains itself, so that it has no end.
    Cycle(Name),
    /// Brackets that are not closed, or not opened, or closed by one of another kind.
    Unbalanced,
}

/// What is limited.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::graphql) enum Measure {
    /// The length of the text.
    Bytes,
    /// The tokens of the text.
    Tokens,
    /// The letters of a name, or the digits of a number.
    Name,
    /// Brackets of all kinds, open at a time.
    Brackets,
    /// Fields answered under other names.
    Aliases,
    /// Directives.
    Directives,
    /// Fields and spreads, once fragments are written out.
    Selections,
    /// What an operation costs.
    Cost,
    /// Fields that an operation answers.
    Answered,
    /// Bytes of its answer.
    AnswerBytes,
    /// Entries of a page from the beginning.
    First,
    /// Entries of a page from the end.
    Last,
    /// Events handed over together.
    Events,
    /// Values of a request's JSON.
    Values,
    /// Entries of a list in it.
    List,
    /// Operations over one WebSocket.
    Operations,
}

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Excess { measure, found, accepted } => {
                let said = match measure {
                    Measure::Bytes => format!("the document has {found} bytes"),
                    Measure::Tokens => format!("the document has {found} tokens"),
                    Measure::Name => format!("the document has a name of {found} letters"),
                    Measure::Brackets => format!("the document nests {found} brackets in each other"),
                    Measure::Aliases => format!("the document has {found} aliases"),
                    Measure::Directives => format!("the document has {found} directives"),
                    Measure::Selections => {
                        format!("the document has {found} selections once its fragments are written out")
                    }
                    Measure::Cost => {
                        format!("the operation costs {found}, about as many fields as its answer can have")
                    }
                    Measure::Answered => {
                        return write!(
                            formatter,
                            "the answer would have more than {accepted} fields: ask for fewer entries or fewer fields of each"
                        );
                    }
                    Measure::AnswerBytes => {
                        return write!(
                            formatter,
                            "the answer would have more than {accepted} bytes: ask for fewer entries or fewer fields of each"
                        );
                    }
                    Measure::First => {
                        return write!(formatter, "first: {found} is not a number from 0 to {accepted}");
                    }
                    Measure::Last => {
                        return write!(formatter, "last: {found} is not a number from 0 to {accepted}");
                    }
                    Measure::Events => format!("events: there are {found} of them"),
                    Measure::Values => {
                        return write!(
                            formatter,
                            "the request has more than {accepted} values; no more are accepted"
                        );
                    }
                    Measure::List => format!("the request has a list of {found} entries"),
                    Measure::Operations => format!("{found} operations would run over this connection"),
                };
                write!(formatter, "{said}; at most {accepted} are accepted")
            }
            Self::Depth { accepted } => write!(
                formatter,
                "the document nests fields and fragments more than {accepted} deep; at most {accepted} are accepted"
            ),
            Self::Cycle(fragment) => {
                write!(formatter, "the fragment {} contains itself; fragments end", shown(fragment))
            }
            Self::Unbalanced => {
                write!(formatter, "the document's brackets do not match: each of {{ [ ( is closed by its own")
            }
        }
    }
}

impl From<Refusal> for ServerError {
    fn from(refusal: Refusal) -> Self {
        let mut error = Self::new(refusal.to_string(), None);
        // These are mistakes in the document, whatever its size.
        if !matches!(refusal, Refusal::Cycle(_) | Refusal::Unbalanced) {
            error.extensions.get_or_insert_with(ErrorExtensionValues::default).set("code", TOO_COMPLEX);
        }
        error
    }
}

impl Measure {
    /// Refuses more than is accepted.
    pub(in crate::http::graphql) fn check(self, found: u64, accepted: u32) -> Result<(), Refusal> {
        if found > accepted.into() { Err(Refusal::Excess { measure: self, found, accepted }) } else { Ok(()) }
    }
}
