//! What may still be changed where events are pruned: there, crossings are known by the hour.

use chrono::{NaiveDate, NaiveTime};
use chrono_tz::Tz;
use entity::{Instant, space};
use sea_orm::ConnectionTrait;

use crate::counting::calendar;
use crate::floor_plan::load::edition;
use crate::floor_plan::{ChangeError, Refusal, RefusalCode};

const HOUR_MS: i64 = 3_600_000;

/// Refuses an edge of an assignment within an hour before the horizon.
pub(super) async fn whole_hour(
    transaction: &impl ConnectionTrait,
    field: &str,
    edge: Option<Instant>,
) -> Result<(), ChangeError> {
    match edge.filter(|edge| edge.floor_to(HOUR_MS) != *edge) {
        Some(edge) => {
            after_horizon(transaction, field, edge, "give a whole hour of UTC, or an instant").await
        }
        None => Ok(()),
    }
}

/// Refuses a reset before the horizon.
pub(super) async fn reset(transaction: &impl ConnectionTrait, ts: Instant) -> Result<(), ChangeError> {
    after_horizon(transaction, "ts", ts, "give an instant").await
}

/// Refuses a reset rule of the space that holds before the horizon.
pub(super) async fn rule(
    transaction: &impl ConnectionTrait,
    space: &space::Model,
    first_day: NaiveDate,
    time_of_day: NaiveTime,
) -> Result<(), ChangeError> {
    let zone = space.time_zone.parse().unwrap_or(Tz::UTC);
    match calendar::instant_at(zone, first_day, time_of_day) {
        Some(first) => after_horizon(transaction, "firstDay", first, "let it begin on a day").await,
        None => Ok(()),
    }
}

async fn after_horizon(
    transaction: &impl ConnectionTrait,
    field: &str,
    at: Instant,
    accepted: &str,
) -> Result<(), ChangeError> {
    match edition(transaction).await?.horizon.filter(|horizon| at < *horizon) {
        Some(horizon) => {
            let message = format!(
                "{at} lies before {horizon}, where events are pruned and crossings are known by the hour: \
                 {accepted} from {horizon} on"
            );
            Err(Refusal::new(RefusalCode::OutOfRange, field, message).into())
        }
        None => Ok(()),
    }
}
