//! Runs operations: gives each its scope, drives its loads, and shapes its answer.

use std::sync::Arc;

use async_graphql::{Data, Request, Response, ServerError, parser};
use futures::StreamExt;
use futures::stream::BoxStream;

use super::documents::{Document, Documents};
use super::error::finish_errors;
use super::scope::Scope;
use super::shape::Shapes;
use super::{Schema, schema};
use crate::app::App;
use crate::limits::Limits;

/// The schema over the app.
#[derive(Clone)]
pub(super) struct Executor {
    schema: Schema,
    shapes: Arc<Shapes>,
    documents: Documents,
    limits: Limits,
    app: Arc<App>,
}

/// A request whose document was parsed and is within the limits.
pub(super) struct Operation {
    request: Request,
    pub(super) document: Arc<Document>,
}

impl Operation {
    /// The name of the operation that is asked for, where the document has several.
    pub(super) fn name(&self) -> Option<&str> {
        self.request.operation_name.as_deref()
    }
}

impl Executor {
    pub(super) fn new(app: Arc<App>, limits: Limits) -> Result<Self, parser::Error> {
        let schema = schema();
        let sdl = schema.sdl();
        let (shapes, documents) = (Arc::new(Shapes::new(&sdl)?), Documents::new(&sdl, limits)?);
        Ok(Self { schema, shapes, documents, limits, app })
    }

    /// The service.
    pub(super) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// What clients may ask for.
    pub(super) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Reads a request's document and refuses it if it asks for too much. Nothing is executed before this.
    pub(super) fn prepare(&self, mut request: Request) -> Result<Operation, Vec<ServerError>> {
        let prepared = self.documents.parse(&request.query).and_then(|document| {
            document.check(&request, &self.limits)?;
            Ok(document)
        });
        match prepared {
            Ok(document) => {
                request.set_parsed_query(document.parsed.clone());
                Ok(Operation { request, document })
            }
            Err(error) => {
                let mut errors = vec![error];
                finish_errors(&mut errors);
                Err(errors)
            }
        }
    }

    /// Runs a query or a mutation.
    pub(super) async fn execute(&self, Operation { request, document }: Operation) -> Response {
        let finish = self.finisher(document, &request);
        let (scope, loads) = Scope::once(Arc::clone(&self.app));
        let (response, paused) = loads.drive(self.schema.execute(request.data(scope))).await;
        finish(response, !paused)
    }

    /// Runs a subscription; a query or a mutation too, which is answered once.
    pub(super) fn execute_stream(
        &self,
        Operation { request, document }: Operation,
        session: Arc<Data>,
    ) -> BoxStream<'static, Response> {
        let finish = self.finisher(document, &request);
        let (scope, loads) = Scope::ongoing(Arc::clone(&self.app));
        let answers = self.schema.execute_stream_with_session_data(request.data(scope), session);
        loads.drive_all(answers.map(move |answer| finish(answer, false)))
    }

    /// What shapes the answers to a request. It is told whether the resolvers ran without a pause: then they
    /// finished in the order of the query, and what none of them failed to answer has its shape already.
    fn finisher(
        &self,
        document: Arc<Document>,
        request: &Request,
    ) -> impl Fn(Response, bool) -> Response + Send + use<> {
        let shapes = Arc::clone(&self.shapes);
        let operation = request.operation_name.clone();
        move |mut response, in_order| {
            let has_shape = in_order && response.errors.is_empty() && !document.has_directives;
            if !has_shape {
                shapes.restore(&document.parsed, operation.as_deref(), &mut response);
            } else if cfg!(debug_assertions) {
                let as_it_is = response.data.to_string();
                shapes.restore(&document.parsed, operation.as_deref(), &mut response);
                debug_assert_eq!(response.data.to_string(), as_it_is, "it did not have its shape");
            }
            finish_errors(&mut response.errors);
            response
        }
    }
}
