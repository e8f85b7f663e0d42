//! The breakdown of a count.

use std::sync::Arc;

use async_graphql::SimpleObject;
use entity::Instant;

use super::assignment::Assignment;
use super::dpu::Dpu;
use super::enums::Resolution;
use super::int::Int;
use super::reset::{Reset, ResetRule};
use super::scalars::DateTime;
use super::space::Space;
use crate::floor_plan::List;
use crate::http::graphql::limits::{DeclaredEntries, Entries};
use crate::http::graphql::request::view::ClientView;
use counting::{Account, Crossings, Reading, Source, Term};

/// The lowest and the highest number of people that the reports allow.
#[derive(SimpleObject)]
pub(in crate::http::graphql) struct CountRange {
    /// The lowest.
    pub(super) low: Int,
    /// The highest.
    pub(super) high: Int,
}

/// The parts of a count: `netCount` is `startCount` plus the `net` of each assignment.
#[derive(SimpleObject)]
pub(in crate::http::graphql) struct CountBreakdown {
    /// The instant of the count.
    ts: DateTime,
    /// Time resolution of the count.
    resolution: Resolution,
    /// The count, with the space's `negativeCounts` applied.
    count: Int,
    /// The signed sum, never clamped.
    net_count: Int,
    /// Start of the count. Null: from the beginning.
    start: Option<DateTime>,
    /// Number of people at the start.
    start_count: Int,
    /// The reset that sets the start, if it is a recorded one.
    reset: Option<Reset>,
    /// The reset rule that sets the start, if it is one.
    reset_rule: Option<ResetRule>,
    /// The contribution of each assignment. Those that ended before the start, or begin after `ts`, are left out.
    assignments: Vec<AssignmentShare>,
}

/// How many entries the fields of a breakdown have.
pub(super) const ENTRIES: DeclaredEntries = &[("assignments", Entries::All(List::AssignmentsOfSpace))];

/// The contribution of an assignment to a count.
#[derive(SimpleObject)]
pub(in crate::http::graphql) struct AssignmentShare {
    /// The assignment.
    assignment: Assignment,
    /// Its DPU.
    dpu: Dpu,
    /// The name of its doorway, if it has one.
    doorway: Option<String>,
    /// Only crossings after this instant count. Null: from the beginning.
    after: Option<DateTime>,
    /// Only crossings up to and including this instant count.
    until: DateTime,
    /// Number of people who entered the space.
    entrances: Int,
    /// Number of people who left the space.
    exits: Int,
    /// Entrances minus exits.
    net: Int,
}

impl CountBreakdown {
    /// Creates the breakdown of an account whose odometers have been read.
    pub(in crate::http::graphql) fn new(
        space: &Space,
        view: &Arc<ClientView>,
        at: Instant,
        resolution: Resolution,
        account: Account<'_>,
        odometer: impl Fn(Reading) -> Crossings + Copy,
    ) -> Self {
        let source = account.start().map(|start| start.source);
        let planned = space.planned();
        let reset = planned.resets.iter().find(|row| source == Some(Source::Reset(row.id)));
        let reset_rule = planned.rules.iter().find(|row| source == Some(Source::Rule(row.id)));
        let net_count = account.net(odometer);
        Self {
            ts: at.into(),
            resolution,
            count: planned.answer(net_count).into(),
            net_count: net_count.into(),
            start: account.start().map(|start| start.ts.into()),
            start_count: account.start().map_or(0, |start| start.count).into(),
            reset: reset.map(|row| Reset::new(space, row)),
            reset_rule: reset_rule.map(|row| ResetRule::new(space, row)),
            assignments: account
                .terms()
                .filter_map(|term| AssignmentShare::new(space, view, &term, odometer))
                .collect(),
        }
    }
}

impl AssignmentShare {
    /// Returns `None` only if the floor plan lacks the DPU or the space, which the database rules out.
    fn new(
        space: &Space,
        view: &Arc<ClientView>,
        term: &Term<'_>,
        odometer: impl Fn(Reading) -> Crossings + Copy,
    ) -> Option<Self> {
        let (crossings, placement) = (term.crossings(odometer), term.placement());
        let row = space.planned().assignment(term.assignment.id)?;
        Some(Self {
            assignment: Assignment::new(view, row)?,
            dpu: Dpu::find(view, row.dpu_id)?,
            doorway: row.doorway.clone(),
            after: term.after.filter(|after| *after >= Instant::MIN).map(Into::into),
            until: term.until.into(),
            entrances: crossings.entrances(placement).into(),
            exits: crossings.exits(placement).into(),
            net: term.net(odometer).into(),
        })
    }
}
