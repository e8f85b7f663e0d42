//! Runs operations: gives each its scope, drives its loads, and shapes its answer.

use std::sync::Arc;

use async_graphql::parser::types::ExecutableDocument;
use async_graphql::{Request, Response, parser};

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

    /// Runs a query or a mutation.
    pub(super) async fn execute(&self, mut request: Request) -> Response {
        let document = request.parsed_query().cloned();
        let name = request.operation_name.clone();
        let (scope, loads) = Scope::new(Arc::clone(&self.app));
        let mut response = loads.drive(self.schema.execute(request.data(scope))).await;
        self.finish(document.ok().as_ref(), name.as_deref(), &mut response);
        response
    }

    fn finish(
        &self,
        document: Option<&ExecutableDocument>,
        operation: Option<&str>,
        response: &mut Response,
    ) {
        if let Some(document) = document {
            self.shapes.restore(document, operation, response);
        }
        with_codes(&mut response.errors);
    }
}
