//! Documents that were parsed before. A client sends the same few again and again, and to parse one takes
//! longer than to execute it.

use std::sync::Arc;

use ahash::RandomState;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::parser::{self, parse_query};
use async_graphql::{Request, ServerError};
use moka::sync::Cache;

use super::literals::join_surrogates;
use crate::floor_plan::Lengths;
use crate::http::graphql::limits::{Bills, Prices, Refusal, check_size, scan};
use crate::limits::Limits;

/// How many bytes of documents are kept, about.
const BYTES_MAX: u64 = 16 << 20;
/// How many bytes a parsed document is taken for, a byte of its text: a field alone is some two hundred, and its
/// text two at least.
const BYTES_PARSED: usize = 100;

/// The documents that were asked for of late, by their text.
#[derive(Clone)]
pub(in crate::http::graphql) struct Documents {
    known: Cache<String, Arc<Document>, RandomState>,
    prices: Arc<Prices>,
    limits: Limits,
}

/// A document that is well-formed and within the limits; whether it suits the schema is for executing to say.
pub(in crate::http::graphql) struct Document {
    pub(in crate::http::graphql) parsed: ExecutableDocument,
    /// What its operations cost.
    bills: Bills,
    /// Whether fields may be left out by `@skip` and `@include`, or what else directives do.
    pub(in crate::http::graphql) has_directives: bool,
}

impl Documents {
    /// None yet, of a schema in GraphQL's schema language.
    pub(in crate::http::graphql) fn new(sdl: &str, limits: Limits) -> Result<Self, parser::Error> {
        let weigh = |text: &String, _: &Arc<Document>| {
            u32::try_from(text.len().saturating_mul(BYTES_PARSED)).unwrap_or(u32::MAX)
        };
        let known =
            Cache::builder().max_capacity(BYTES_MAX).weigher(weigh).build_with_hasher(RandomState::new());
        Ok(Self { known, prices: Arc::new(Prices::new(sdl)?), limits })
    }

    /// The document of a text, or why there is none, or none that is executed.
    pub(in crate::http::graphql) fn parse(&self, text: &str) -> Result<Arc<Document>, ServerError> {
        // One that is too long is not among them.
        if let Some(known) = self.known.get(text) {
            return Ok(known);
        }
        scan(text, &self.limits)?;
        let document = Arc::new(self.measured(parse_query(join_surrogates(text))?, text.contains('@'))?);
        self.known.insert(text.to_owned(), Arc::clone(&document));
        Ok(document)
    }

    fn measured(&self, parsed: ExecutableDocument, has_directives: bool) -> Result<Document, Refusal> {
        check_size(&parsed, &self.limits)?;
        let bills = Bills::new(&parsed, &self.prices);
        Ok(Document { parsed, bills, has_directives })
    }
}

impl Document {
    /// What the request's operation costs where lists are of these lengths.
    pub(in crate::http::graphql) fn cost(
        &self,
        request: &Request,
        lengths: &Lengths,
        limits: &Limits,
    ) -> Result<u64, Refusal> {
        self.bills.cost(request.operation_name.as_deref(), &request.variables, lengths, limits)
    }

    /// Refuses the request's operation if it costs too much.
    pub(in crate::http::graphql) fn check(
        &self,
        request: &Request,
        lengths: &Lengths,
        limits: &Limits,
    ) -> Result<(), Refusal> {
        self.bills.check(request.operation_name.as_deref(), &request.variables, lengths, limits)
    }
}
