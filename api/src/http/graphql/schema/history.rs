//! The history of a count.

use async_graphql::SimpleObject;

use super::enums::Resolution;
use super::int::Int;
use super::scalars::DateTime;
use crate::http::graphql::request::view::ClientView;
use counting::Bucket;

/// The count of a space during one bucket of a history.
#[derive(SimpleObject)]
pub(in crate::http::graphql) struct HistoryBucket {
    /// Start of the bucket, inclusive.
    start: DateTime,
    /// End of the bucket, exclusive.
    end: DateTime,
    /// Time resolution of the counts.
    resolution: Resolution,
    /// The count at the end, one millisecond before `end`.
    count: Int,
    /// The lowest count.
    min: Int,
    /// The highest count.
    max: Int,
    /// The mean of the count, weighted by time.
    average: f64,
    /// Number of people who entered the space.
    entrances: Int,
    /// Number of people who left the space.
    exits: Int,
    /// The average divided by the space's capacity: 1 is full on average. Null if the space has no capacity.
    utilization: Option<f64>,
}

impl HistoryBucket {
    pub(in crate::http::graphql) fn new(bucket: Bucket, capacity: Option<i32>, view: &ClientView) -> Self {
        let Bucket { start, end, count, min, max, average, entrances, exits } = bucket;
        let utilization = bucket.utilization(capacity);
        Self {
            start: start.into(),
            end: end.into(),
            resolution: Resolution::at(view, start),
            count: count.into(),
            min: min.into(),
            max: max.into(),
            average,
            entrances: entrances.into(),
            exits: exits.into(),
            utilization,
        }
    }
}
