//! Routes, each declared beside its handler.

use std::sync::{Mutex, PoisonError};

use crate::auth::Need;
use crate::telemetry::metrics::Requests;

/// A route: its path, the permission that it needs, what its answers are like, and its metrics.
pub struct Route {
    /// The path, as metrics, logs and traces name it.
    pub path: &'static str,
    pub need: Need,
    pub(super) answers: Answers,
    pub(super) requests: Requests,
}

/// What the answers of a route are like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Answers {
    Short,
    /// Text that is worth compressing.
    Long,
    /// Files of the pages, which the build has compressed. They take no memory, and have headers of their own.
    Files,
}

/// The routes of a site, by their paths. A request by another path reaches no router.
#[derive(Default)]
pub(super) struct RouteTable(matchit::Router<&'static Route>);

/// Stands for all paths without a route.
pub(super) static UNKNOWN: Route = Route::new("unmatched", Need::Nothing, Answers::Short);

/// The routes of all sites of the process.
static SERVED: Mutex<Vec<&'static Route>> = Mutex::new(Vec::new());

impl Route {
    pub(super) const fn new(path: &'static str, need: Need, answers: Answers) -> Self {
        Self { path, need, answers, requests: Requests::new() }
    }

    /// Returns the routes that are served, in the order in which they were added, and the one for unknown paths.
    pub fn served() -> Vec<&'static Self> {
        let mut served = SERVED.lock().unwrap_or_else(PoisonError::into_inner).clone();
        served.push(&UNKNOWN);
        served
    }
}

impl RouteTable {
    /// Adds a route, with and without a trailing slash.
    ///
    /// # Panics
    ///
    /// If there is a route with this path already: a mistake in the program, which every test that starts a server finds.
    #[expect(clippy::expect_used, reason = "a start-up invariant")]
    pub(super) fn add(&mut self, route: &'static Route) {
        self.0.insert(route.path, route).expect("each path has one route");
        if route.path != "/" {
            self.0.insert(format!("{}/", route.path), route).expect("each path has one route");
        }
        let mut served = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
        if !served.iter().any(|known| std::ptr::eq(*known, route)) {
            served.push(route);
        }
    }

    /// Returns the route of a path, or [`UNKNOWN`]. A path with an empty segment has none, although `matchit` finds one.
    pub(super) fn of(&self, path: &str) -> &'static Route {
        if path.contains("//") {
            return &UNKNOWN;
        }
        self.0.at(path).map_or(&UNKNOWN, |found| *found.value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_paths_like_that_of_a_route_have_one() {
        static COUNT: Route = Route::new("/space/{id}/count", Need::Read, Answers::Short);
        static PAGE: Route = Route::new("/", Need::Nothing, Answers::Files);
        let mut table = RouteTable::default();
        table.add(&COUNT);
        table.add(&PAGE);
        for (path, route) in [("/space/1/count", &COUNT), ("/space/1/count/", &COUNT), ("/", &PAGE)] {
            assert!(std::ptr::eq(table.of(path), route), "{path}");
        }
        for path in [
            "*",
            "",
            "/space",
            "/space/",
            "/space//count",
            "/space/1",
            "/space/1/count/x",
            "/count",
            "//",
            "//x",
        ] {
            assert!(std::ptr::eq(table.of(path), &raw const UNKNOWN), "{path}");
        }
    }
}
