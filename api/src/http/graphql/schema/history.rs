//! The history of a count.

use async_graphql::{ComplexObject, Context, SimpleObject};
use entity::assignment;
use entity::dpu::Reports;

use super::enums::Resolution;
use super::int::Int;
use super::scalars::DateTime;
use super::space::Space;
use crate::counts::CoveredPart;
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::scope::Scope;
use counting::Bucket;

/// The count of a space during one bucket of a history.
#[derive(SimpleObject)]
#[graphql(complex)]
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
    #[graphql(skip)]
    bucket: Bucket,
    #[graphql(skip)]
    space: Space,
}

/// The count of a space during one bucket of a history.
#[ComplexObject]
impl HistoryBucket {
    /// Which part of the bucket so far is covered by intervals and readings of totals, from 0 to 1: so zero people differ from
    /// missing reports. Time in which people were lost is not covered. With several DPUs, the mean of their parts. Null: no DPU
    /// that counts in the bucket reports intervals or totals, or it has not begun.
    async fn coverage(&self, context: &Context<'_>) -> Result<Option<f64>> {
        let (view, now) = (self.space.view(), Scope::of(context)?.instant(None));
        let end = self.bucket.end.min(now);
        let parts = of_intervals(&self.space).filter_map(|row| {
            let start = row.starts_at.max(Some(self.bucket.start))?;
            let end = row.ends_at.map_or(end, |ends_at| ends_at.min(end));
            (start < end).then_some(CoveredPart { dpu: row.dpu_id, start, end })
        });
        let parts: Vec<_> = parts.collect();
        let ms: i64 = parts.iter().map(|part| part.end.ms() - part.start.ms()).sum();
        if ms == 0 {
            return Ok(None);
        }
        let covered = view.covered_ms(parts.into_iter()).await?;
        #[expect(clippy::cast_precision_loss, reason = "a part is rounded to what 53 bits hold")]
        Ok(Some(covered as f64 / ms as f64))
    }
}

/// Returns the assignments of DPUs that report intervals or totals.
fn of_intervals(space: &Space) -> impl Iterator<Item = &assignment::Model> {
    let plan = space.view().plan();
    space
        .planned()
        .assignments
        .iter()
        .filter(|row| plan.dpu(row.dpu_id).is_some_and(|dpu| dpu.row.reports != Reports::Crossings))
}

impl HistoryBucket {
    /// Creates the buckets of a space.
    pub(in crate::http::graphql) fn all(buckets: Vec<Bucket>, space: &Space) -> Vec<Self> {
        let of_intervals: Vec<_> = of_intervals(space).collect();
        let bucket = |bucket: Bucket| {
            let counts = |row: &&assignment::Model| {
                row.starts_at.is_none_or(|starts_at| starts_at < bucket.end)
                    && row.ends_at.is_none_or(|ends_at| ends_at > bucket.start)
            };
            let resolution = Resolution::at(space.view(), bucket.start, of_intervals.iter().any(counts));
            Self::new(bucket, space, resolution)
        };
        buckets.into_iter().map(bucket).collect()
    }

    fn new(bucket: Bucket, space: &Space, resolution: Resolution) -> Self {
        let Bucket { start, end, count, min, max, average, entrances, exits } = bucket;
        let utilization = bucket.utilization(space.planned().row.capacity);
        Self {
            start: start.into(),
            end: end.into(),
            resolution,
            count: count.into(),
            min: min.into(),
            max: max.into(),
            average,
            entrances: entrances.into(),
            exits: exits.into(),
            utilization,
            bucket,
            space: space.clone(),
        }
    }
}
