//! The subscriptions of the schema.

use std::sync::Arc;
use std::time::Duration;

use async_graphql::{Context, ID, SimpleObject, Subscription as GraphqlSubscription};
use entity::shown;
use futures::Stream;
use futures::stream::unfold;

use super::id;
use super::int::Int;
use super::scalars::DateTime;
use super::space::Space;
use crate::feed::{SpaceCount, Watch};
use crate::http::graphql::request::error::{Fault, Result};
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::request::view::ClientView;
use crate::ids::Kind;

/// The subscriptions.
pub(in crate::http::graphql) struct Subscription;

/// Delay before counts that could not be read are read again.
const REST: Duration = Duration::from_secs(1);

/// The current count of a space.
#[derive(SimpleObject)]
struct CountChange {
    /// The space.
    space: Space,
    /// The instant of the count.
    ts: DateTime,
    /// Number of people in the space, with `negativeCounts` applied.
    count: Int,
    /// Number of people in the space as counted: the signed figure, never clamped.
    net_count: Int,
}

/// The subscriptions.
#[GraphqlSubscription]
impl Subscription {
    /// The counts of spaces: first the current ones, then each count when it changes, for any reason: a crossing
    /// (however late), a reset, a corrected assignment. A client that reads slowly gets the newest counts, not all.
    async fn count_changed(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The spaces. Default: all spaces, including those created later.")]
        space_ids: Option<Vec<ID>>,
    ) -> Result<impl Stream<Item = CountChange> + use<>> {
        let scope = Scope::of(context)?;
        let view = scope.view().await?;
        let known = |id: ID| {
            let row = id::row(context, Kind::Space, &id)?.filter(|row| view.plan().space(*row).is_some());
            row.ok_or_else(|| Fault::BadInput(format!("spaceIds: there is no space {}", shown(&id))))
        };
        let spaces = space_ids.map(|ids| ids.into_iter().map(known).collect::<Result<_>>()).transpose()?;
        let watch = scope.app().feed.watch(spaces);
        Ok(unfold((watch, scope.watching()), async |(mut watch, scope)| {
            let change = CountChange::next(&mut watch, &scope).await?;
            Some((change, (watch, scope)))
        }))
    }
}

impl CountChange {
    /// Returns the next change to send, as of one state; `None` once the feed has ended.
    async fn next(watch: &mut Watch, scope: &Scope) -> Option<Self> {
        // A message during which the state changed was not sent: it is sent again, read from the database.
        let mut is_lost = scope.take_move();
        let mut again = if is_lost { watch.last() } else { None };
        loop {
            let (id, of_database) = match again.take() {
                Some(id) => (id, true),
                None => (watch.next().await?, false),
            };
            scope.begin_message().await;
            let view =
                if of_database { scope.view_of_database().await } else { scope.view_of_memory().await };
            match Self::of(view, id, scope).await {
                Ok(Some(change)) if watch.tell(id, change.counted()) || is_lost => return Some(change),
                Ok(_) => is_lost = false,
                Err(Fault::Moved) => {
                    scope.take_move();
                    again = Some(id);
                }
                Err(error) => {
                    tracing::error!(?error, "cannot read counts for subscribers");
                    tokio::time::sleep(REST).await;
                    again = Some(id);
                }
            }
            scope.no_message();
        }
    }

    /// Returns the counts of a space in the view; `None` if the space is not in it.
    async fn of(view: Result<Arc<ClientView>>, id: i64, scope: &Scope) -> Result<Option<Self>> {
        let view = view?;
        let Some(row) = view.plan().space(id) else { return Ok(None) };
        let ts = scope.instant(None);
        let net_count = view.net(row.account(ts)).await?;
        let (count, net_count) = (row.answer(net_count).into(), net_count.into());
        Ok(Some(Self { space: Space::new(&view, row), ts: ts.into(), count, net_count }))
    }

    fn counted(&self) -> SpaceCount {
        SpaceCount { count: self.count.0, net: self.net_count.0 }
    }
}
