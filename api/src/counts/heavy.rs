//! A thread of its own for long histories, a few at a time, so that counts never wait behind them.

use std::sync::{Arc, OnceLock};

use sea_orm::DbErr;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::task::AbortOnDropHandle;

use super::error::ReadError;

const RUNNING_MAX: usize = 2;
const WAITING_MAX: usize = 256;
/// Niceness of the thread, relative to the others.
const NICENESS: i32 = 10;

/// The permission to read a long history now.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "it ends with it")] OwnedSemaphorePermit);

/// The thread that reads long histories, started when first needed.
#[derive(Debug)]
pub struct Heavy {
    runtime: OnceLock<Option<Runtime>>,
    running: Arc<Semaphore>,
    waiting: Semaphore,
}

impl Heavy {
    pub fn new() -> Self {
        let waiting = Semaphore::new(WAITING_MAX);
        Self { runtime: OnceLock::new(), running: Arc::new(Semaphore::new(RUNNING_MAX)), waiting }
    }

    /// Waits for a turn. The turn ends when it is dropped.
    ///
    /// Returns [`ReadError::Busy`] if too many callers are waiting already.
    pub async fn turn(&self) -> Result<Turn, ReadError> {
        let _place = self.waiting.try_acquire().map_err(|_| ReadError::Busy)?;
        let permit = Arc::clone(&self.running).acquire_owned().await;
        permit.map(Turn).map_err(|_| ReadError::Busy)
    }

    /// Runs `work` on the thread. Dropping the returned future cancels it.
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

/// Lowers this thread's priority below the threads that answer counts.
fn give_way() {
    // Without the permission, the thread keeps its normal priority.
    rustix::process::nice(NICENESS).ok();
}

fn start() -> Option<Runtime> {
    let runtime = Builder::new_multi_thread()
        .worker_threads(1)
        .thread_name("histories")
        .on_thread_start(give_way)
        .enable_all()
        .build();
    runtime.inspect_err(|error| tracing::error!(%error, "cannot start the thread for long histories")).ok()
}

impl Drop for Heavy {
    fn drop(&mut self) {
        // Waiting for the thread is not possible inside an async runtime.
        if let Some(runtime) = self.runtime.take().flatten() {
            runtime.shutdown_background();
        }
    }
}
