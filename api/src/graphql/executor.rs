//! Runs operations: gives each its scope, drives its loads, and shapes its answer.

use std::sync::Arc;
use std::time::Instant;

use async_graphql::parser::types::OperationType;
use async_graphql::{Data, Name, Request, Response, parser};
use futures::StreamExt;
use futures::stream::BoxStream;
use tracing::Instrument;

use super::documents::{Document, Documents};
use super::error::with_codes;
use super::scope::Scope;
use super::shape::Shapes;
use super::{Schema, schema};
use crate::app::App;
use crate::telemetry::Operation;
use crate::telemetry::metrics::OperationKind;

/// The schema over the app.
#[derive(Clone)]
pub(super) struct Executor {
    schema: Schema,
    shapes: Arc<Shapes>,
    documents: Documents,
    app: Arc<App>,
}

impl Executor {
    pub(super) fn new(app: Arc<App>) -> Result<Self, parser::Error> {
        let schema = schema();
        let shapes = Arc::new(Shapes::new(&schema.sdl())?);
        Ok(Self { schema, shapes, documents: Documents::new(), app })
    }

    /// The service.
    pub(super) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// What shapes the answers to a request, and what operation it asks for, if that can be told. The first is told
    /// whether the resolvers ran without a pause: then they finished in the order of the query, and what none of them
    /// failed to answer has its shape already.
    fn finisher(
        &self,
        request: &mut Request,
    ) -> (impl Fn(Response, bool) -> Response + Send + use<>, Option<Operation>) {
        let shapes = Arc::clone(&self.shapes);
        let document = self.documents.parse(request);
        let operation = request.operation_name.clone();
        let asked = document.as_ref().and_then(|document| asked(document, operation.as_deref()));
        let finish = move |mut response: Response, in_order: bool| {
            if let Some(document) = &document {
                let has_shape = in_order && response.errors.is_empty() && !document.has_directives;
                if !has_shape {
                    shapes.restore(&document.parsed, operation.as_deref(), &mut response);
                } else if cfg!(debug_assertions) {
                    let as_it_is = response.data.to_string();
                    shapes.restore(&document.parsed, operation.as_deref(), &mut response);
                    debug_assert_eq!(response.data.to_string(), as_it_is, "it did not have its shape");
                }
            }
            with_codes(&mut response.errors);
            response
        };
        (finish, asked)
    }
}

/// The operation of a document that this name, or none, asks for.
fn asked(document: &Document, name: Option<&str>) -> Option<Operation> {
    let mut operations = document.parsed.operations.iter();
    let (name, operation) = match name {
        Some(wanted) => operations.find(|(name, _)| name.is_some_and(|name| name == wanted))?,
        None => operations.next()?,
    };
    let kind = match operation.node.ty {
        OperationType::Query => OperationKind::Query,
        OperationType::Mutation => OperationKind::Mutation,
        OperationType::Subscription => OperationKind::Subscription,
    };
    Some(Operation::new(kind, name.map(Name::as_str)))
}

fn span(operation: Option<&Operation>) -> tracing::Span {
    operation.map_or_else(tracing::Span::none, Operation::span)
}

impl async_graphql::Executor for Executor {
    /// Runs a query or a mutation.
    async fn execute(&self, mut request: Request) -> Response {
        let begun = Instant::now();
        let (finish, operation) = self.finisher(&mut request);
        let (scope, loads) = Scope::once(Arc::clone(&self.app));
        let execution = loads.drive(self.schema.execute(request.data(scope)));
        let (response, paused) = execution.instrument(span(operation.as_ref())).await;
        let response = finish(response, !paused);
        if let Some(operation) = operation {
            operation.executed(!response.errors.is_empty(), begun.elapsed());
        }
        response
    }

    /// Runs a subscription; a query or a mutation too, which is answered once.
    fn execute_stream(
        &self,
        mut request: Request,
        session: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let begun = Instant::now();
        let (finish, mut operation) = self.finisher(&mut request);
        let (scope, loads) = Scope::ongoing(Arc::clone(&self.app));
        let answers =
            self.schema.execute_stream_with_session_data(request.data(scope), session.unwrap_or_default());
        loads.drive_all(answers.map(move |answer| {
            let answer = finish(answer, false);
            // It goes on; how long its first answer takes is what can be compared.
            if let Some(operation) = operation.take() {
                operation.executed(!answer.errors.is_empty(), begun.elapsed());
            }
            answer
        }))
    }
}
