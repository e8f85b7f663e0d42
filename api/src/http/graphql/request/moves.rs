//! Whether the state moved on while a request was answered.

use std::sync::atomic::{AtomicBool, Ordering};

/// Records whether the views of a request became outdated.
#[derive(Debug, Default)]
pub(in crate::http::graphql) struct Moves {
    /// Whether the state changed while it was read.
    has_moved: AtomicBool,
    /// Whether long histories were read at that time.
    is_long: AtomicBool,
}

impl Moves {
    pub(in crate::http::graphql) fn has_moved(&self) -> bool {
        self.has_moved.load(Ordering::SeqCst)
    }

    pub(in crate::http::graphql) fn moved(&self, is_long: bool) {
        self.is_long.store(is_long, Ordering::SeqCst);
        self.has_moved.store(true, Ordering::SeqCst);
    }

    pub(in crate::http::graphql) fn is_long(&self) -> bool {
        self.is_long.load(Ordering::SeqCst)
    }

    /// Whether the state has moved on since the last time that this was asked.
    pub(in crate::http::graphql) fn take(&self) -> bool {
        self.has_moved.swap(false, Ordering::SeqCst)
    }
}
