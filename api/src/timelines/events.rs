//! Pages of single events.

use std::collections::HashMap;
use std::hash::Hash;

use entity::Instant;
use entity::event::{self, Direction};
use entity::tally::TallyLength;
use sea_orm::{ActiveEnum, ConnectionTrait, DbErr, QueryResult, Statement};

use super::days::Days;
use counting::Crossings;

const DAY_MS: i64 = 86_400_000;
/// Maximum number of selects in one compound statement. SQLite's limit is 500.
const COMPOUND_MAX: usize = 400;

/// Events of one DPU in `[start, end)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventRange {
    pub dpu: i64,
    /// Start of the range, inclusive. `None`: from the beginning.
    pub start: Option<Instant>,
    /// End of the range, exclusive. `None`: no end.
    pub end: Option<Instant>,
    /// Only events in this direction.
    pub direction: Option<Direction>,
    /// Only voided events, or only others.
    pub voided: bool,
}

/// The position of an event among its DPU's events.
pub type EventKey = (Instant, Direction, i32);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EventPage {
    pub range: EventRange,
    /// Only events after this one, in the page's order.
    pub after: Option<EventKey>,
    /// Only events before this one, in the page's order.
    pub before: Option<EventKey>,
    /// Whether the newest events come first, otherwise the oldest.
    pub newest_first: bool,
    pub size: usize,
}

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
            void: row.try_get_by_index(5)?,
        };
        found.entry(page).or_default().push(event);
        Ok(())
    })
    .await?;
    for (page, events) in &mut found {
        // A compound statement does not guarantee the order of its parts' rows.
        events.sort_unstable_by_key(|event| (event.ts, event.direction, event.seq));
        if page.newest_first {
            events.reverse();
        }
    }
    Ok(found)
}

/// Counts events by looking at them.
pub(crate) async fn counts(
    connection: &impl ConnectionTrait,
    ranges: &[EventRange],
) -> Result<HashMap<EventRange, i64>, DbErr> {
    let mut counts = HashMap::new();
    let select = |range: &EventRange, place: usize| {
        format!("SELECT {place}, COUNT(*) FROM event WHERE {}", range.condition())
    };
    compound(connection, ranges, select, |range, row| {
        counts.insert(range, row.try_get_by_index(1)?);
        Ok(())
    })
    .await?;
    Ok(counts)
}

/// Runs one select per thing, many in one statement, and returns each row with its thing. The first column of a select
/// is the place of its thing.
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

// Only integers are formatted into these statements.
impl EventRange {
    fn condition(&self) -> String {
        let conditions = [
            Some(format!("dpu_id = {}", self.dpu)),
            self.start.map(|start| format!("ts >= {}", start.ms())),
            self.end.map(|end| format!("ts < {}", end.ms())),
            self.direction.map(|direction| format!("direction = {}", direction.sign())),
            Some(if self.voided { "void IS NOT NULL" } else { "void IS NULL" }.to_owned()),
        ];
        conditions.into_iter().flatten().collect::<Vec<_>>().join(" AND ")
    }

    /// Returns how many of these crossings are in the range's direction.
    fn count(&self, crossings: Crossings) -> i64 {
        match self.direction {
            Some(Direction::Toward) => crossings.toward,
            Some(Direction::Away) => crossings.away,
            None => crossings.count(),
        }
    }
}

impl EventPage {
    /// Returns the page with its range shortened to the days that can contain its events. `None`: no events.
    pub(crate) fn narrowed(&self, days: &Days) -> Option<Self> {
        if self.range.voided {
            // No total counts them.
            return Some(*self);
        }
        let (first, last) = days.ends()?;
        let size = i64::try_from(self.size).unwrap_or(i64::MAX);
        let count = |crossings| self.range.count(crossings);
        let after = self.after.map(|(ts, ..)| ts);
        let (start, end) = if self.newest_first {
            let until = [self.range.end, after].into_iter().flatten().min().unwrap_or(Instant::MAX);
            let day = TallyLength::Day.bucket(until).min(last);
            let enough = days.last_before(count(days.around(day).0).saturating_sub(size), count);
            (enough.unwrap_or(first), day)
        } else {
            let from = self.range.start.max(after).unwrap_or(Instant::MIN);
            let day = TallyLength::Day.bucket(from).max(first);
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
            "SELECT * FROM (SELECT {place}, ts, direction, seq, created, void FROM event WHERE {condition} {after} {before}
            ORDER BY ts {order}, direction {order}, seq {order} LIMIT {}) AS page_{place}",
            self.size
        )
    }
}
