//! Documents that were parsed before. A client sends the same few again and again, and to parse one takes
//! longer than to execute it.

use std::sync::Arc;

use ahash::RandomState;
use async_graphql::Request;
use async_graphql::parser::types::ExecutableDocument;
use moka::sync::Cache;

/// How many bytes of documents are kept, about.
const BYTES_MAX: u64 = 16 << 20;
/// How many bytes a parsed document is taken for, a byte of its text: a field alone is some two hundred, and its
/// text two at least.
const BYTES_PARSED: usize = 100;

/// The documents that were asked for of late, by their text.
#[derive(Clone)]
pub(super) struct Documents(Cache<String, Arc<Document>, RandomState>);

/// A document that is well-formed; whether it suits the schema is for executing to say.
pub(super) struct Document {
    pub(super) parsed: ExecutableDocument,
    /// Whether fields may be left out by `@skip` and `@include`, or what else directives do.
    pub(super) has_directives: bool,
}

impl Documents {
    pub(super) fn new() -> Self {
        let weigh = |text: &String, _: &Arc<Document>| {
            u32::try_from(text.len().saturating_mul(BYTES_PARSED)).unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(BYTES_MAX).weigher(weigh).build_with_hasher(RandomState::new()))
    }

    /// The request's document, which it is also given; `None` where it is none, as executing will say.
    pub(super) fn parse(&self, request: &mut Request) -> Option<Arc<Document>> {
        if let Some(known) = self.0.get(request.query.as_str()) {
            request.set_parsed_query(known.parsed.clone());
            return Some(known);
        }
        let parsed = request.parsed_query().ok()?.clone();
        let has_directives = request.query.contains('@');
        let document = Arc::new(Document { parsed, has_directives });
        self.0.insert(request.query.clone(), Arc::clone(&document));
        Some(document)
    }
}
