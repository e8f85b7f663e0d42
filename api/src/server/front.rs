//! What every request meets before the router.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tower::Service;

use crate::app::App;
use crate::auth::{self, Guarded};
use crate::routes::Route;
use crate::telemetry::{self, Answering};

/// A router with the doorkeeper in front, and in front of both what observes requests.
///
/// Once for all routes, since as a layer each would be in one more box; so the route is known before the router is asked.
#[derive(Clone, Debug)]
pub struct Front {
    app: Arc<App>,
    router: Router,
}

impl Front {
    pub(super) fn new(app: &Arc<App>, router: Router) -> Self {
        Self { app: Arc::clone(app), router }
    }
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<Guarded>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router always is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let route = Route::of(request.uri().path());
        telemetry::observe(route, request, |request| auth::guard(&self.app, route, &mut self.router, request))
    }
}
