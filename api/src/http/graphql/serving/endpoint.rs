//! What `/graphql` is served from.

use axum::http::HeaderMap;
use axum::http::header::ACCEPT;

use super::executor::Executor;
use super::sockets::Sockets;
use crate::http::budget::Budgets;

pub(in crate::http::graphql) struct Endpoint {
    pub(in crate::http::graphql) executor: Executor,
    pub(in crate::http::graphql) sockets: Sockets,
    pub(in crate::http::graphql) budgets: Budgets,
}

impl Endpoint {
    pub(in crate::http::graphql) fn new(executor: Executor, budgets: Budgets) -> Self {
        let sockets = Sockets::new(*executor.limits());
        Self { executor, sockets, budgets }
    }

    /// Returns a hint for users who open this route in a browser.
    pub(in crate::http::graphql) fn hint(&self, headers: &HeaderMap) -> &'static str {
        let mut accept = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
        let wants_page = accept.any(|value| value.contains("text/html"));
        if wants_page && self.executor.app().auth.settings().graphiql.is_on() {
            " (to explore the schema in a browser, open /graphiql)"
        } else {
            ""
        }
    }
}
