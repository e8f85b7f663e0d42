//! What DPUs reported besides crossings: pages of intervals and readings, how much of a time they cover, and why something
//! was voided.

use std::collections::HashMap;
use std::sync::Arc;

use entity::{Instant, interval, reading, void};
use sea_orm::{
    ColumnTrait, ConnectionTrait, DatabaseBackend, DbErr, EntityTrait, QueryFilter, QueryOrder, QuerySelect,
    Select, Statement,
};

use super::budget::Work;
use super::error::ReadError;
use super::view::View;
use crate::listed::listed;

/// Estimated time between two reports of a DPU, which is the most frequent one of real devices.
const REPORT_MS: u64 = 60_000;

/// Intervals or readings of one DPU that count in `[start, end)`, in the order of their ends or instants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReportPage {
    pub dpu: i64,
    /// `None`: from the beginning.
    pub start: Option<Instant>,
    /// `None`: no end.
    pub end: Option<Instant>,
    /// Only voided ones, or only others.
    pub voided: bool,
    /// Only those after this one, in the page's order.
    pub after: Option<Instant>,
    /// Only those before this one, in the page's order.
    pub before: Option<Instant>,
    pub newest_first: bool,
    pub size: usize,
}

/// A part of a time in which a DPU counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CoveredPart {
    pub dpu: i64,
    /// Start, inclusive.
    pub start: Instant,
    /// End, exclusive.
    pub end: Instant,
}

/// How often a DPU reported, and how often it lost people.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportCounts {
    /// Number of intervals or readings that were received.
    pub received: i64,
    /// Number of intervals in which people were lost.
    pub gaps: i64,
}

impl View {
    pub async fn intervals(&self, page: ReportPage) -> Result<Vec<interval::Model>, ReadError> {
        use interval::Column::{DpuId, Ends, Void};
        let rows = interval::Entity::find().filter(DpuId.eq(page.dpu));
        // An interval counts at its last millisecond.
        let at = |ts: Instant| ts.plus_ms(1);
        let page = ReportPage { start: page.start.map(at), end: page.end.map(at), ..page };
        self.report_page(page, select(rows, page, Ends, Void)).await
    }

    pub async fn readings(&self, page: ReportPage) -> Result<Vec<reading::Model>, ReadError> {
        use reading::Column::{DpuId, Ts, Void};
        let rows = reading::Entity::find().filter(DpuId.eq(page.dpu));
        self.report_page(page, select(rows, page, Ts, Void)).await
    }

    async fn report_page<E: EntityTrait>(
        &self,
        page: ReportPage,
        rows: Select<E>,
    ) -> Result<Vec<E::Model>, ReadError>
    where
        E::Model: Send + Sync,
    {
        self.budget().spend(Work { entries: page.size as u64, pages: 1, ..Work::default() })?;
        let transaction = self.transaction([page.dpu]).await?;
        Ok(self.state().database().in_time(rows.all(&*transaction)).await?)
    }

    /// Returns the rows that void something, by id.
    pub async fn voids(&self, ids: &[i64]) -> Result<HashMap<i64, void::Model>, ReadError> {
        let transaction = self.transaction([]).await?;
        let rows = void::Entity::find().filter(void::Column::Id.is_in(ids.iter().copied()));
        let rows = self.state().database().in_time(rows.all(&*transaction)).await?;
        Ok(rows.into_iter().map(|row| (row.id, row)).collect())
    }

    /// Returns how many milliseconds of each part are covered by intervals in which nobody was lost.
    pub async fn covered_ms(
        self: &Arc<Self>,
        parts: &[CoveredPart],
    ) -> Result<HashMap<CoveredPart, i64>, ReadError> {
        let ms: u64 = parts.iter().map(|part| (part.end.ms() - part.start.ms()).unsigned_abs()).sum();
        let loaded = ms / REPORT_MS;
        self.budget().spend(Work { loaded, pages: parts.len() as u64, ..Work::default() })?;
        let (view, parts) = (Arc::clone(self), parts.to_vec());
        self.run_long(async move { view.read_covered_ms(&parts).await }).await
    }

    async fn read_covered_ms(&self, parts: &[CoveredPart]) -> Result<HashMap<CoveredPart, i64>, ReadError> {
        let transaction = self.transaction(parts.iter().map(|part| part.dpu)).await?;
        let backend = ConnectionTrait::get_database_backend(&*transaction);
        let rows = (0..).zip(parts).map(|(place, part)| [place, part.dpu, part.start.ms(), part.end.ms()]);
        let (rows, values) = listed(backend, 1, rows);
        let (least, most, is_gap) = match backend {
            DatabaseBackend::Postgres => ("LEAST", "GREATEST", "is_gap"),
            _ => ("MIN", "MAX", "is_gap <> 0"),
        };
        // Intervals do not overlap, so only the first that ends after a part can reach out of it.
        let sql = format!(
            "WITH asked (place, dpu_id, since, until) AS ({rows})
            SELECT place, CAST(SUM({least}(ends, until) - {most}(starts, since)) AS BIGINT)
            FROM asked JOIN interval ON interval.dpu_id = asked.dpu_id AND ends > since AND starts < until
                AND ends <= COALESCE(
                    (SELECT MIN(later.ends) FROM interval AS later
                    WHERE later.dpu_id = asked.dpu_id AND later.ends >= until),
                    until
                )
            WHERE void IS NULL AND NOT ({is_gap}) GROUP BY place"
        );
        let statement = Statement::from_sql_and_values(backend, sql, values);
        let found = self.state().database().in_time(transaction.query_all_raw(statement)).await?;
        let covered = found.iter().map(|row| {
            let place = usize::try_from(row.try_get_by_index::<i64>(0)?).ok();
            Ok((place.and_then(|place| parts.get(place)).copied(), row.try_get_by_index(1)?))
        });
        let covered: Vec<(Option<CoveredPart>, i64)> = covered.collect::<Result<_, DbErr>>()?;
        Ok(covered.into_iter().filter_map(|(part, ms)| Some((part?, ms))).collect())
    }

    /// Counts what these DPUs reported in `[since, until)`.
    pub async fn report_counts(
        &self,
        dpus: &[i64],
        since: Instant,
        until: Instant,
    ) -> Result<HashMap<i64, ReportCounts>, ReadError> {
        let ms = (until.ms() - since.ms()).unsigned_abs();
        self.budget().spend(Work { loaded: dpus.len() as u64 * ms / REPORT_MS, ..Work::default() })?;
        let transaction = self.transaction(dpus.iter().copied()).await?;
        let backend = ConnectionTrait::get_database_backend(&*transaction);
        let (rows, values) = listed(backend, 1, dpus.iter().map(|dpu| [*dpu]));
        let (since, until) = (since.ms(), until.ms());
        let is_gap = if backend == DatabaseBackend::Postgres { "is_gap" } else { "is_gap <> 0" };
        let intervals = |condition: &str| {
            format!(
                "(SELECT COUNT(*) FROM interval WHERE interval.dpu_id = asked.dpu_id
                    AND ends > {since} AND ends <= {until} AND void IS NULL AND {condition})"
            )
        };
        let sql = format!(
            "WITH asked (dpu_id) AS ({rows})
            SELECT dpu_id, {reported} + (
                SELECT COUNT(*) FROM reading
                WHERE reading.dpu_id = asked.dpu_id AND ts >= {since} AND ts < {until} AND void IS NULL
            ), {gaps}
            FROM asked",
            reported = intervals("source = 0"),
            gaps = intervals(is_gap),
        );
        let statement = Statement::from_sql_and_values(backend, sql, values);
        let found = self.state().database().in_time(transaction.query_all_raw(statement)).await?;
        let counts = found.iter().map(|row| {
            let counts = ReportCounts { received: row.try_get_by_index(1)?, gaps: row.try_get_by_index(2)? };
            Ok((row.try_get_by_index(0)?, counts))
        });
        Ok(counts.collect::<Result<_, DbErr>>()?)
    }
}

/// Returns the select of a page of rows, which are in the order of `at`.
fn select<E: EntityTrait>(rows: Select<E>, page: ReportPage, at: E::Column, void: E::Column) -> Select<E> {
    let rows = if page.voided { rows.filter(void.is_not_null()) } else { rows.filter(void.is_null()) };
    let (after, before) =
        if page.newest_first { (page.before, page.after) } else { (page.after, page.before) };
    let conditions = [
        page.start.map(|start| at.gte(start)),
        page.end.map(|end| at.lt(end)),
        after.map(|after| at.gt(after)),
        before.map(|before| at.lt(before)),
    ];
    let rows = conditions.into_iter().flatten().fold(rows, QueryFilter::filter);
    let order = if page.newest_first { sea_orm::Order::Desc } else { sea_orm::Order::Asc };
    rows.order_by(at, order).limit(page.size as u64)
}
