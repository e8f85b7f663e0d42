//! What can be watched.

use async_graphql::{Context, ID, SimpleObject, Subscription as GraphqlSubscription};
use futures::Stream;
use futures::stream::unfold;

use super::error::{Fault, Result};
use super::id;
use super::scalars::DateTime;
use super::scope::Scope;
use super::space::Space;
use crate::feed::Feed;
use crate::ids::Kind;

/// What can be watched.
pub(super) struct Subscription;

/// The count of a space, as it is now.
#[derive(SimpleObject)]
struct CountChange {
    /// The space.
    space: Space,
    /// The instant that was counted at.
    ts: DateTime,
    /// How many people are in the space. Below zero it is answered as `negativeCounts` says.
    count: i64,
    /// How many people are in the space by what was counted: the signed figure, never clamped.
    net_count: i64,
}

/// What can be watched.
#[GraphqlSubscription]
impl Subscription {
    /// The counts of spaces: first as they are, then each as it changes, by whatever it changes: a crossing, however
    /// late, a reset, a corrected assignment. A client that is slow to read gets the newest counts, not all.
    async fn count_changed(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "Of these spaces; without it, of all that there are and of those that will be.")]
        space_ids: Option<Vec<ID>>,
    ) -> Result<impl Stream<Item = CountChange> + use<>> {
        let scope = Scope::of(context)?;
        let plan = scope.plan().await?;
        let known = |id: ID| {
            let row = id::row(context, Kind::Space, &id)?.filter(|row| plan.space(*row).is_some());
            row.ok_or_else(|| Fault::BadInput(format!("spaceIds: there is no space {:.40?}", id.as_str())))
        };
        let spaces = space_ids.map(|ids| ids.into_iter().map(known).collect::<Result<_>>()).transpose()?;
        let watch = Feed::watch(scope.app(), spaces);
        Ok(unfold((watch, scope.access().clone()), async |(mut watch, access)| {
            loop {
                let (id, count, counts) = watch.next().await?;
                if let Some(space) = Space::find(&access.view(&counts.plan), id) {
                    let change =
                        CountChange { space, ts: counts.ts.into(), count: count.count, net_count: count.net };
                    return Some((change, (watch, access)));
                }
            }
        }))
    }
}
