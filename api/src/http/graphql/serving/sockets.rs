//! Limits on WebSockets and on the operations over them: in total, and for each token.
//!
//! A WebSocket that has not sent `connection_init` yet takes one of a separate set of permits, so that clients without
//! a token cannot use up those of clients with one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::auth::Access;
use crate::limits::Limits;

pub(in crate::http::graphql) struct Sockets {
    initializing: Arc<Semaphore>,
    initialized: Arc<Semaphore>,
    /// The quota of each token with open WebSockets, by its id. The clients of an open server share one, `None`.
    quotas: Mutex<HashMap<Option<i64>, Weak<Quota>>>,
    limits: Limits,
}

struct Quota {
    sockets: Arc<Semaphore>,
    subscriptions: Arc<Semaphore>,
}

/// The permits of a WebSocket that has sent its `connection_init`, until it is dropped.
pub(in crate::http::graphql) struct Place {
    quota: Arc<Quota>,
    _in_total: OwnedSemaphorePermit,
    _of_token: OwnedSemaphorePermit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in crate::http::graphql) enum Full {
    #[error("{0} WebSockets are open, the maximum: try again later")]
    InTotal(u32),
    #[error("{0} WebSockets are open with this token, the maximum: close one, or try again later")]
    OfToken(u32),
    #[error("{0} operations run over the WebSockets of this token, the maximum: complete one first")]
    Operations(u32),
}

impl Sockets {
    pub(in crate::http::graphql) fn new(limits: Limits) -> Self {
        let places = |number: u32| Arc::new(Semaphore::new(number as usize));
        Self {
            initializing: places(limits.sockets_initializing),
            initialized: places(limits.sockets),
            quotas: Mutex::default(),
            limits,
        }
    }

    /// Takes a permit for a WebSocket until its `connection_init` is received.
    pub(in crate::http::graphql) fn open(&self) -> Result<OwnedSemaphorePermit, Full> {
        let place = Arc::clone(&self.initializing).try_acquire_owned();
        place.map_err(|_| Full::InTotal(self.limits.sockets_initializing))
    }

    pub(in crate::http::graphql) fn admit(&self, access: &Access) -> Result<Place, Full> {
        let quota = self.quota(access.token().map(|token| token.id));
        let of_token = Arc::clone(&quota.sockets).try_acquire_owned();
        let of_token = of_token.map_err(|_| Full::OfToken(self.limits.sockets_per_token))?;
        let in_total = Arc::clone(&self.initialized).try_acquire_owned();
        let in_total = in_total.map_err(|_| Full::InTotal(self.limits.sockets))?;
        Ok(Place { quota, _in_total: in_total, _of_token: of_token })
    }

    pub(in crate::http::graphql) fn begin(&self, place: &Place) -> Result<OwnedSemaphorePermit, Full> {
        let begun = Arc::clone(&place.quota.subscriptions).try_acquire_owned();
        begun.map_err(|_| Full::Operations(self.limits.subscriptions_per_token))
    }

    fn quota(&self, token: Option<i64>) -> Arc<Quota> {
        let mut quotas = self.quotas.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(quota) = quotas.get(&token).and_then(Weak::upgrade) {
            return quota;
        }
        quotas.retain(|_, quota| quota.strong_count() > 0);
        let quota = Arc::new(Quota {
            sockets: Arc::new(Semaphore::new(self.limits.sockets_per_token as usize)),
            subscriptions: Arc::new(Semaphore::new(self.limits.subscriptions_per_token as usize)),
        });
        quotas.insert(token, Arc::downgrade(&quota));
        quota
    }
}
