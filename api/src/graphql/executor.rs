//! Runs operations: gives each its scope, drives its loads, and shapes its answer.

use std::any::TypeId;
use std::future::ready;
use std::sync::Arc;

use async_graphql::{Data, Request, Response, parser};
use axum::extract::FromRef;
use futures::StreamExt;
use futures::stream::{self, BoxStream};

use super::documents::{Document, Documents};
use super::error::{refused, with_codes};
use super::roots;
use super::scope::Scope;
use super::shape::Shapes;
use super::{Schema, schema};
use crate::app::App;
use crate::auth::{Access, Refusal};

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
        let schema = schema(app.door.settings().introspection.is_on());
        let shapes = Arc::new(Shapes::new(&schema.sdl())?);
        Ok(Self { schema, shapes, documents: Documents::new(), app })
    }

    /// The service.
    pub(super) fn app(&self) -> &Arc<App> {
        &self.app
    }

    /// Runs a query or a mutation for whoever asks.
    pub(super) async fn answer(&self, mut request: Request, access: Access) -> Response {
        let document = self.documents.parse(&mut request);
        if let Err(refusal) = self.permit(document.as_deref(), &request, &access) {
            return refused(&refusal);
        }
        let finish = self.finisher(document, &request);
        let (scope, loads) = Scope::once(Arc::clone(&self.app), access);
        let (response, paused) = loads.drive(self.schema.execute(request.data(scope))).await;
        finish(response, !paused)
    }

    /// Whether whoever asks may run the operation. A document that cannot be parsed is for executing to refuse.
    fn permit(&self, document: Option<&Document>, request: &Request, access: &Access) -> Result<(), Refusal> {
        let Some(document) = document else { return Ok(()) };
        let introspection = self.app.door.settings().introspection.is_on();
        roots::permit(
            &document.parsed,
            request.operation_name.as_deref(),
            access,
            introspection,
            &self.shapes,
        )
    }

    /// What shapes the answers to a request. It is told whether the resolvers ran without a pause: then they
    /// finished in the order of the query, and what none of them failed to answer has its shape already.
    fn finisher(
        &self,
        document: Option<Arc<Document>>,
        request: &Request,
    ) -> impl Fn(Response, bool) -> Response + Send + use<> {
        let shapes = Arc::clone(&self.shapes);
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
    /// Runs a query or a mutation for whoever the request's data says asks.
    async fn execute(&self, request: Request) -> Response {
        match session_access(&request.data) {
            Ok(access) => self.answer(request, access).await,
            Err(refusal) => refused(&refusal),
        }
    }

    /// Runs a subscription for whoever the session's data says asks; a query or a mutation too, which is answered once.
    fn execute_stream(
        &self,
        mut request: Request,
        session: Option<Arc<Data>>,
    ) -> BoxStream<'static, Response> {
        let session = session.unwrap_or_default();
        let document = self.documents.parse(&mut request);
        let permitted = session_access(&session).and_then(|access| {
            access.step()?;
            self.permit(document.as_deref(), &request, &access)?;
            Ok(access)
        });
        let access = match permitted {
            Ok(access) => access,
            Err(refusal) => return stream::once(ready(refused(&refusal))).boxed(),
        };
        let finish = self.finisher(document, &request);
        let (scope, loads) = Scope::ongoing(Arc::clone(&self.app), access);
        let answers = self.schema.execute_stream_with_session_data(request.data(scope), session);
        loads.drive_all(answers.map(move |answer| finish(answer, false)))
    }
}

/// Who asks, as the session knows. Nobody is let in of whom it does not.
fn session_access(session: &Data) -> Result<Access, Refusal> {
    let access = session.get(&TypeId::of::<Access>()).and_then(|access| access.downcast_ref::<Access>());
    access.cloned().ok_or(Refusal::Missing)
}

impl FromRef<Executor> for Arc<App> {
    fn from_ref(executor: &Executor) -> Self {
        Self::clone(&executor.app)
    }
}
