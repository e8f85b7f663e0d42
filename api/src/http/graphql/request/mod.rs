//! What the resolvers of one request share: its scope, the state that it is answered from, and its account of what it
//! costs.

pub(super) mod error;
pub(super) mod meter;
pub(super) mod moves;
pub(super) mod scope;
pub(super) mod throttle;
pub(super) mod view;
