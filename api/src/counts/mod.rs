//! Counts: the one place that combines the floor plan and the timelines.
//!
//! Every question about counts (counts, their accounts, histories, last events) is a question to a [`View`], which is
//! one state of the database. [`Counts::ask`] creates the view, and creates another one if the state moves on while the
//! question is being answered. REST, GraphQL and the feed call it.

mod basis;
mod budget;
mod error;
mod events;
mod heavy;
mod history;
#[cfg(test)]
mod properties;
mod reports;
mod view;

use std::sync::Arc;
use std::time::Duration;

use entity::Instant;
use tokio::sync::watch;

pub use self::budget::{Budget, DEFAULT as WORK_DEFAULT, TooMuch, Work};
pub use self::error::{MayMove, ReadError};
use self::heavy::Heavy;
pub use self::history::SpaceHistory;
pub use self::reports::{CoveredPart, ReportCounts, ReportPage};
pub use self::view::View;
use crate::state::State;
use crate::timelines::Version;

/// Answers questions about counts.
#[derive(Clone, Debug)]
pub struct Counts {
    state: Arc<State>,
    /// Maximum time of one core that a request may take.
    work_max: Duration,
    heavy: Arc<Heavy>,
}

impl Counts {
    pub fn new(state: Arc<State>, work_max: Duration) -> Self {
        Self { state, work_max, heavy: Arc::default() }
    }

    pub fn versions(&self) -> watch::Receiver<Version> {
        self.state.versions()
    }

    /// Returns a view of the state in memory.
    pub async fn view(&self) -> Result<View, ReadError> {
        View::of_memory(&self.state, Budget::new(self.work_max), &self.heavy).await
    }

    /// Returns a view for answering a change. It keeps the floor plan that is in memory, reads what is recorded when
    /// it is first used, and never moves.
    pub async fn view_of_change(&self) -> Result<View, ReadError> {
        Ok(self.view().await?.keeping_its_plan())
    }

    /// Returns a view of the database's state, which never moves. `is_long`: whether long histories are read from it.
    pub async fn view_of_database(&self, is_long: bool) -> Result<View, ReadError> {
        View::of_database(&self.state, Budget::new(self.work_max), &self.heavy, is_long).await
    }

    /// Returns the number of people in a space at `at`, clamped as the space is set up. `None`: unknown space.
    pub async fn count(&self, space: i64, at: Instant) -> Result<Option<i64>, ReadError> {
        self.ask(|view| async move {
            let Some(space) = view.plan().space(space) else { return Ok(None) };
            Ok(Some(space.answer(view.net(&space.account(at)).await?)))
        })
        .await
    }

    /// Answers a question. Asks it a second time if the state has moved on.
    pub async fn ask<T, E: From<ReadError> + MayMove, F: Future<Output = Result<T, E>>>(
        &self,
        question: impl Fn(Arc<View>) -> F,
    ) -> Result<T, E> {
        self.ask_within(self.work_max, question).await
    }

    /// Like [`ask`](Self::ask), but for the server's own questions, whose work is not limited.
    pub async fn watch<T, F: Future<Output = Result<T, ReadError>>>(
        &self,
        question: impl Fn(Arc<View>) -> F,
    ) -> Result<T, ReadError> {
        self.ask_within(Duration::MAX, question).await
    }

    async fn ask_within<T, E: From<ReadError> + MayMove, F: Future<Output = Result<T, E>>>(
        &self,
        work_max: Duration,
        question: impl Fn(Arc<View>) -> F,
    ) -> Result<T, E> {
        let view = Arc::new(View::of_memory(&self.state, Budget::new(work_max), &self.heavy).await?);
        match question(Arc::clone(&view)).await {
            Err(error) if error.has_moved() => {
                let (budget, is_long) = (Budget::new(work_max), view.is_long());
                let view = View::of_database(&self.state, budget, &self.heavy, is_long).await?;
                question(Arc::new(view)).await
            }
            answered => answered,
        }
    }
}
