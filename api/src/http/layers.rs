//! What stands in front of each route's handlers: the request is observed, its host is checked, its client is authorized,
//! and its answer is compressed and counted for the memory of unread answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::extract::Request;
use axum::http::Version;
use axum::http::header::HOST;
use axum::response::Response;
use tower::{Layer, Service};

use super::answer::{Compression, Finishing};
use super::authorization::{Authorized, authorize, refused};
use super::budget::Budgets;
use super::error;
use super::request::{Answering, observe};
use super::route::{Answers, Route};
use crate::app::App;

/// Makes the layer of each route.
#[derive(Clone, Debug)]
pub struct Layers {
    app: Arc<App>,
    pub(super) budgets: Budgets,
}

/// The layer of one route.
#[derive(Clone)]
pub(super) struct RouteLayer {
    layers: Layers,
    route: &'static Route,
}

/// The handlers of a route behind its layer.
#[derive(Clone)]
pub(super) struct Layered<S> {
    layer: RouteLayer,
    handlers: S,
}

impl Layers {
    pub(super) fn new(app: &Arc<App>, budgets: Budgets) -> Self {
        Self { app: Arc::clone(app), budgets }
    }

    /// Returns the layer of a route, which is served from now on.
    pub(super) fn of(&self, route: &'static Route) -> RouteLayer {
        route.register();
        RouteLayer { layers: self.clone(), route }
    }
}

impl<S> Layer<S> for RouteLayer {
    type Service = Layered<S>;

    fn layer(&self, handlers: S) -> Layered<S> {
        Layered { layer: self.clone(), handlers }
    }
}

impl<S> Service<Request> for Layered<S>
where
    S: Service<Request, Response = Response, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<Finishing<Authorized<S::Future>>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.handlers.poll_ready(context)
    }

    fn call(&mut self, request: Request) -> Self::Future {
        let RouteLayer { layers: Layers { app, budgets }, route } = &self.layer;
        let budget = (route.answers != Answers::Files).then(|| budgets.answers.clone());
        let compression = Compression::of(route, request.headers());
        observe(route, request, |request| {
            let answering = if names_its_host(&request) {
                authorize(app, route.need, &mut self.handlers, request)
            } else {
                refused(error::bad_host())
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
