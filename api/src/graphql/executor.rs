//! Runs operations: gives each its scope, drives its loads, and shapes its answer.

use std::sync::Arc;

use async_graphql::{Data, Request, Response, parser};
use futures::StreamExt;
use futures::stream::BoxStream;

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
    app: Arc<App>,
}

impl Executor {
    pub(super) fn new(app: Arc<App>) -> Result<Self, parser::Error> {
        let schema = schema();
        let shapes = Arc::new(Shapes::new(&schema.sdl())?);
        Ok(Self { schema, shapes, app })
    }

    /// The service.
    pub(super) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// What shapes the answers to a request.
    fn finisher(&self, request: &mut Request) -> impl Fn(Response) -> Response + Send + use<> {
        let shapes = Arc::clone(&self.shapes);
        let document = request.parsed_query().cloned().ok();
        let operation = request.operation_name.clone();
        move |mut response| {
            if let Some(document) = &document {
                shapes.restore(document, operation.as_deref(), &mut response);
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
        finish(loads.drive(self.schema.execute(request.data(scope))).await)
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
        loads.drive_all(answers.map(finish))
    }
}
