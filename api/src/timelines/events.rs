//! Events one by one, in pages, for those who want to look at them.

use std::collections::HashMap;
use std::hash::Hash;

use entity::Instant;
use entity::event::{self, Direction};
use entity::tally::Resolution;
use sea_orm::{ActiveEnum, ConnectionTrait, DbErr, QueryResult, Statement};

use super::days::Days;
use crate::counting::Crossings;

/// How many selects one compound statement may have; SQLite stops at 500.
const COMPOUND_MAX: usize = 400;

/// Events of one DPU in `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventRange {
    /// The DPU's id.
    pub dpu: i64,
    /// The first instant in it; `None`: since ever.
    pub start: Option<Instant>,
    /// The first instant after it; `None`: until ever.
    pub end: Option<Instant>,
    /// Only those in this direction.
    pub direction: Option<Direction>,
}

/// Where an event stands among its DPU's.
pub type EventKey = (Instant, Direction, i32);

/// A page of a range's events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventPage {
    /// The range.
    pub range: EventRange,
    /// Only those after this one, in the page's order.
    pub after: Option<EventKey>,
    /// Only those before this one, in the page's order.
    pub before: Option<EventKey>,
    /// Whether the newest come first; else the oldest do.
    pub newest_first: bool,
    /// At most this many.
    pub size: usize,
}

/// Reads pages of events, all of them together.
pub(crate) async fn pages(
    connection: &impl ConnectionTrait,
    pages: &[EventPage],
) -> Result<HashMap<EventPage, Vec<event::Model>>, DbErr> {
    let mut found: HashMap<_, _> = pages.iter().map(|page| (*page, Vec::new())).collect();
    compound(connection, pages, EventPage::select, |page, row| {
        let event = event::Model {
            dpu_id: page.range.dpu,
            ts: row.try_get_by_index(1)?,
            direction: Direction::try_from_value(&row.try_get_by_index(2)?)?,
            seq: row.try_get_by_index(3)?,
            created: row.try_get_by_index(4)?,
        };
        found.entry(page).or_default().push(event);
        Ok(())
    })
    .await?;
    for (page, events) in &mut found {
        // A compound statement promises no order among its parts' rows.
        events.sort_unstable_by_key(|event| (event.ts, event.direction, event.seq));
        if page.newest_first {
            events.reverse();
        }
    }
    Ok(found)
}

/// Runs a select for each thing, many of them in a statement, and hands out each row with its thing. The
/// first column of a select is the thing's place.
async fn compound<T: Copy + Eq + Hash>(
    connection: &impl ConnectionTrait,
    things: &[T],
    select: impl Fn(&T, usize) -> String,
    mut take: impl FnMut(T, &QueryResult) -> Result<(), DbErr>,
) -> Result<(), DbErr> {
    for things in things.chunks(COMPOUND_MAX) {
        let selects: Vec<_> = things.iter().enumerate().map(|(place, thing)| select(thing, place)).collect();
        let sql = Statement::from_string(connection.get_database_backend(), selects.join(" UNION ALL "));
        for row in connection.query_all_raw(sql).await? {
            let place = usize::try_from(row.try_get_by_index::<i32>(0)?).ok();
            if let Some(thing) = place.and_then(|place| things.get(place)) {
                take(*thing, &row)?;
            }
        }
    }
    Ok(())
}

// Only integers are written into these statements.
impl EventRange {
    fn condition(&self) -> String {
        let conditions = [
            Some(format!("dpu_id = {}", self.dpu)),
            self.start.map(|start| format!("ts >= {}", start.ms())),
            self.end.map(|end| format!("ts < {}", end.ms())),
            self.direction.map(|direction| format!("direction = {}", direction.sign())),
        ];
        conditions.into_iter().flatten().collect::<Vec<_>>().join(" AND ")
    }

    /// Returns how many of these crossings it is about.
    fn count(&self, crossings: Crossings) -> i64 {
        match self.direction {
            Some(Direction::Toward) => crossings.toward,
            Some(Direction::Away) => crossings.away,
            None => crossings.count(),
        }
    }
}

impl EventPage {
    /// The same page, of a range that has no more days than hold as many events as it needs; `None`: there are none.
    pub(crate) fn narrowed(&self, days: &Days) -> Option<Self> {
        const DAY_MS: i64 = 86_400_000;
        let (first, last) = days.ends()?;
        let size = i64::try_from(self.size).unwrap_or(i64::MAX);
        let count = |crossings| self.range.count(crossings);
        let after = self.after.map(|(ts, ..)| ts);
        let (start, end) = if self.newest_first {
            let until = [self.range.end, after].into_iter().flatten().min().unwrap_or(Instant::MAX);
            let day = Resolution::Day.bucket(until).min(last);
            let enough = days.last_before(count(days.around(day).0).saturating_sub(size), count);
            (enough.unwrap_or(first), day)
        } else {
            let from = self.range.start.max(after).unwrap_or(Instant::MIN);
            let day = Resolution::Day.bucket(from).max(first);
            let (before, during) = days.around(day);
            (day, days.first_until(count(before + during).saturating_add(size), count).unwrap_or(last))
        };
        let start = self.range.start.max(Some(start));
        let end = end.plus_ms(DAY_MS);
        let end = Some(self.range.end.map_or(end, |given| given.min(end)));
        Some(Self { range: EventRange { start, end, ..self.range }, ..*self })
    }

    fn select(&self, place: usize) -> String {
        let condition = self.range.condition();
        let (beyond, short_of, order) =
            if self.newest_first { ("<", ">", "DESC") } else { (">", "<", "ASC") };
        let bound = |key: Option<EventKey>, compared: &str| {
            let bound = key.map(|(ts, direction, seq)| {
                format!("AND (ts, direction, seq) {compared} ({}, {}, {seq})", ts.ms(), direction.sign())
            });
            bound.unwrap_or_default()
        };
        let (after, before) = (bound(self.after, beyond), bound(self.before, short_of));
        format!(
            "SELECT * FROM (SELECT {place}, ts, direction, seq, created FROM event WHERE {condition} {after} {before}
            ORDER BY ts {order}, direction {order}, seq {order} LIMIT {}) AS page_{place}",
            self.size
        )
    }
}
