//! Background tasks, all started by one owner, which knows whether they run, when they last did something, and when one
//! of them panics.
//!
//! A task that panicked is not started again: it may have left what is in memory half changed. Instead `/readyz` names it,
//! and the process stops and exits with an error, so that what supervises the process starts a new one.
//!
//! A task may return only when there is nothing left for it to do, such as when all senders of its channel are gone. A task
//! that never has an end says so by its type, [`Infallible`](std::convert::Infallible).

use std::any::Any;
use std::collections::BTreeMap;
use std::future::ready;
use std::panic::{AssertUnwindSafe, resume_unwind};
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures::FutureExt;
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::clock::Clock;
use crate::readiness::Readiness;

tokio::task_local! {
    static CURRENT: Arc<TaskStatus>;
}

/// Starts the background tasks of a process. Clones share their state.
#[derive(Clone, Debug, Default)]
pub struct Tasks {
    panicked: watch::Sender<Option<Panicked>>,
    /// By name. Tasks of one name share a status.
    statuses: Arc<Mutex<BTreeMap<&'static str, Arc<TaskStatus>>>>,
    /// The name of a task that a test makes panic.
    failing: watch::Sender<Option<&'static str>>,
}

/// Whether tasks of one name run, and when one of them last did something.
#[derive(Debug, Default)]
struct TaskStatus {
    running: AtomicUsize,
    /// In seconds since the Unix epoch; 0: not yet.
    last_run_s: AtomicI64,
}

/// What is known of the tasks of one name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Observed {
    pub task: &'static str,
    pub running: usize,
    /// When one of them last did something, in seconds since the Unix epoch; 0: not yet.
    pub last_run_s: i64,
}

/// Counts a running task, until it is dropped.
struct Running(Arc<TaskStatus>);

impl Running {
    fn new(status: Arc<TaskStatus>) -> Self {
        status.running.fetch_add(1, Ordering::Relaxed);
        Self(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.running.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Records that the background task that calls this has just done something.
pub fn ran() {
    let now_s = Clock::system().now().ms() / 1_000;
    CURRENT.try_with(|status| status.last_run_s.store(now_s, Ordering::Relaxed)).ok();
}

#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "the background task \"{task}\" panicked: {message}. This is a bug in Headcount: report it. The process stops, since what \
     it has in memory may be wrong; nothing that was acknowledged is lost. Start it again"
)]
pub struct Panicked {
    pub task: &'static str,
    pub message: String,
}

impl Tasks {
    /// Awaiting or aborting its handle is as with [`tokio::spawn`].
    pub fn spawn<T: Send + 'static>(
        &self,
        name: &'static str,
        task: impl Future<Output = T> + Send + 'static,
    ) -> JoinHandle<T> {
        let (tasks, mut failing) = (self.clone(), self.failing.subscribe());
        let running = Running::new(Arc::clone(self.statuses().entry(name).or_default()));
        let work = CURRENT.scope(Arc::clone(&running.0), async move {
            tokio::select! {
                Ok(_) = failing.wait_for(|failing| *failing == Some(name)) => made_to_fail(),
                done = task => done,
            }
        });
        tokio::spawn(async move {
            let done = AssertUnwindSafe(work).catch_unwind().await;
            drop(running);
            done.unwrap_or_else(|panic| {
                tasks.note(Panicked { task: name, message: message(&*panic) });
                resume_unwind(panic)
            })
        })
    }

    pub fn observe(&self) -> Vec<Observed> {
        let observed = |(task, status): (&&'static str, &Arc<TaskStatus>)| Observed {
            task,
            running: status.running.load(Ordering::Relaxed),
            last_run_s: status.last_run_s.load(Ordering::Relaxed),
        };
        self.statuses().iter().map(observed).collect()
    }

    /// Makes the tasks of this name panic, for tests.
    pub fn fail(&self, name: &'static str) {
        self.failing.send_replace(Some(name));
    }

    fn statuses(&self) -> MutexGuard<'_, BTreeMap<&'static str, Arc<TaskStatus>>> {
        self.statuses.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn check(&self) -> Result<(), Panicked> {
        self.panicked.borrow().clone().map_or(Ok(()), Err)
    }

    pub async fn panicked(&self) {
        // The sender lives as long as this, so waiting for it cannot fail.
        self.panicked.subscribe().wait_for(Option::is_some).await.ok();
    }

    pub fn add_check(&self, readiness: &Readiness) {
        let tasks = self.clone();
        readiness.add("tasks", move || {
            let wrong = |Panicked { task, .. }| {
                format!(
                    "the background task \"{task}\" panicked: the process stops and must be started again"
                )
            };
            ready(tasks.check().map_err(wrong))
        });
    }

    fn note(&self, panicked: Panicked) {
        tracing::error!("{panicked}");
        self.panicked.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(panicked);
            is_first
        });
    }
}

fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no reason is given".to_owned())
}

#[expect(clippy::panic, reason = "a test asks for it")]
fn made_to_fail<T>() -> T {
    panic!("a test made it fail")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_task_that_panics_is_named() {
        let tasks = Tasks::default();
        assert_eq!(tasks.spawn("one", async { 1 }).await.unwrap(), 1);
        let aborted = tasks.spawn("two", std::future::pending::<()>());
        aborted.abort();
        assert!(aborted.await.unwrap_err().is_cancelled());
        assert_eq!(tasks.check(), Ok(()), "a task may end, and may be aborted");

        let number = 3;
        let panicking = tasks.spawn("three", async move { assert!(number > 3, "{number}") });
        tasks.clone().panicked().await;
        assert!(panicking.await.unwrap_err().is_panic());
        tasks.spawn("four", async move { assert!(number > 3, "four") }).await.unwrap_err();
        let expected = Panicked { task: "three", message: "3".to_owned() };
        assert_eq!(tasks.check(), Err(expected));
    }
}
