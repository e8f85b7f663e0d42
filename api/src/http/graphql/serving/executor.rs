//! Runs operations: gives each its scope, drives its loads, and shapes its answer.

use std::collections::HashMap;
use std::future::ready;
use std::sync::Arc;
use std::time::Instant;

use async_graphql::parser::types::OperationType;
use async_graphql::{Name, Request, Response, ServerError, parser};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use tracing::Instrument;

use super::documents::{Document, Documents};
use super::roots;
use super::shape::Shapes;
use crate::app::App;
use crate::auth::{Access, Denied};
use crate::floor_plan::Lengths;
use crate::http::graphql::request::error::{finish_errors, refused};
use crate::http::graphql::request::meter::Meter;
use crate::http::graphql::request::moves::Moves;
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::request::throttle::Throttle;
use crate::http::graphql::{Schema, build_schema};
use crate::http::request::Operation as Asked;
use crate::limits::Limits;
use crate::telemetry::metrics::OperationKind;

#[derive(Clone)]
pub(in crate::http::graphql) struct Executor {
    schema: Schema,
    shapes: Arc<Shapes>,
    documents: Documents,
    limits: Limits,
    throttle: Throttle,
    app: Arc<App>,
}

/// A request whose document was parsed and is within the limits.
pub(in crate::http::graphql) struct PreparedOperation {
    request: Request,
    pub(in crate::http::graphql) document: Arc<Document>,
}

impl PreparedOperation {
    pub(in crate::http::graphql) fn name(&self) -> Option<&str> {
        self.request.operation_name.as_deref()
    }
}

impl Executor {
    pub(in crate::http::graphql) fn new(app: Arc<App>, limits: Limits) -> Result<Self, parser::Error> {
        let schema = build_schema(app.auth.settings().introspection.is_on());
        let sdl = schema.sdl();
        let (shapes, documents) = (Arc::new(Shapes::new(&sdl)?), Documents::new(&sdl, limits)?);
        Ok(Self { schema, shapes, documents, limits, throttle: Throttle::new(), app })
    }

    pub(in crate::http::graphql) fn app(&self) -> &Arc<App> {
        &self.app
    }

    pub(in crate::http::graphql) fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Parses a request's document, and refuses an operation that exceeds the limits. Nothing is executed before this.
    pub(in crate::http::graphql) fn prepare(
        &self,
        mut request: Request,
        access: &Access,
    ) -> Result<PreparedOperation, Vec<ServerError>> {
        let prepared = self.documents.parse(&request.query).and_then(|document| {
            document.check(&request, &self.lengths(access), &self.limits)?;
            Ok(document)
        });
        match prepared {
            Ok(document) => {
                request.set_parsed_query(document.parsed.clone());
                Ok(PreparedOperation { request, document })
            }
            Err(error) => {
                let mut errors = vec![error];
                finish_errors(&mut errors);
                Err(errors)
            }
        }
    }

    /// Returns the lengths of the lists in the part of the floor plan that the client may see. Until a floor plan has
    /// been read, they are 0; the meter limits the answer anyway.
    fn lengths(&self, access: &Access) -> Lengths {
        self.app.state.plan().map(|plan| *access.view(&plan).lengths()).unwrap_or_default()
    }

    pub(in crate::http::graphql) async fn execute(
        &self,
        operation: PreparedOperation,
        access: Access,
    ) -> Response {
        if let Err(refusal) = self.permit(&operation, &access) {
            return refused(&refusal);
        }
        let PreparedOperation { mut request, document } = operation;
        let begun = Instant::now();
        let now = self.app.clock.now();
        let operation = asked(&document, request.operation_name.as_deref());
        let span = span(operation.as_ref());
        // A mutation is run once, and the state that it answers from never changes.
        let again = match &operation {
            Some(asked) if matches!(asked.kind, OperationKind::Query) => Some(again(&document, &mut request)),
            _ => None,
        };
        let (mut response, moves) =
            self.run(&document, request, access.clone(), now, None).instrument(span.clone()).await;
        if let Some(moves) = moves
            && let Some(again) = again
        {
            response = self.run(&document, again, access, now, Some(&moves)).instrument(span).await.0;
        }
        if let Some(operation) = operation {
            operation.executed(!response.errors.is_empty(), begun.elapsed());
        }
        response
    }

    /// Runs an operation once. Also returns how the state changed meanwhile, if it did: then the answer must be
    /// discarded.
    async fn run(
        &self,
        document: &Arc<Document>,
        request: Request,
        access: Access,
        now: entity::Instant,
        tried: Option<&Moves>,
    ) -> (Response, Option<Arc<Moves>>) {
        let finish = self.finisher(Arc::clone(document), &request);
        let meter = Arc::new(Meter::new(&self.limits));
        let (scope, loads) = Scope::once(Arc::clone(&self.app), access, Arc::clone(&meter), now, tried);
        let (moves, types) = (scope.moves(), scope.types());
        let executing = self.schema.execute(request.data(scope));
        let Some((response, paused)) = loads.drive(&meter, executing).await else {
            let late = || ServerError::new("the answer took too long: ask for less at a time", None);
            let mut errors = vec![meter.exceeded().unwrap_or_else(late)];
            finish_errors(&mut errors);
            return (Response::from_errors(errors), None);
        };
        if moves.has_moved() {
            (response, Some(moves))
        } else {
            (finish(response, &types.known(), !paused), None)
        }
    }

    /// Runs a subscription for a client, or a query or mutation, which has one answer. Does not check the client's
    /// rate.
    pub(in crate::http::graphql) fn execute_stream(
        &self,
        operation: PreparedOperation,
        access: &Access,
    ) -> BoxStream<'static, Response> {
        if let Err(refusal) = self.permit(&operation, access) {
            return stream::once(ready(refused(&refusal))).boxed();
        }
        let kind = asked(&operation.document, operation.name()).map(|asked| asked.kind);
        if kind.is_some_and(|kind| !matches!(kind, OperationKind::Subscription)) {
            let (executor, access) = (self.clone(), access.clone());
            return stream::once(async move { executor.execute(operation, access).await }).boxed();
        }
        let PreparedOperation { request, document } = operation;
        let begun = Instant::now();
        let mut operation = asked(&document, request.operation_name.as_deref());
        let finish = self.finisher(Arc::clone(&document), &request);
        let cost = document.cost(&request, &self.lengths(access), &self.limits).unwrap_or(u64::MAX);
        let (meter, throttle) = (Arc::new(Meter::new(&self.limits)), self.throttle.of_subscription(cost));
        let (scope, loads) = Scope::ongoing(Arc::clone(&self.app), access.clone(), meter, throttle.clone());
        let moves = scope.moves();
        let answers = self.schema.execute_stream(request.data(scope));
        loads.drive_all(answers.filter_map(move |answer| {
            throttle.end();
            // The subscription sends this message again.
            if moves.has_moved() {
                return ready(None);
            }
            // No subscription has a root field of an abstract type.
            let answer = finish(answer, &HashMap::new(), false);
            // A subscription has no duration of its own: the time of its first answer is recorded.
            if let Some(operation) = operation.take() {
                operation.executed(!answer.errors.is_empty(), begun.elapsed());
            }
            ready(Some(answer))
        }))
    }

    fn permit(&self, operation: &PreparedOperation, access: &Access) -> Result<(), Denied> {
        let introspection = self.app.auth.settings().introspection.is_on();
        roots::permit(&operation.document.parsed, operation.name(), access, introspection, &self.shapes)
    }

    /// Returns the function that shapes the answers to a request. It takes the types of objects in fields of abstract
    /// types, and whether the resolvers ran without a pause: then they finished in the order of the query, and an
    /// answer without errors has its shape already.
    fn finisher(
        &self,
        document: Arc<Document>,
        request: &Request,
    ) -> impl Fn(Response, &HashMap<String, &'static str>, bool) -> Response + Send + use<> {
        let shapes = Arc::clone(&self.shapes);
        let operation = request.operation_name.clone();
        move |mut response, types, in_order| {
            let has_shape = in_order && response.errors.is_empty() && !document.has_directives;
            if !has_shape {
                shapes.restore(&document.parsed, operation.as_deref(), types, &mut response);
            } else if cfg!(debug_assertions) {
                let as_it_is = response.data.to_string();
                shapes.restore(&document.parsed, operation.as_deref(), types, &mut response);
                debug_assert_eq!(response.data.to_string(), as_it_is, "the answer did not have its shape");
            }
            finish_errors(&mut response.errors);
            response
        }
    }
}

/// Returns a copy of the request.
fn again(document: &Document, request: &mut Request) -> Request {
    let mut again = Request::new("").variables(request.variables.clone());
    again.operation_name.clone_from(&request.operation_name);
    again.extensions.clone_from(&request.extensions);
    again.set_parsed_query(document.parsed.clone());
    again
}

/// Returns the operation of a document with this name, or the first one.
fn asked(document: &Document, name: Option<&str>) -> Option<Asked> {
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
    Some(Asked::new(kind, name.map(Name::as_str)))
}

fn span(operation: Option<&Asked>) -> tracing::Span {
    operation.map_or_else(tracing::Span::none, Asked::span)
}
