//! The middleware in front of the router.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::http::Version;
use axum::http::header::HOST;
use axum::response::Response;
use tower::Service;

use super::answer::{Compression, Finishing};
use crate::app::App;
use crate::auth::{self, Guarded};
use crate::budget::Budgets;
use crate::rest;
use crate::routes::Route;
use crate::telemetry::{self, Answering};

/// A router behind telemetry and authorization.
///
/// One service for all routes, since a layer would box each of them. So the route is determined before the router runs.
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
        // A router is always ready.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        let route = Route::of(request.uri().path());
        if route == Route::Events {
            request.extensions_mut().insert(self.budgets.bodies.clone());
        }
        // Assets and pages are part of the binary: serving them takes no memory.
        let budget = (!route.is_of_pages()).then(|| self.budgets.answers.clone());
        let compression = Compression::of(route, request.headers());
        telemetry::observe(route, request, |request| {
            let answering = if names_its_host(&request) {
                auth::guard(&self.app, route, &mut self.router, request)
            } else {
                auth::answered(rest::bad_host())
            };
            Finishing::new(answering, budget, compression)
        })
    }
}

/// Returns whether a request names its host unambiguously: in exactly one header, as HTTP/1.1 requires, and with the
/// same host in the target if that has one. Proxies disagree about all other requests.
fn names_its_host(request: &Request) -> bool {
    let mut hosts = request.headers().get_all(HOST).iter();
    match (hosts.next(), hosts.next(), request.uri().authority()) {
        (Some(host), None, Some(target)) => host.as_bytes().eq_ignore_ascii_case(target.as_str().as_bytes()),
        (Some(_), None, None) => true,
        (None, _, _) => request.version() < Version::HTTP_11,
        (Some(_), Some(_), _) => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

    use super::*;

    #[test]
    fn a_request_names_its_host_once() {
        let is_clear = |version, target: &str, hosts: &[&str]| {
            let request = Request::get(target).version(version);
            let request = hosts.iter().fold(request, |request, host| request.header(HOST, *host));
            names_its_host(&request.body(Body::empty()).unwrap())
        };
        let (old, new) = (Version::HTTP_10, Version::HTTP_11);
        assert!(is_clear(new, "/", &["a:1"]) && is_clear(old, "/", &["a"]) && is_clear(old, "/", &[]));
        assert!(is_clear(new, "http://A:1/", &["a:1"]) && is_clear(new, "/", &[""]));
        assert!(!is_clear(new, "/", &[]) && !is_clear(new, "http://a/", &[]));
        assert!(!is_clear(new, "/", &["a", "a"]) && !is_clear(old, "/", &["a", "b"]));
        assert!(!is_clear(new, "http://a/", &["b"]) && !is_clear(new, "http://a:1/", &["a"]));
    }
}
