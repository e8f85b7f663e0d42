//! What every request passes before the router: it is observed, its host is checked, its client is authorized, and its
//! answer is compressed and counted for the memory of unread answers.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::Router;
use axum::extract::Request;
use axum::http::Version;
use axum::http::header::HOST;
use axum::response::Response;
use axum::routing::future::RouteFuture;
use tower::Service;

use super::answer::{Compression, Finishing};
use super::authorization::{Authorized, authorize, refused};
use super::budget::Budgets;
use super::request::{Answering, observe};
use super::route::{Answers, RouteTable, UNKNOWN};
use super::{error, path_token};
use crate::app::App;

/// A router, and what every request passes before it.
///
/// One service for all routes: as a layer of each route it would cost a quarter of the requests a second
/// (docs/decisions/0024).
#[derive(Clone)]
pub struct Front {
    app: Arc<App>,
    budgets: Budgets,
    table: Arc<RouteTable>,
    router: Router,
}

impl Front {
    pub(super) fn new(app: &Arc<App>, budgets: Budgets, table: RouteTable, router: Router) -> Self {
        Self { app: Arc::clone(app), budgets, table: Arc::new(table), router }
    }
}

impl Service<Request> for Front {
    type Response = Response;
    type Error = Infallible;
    type Future = Answering<Finishing<Authorized<RouteFuture<Infallible>>>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        // A router always is.
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request) -> Self::Future {
        path_token::take(&mut request);
        let route = self.table.of(request.uri().path());
        let budget = (route.answers != Answers::Files).then(|| self.budgets.answers.clone());
        let compression = Compression::of(route, request.headers());
        observe(route, request, |request| {
            let answering = if !names_its_host(&request) {
                refused(error::bad_host())
            } else if std::ptr::eq(route, &raw const UNKNOWN) {
                refused(error::not_found())
            } else {
                authorize(&self.app, route.need, &mut self.router, request)
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
