//! What a count is made of.

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
use crate::counting::{Account, Crossings, Reading, Source, Term};
use crate::http::graphql::request::view::View;

/// What a count is made of: `startCount`, and the `net` of each assignment, add up to `netCount`.
#[derive(SimpleObject)]
pub(in crate::http::graphql) struct CountBreakdown {
    /// The instant of the count.
    ts: DateTime,
    /// How finely the count is known in time.
    resolution: Resolution,
    /// The count, answered as the space's `negativeCounts` says.
    count: Int,
    /// The signed figure that all of this adds up to.
    net_count: Int,
    /// When the count starts; null: with the first crossing ever.
    start: Option<DateTime>,
    /// How many people there were then.
    start_count: Int,
    /// The reset that says so, if it is a recorded one.
    reset: Option<Reset>,
    /// The reset rule that says so, if it is one.
    reset_rule: Option<ResetRule>,
    /// What each assignment adds; those that were over before the start, or begin after `ts`, are left out.
    assignments: Vec<AssignmentShare>,
}

/// What an assignment adds to a count.
#[derive(SimpleObject)]
pub(in crate::http::graphql) struct AssignmentShare {
    /// The assignment.
    assignment: Assignment,
    /// Its DPU.
    dpu: Dpu,
    /// Its doorway, where it has one.
    doorway: Option<String>,
    /// Only crossings after this instant are counted; null: however old they are.
    after: Option<DateTime>,
    /// Crossings until this instant are counted, those at it included.
    until: DateTime,
    /// How many people entered the space.
    entrances: Int,
    /// How many people left it.
    exits: Int,
    /// Entrances minus exits.
    net: Int,
}

impl CountBreakdown {
    /// The breakdown of an account, its odometers read.
    pub(in crate::http::graphql) fn new(
        space: &Space,
        view: &Arc<View>,
        at: Instant,
        account: Account<'_>,
        odometer: impl Fn(Reading) -> Crossings + Copy,
    ) -> Self {
        let (reset, reset_rule) = match account.start().map(|start| start.source) {
            Some(Source::Reset(row)) => (Some(Reset::new(space, row)), None),
            Some(Source::Rule(row)) => (None, Some(ResetRule::new(space, row))),
            None => (None, None),
        };
        let net_count = account.net(odometer);
        Self {
            ts: at.into(),
            resolution: Resolution::at(view, at),
            count: space.answer(net_count).into(),
            net_count: net_count.into(),
            start: account.start().map(|start| start.ts.into()),
            start_count: account.start().map_or(0, |start| start.count).into(),
            reset,
            reset_rule,
            assignments: account
                .terms()
                .filter_map(|term| AssignmentShare::new(view, &term, odometer))
                .collect(),
        }
    }
}

impl AssignmentShare {
    /// `None` only where the floor plan lacks the DPU or the space, which the database rules out.
    fn new(
        view: &Arc<View>,
        term: &Term<'_>,
        odometer: impl Fn(Reading) -> Crossings + Copy,
    ) -> Option<Self> {
        let (crossings, placement) = (term.crossings(odometer), term.placement());
        Some(Self {
            assignment: Assignment::new(view, term.assignment)?,
            dpu: Dpu::find(view, term.assignment.dpu_id)?,
            doorway: term.assignment.doorway.clone(),
            after: term.after.filter(|after| *after >= Instant::MIN).map(Into::into),
            until: term.until.into(),
            entrances: crossings.entrances(placement).into(),
            exits: crossings.exits(placement).into(),
            net: term.net(odometer).into(),
        })
    }
}
