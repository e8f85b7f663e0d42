//! Reset rules: created, changed, deleted.

use async_graphql::{Context, ID, InputObject, MaybeUndefined, Object, SimpleObject};

use super::{UserError, change, changed, id, made, readable};
use crate::floor_plan::Refusal;
use crate::floor_plan::changes::reset_rule::{self, NewResetRule, ResetRuleUpdate};
use crate::http::graphql::request::error::Result;
use crate::http::graphql::request::scope::Scope;
use crate::http::graphql::schema::reset::ResetRule;
use crate::http::graphql::schema::scalars::{LocalDate, LocalTime};
use crate::ids::Kind;

#[derive(Default)]
pub(in crate::http::graphql) struct ResetRuleMutation;

/// A reset rule to be.
#[derive(InputObject)]
struct ResetRuleCreateInput {
    /// The space.
    space: ID,
    /// When it holds, by the clocks of the space's time zone.
    time_of_day: LocalTime,
    /// How many people are in the space then: 0 or more, 0 unless given.
    #[graphql(default)]
    count: i32,
    /// The first day on which it holds: it changes nothing before.
    first_day: LocalDate,
    /// The last day on which it holds; without it, until further notice.
    last_day: Option<LocalDate>,
}

/// What to change of a reset rule, for all the days on which it holds. What is not given stays as it is. To change
/// it from a day on, end it the day before and create another.
#[derive(InputObject)]
struct ResetRuleUpdateInput {
    /// When it holds, by the clocks of the space's time zone.
    time_of_day: Option<LocalTime>,
    /// How many people are in the space then, 0 or more.
    count: Option<i32>,
    /// The first day on which it holds.
    first_day: Option<LocalDate>,
    /// The last day on which it holds; null: until further notice.
    last_day: MaybeUndefined<LocalDate>,
}

/// A reset rule that was changed, or why it was not.
#[derive(SimpleObject, Default)]
struct ResetRulePayload {
    /// The rule as it is now, or as it was before it was deleted; null if nothing was changed.
    reset_rule: Option<ResetRule>,
    /// Why nothing was changed; empty if it was.
    user_errors: Vec<UserError>,
}

#[Object]
impl ResetRuleMutation {
    /// States how many people are in a space at a time of every day. `Space.resetRulePreview` shows beforehand what
    /// that would change.
    async fn reset_rule_create(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The rule to be.")] input: ResetRuleCreateInput,
    ) -> Result<ResetRulePayload> {
        let outcome =
            change(context, input.read(context), |t, new, now| Box::pin(reset_rule::create(t, new, now)))
                .await?;
        ResetRulePayload::of(outcome.map(|(row, view)| ResetRule::find(&view, row.id)))
    }

    /// Changes a reset rule, for past days too.
    async fn reset_rule_update(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id", desc = "The rule.")] rule: ID,
        #[graphql(desc = "What to change.")] input: ResetRuleUpdateInput,
    ) -> Result<ResetRulePayload> {
        let update = id(context, "id", Kind::ResetRule, &rule).and_then(|id| Ok((id, input.read()?)));
        let outcome =
            change(context, update, |t, (id, update), now| Box::pin(reset_rule::update(t, id, update, now)));
        ResetRulePayload::of(outcome.await?.map(|(row, view)| ResetRule::find(&view, row.id)))
    }

    /// Deletes a reset rule, as if it had never held.
    async fn reset_rule_delete(
        &self,
        context: &Context<'_>,
        #[graphql(name = "id", desc = "The rule.")] rule: ID,
    ) -> Result<ResetRulePayload> {
        let rule_id = id(context, "id", Kind::ResetRule, &rule);
        let before = Scope::of(context)?.view_of_change().await?;
        let deleted = rule_id.as_ref().ok().and_then(|id| ResetRule::find(&before, *id));
        let outcome = change(context, rule_id, |t, id, _| Box::pin(reset_rule::delete(t, id))).await?;
        ResetRulePayload::of(outcome.map(|_| deleted))
    }
}

impl ResetRuleCreateInput {
    fn read(self, context: &Context<'_>) -> std::result::Result<NewResetRule, Refusal> {
        Ok(NewResetRule {
            space_id: id(context, "space", Kind::Space, &self.space)?,
            time_of_day: readable("timeOfDay", self.time_of_day.parsed())?,
            count: self.count,
            first_day: readable("firstDay", self.first_day.parsed())?,
            last_day: self.last_day.map(|day| readable("lastDay", day.parsed())).transpose()?,
        })
    }
}

impl ResetRuleUpdateInput {
    fn read(self) -> std::result::Result<ResetRuleUpdate, Refusal> {
        Ok(ResetRuleUpdate {
            time_of_day: self.time_of_day.map(|time| readable("timeOfDay", time.parsed())).transpose()?,
            count: self.count,
            first_day: self.first_day.map(|day| readable("firstDay", day.parsed())).transpose()?,
            last_day: changed(self.last_day, |day| readable("lastDay", day.parsed()))?,
        })
    }
}

impl ResetRulePayload {
    fn of(outcome: std::result::Result<Option<ResetRule>, Vec<UserError>>) -> Result<Self> {
        Ok(match outcome {
            Ok(reset_rule) => Self { reset_rule: Some(made(reset_rule)?), ..Self::default() },
            Err(user_errors) => Self { user_errors, ..Self::default() },
        })
    }
}
