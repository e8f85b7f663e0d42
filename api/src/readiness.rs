//! Whether the service can do its work: named checks, each bounded in time. What a check finds wrong is said in words
//! of ours; it repeats nothing that a database or a broker has said.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};

/// How long a check may take.
const CHECK_TIME_MAX: Duration = Duration::from_secs(2);

/// A check: nothing, or what is wrong.
type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// What must hold for the service to be ready.
#[derive(Default)]
pub struct Readiness(Mutex<Vec<(&'static str, Check)>>);

impl Readiness {
    /// Adds a check. Its name is a key of the answer.
    pub fn add<F>(&self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let check: Check = Box::new(move || Box::pin(check()));
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((name, check));
    }

    /// Runs every check at once, and says of each what is wrong, if anything is.
    pub async fn look(&self) -> Vec<(&'static str, Result<(), String>)> {
        let looking: Vec<_> = {
            let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            checks.iter().map(|(name, check)| (*name, check())).collect()
        };
        join_all(looking.into_iter().map(async |(name, looking)| {
            let found = tokio::time::timeout(CHECK_TIME_MAX, looking).await;
            (name, found.unwrap_or_else(|_| Err(format!("no answer within {} s", CHECK_TIME_MAX.as_secs()))))
        }))
        .await
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        formatter.debug_list().entries(checks.iter().map(|(name, _)| name)).finish()
    }
}
