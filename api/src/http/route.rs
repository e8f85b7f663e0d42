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

/// The routes that are served.
static SERVED: Mutex<Vec<&'static Route>> = Mutex::new(Vec::new());

impl Route {
    pub(super) const fn new(path: &'static str, need: Need, answers: Answers) -> Self {
        Self { path, need, answers, requests: Requests::new() }
    }

    /// Lists the route among those that are served.
    pub(super) fn register(&'static self) {
        let mut served = SERVED.lock().unwrap_or_else(PoisonError::into_inner);
        if !served.iter().any(|known| std::ptr::eq(*known, self)) {
            served.push(self);
        }
    }

    /// Returns the routes that are served, in the order in which they were added.
    pub fn served() -> Vec<&'static Self> {
        SERVED.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
