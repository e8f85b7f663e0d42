//! Limits on GraphQL documents. They are checked before the document is validated, and so before any resolver runs.
//!
//! async-graphql checks depth and complexity only after it has walked a document with its fragments expanded, which a
//! few hundred bytes can make take forever, and it parses documents of any size. So three checks come first, each
//! bounded by the one before it: one pass over the text, before it is parsed ([`scan`](self::scan())); one over the
//! parsed document, each fragment once ([`check_size`]); and the cost of each operation ([`Costs`]). The results are
//! cached with the document, except for the part of the cost that depends on variables and on the floor plan.

mod cost;
mod cost_model;
mod scan;
mod size;

use std::fmt;

use async_graphql::parser::types::OperationType;
use async_graphql::{ErrorExtensionValues, Name, ServerError};
use entity::shown;

pub(in crate::http::graphql) use self::cost::Costs;
pub(in crate::http::graphql) use self::cost_model::{CostModel, DeclaredEntries, Entries};
pub(in crate::http::graphql) use self::scan::scan;
pub(in crate::http::graphql) use self::size::check_size;

pub(in crate::http::graphql) const PAGE_DEFAULT: u32 = 100;
pub(in crate::http::graphql) const PAGE_MAX: u32 = 500;

pub(in crate::http::graphql) const fn root(operation: OperationType) -> &'static str {
    match operation {
        OperationType::Query => "Query",
        OperationType::Mutation => "Mutation",
        OperationType::Subscription => "Subscription",
    }
}

pub(in crate::http::graphql) const TOO_COMPLEX: &str = "TOO_COMPLEX";

#[derive(Debug, PartialEq, Eq)]
pub(in crate::http::graphql) enum DocumentError {
    Excess {
        measure: Measure,
        found: u64,
        accepted: u32,
    },
    Depth {
        accepted: u32,
    },
    /// A fragment contains itself.
    Cycle(Name),
    /// Brackets do not match.
    Unbalanced,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::http::graphql) enum Measure {
    Bytes,
    Tokens,
    /// The length of a name or a number.
    Name,
    Brackets,
    Aliases,
    Directives,
    /// Fields and spreads after fragments are expanded.
    Selections,
    Cost,
    /// Fields of an answer.
    Answered,
    AnswerBytes,
    /// Entries of a page from the beginning.
    First,
    /// Entries of a page from the end.
    Last,
    Events,
    /// Values in a request's JSON.
    Values,
    /// Entries of a list in a request's JSON.
    List,
    /// Operations over one WebSocket.
    Operations,
}

impl fmt::Display for DocumentError {
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
                        format!("the document has {found} selections once its fragments are expanded")
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
                    Measure::Events => format!("events: {found} were given"),
                    Measure::Values => {
                        return write!(
                            formatter,
                            "the request has more than {accepted} values, which is the maximum"
                        );
                    }
                    Measure::List => format!("the request has a list of {found} entries"),
                    Measure::Operations => format!("{found} operations would run over this connection"),
                };
                write!(formatter, "{said}; at most {accepted} are accepted")
            }
            Self::Depth { accepted } => write!(
                formatter,
                "the document nests fields and fragments more than {accepted} deep, which is the maximum"
            ),
            Self::Cycle(fragment) => {
                write!(
                    formatter,
                    "the fragment {} contains itself: fragments must not form a cycle",
                    shown(fragment)
                )
            }
            Self::Unbalanced => {
                write!(formatter, "the document's brackets do not match: close each {{ [ ( by }} ] )")
            }
        }
    }
}

impl From<DocumentError> for ServerError {
    fn from(refusal: DocumentError) -> Self {
        let mut error = Self::new(refusal.to_string(), None);
        // A cycle and unbalanced brackets are syntax errors, whatever the document's size.
        if !matches!(refusal, DocumentError::Cycle(_) | DocumentError::Unbalanced) {
            error.extensions.get_or_insert_with(ErrorExtensionValues::default).set("code", TOO_COMPLEX);
        }
        error
    }
}

impl Measure {
    pub(in crate::http::graphql) fn check(self, found: u64, accepted: u32) -> Result<(), DocumentError> {
        if found > accepted.into() {
            Err(DocumentError::Excess { measure: self, found, accepted })
        } else {
            Ok(())
        }
    }
}
