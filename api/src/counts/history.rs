//! Histories, folded from the pages of odometers a day at a time.
//!
//! Whole UTC days come from [`Summary`]s of the space, which are cached beside the pages they were made from, and
//! recomputed when a page, the floor plan or the count before the day has changed. Days that contain the start or end
//! of the history, or an edge that is not on a quarter of an hour, are folded from their pages each time. Pages that
//! are not in memory are loaded in batches of about [`LOADED_MAX`] crossings, so memory does not grow with the range.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::iter::successors;
use std::sync::Arc;

use entity::Instant;
use entity::assignment::Placement;
use entity::tally::TallyLength;
use itertools::Itertools;

use super::basis::warn_of_tally;
use super::budget::Work;
use super::error::ReadError;
use super::view::View;
use crate::floor_plan::Space;
use crate::timelines::{
    Days, Extent, Grain, Lacking, Page, PageAt, PageKey, Summary, SummaryKey, SummarySource,
};
use counting::{Bucket, Buckets, Cell, History, Passed, Term, fold};

/// Maximum number of crossings, and of pages, that one statement loads.
const LOADED_MAX: i64 = 400_000;
const LOADED_PAGES_MAX: usize = 2_000;
/// Maximum work between two yields to other tasks, in nanoseconds.
const SLICE_NS: u64 = 300_000;
/// More work than this is done on the thread for long histories, in nanoseconds.
const LIGHT_NS: u64 = 50_000;
const DAY_MS: i64 = 86_400_000;

#[derive(Clone, Debug)]
pub struct SpaceHistory {
    pub space: Arc<Space>,
    /// The limits of the buckets, ascending.
    pub edges: Vec<Instant>,
}

struct Folding<'a> {
    space: &'a Space,
    history: &'a History<'a>,
    buckets: Buckets<'a>,
    /// The first and last day with crossings or resets. `None`: there are no such days.
    busy: Option<(Instant, Instant)>,
    /// Whether a summary was stale because the count before its day has changed. Later ones are then likely stale too.
    has_stale: bool,
}

struct HistorySource<'a> {
    view: &'a View,
    days: &'a BTreeMap<i64, Days>,
    /// The pages of the current piece, held so that none is evicted before it is folded.
    held: HashMap<PageKey, Page>,
    /// The crossings of one day of a space: the millisecond of the day × 2, plus 1 if the person enters.
    crossed: Vec<u32>,
    /// The people of its intervals.
    counted: Vec<(Instant, Passed)>,
}

enum HistoryProgress {
    Finished,
    /// Other tasks must run first.
    Paused,
    /// Pages are missing in memory.
    Lacks,
}

/// The pages to load next.
#[derive(Default)]
struct HistoryPiece {
    lacking: Lacking,
    crossings: i64,
}

impl HistoryPiece {
    fn is_full(&self) -> bool {
        self.crossings >= LOADED_MAX || self.lacking.pages.len() >= LOADED_PAGES_MAX
    }
}

impl View {
    /// Reads histories, each with its buckets in the requested order. Counts are clamped as each space is set up.
    ///
    /// Returns [`ReadError::TooMuch`] if that takes more work than the request may cause, [`ReadError::Busy`] if too
    /// many long histories are being read.
    pub async fn histories(
        self: &Arc<Self>,
        asked: Vec<SpaceHistory>,
    ) -> Result<Vec<Vec<Bucket>>, ReadError> {
        let dpus: Vec<i64> = {
            let histories = asked.iter().map(SpaceHistory::history);
            histories.flat_map(|history| dpus_of(&history).collect::<Vec<_>>()).collect()
        };
        let days = self.days(dpus).await?;
        let (least, most) = bounds(&asked, &days);
        let is_light = if most.ns() <= LIGHT_NS {
            self.budget().spend(most)?;
            true
        } else if least.ns() <= LIGHT_NS {
            let work = self.work(&asked, &days);
            self.budget().spend(work)?;
            work.ns() <= LIGHT_NS
        } else {
            self.budget().spend(least)?;
            false
        };
        if is_light {
            return self.fold(&asked, &days).await;
        }
        let view = Arc::clone(self);
        self.run_long(async move {
            if least.ns() > LIGHT_NS && most.ns() > view.budget().left_ns() {
                view.budget().spend(view.work(&asked, &days).without(least))?;
            }
            view.fold(&asked, &days).await
        })
        .await
    }

    /// Returns the work that the histories need, given what is in memory now.
    fn work(&self, asked: &[SpaceHistory], days: &BTreeMap<i64, Days>) -> Work {
        let mut work = bounds(asked, days).0;
        // A doorway between two spaces is loaded once.
        let mut loaded = HashSet::new();
        for SpaceHistory { space, edges } in asked {
            let history = space.history(edges.clone());
            let busy = busy_days(&history, days);
            for day in busy.into_iter().flat_map(|(first, last)| days_between(first, last)) {
                let extents = extents(&history, days, day);
                if self.is_summarized(space, day, &extents) {
                    continue;
                }
                for (term, extent) in
                    terms_on(&history, day).zip(extents).filter(|(_, extent)| extent.len > 0)
                {
                    work.crossings += extent.len.unsigned_abs();
                    let key = PageKey { dpu: term.assignment.dpu, day };
                    if !self.has_page(key, extent) && loaded.insert(key) {
                        work.pages += 1;
                        work.loaded += extent.len.unsigned_abs();
                    }
                }
            }
        }
        work
    }

    /// Returns whether memory has a summary of the day, made from this many crossings and the current floor plan.
    fn is_summarized(&self, space: &Space, day: Instant, extents: &[Extent]) -> bool {
        [Grain::Hour, Grain::Quarter].into_iter().any(|grain| {
            let key = SummaryKey { space: space.row.id, day, grain };
            self.state().timelines().summary(key).is_some_and(|summary| {
                summary.source.revision == self.plan().revision() && summary.source.extents == extents
            })
        })
    }

    fn has_page(&self, key: PageKey, extent: Extent) -> bool {
        self.state().timelines().look_at_page(key, extent, self.is_pruned(key.day), |_| ()).is_some()
    }

    async fn fold(
        &self,
        asked: &[SpaceHistory],
        days: &BTreeMap<i64, Days>,
    ) -> Result<Vec<Vec<Bucket>>, ReadError> {
        let histories: Vec<History<'_>> = asked.iter().map(SpaceHistory::history).collect();
        let readings: Vec<_> = histories.iter().flat_map(|history| history.before().readings()).collect();
        let before = self.odometers(&readings).await?;
        let foldings = asked.iter().zip(&histories).map(|(SpaceHistory { space, .. }, history)| {
            let net = history.before().net(|reading| before[&reading]);
            let buckets = Buckets::new(history.edges(), net);
            Folding { space, history, buckets, busy: busy_days(history, days), has_stale: false }
        });
        let mut foldings: Vec<_> = foldings.collect();
        let mut source = HistorySource {
            view: self,
            days,
            held: HashMap::new(),
            crossed: Vec::new(),
            counted: Vec::new(),
        };
        loop {
            let mut lacks = Vec::new();
            for (place, folding) in foldings.iter_mut().enumerate() {
                loop {
                    match folding.go_on(&mut source) {
                        HistoryProgress::Paused => tokio::task::yield_now().await,
                        HistoryProgress::Lacks => break lacks.push(place),
                        HistoryProgress::Finished => break,
                    }
                }
            }
            if lacks.is_empty() {
                break;
            }
            source.held.clear();
            let mut piece = HistoryPiece::default();
            for place in lacks {
                foldings[place].list(&mut source, &mut piece);
            }
            if piece.is_full() {
                // More pieces will follow, and all must be of one state.
                self.hold(days.keys().copied()).await?;
            }
            piece.lacking.sort();
            source.held.extend(self.load(&piece.lacking).await?.pages);
        }
        Ok(foldings.into_iter().map(|folding| folding.buckets.finish()).collect())
    }
}

impl SpaceHistory {
    fn history(&self) -> History<'_> {
        self.space.history(self.edges.clone())
    }
}

impl Folding<'_> {
    /// Folds as far as pages are in memory, for at most [`SLICE_NS`].
    fn go_on(&mut self, source: &mut HistorySource<'_>) -> HistoryProgress {
        let answer = |net| self.space.answer(net);
        let mut done = Work::default();
        while let Some(end) = self.history.edges().last().copied().filter(|end| self.buckets.at() < *end) {
            if done.ns() > SLICE_NS {
                return HistoryProgress::Paused;
            }
            let at = self.buckets.at();
            let day = TallyLength::Day.bucket(at);
            let quiet_until = match self.busy {
                Some((first, _)) if day < first => Some(first),
                Some((_, last)) if day <= last => None,
                _ => Some(end),
            };
            if let Some(quiet_until) = quiet_until {
                self.buckets.add_quiet(quiet_until.min(end), answer);
                continue;
            }
            let until = day.plus_ms(DAY_MS).min(end);
            let extents = extents(self.history, source.days, day);
            done.days += 1;
            let is_crossed = extents.iter().any(|extent| extent.len > 0);
            if !is_crossed && !self.history.may_be_reset(at, until) {
                self.buckets.add_quiet(until, answer);
                continue;
            }
            // A day with nothing but resets is folded as fast as its summary is found.
            let grain = if is_crossed { self.grain(day, until) } else { None };
            let key = grain.map(|grain| SummaryKey { space: self.space.row.id, day, grain });
            let made_of = SummarySource {
                revision: source.view.plan().revision(),
                before: self.buckets.net(),
                extents: extents.clone(),
            };
            let known = key.and_then(|key| source.view.state().timelines().summary(key));
            if let Some((summary, grain)) = known.filter(|summary| summary.source == made_of).zip(grain) {
                self.add_summary(&summary, grain, until);
                continue;
            }
            if !source.gather(self.history, day, &extents, (at, until)) {
                self.has_stale = true;
                return HistoryProgress::Lacks;
            }
            done.crossings += (source.crossed.len() + source.counted.len()) as u64;
            let resets = self.history.resets(at, until);
            let edges = self.cell_edges(at, until, grain);
            let cells = fold(self.buckets.net(), &edges, source.steps(day), &resets, answer);
            self.add(&edges, &cells);
            if let Some(key) = key
                && let Some(summary) = Summary::new(made_of, &cells)
            {
                source.view.state().timelines().keep_summary(key, Arc::new(summary));
            }
        }
        HistoryProgress::Finished
    }

    fn add(&mut self, edges: &[Instant], cells: &[Cell]) {
        for (until, cell) in edges[1..].iter().zip(cells) {
            self.buckets.add(*until, cell, |net| self.space.answer(net));
        }
    }

    /// Adds the summary of a whole day, which ends at `end`.
    fn add_summary(&mut self, summary: &Summary, grain: Grain, end: Instant) {
        let day = self.buckets.at();
        let answer = |net| self.space.answer(net);
        for (place, cell) in summary.busy() {
            let start = day.plus_ms(place * grain.ms());
            self.buckets.add_quiet(start, answer);
            self.buckets.add(start.plus_ms(grain.ms()), &cell, answer);
        }
        self.buckets.add_quiet(end, answer);
    }

    /// Returns the length of the cells that a whole day can be split into. `None`: the day must be folded by itself.
    fn grain(&self, day: Instant, until: Instant) -> Option<Grain> {
        let is_whole = self.buckets.at() == day && until == day.plus_ms(DAY_MS);
        let suits = |grain: &Grain| {
            self.buckets.edges_before(until).iter().all(|edge| edge.floor_to(grain.ms()) == *edge)
        };
        if is_whole { [Grain::Hour, Grain::Quarter].into_iter().find(suits) } else { None }
    }

    /// Returns the edges of the cells from `at` until `until`: those of the grain, otherwise those of the buckets.
    fn cell_edges(&self, at: Instant, until: Instant, grain: Option<Grain>) -> Vec<Instant> {
        if let Some(grain) = grain {
            return (0..=DAY_MS / grain.ms()).map(|number| at.plus_ms(number * grain.ms())).collect();
        }
        let within = self.buckets.edges_before(until).iter().copied();
        [at].into_iter().chain(within).chain([until]).collect()
    }

    /// Lists the next pages that are needed and not in memory, until the piece is full.
    fn list(&self, source: &mut HistorySource<'_>, piece: &mut HistoryPiece) {
        let Some((first, last)) = self.busy else { return };
        let end = self.history.edges().last().copied().unwrap_or(last);
        let first = first.max(TallyLength::Day.bucket(self.buckets.at()));
        for day in days_between(first, last.min(end.just_before())) {
            if piece.is_full() {
                return;
            }
            let extents = extents(self.history, source.days, day);
            if !self.has_stale && source.view.is_summarized(self.space, day, &extents) {
                continue;
            }
            for (term, extent) in
                terms_on(self.history, day).zip(extents).filter(|(_, extent)| extent.len > 0)
            {
                let key = PageKey { dpu: term.assignment.dpu, day };
                if source.held.contains_key(&key) {
                    continue;
                }
                if let Some(page) = source.view.page(key, extent) {
                    source.held.insert(key, page);
                } else {
                    piece.lacking.pages.push(key);
                    piece.crossings += extent.len;
                }
            }
        }
    }
}

impl HistorySource<'_> {
    /// Gathers a space's crossings of `[from, end)`, a part of the day, in order. False if a page is missing.
    fn gather(
        &mut self,
        history: &History<'_>,
        day: Instant,
        extents: &[Extent],
        (from, end): (Instant, Instant),
    ) -> bool {
        self.crossed.clear();
        self.counted.clear();
        for (term, extent) in terms_on(history, day).zip(extents).filter(|(_, extent)| extent.len > 0) {
            let key = PageKey { dpu: term.assignment.dpu, day };
            let after = term.after.max(Some(from.just_before())).map_or(-1, |after| after.ms() - day.ms());
            let until = term.until.min(end.just_before()).ms() - day.ms();
            let inside = term.placement() == Placement::Inside;
            let (crossed, counted) = (&mut self.crossed, &mut self.counted);
            let take = |page: PageAt<'_>| {
                for step in page.steps() {
                    let ms = i64::from(step.ms());
                    if after < ms && ms <= until {
                        crossed.push(step.ms() << 1 | u32::from(step.is_toward() == inside));
                    }
                }
                for interval in page.intervals(day) {
                    let ms = interval.counted_at().ms() - day.ms();
                    if after < ms && ms <= until {
                        let people = |count: i64| u32::try_from(count).unwrap_or(u32::MAX);
                        let entrances = people(interval.people.entrances(term.placement()));
                        let exits = people(interval.people.exits(term.placement()));
                        counted.push((interval.counted_at(), Passed { entrances, exits }));
                    }
                }
            };
            let is_taken = if let Some(page) = self.held.get(&key) {
                if page.extent() != *extent {
                    warn_of_tally(key);
                }
                page.at(page.extent()).map(take)
            } else {
                let is_pruned = self.view.is_pruned(day);
                self.view.state().timelines().look_at_page(key, *extent, is_pruned, take)
            };
            if is_taken.is_none() {
                return false;
            }
        }
        #[expect(
            clippy::stable_sort_primitive,
            reason = "it is quick with pages, each of which is in order"
        )]
        self.crossed.sort();
        self.counted.sort_by_key(|(at, _)| *at);
        true
    }

    /// Returns who entered and left on the gathered day, in order.
    fn steps(&self, day: Instant) -> impl Iterator<Item = (Instant, Passed)> {
        let crossed = self.crossed.iter().map(move |step| {
            let enters = step & 1;
            (day.plus_ms((step >> 1).into()), Passed { entrances: enters, exits: 1 - enters })
        });
        crossed.merge_by(self.counted.iter().copied(), |(one, _), (other, _)| one <= other)
    }
}

/// Returns the minimum work (all summaries in memory) and the maximum work (everything must be loaded).
fn bounds(asked: &[SpaceHistory], days: &BTreeMap<i64, Days>) -> (Work, Work) {
    let (mut warm, mut crossings, mut pages) = (Work::default(), 0, 0);
    for one in asked {
        let history = one.history();
        warm.entries += one.edges.len() as u64;
        let Some((first, last)) = busy_days(&history, days) else { continue };
        let busy = (last.ms() - first.ms()).unsigned_abs() / DAY_MS.unsigned_abs() + 1;
        warm.days += busy * (1 + history.terms().len()) as u64;
        warm.occurrences += busy * one.space.rules.len() as u64;
        for term in history.terms() {
            let Some(days) = days.get(&term.assignment.dpu) else { continue };
            crossings += crossings_within(days, first, last);
            pages += busy.min(days.len() as u64);
        }
    }
    (warm, Work { crossings, loaded: crossings, pages, ..warm })
}

fn crossings_within(days: &Days, first: Instant, last: Instant) -> u64 {
    let (before, _) = days.around(first);
    let (at_last, on_last) = days.around(last);
    (at_last + on_last - before).count().unsigned_abs()
}

/// Returns the first and last day of a history with crossings or resets.
fn busy_days(history: &History<'_>, days: &BTreeMap<i64, Days>) -> Option<(Instant, Instant)> {
    let (start, end) = (*history.edges().first()?, *history.edges().last()?);
    let crossed = history.terms().iter().filter_map(|term| days.get(&term.assignment.dpu)?.ends());
    let reset = history
        .reset_span(start, end)
        .map(|(first, last)| (TallyLength::Day.bucket(first), TallyLength::Day.bucket(last)));
    let spans = crossed.chain(reset);
    let (first, last) = spans.reduce(|one, other| (one.0.min(other.0), one.1.max(other.1)))?;
    let first = first.max(TallyLength::Day.bucket(start));
    let last = last.min(TallyLength::Day.bucket(end.just_before()));
    (first <= last).then_some((first, last))
}

fn days_between(first: Instant, last: Instant) -> impl Iterator<Item = Instant> {
    successors(Some(first), |day| Some(day.plus_ms(DAY_MS))).take_while(move |day| *day <= last)
}

fn terms_on<'h>(history: &'h History<'_>, day: Instant) -> impl Iterator<Item = &'h Term<'h>> {
    let end = day.plus_ms(DAY_MS);
    history
        .terms()
        .iter()
        .filter(move |term| term.after.is_none_or(|after| after < end.just_before()) && term.until >= day)
}

/// Returns what the day had, for the DPU of each of these terms.
fn extents(history: &History<'_>, days: &BTreeMap<i64, Days>, day: Instant) -> Vec<Extent> {
    let extent = |term: &Term<'_>| {
        days.get(&term.assignment.dpu).map_or_else(Extent::default, |days| days.extent(day))
    };
    terms_on(history, day).map(extent).collect()
}

fn dpus_of<'h>(history: &'h History<'_>) -> impl Iterator<Item = i64> + 'h {
    history.terms().iter().map(|term| term.assignment.dpu)
}
