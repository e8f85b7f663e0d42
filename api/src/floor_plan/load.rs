//! Reads the floor plan from the database.

use entity::{Instant, assignment, dpu, reset, reset_rule, space};
use sea_orm::{ConnectionTrait, DbErr, EntityTrait, QueryOrder, Statement};

use super::{Edition, FloorPlan, PlanRows};

pub(super) async fn edition(connection: &impl ConnectionTrait) -> Result<Edition, DbErr> {
    let sql = "SELECT revision, horizon, digested FROM floor_plan";
    let row =
        connection.query_one_raw(Statement::from_string(connection.get_database_backend(), sql)).await?;
    let row = row.ok_or_else(|| DbErr::RecordNotFound("the revision of the floor plan".to_owned()))?;
    Ok(Edition {
        revision: row.try_get_by_index(0)?,
        horizon: row.try_get_by_index(1)?,
        digested: row.try_get_by_index(2)?,
    })
}

/// Reads the start of the time whose events are stored one by one. `None`: no limit.
pub(crate) async fn horizon(connection: &impl ConnectionTrait) -> Result<Option<Instant>, DbErr> {
    Ok(edition(connection).await?.horizon)
}

/// Reads the floor plan as one transaction sees it.
pub(crate) async fn load(connection: &impl ConnectionTrait) -> Result<FloorPlan, DbErr> {
    let edition = edition(connection).await?;
    let rows = PlanRows {
        spaces: space::Entity::find().all(connection).await?,
        dpus: dpu::Entity::find().all(connection).await?,
        assignments: assignment::Entity::find().order_by_asc(assignment::Column::Id).all(connection).await?,
        resets: reset::Entity::find().order_by_asc(reset::Column::Ts).all(connection).await?,
        rules: reset_rule::Entity::find().order_by_asc(reset_rule::Column::Id).all(connection).await?,
    };
    Ok(FloorPlan::new(edition, rows))
}
