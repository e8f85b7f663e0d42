//! Coherence: how the memory of a process stays current while others write to the same database.
//!
//! The change log says what others have committed, and [`State::refresh`] reads it. This module says when:
//!
//! - On PostgreSQL a process that records events notifies the others soon after the commit ([`Notifier`]); a change of the
//!   floor plan or of a token does so by a trigger. A listener (`postgres`) refreshes the state when it is notified, and
//!   every second anyway.
//! - On SQLite the file knows that somebody else has written, and is asked (`sqlite`) every 20 ms.
//!
//! A process that cannot listen, or does not know yet that it can, refreshes before each use: it is slow then, and right all
//! the same.

mod notifier;
mod postgres;
mod sqlite;

use std::future::ready;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;

pub use self::notifier::{NOTIFY_INTERVAL, Notifier};
use crate::auth::Tokens;
use crate::readiness::Readiness;
use crate::state::State;
use crate::tasks::Tasks;

/// Listens to what other processes write, for as long as it lives.
#[derive(Debug)]
pub struct Coherence {
    state: Arc<State>,
    opened: watch::Receiver<bool>,
    listening: AbortHandle,
}

impl Coherence {
    /// Begins to listen.
    pub fn start(state: &Arc<State>, tokens: Arc<Tokens>, tasks: &Tasks) -> Self {
        let (opening, opened) = watch::channel(false);
        let listener = Listener { state: Arc::clone(state), tokens, opened: opening };
        let listening = if let Some(pool) = state.database().postgres() {
            tasks.spawn("listener", postgres::listen(pool.clone(), listener)).abort_handle()
        } else {
            tasks.spawn("listener", sqlite::listen(listener)).abort_handle()
        };
        Self { state: Arc::clone(state), opened, listening }
    }

    /// Resolves when it listens.
    pub async fn begins(&self) {
        // The sender lives as long as this, so waiting for it cannot fail.
        self.opened.clone().wait_for(|opened| *opened).await.ok();
    }

    /// Adds the check whether it listens.
    pub fn add_check(&self, readiness: &Readiness) {
        let state = Arc::clone(&self.state);
        readiness.add("coherence", move || {
            let is_followed = state.is_followed();
            ready(if is_followed {
                Ok(())
            } else {
                Err("changes by other processes are not heard of".to_owned())
            })
        });
    }

    /// Returns whether it listens. While it does not, nothing in memory may be trusted before it was refreshed.
    pub fn is_listening(&self) -> bool {
        self.state.is_followed()
    }
}

impl Drop for Coherence {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// What listening keeps current.
struct Listener {
    state: Arc<State>,
    tokens: Arc<Tokens>,
    opened: watch::Sender<bool>,
}

impl Listener {
    /// From now on it is known when others write.
    fn open(&self) {
        self.state.set_followed(true);
        self.opened.send_replace(true);
    }

    /// It is no longer known when others write.
    fn close(&self) {
        self.state.set_followed(false);
        self.opened.send_replace(false);
        self.tokens.forget();
    }
}
