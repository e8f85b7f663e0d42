//! Runs operations: gives each its scope, drives its loads, and shapes its answer.

use std::sync::Arc;

use async_graphql::{Data, Request, Response, parser};
use futures::StreamExt;
use futures::stream::BoxStream;

use super::documents::Documents;
use super::error::with_codes;
use super::scope::Scope;
use super::shape::Shapes;
use super::{Schema, schema};
use crate::app::App;

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

    /// What shapes the answers to a request. It is told whether the resolvers ran without a pause: then they
    /// finished in the order of the query, and what none of them failed to answer has its shape already.
    fn finisher(&self, request: &mut Request) -> impl Fn(Response, bool) -> Response + Send + use<> {
        let shapes = Arc::clone(&self.shapes);
        let document = self.documents.parse(request);
        let operation = request.operation_name.clone();
        move |mut response, in_order| {
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
        }
    }
}

impl async_graphql::Executor for Executor {
    /// Runs a query or a mutation.
    async fn execute(&self, mut request: Request) -> Response {
        let finish = self.finisher(&mut request);
        let (scope, loads) = Scope::once(Arc::clone(&self.app));
        let (response, paused) = loads.drive(self.schema.execute(request.data(scope))).await;
        finish(response, !paused)
    }

    /// Runs a subscription; a query or a mutation too, which is answered once.
    fn execute_stream(
        &self,
        mut request: Request,
        session: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let finish = self.finisher(&mut request);
        let (scope, loads) = Scope::ongoing(Arc::clone(&self.app));
        let answers =
            self.schema.execute_stream_with_session_data(request.data(scope), session.unwrap_or_default());
        loads.drive_all(answers.map(move |answer| finish(answer, false)))
    }
}
