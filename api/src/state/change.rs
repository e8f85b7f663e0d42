//! Changes of the floor plan: made whole in one transaction, or not at all.

use std::sync::Arc;

use entity::Instant;
use futures::future::BoxFuture;
use sea_orm::{DatabaseTransaction, DbErr};

use super::State;
use crate::clock::Clock;
use crate::floor_plan::ChangeError;
use crate::floor_plan::changes::ChangeLock;

impl State {
    /// Changes the floor plan: what `work` does in its transaction is done whole, or not at all.
    ///
    /// `work` is given the present instant, for `created` and `modified`.
    pub async fn change<T: Send>(
        self: &Arc<Self>,
        clock: &Clock,
        work: impl for<'t> FnOnce(&'t DatabaseTransaction, Instant) -> BoxFuture<'t, Result<T, ChangeError>>,
    ) -> Result<T, ChangeError> {
        let database = &self.database;
        let transaction = database.in_time(database.begin()).await?;
        let changing = async {
            let turn = ChangeLock::take(&transaction).await?;
            let done = work(&transaction, clock.now()).await?;
            turn.end(&transaction).await?;
            Ok(done)
        };
        match database.in_time(changing).await {
            Ok(done) => {
                let state = Arc::clone(self);
                // A task of its own: the client may go away, and memory must have the change all the same. It is refreshed
                // after a failed commit, too: where the connection was lost, the database may have committed.
                let committing = tokio::spawn(async move {
                    let committed = transaction.commit().await;
                    let refreshed = state.refresh().await;
                    committed.and(refreshed)
                });
                let committed = database.answered(committing).await?;
                committed.map_err(|error| DbErr::Custom(error.to_string()))??;
                Ok(done)
            }
            Err(error) => {
                // The reason is the answer, whether or not the connection can be used again.
                if let Err(error) = database.in_turn(transaction.rollback()).await.flatten() {
                    tracing::warn!(%error, "a change that was refused could not be rolled back");
                }
                Err(error)
            }
        }
    }
}
