//! Mutations that create, change and delete reset rules.

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

/// Input for creating a reset rule.
#[derive(InputObject)]
struct ResetRuleCreateInput {
    /// The space.
    space: ID,
    /// Time of day by the clocks of the space's time zone.
    time_of_day: LocalTime,
    /// Number of people in the space at that time: 0 or more. Default: 0.
    #[graphql(default)]
    count: i32,
    /// First day on which the rule holds. It changes no counts before.
    first_day: LocalDate,
    /// Last day on which the rule holds. Default: no end.
    last_day: Option<LocalDate>,
}

/// Input for changing a reset rule, for all days on which it holds. Fields that are left out keep their values. To
/// change the rule from a certain day on, end it the day before and create another.
#[derive(InputObject)]
struct ResetRuleUpdateInput {
    /// Time of day by the clocks of the space's time zone.
    time_of_day: Option<LocalTime>,
    /// Number of people in the space at that time, 0 or more.
    count: Option<i32>,
    /// First day on which the rule holds.
    first_day: Option<LocalDate>,
    /// Last day on which the rule holds. Null: no end.
    last_day: MaybeUndefined<LocalDate>,
}

/// Result of changing a reset rule.
#[derive(SimpleObject, Default)]
struct ResetRulePayload {
    /// The rule after the change, or before it was deleted. Null if the change was refused.
    reset_rule: Option<ResetRule>,
    /// Reasons why the change was refused. Empty on success.
    user_errors: Vec<UserError>,
}

#[Object]
impl ResetRuleMutation {
    /// Creates a rule that resets the count of a space at the same time of every day. `Space.resetRulePreview` shows in
    /// advance what the rule would change.
    async fn reset_rule_create(
        &self,
        context: &Context<'_>,
        #[graphql(desc = "The new rule.")] input: ResetRuleCreateInput,
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
        #[graphql(desc = "The fields to change.")] input: ResetRuleUpdateInput,
    ) -> Result<ResetRulePayload> {
        let update = id(context, "id", Kind::ResetRule, &rule).and_then(|id| Ok((id, input.read()?)));
        let outcome =
            change(context, update, |t, (id, update), now| Box::pin(reset_rule::update(t, id, update, now)));
        ResetRulePayload::of(outcome.await?.map(|(row, view)| ResetRule::find(&view, row.id)))
    }

    /// Deletes a reset rule, as if it had never existed.
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
