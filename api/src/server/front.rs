//! What every request meets before the router.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::response::Response;
use tower::Service;

use super::answer::Finishing;
use crate::app::App;
use crate::auth::{self, Guarded};
use crate::budget::Budgets;
use crate::routes::Route;
use crate::telemetry::{self, Answering};

/// A router with the doorkeeper in front, and in front of both what observes requests.
///
/// Once for all routes, since as a layer each would be in one more box; so the route is known before the router is asked.
#[derive(Clone, Debug)]
pub struct Front {
    app: Arc<App>,
    budgets: Budgets,
    router: Router,
}

impl Front {
    pub(super) fn new(app: &Arc<App>, budgets: Budgets, router: Router) -> Self {
        Self { app: Arc::clone(app), budgets, router }
    }
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<Finishing<Guarded>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router always is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let route = Route::of(request.uri().path());
        if route == Route::Events {
            request.extensions_mut().insert(self.budgets.bodies.clone());
        }
        // Assets and pages are part of the program: they take no memory, however many read them.
        let budget = (!route.is_of_pages()).then(|| self.budgets.answers.clone());
        telemetry::observe(route, request, |request| {
            Finishing::new(auth::guard(&self.app, route, &mut self.router, request), budget)
        })
    }
}
