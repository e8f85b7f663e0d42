//! Whether the service can do its work: named checks, each bounded in time, and all of them cached for a second. Their
//! messages are fixed texts, and repeat nothing that a database or a broker has said.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::future::{BoxFuture, join_all};
use tokio::time::Instant as Tick;

const CHECK_TIME_MAX: Duration = Duration::from_secs(2);
/// How long results are cached. Anyone may request them, and checks query the database.
const CACHED: Duration = Duration::from_secs(1);

type Check = Box<dyn Fn() -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// Results of the checks by name: what is wrong, if anything.
pub type Results = Vec<(&'static str, Result<(), String>)>;

#[derive(Default)]
pub struct Readiness {
    checks: Mutex<Vec<(&'static str, Check)>>,
    /// The last results, and their time. Locked while checks run, so that there is one run at a time.
    last: Arc<tokio::sync::Mutex<Option<(Tick, Results)>>>,
}

impl Readiness {
    /// Its name is a key of the answer; a second check of one name is left out.
    pub fn add<F>(&self, name: &'static str, check: impl Fn() -> F + Send + Sync + 'static)
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        let mut checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        if checks.iter().all(|(known, _)| *known != name) {
            checks.push((name, Box::new(move || Box::pin(check()))));
        }
    }

    /// Returns results that are at most a second old. If there are none, runs all checks at the same time.
    pub async fn look(&self) -> Results {
        let mut last = Arc::clone(&self.last).lock_owned().await;
        if let Some((found, results)) = &*last
            && found.elapsed() < CACHED
        {
            return results.clone();
        }
        let running = self.run();
        // A separate task: after a client disconnects, the next one must not begin a second run beside this one.
        let running = tokio::spawn(async move {
            let results = running.await;
            *last = Some((Tick::now(), results.clone()));
            results
        });
        running
            .await
            .unwrap_or_else(|_| vec![("checks", Err("a check panicked: the log says why".to_owned()))])
    }

    fn run(&self) -> impl Future<Output = Results> + Send + 'static {
        let running: Vec<_> = {
            let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
            checks.iter().map(|(name, check)| (*name, check())).collect()
        };
        join_all(running.into_iter().map(async |(name, running)| {
            let found = tokio::time::timeout(CHECK_TIME_MAX, running).await;
            (name, found.unwrap_or_else(|_| Err(format!("no answer within {} s", CHECK_TIME_MAX.as_secs()))))
        }))
    }
}

impl fmt::Debug for Readiness {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let checks = self.checks.lock().unwrap_or_else(PoisonError::into_inner);
        formatter.debug_list().entries(checks.iter().map(|(name, _)| name)).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use futures::FutureExt;
    use tokio::sync::Notify;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn checks_run_once_a_second_and_once_at_a_time() {
        let (readiness, runs, go_on) =
            (Readiness::default(), Arc::<AtomicUsize>::default(), Arc::new(Notify::new()));
        let (counted, waited) = (Arc::clone(&runs), Arc::clone(&go_on));
        readiness.add("slow", move || {
            let (counted, waited) = (Arc::clone(&counted), Arc::clone(&waited));
            async move {
                let run = counted.fetch_add(1, Ordering::SeqCst);
                waited.notified().await;
                if run == 0 { Ok(()) } else { Err("no longer".to_owned()) }
            }
        });
        // The client that asked first goes away. The others still get the results of the checks.
        assert!(readiness.look().now_or_never().is_none());
        go_on.notify_one();
        let both = tokio::join!(readiness.look(), readiness.look());
        let well = vec![("slow", Ok(()))];
        assert_eq!((both, runs.load(Ordering::SeqCst)), ((well.clone(), well), 1));

        tokio::time::advance(CACHED).await;
        go_on.notify_one();
        assert_eq!(readiness.look().await, [("slow", Err("no longer".to_owned()))]);
        tokio::time::advance(CACHED).await;
        // Time passes by itself while all wait: this check does not answer.
        assert_eq!(readiness.look().await, [("slow", Err("no answer within 2 s".to_owned()))]);
    }
}
