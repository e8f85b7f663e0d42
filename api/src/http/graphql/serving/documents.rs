//! The cache of parsed documents. Clients send the same few again and again, and parsing one takes longer than
//! executing it.

use std::sync::Arc;

use ahash::RandomState;
use async_graphql::parser::types::ExecutableDocument;
use async_graphql::parser::{self, parse_query};
use async_graphql::{Request, ServerError};
use moka::sync::Cache;

use super::literals::join_surrogates;
use crate::floor_plan::Lengths;
use crate::http::graphql::limits::{CostModel, Costs, DocumentError, Measure, check_size, scan};
use crate::http::graphql::schema;
use crate::limits::Limits;

/// Approximate capacity of the cache, in bytes.
const BYTES_MAX: u64 = 16 << 20;
/// Estimated size of a parsed document, in bytes per byte of its text. A field takes some two hundred bytes, and its
/// text at least two.
const BYTES_PARSED: usize = 100;

/// The documents of recent requests, by their text.
#[derive(Clone)]
pub(in crate::http::graphql) struct Documents {
    known: Cache<String, Arc<Document>, RandomState>,
    model: Arc<CostModel>,
    limits: Limits,
}

/// A document that is well-formed and within the limits. It is validated against the schema when it is executed.
pub(in crate::http::graphql) struct Document {
    pub(in crate::http::graphql) parsed: ExecutableDocument,
    /// The costs of its operations.
    costs: Costs,
    /// Whether it has directives, such as `@skip` and `@include`.
    pub(in crate::http::graphql) has_directives: bool,
}

impl Documents {
    pub(in crate::http::graphql) fn new(sdl: &str, limits: Limits) -> Result<Self, parser::Error> {
        let weigh = |text: &String, _: &Arc<Document>| {
            u32::try_from(text.len().saturating_mul(BYTES_PARSED)).unwrap_or(u32::MAX)
        };
        let known =
            Cache::builder().max_capacity(BYTES_MAX).weigher(weigh).build_with_hasher(RandomState::new());
        Ok(Self { known, model: Arc::new(CostModel::new(sdl, schema::ENTRIES)?), limits })
    }

    /// Returns the document of a text, parsed or from the cache, or the error for which it is not executed.
    pub(in crate::http::graphql) fn parse(&self, text: &str) -> Result<Arc<Document>, ServerError> {
        // Documents that are too long are never in the cache.
        if let Some(known) = self.known.get(text) {
            return Ok(known);
        }
        scan(text, &self.limits)?;
        let document = Arc::new(self.measured(parse_query(join_surrogates(text))?, text.contains('@'))?);
        self.known.insert(text.to_owned(), Arc::clone(&document));
        Ok(document)
    }

    fn measured(&self, parsed: ExecutableDocument, has_directives: bool) -> Result<Document, DocumentError> {
        check_size(&parsed, &self.limits)?;
        let costs = Costs::new(&parsed, &self.model);
        Ok(Document { parsed, costs, has_directives })
    }
}

impl Document {
    pub(in crate::http::graphql) fn cost(
        &self,
        request: &Request,
        lengths: &Lengths,
        limits: &Limits,
    ) -> Result<u64, DocumentError> {
        self.costs.of(request.operation_name.as_deref(), &request.variables, lengths, limits)
    }

    pub(in crate::http::graphql) fn check(
        &self,
        request: &Request,
        lengths: &Lengths,
        limits: &Limits,
    ) -> Result<(), DocumentError> {
        Measure::Cost.check(self.cost(request, lengths, limits)?, limits.graphql_cost)
    }
}
