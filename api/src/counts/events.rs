//! Single events: pages of events, the last event, and the number of events.
//!
//! Daily totals tell on which days the requested events are, so that the database searches no other days: on
//! PostgreSQL each month of events is a partition of its own.

use std::collections::HashMap;
use std::sync::Arc;

use entity::event::Direction;
use entity::tally::TallyLength;
use entity::{Instant, event};

use super::budget::Work;
use super::error::ReadError;
use super::view::View;
use crate::timelines::{self, Days, EventPage, EventRange};
use counting::{Reading, Stretch};

const DAY_MS: i64 = 86_400_000;
/// Pages with more events than this in total are read on the thread for long histories.
const LIGHT_ENTRIES_MAX: usize = 2_000;

impl View {
    /// Reads the last event of each stretch that has one.
    pub async fn last_events(
        &self,
        stretches: &[Stretch],
    ) -> Result<HashMap<Stretch, event::Model>, ReadError> {
        let days = self.days(stretches.iter().map(|stretch| stretch.dpu)).await?;
        let mut parts = Vec::new();
        for (place, stretch) in stretches.iter().enumerate() {
            let of_dpu = days.get(&stretch.dpu).cloned().unwrap_or_default();
            parts.extend(self.newest_parts(stretch, &of_dpu).into_iter().map(|part| (place, part)));
        }
        let mut last: HashMap<Stretch, event::Model> = HashMap::new();
        if parts.is_empty() {
            return Ok(last);
        }
        self.budget().spend(Work { pages: parts.len() as u64, ..Work::default() })?;
        let listed: Vec<Stretch> = parts.iter().map(|(_, part)| *part).collect();
        let dpus = listed.iter().map(|part| part.dpu);
        let transaction = self.transaction(dpus).await?;
        let reading = timelines::last_events(&*transaction, &listed);
        let found = self.state().database().in_time(reading).await?;
        let key = |event: &event::Model| (event.ts, event.direction, event.seq);
        for (place, part) in &parts {
            let Some(event) = found.get(part) else { continue };
            let newest = last.entry(stretches[*place]).or_insert_with(|| event.clone());
            if key(newest) < key(event) {
                *newest = event.clone();
            }
        }
        Ok(last)
    }

    /// Returns the parts of a stretch that can contain its last event: the last day with crossings, and the day with
    /// crossings before it, in case the crossings of the last day are after the end of the stretch.
    fn newest_parts(&self, stretch: &Stretch, days: &Days) -> Vec<Stretch> {
        let newest = days.newest(TallyLength::Day.bucket(stretch.until));
        let before = newest.and_then(|day| days.newest(day.plus_ms(-DAY_MS)));
        let part = |day: Instant| {
            let after = stretch.after.max(Some(day.just_before()));
            let until = stretch.until.min(day.plus_ms(DAY_MS).just_before());
            (after < Some(until) && !self.is_pruned(day)).then_some(Stretch { after, until, ..*stretch })
        };
        [newest, before].into_iter().flatten().filter_map(part).collect()
    }

    /// Reads pages of events. Large requests are read on the thread for long histories.
    pub async fn event_pages(
        self: &Arc<Self>,
        pages: &[EventPage],
    ) -> Result<HashMap<EventPage, Vec<event::Model>>, ReadError> {
        let entries: usize = pages.iter().map(|page| page.size).sum();
        if entries <= LIGHT_ENTRIES_MAX {
            return self.read_event_pages(pages).await;
        }
        let (view, pages) = (Arc::clone(self), pages.to_vec());
        self.run_long(async move { view.read_event_pages(&pages).await }).await
    }

    async fn read_event_pages(
        &self,
        pages: &[EventPage],
    ) -> Result<HashMap<EventPage, Vec<event::Model>>, ReadError> {
        let days = self.days(pages.iter().map(|page| page.range.dpu)).await?;
        let entries = pages.iter().map(|page| page.size as u64).sum();
        self.budget().spend(Work { entries, pages: pages.len() as u64, ..Work::default() })?;
        let narrowed: Vec<_> = pages
            .iter()
            .map(|page| (*page, days.get(&page.range.dpu).and_then(|days| page.narrowed(days))))
            .collect();
        let wanted: Vec<EventPage> = narrowed.iter().filter_map(|(_, narrowed)| *narrowed).collect();
        let mut read = HashMap::new();
        if !wanted.is_empty() {
            let dpus = wanted.iter().map(|page| page.range.dpu);
            let transaction = self.transaction(dpus).await?;
            let reading = timelines::event_pages(&*transaction, &wanted);
            read = self.state().database().in_time(reading).await?;
        }
        let events = |narrowed: Option<EventPage>| {
            narrowed.and_then(|page| read.get(&page).cloned()).unwrap_or_default()
        };
        Ok(narrowed.into_iter().map(|(page, narrowed)| (page, events(narrowed))).collect())
    }

    /// Counts the events of ranges, except pruned ones.
    pub async fn event_counts(&self, ranges: &[EventRange]) -> Result<HashMap<EventRange, i64>, ReadError> {
        let (voided, ranges): (Vec<EventRange>, Vec<EventRange>) =
            ranges.iter().partition(|range| range.voided);
        let mut counts = self.counted(&ranges).await?;
        if !voided.is_empty() {
            let transaction = self.transaction(voided.iter().map(|range| range.dpu)).await?;
            let reading = timelines::event_counts(&*transaction, &voided);
            counts.extend(self.state().database().in_time(reading).await?);
        }
        Ok(counts)
    }

    /// Counts the events of ranges that count, except pruned ones.
    async fn counted(&self, ranges: &[EventRange]) -> Result<HashMap<EventRange, i64>, ReadError> {
        let bounds = |range: &EventRange| {
            let after = range.start.max(self.plan().digested()).map(Instant::just_before);
            let until = range.end.map_or(Instant::MAX, Instant::just_before);
            (after, until)
        };
        let readings: Vec<Reading> = ranges
            .iter()
            .flat_map(|range| {
                let (after, until) = bounds(range);
                after.into_iter().chain([until]).map(|at| Reading { dpu: range.dpu, at })
            })
            .collect();
        let odometers = self.odometers(&readings).await?;
        let count = |range: &EventRange| {
            let (after, until) = bounds(range);
            if after >= Some(until) {
                return 0;
            }
            let reads = |at| odometers[&Reading { dpu: range.dpu, at }];
            let seen = reads(until) - after.map(reads).unwrap_or_default();
            match range.direction {
                Some(Direction::Toward) => seen.toward,
                Some(Direction::Away) => seen.away,
                None => seen.count(),
            }
        };
        Ok(ranges.iter().map(|range| (*range, count(range))).collect())
    }
}
