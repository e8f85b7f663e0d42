//! The history of a count.

use async_graphql::SimpleObject;

use super::enums::Resolution;
use super::int::Int;
use super::scalars::DateTime;
use crate::counting::Bucket;
use crate::http::graphql::request::view::View;

/// What a space's count was in a stretch of time.
#[derive(SimpleObject)]
pub(in crate::http::graphql) struct HistoryBucket {
    /// The first instant in it.
    start: DateTime,
    /// The first instant after it.
    end: DateTime,
    /// How finely the counts in it are known in time.
    resolution: Resolution,
    /// The count at its end, that is one millisecond before `end`.
    count: Int,
    /// The lowest count in it.
    min: Int,
    /// The highest count in it.
    max: Int,
    /// The mean of the count over its time.
    average: f64,
    /// How many people entered the space.
    entrances: Int,
    /// How many people left it.
    exits: Int,
    /// The average as a part of the space's capacity, 1 where it was full on average; null where it has no capacity.
    utilization: Option<f64>,
}

impl HistoryBucket {
    pub(in crate::http::graphql) fn new(bucket: Bucket, capacity: Option<i32>, view: &View) -> Self {
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
