//! Counts: the one place that puts the floor plan and the timelines together.
//!
//! How many people are in a space, what that is made of, what it was over time, who was seen last: all are questions to a
//! [`View`], which is one state of the database. [`Counts::ask`] makes the view, and makes another one where the state
//! moved on while the question was being answered. REST, GraphQL and the feed are its callers.

mod basis;
mod budget;
mod error;
mod events;
mod heavy;
mod history;
#[cfg(test)]
mod properties;
mod view;

use std::sync::Arc;
use std::time::Duration;

use entity::Instant;
use tokio::sync::watch;

pub use self::budget::{Budget, DEFAULT as WORK_DEFAULT, TooMuch, Work};
pub use self::error::{MayMove, ReadError};
use self::heavy::Heavy;
pub use self::history::SpaceHistory;
pub use self::view::View;
use crate::state::State;
use crate::timelines::Version;

/// Answers questions about counts.
#[derive(Clone, Debug)]
pub struct Counts {
    state: Arc<State>,
    /// The time of one core that a request may take.
    work_max: Duration,
    heavy: Arc<Heavy>,
}

impl Counts {
    /// Answers questions about this state, each of which may take so much work.
    pub fn new(state: Arc<State>, work_max: Duration) -> Self {
        Self { state, work_max, heavy: Arc::default() }
    }

    /// The newest version of the state, for callers that wait for the next one.
    pub fn versions(&self) -> watch::Receiver<Version> {
        self.state.versions()
    }

    /// A view of the state that memory is in.
    pub async fn view(&self) -> Result<View, ReadError> {
        View::of_memory(&self.state, Budget::new(self.work_max), &self.heavy).await
    }

    /// A view for the answer to a change: of the floor plan that memory has, which it keeps, and of whatever is recorded when
    /// it is first read. It never moves.
    pub async fn view_of_change(&self) -> Result<View, ReadError> {
        Ok(self.view().await?.keeping_its_plan())
    }

    /// A view of the state that the database is in, which never moves. `is_long` says whether long histories are read of it.
    pub async fn view_of_database(&self, is_long: bool) -> Result<View, ReadError> {
        View::of_database(&self.state, Budget::new(self.work_max), &self.heavy, is_long).await
    }

    /// How many people are in a space at `at`, as the space wants it answered; `None`: there is no such space.
    pub async fn count(&self, space: i64, at: Instant) -> Result<Option<i64>, ReadError> {
        self.ask(|view| async move {
            let Some(space) = view.plan().space(space) else { return Ok(None) };
            Ok(Some(space.answer(view.net(&space.account(at)).await?)))
        })
        .await
    }

    /// What the question comes to, which is asked a second time where the state has moved on.
    pub async fn ask<T, E: From<ReadError> + MayMove, F: Future<Output = Result<T, E>>>(
        &self,
        question: impl Fn(Arc<View>) -> F,
    ) -> Result<T, E> {
        self.ask_within(self.work_max, question).await
    }

    /// The same for the server's own questions, which may take as much work as they need.
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
