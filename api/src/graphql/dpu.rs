//! DPUs.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_graphql::{ID, Object};

use super::assignment::Assignment;
use super::error::Result;
use super::page::{Page, PageArguments};
use super::scalars::DateTime;
use crate::floor_plan::{self, FloorPlan};

/// A DPU (depth processing unit): a sensor over a doorway that reports each crossing.
#[derive(Clone)]
pub(super) struct Dpu {
    plan: Arc<FloorPlan>,
    dpu: Arc<floor_plan::Dpu>,
}

impl Dpu {
    pub(super) fn new(plan: &Arc<FloorPlan>, dpu: &Arc<floor_plan::Dpu>) -> Self {
        Self { plan: Arc::clone(plan), dpu: Arc::clone(dpu) }
    }
}

/// A DPU (depth processing unit): a sensor over a doorway that reports each crossing.
#[Object]
impl Dpu {
    /// The id.
    async fn id(&self) -> ID {
        self.dpu.row.id.into()
    }

    /// The hardware id, by which devices and files name it. No two DPUs share a serial.
    async fn serial(&self) -> &str {
        &self.dpu.row.serial
    }

    /// What people call it, where they do.
    async fn name(&self) -> Option<&str> {
        self.dpu.row.name.as_deref()
    }

    /// Which spaces it has counted for and when, past assignments included, oldest entry first.
    async fn assignments(
        &self,
        #[graphql(desc = "At most this many, from 0 to 500; 100 unless given.")] first: Option<i32>,
        #[graphql(desc = "Those after the one with this cursor.")] after: Option<String>,
    ) -> Result<Page<Assignment>> {
        let assignments =
            self.dpu.assignments.iter().filter_map(|row| Some((row.id, Assignment::new(&self.plan, row)?)));
        let assignments: BTreeMap<_, _> = assignments.collect();
        PageArguments { first, after }.page("assignment", &assignments, Clone::clone)
    }

    /// When the DPU was created.
    async fn created(&self) -> DateTime {
        self.dpu.row.created.into()
    }

    /// When the DPU was last changed.
    async fn modified(&self) -> DateTime {
        self.dpu.row.modified.into()
    }
}
