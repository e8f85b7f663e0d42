//! Where long histories are read: on a thread of their own, few at a time, so that counts never stand behind them.

use std::sync::{Arc, OnceLock};

use sea_orm::DbErr;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::error::ReadError;

/// How many long histories are read at a time.
const RUNNING_MAX: usize = 2;
/// How many more may wait for their turn.
const WAITING_MAX: usize = 256;
/// By how much the thread is nicer than the others.
const NICENESS: i32 = 10;

/// The right to read a long history now.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "it ends with it")] OwnedSemaphorePermit);

/// The thread that reads long histories, once there was one to read.
#[derive(Debug)]
pub struct Heavy {
    runtime: OnceLock<Option<Runtime>>,
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Heavy {
    /// No thread yet.
    pub fn new() -> Self {
        let waiting = Semaphore::new(WAITING_MAX);
        Self { runtime: OnceLock::new(), running: Arc::new(Semaphore::new(RUNNING_MAX)), waiting }
    }

    /// Waits for a turn, of which there are few at a time. It ends when it is dropped.
    ///
    /// [`ReadError::Busy`] where too many wait already.
    pub async fn turn(&self) -> Result<Turn, ReadError> {
        let _place = self.waiting.try_acquire().map_err(|_| ReadError::Busy)?;
        let permit = Arc::clone(&self.running).acquire_owned().await;
        permit.map(Turn).map_err(|_| ReadError::Busy)
    }

    /// Does the work of a turn on the thread. It ends when the caller goes away.
    pub async fn run<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, ReadError>> + Send + 'static,
    ) -> Result<T, ReadError> {
        let Some(runtime) = self.runtime.get_or_init(start) else { return Err(ReadError::Busy) };
        let failed = |error| DbErr::Custom(format!("a long history failed: {error}"));
        AbortOnDropHandle::new(runtime.spawn(work)).await.map_err(failed)?
    }
}

impl Default for Heavy {
    fn default() -> Self {
        Self::new()
    }
}

/// Lets the threads that answer counts go first.
fn give_way() {
    // It reads at its usual pace where this is not permitted.
    rustix::process::nice(NICENESS).ok();
}

fn start() -> Option<Runtime> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("histories")
        .on_thread_start(give_way)
        .enable_all()
        .build();
    runtime.inspect_err(|error| tracing::error!(%error, "there is no thread for long histories")).ok()
}

impl Drop for Heavy {
    fn drop(&mut self) {
        // To wait for its thread is not possible where other tasks run.
        if let Some(runtime) = self.runtime.take().flatten() {
            runtime.shutdown_background();
        }
    }
}
