//! Coherence: keeps the memory of a process current while others write to the same database.
//!
//! The change log contains what others have committed, and [`State::refresh`] reads it. This module decides when:
//!
//! - On PostgreSQL, a process that records events notifies the others soon after the commit
//!   ([`Notifier`](crate::database::Notifier)). Changes of the floor plan and of tokens do so by triggers. A listener
//!   (`postgres`) refreshes the state when it is notified, and every second anyway.
//! - On SQLite, the file has a version that changes when others write. It is checked (`sqlite`) every 20 ms.
//!
//! A process that cannot listen, or does not know yet whether it can, refreshes before each use: this is slow, but
//! still correct.

mod postgres;
mod sqlite;

use std::future::ready;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::readiness::Readiness;
use crate::state::State;
use crate::tasks::Tasks;

/// Listens for writes by other processes, as long as it lives.
#[derive(Debug)]
pub struct Coherence {
    state: Arc<State>,
    opened: watch::Receiver<bool>,
    listening: AbortHandle,
}

impl Coherence {
    /// Calls `forget_tokens` when tokens have changed, or may have.
    pub fn start(
        state: &Arc<State>,
        forget_tokens: impl Fn() + Send + Sync + 'static,
        tasks: &Tasks,
    ) -> Self {
        let (opening, opened) = watch::channel(false);
        let listener =
            Listener { state: Arc::clone(state), forget_tokens: Box::new(forget_tokens), opened: opening };
        let listening = if let Some(pool) = state.database().postgres() {
            tasks.spawn("listener", postgres::listen(pool.clone(), listener)).abort_handle()
        } else {
            tasks.spawn("listener", sqlite::listen(listener)).abort_handle()
        };
        Self { state: Arc::clone(state), opened, listening }
    }

    /// Resolves when it is listening.
    pub async fn begins(&self) {
        // The sender lives as long as this, so waiting cannot fail.
        self.opened.clone().wait_for(|opened| *opened).await.ok();
    }

    pub fn add_check(&self, readiness: &Readiness) {
        let state = Arc::clone(&self.state);
        readiness.add("coherence", move || {
            let is_followed = state.is_followed();
            ready(if is_followed {
                Ok(())
            } else {
                Err("not listening for changes by other processes".to_owned())
            })
        });
    }

    /// Returns whether it is listening. If not, memory must be refreshed before it is used.
    pub fn is_listening(&self) -> bool {
        self.state.is_followed()
    }
}

impl Drop for Coherence {
    fn drop(&mut self) {
        self.listening.abort();
    }
}

/// The caches that listening keeps current.
struct Listener {
    state: Arc<State>,
    forget_tokens: Box<dyn Fn() + Send + Sync>,
    opened: watch::Sender<bool>,
}

impl Listener {
    /// Marks the caches as followed: writes by others are noticed from now on.
    fn open(&self) {
        self.state.set_followed(true);
        self.opened.send_replace(true);
    }

    /// Marks the caches as not followed: writes by others may go unnoticed.
    fn close(&self) {
        self.state.set_followed(false);
        self.opened.send_replace(false);
        (self.forget_tokens)();
    }
}
